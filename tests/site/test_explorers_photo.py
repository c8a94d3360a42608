"""The explorers of a Vision Transformer in a browser: their numbers are Python's, maps come when they are asked for."""

import io
from pathlib import Path

import gallery
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from reading import new_page
from test_explorers import explorer, gallery_address, slide, value  # noqa: F401

NAMES = list(gallery.explorers())
PHOTO = pytest.mark.parametrize(
    ("where", "place", "kind"),
    [("gallery", NAMES.index("photo attention"), "PhotoAttentionExplorer")],
)
PATCHES = pytest.mark.parametrize(
    ("where", "place", "kind"),
    [("gallery", NAMES.index("patches of a photo"), "PatchExplorer")],
)


def facts(root):
    return root.locator("dl output").all_inner_texts()


def choose(root, label, index):
    root.get_by_role("combobox", name=label, exact=True).select_option(index=index)


@PHOTO
@pytest.mark.parametrize(
    "show", ["head", "mean", "max", "min", "rollout mean", "rollout max", "rollout min"]
)
def test_its_numbers_are_pythons(explorer, show):  # noqa: F811
    python = gallery.explorers()["photo attention"]
    columns, registers = python._grid[1], python._shape[2]
    choose(explorer, "Photo", 1)
    explorer.get_by_label("Show", exact=True).select_option(show)
    python.photo, python.show, python.head, python.keep = "two", show, 1, 0.35
    if show == "head":
        slide(explorer.get_by_role("slider", name="Head"), 1)
    slide(explorer.get_by_role("slider", name="Outline"), 0.35)
    expect(explorer.locator("dl output").first).not_to_have_text("…")
    for python.layer, python.ratio, python.query in ((0, 0, 0), (1, 2, 7), (1, 1, 12)):
        choose(explorer, "Discard", python.ratio)
        for label in ("Layer", "Query"):
            slider = explorer.get_by_role("slider", name=label)
            slide(slider, getattr(python, label.lower()))
        weights = python.weights()
        patches = weights[1 + registers :]
        shown, best = facts(explorer), int(patches.argmax())
        assert abs(value(shown[0]) - patches.max()) < 6e-5
        assert shown[1] == f"row {best // columns + 1}, column {best % columns + 1}"
        assert shown[2] == f"{python.kept().sum()} of {patches.size}"
        part = patches[patches > 0] / patches.sum()
        assert abs(value(shown[3]) - 2 ** -(part * np.log2(part)).sum()) < 0.06
        sums = patches.sum(), weights[0], weights[1 : 1 + registers].sum()
        assert np.allclose([value(text) for text in shown[4:]], sums, atol=6e-4)


@PHOTO
def test_a_query_is_chosen_by_pointer_and_arrows(explorer):  # noqa: F811
    slider = explorer.get_by_role("slider", name="Query")
    for canvas in explorer.locator("canvas").all()[:2]:
        box = canvas.bounding_box()
        canvas.click(position={"x": box["width"] - 3, "y": box["height"] - 3})
        assert slider.input_value() == "12"  # the nearest one that is stored
        slider.press("ArrowUp")
        assert slider.input_value() == "8"
        slider.press("ArrowDown")
        slider.press("ArrowDown")  # there is no row below
        assert slider.input_value() == "12"
        slider.press("Home")
        assert slider.get_attribute("aria-valuetext") == "class token"
        slider.press("ArrowUp")  # nothing stands above the class token
        slider.press("ArrowDown")
        assert slider.get_attribute("aria-valuetext") == "row 2, column 2"
        slider.press("ArrowUp")
        assert slider.get_attribute("aria-valuetext") == "class token"


@PHOTO
def test_a_head_is_chosen_among_all(explorer):  # noqa: F811
    explorer.get_by_label("Show", exact=True).select_option("mean")
    expect(explorer.get_by_role("slider", name="Head")).to_be_disabled()
    canvas = explorer.locator("canvas").last
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] - 6, "y": box["height"] - 6})
    assert explorer.get_by_role("slider", name="Layer").input_value() == "2"
    assert explorer.get_by_role("slider", name="Head").input_value() == "2"
    assert explorer.get_by_label("Show", exact=True).input_value() == "head"


@pytest.fixture
def alone(browser, serving, tmp_path):
    """A page with this explorer alone, and the addresses that it asks for."""
    widget = gallery.explorers()["photo attention"]
    gallery.write(tmp_path, {"photo attention": widget})
    page, problems = new_page(browser, serving(tmp_path))
    asked = []
    page.on("request", lambda request: asked.append(Path(request.url).name))
    yield page, asked, problems, tmp_path
    page.context.close()


def opened(page):
    root = page.locator(".pa-explorer")
    expect(root).to_have_attribute("data-ready", "true")
    return root


def test_maps_come_when_they_are_asked_for(alone):
    page, asked, problems, folder = alone
    page.goto("/index.html")
    root = opened(page)
    scripts = {path.name for path in (folder / "explorers").iterdir()}
    assert len(scripts) == 6 and len(scripts & set(asked)) == 2  # a photo, its maps
    root.get_by_label("Show", exact=True).select_option("rollout mean")
    expect(root.locator("dl output").first).not_to_have_text("…")
    assert len(scripts & set(asked)) == 3
    choose(root, "Photo", 1)
    expect(root.locator("dl output").first).not_to_have_text("…")
    assert len(scripts & set(asked)) == 6
    choose(root, "Photo", 0)  # what has come is not asked for again
    expect(root.locator(".pa-summary")).to_contain_text("one, rollout")
    assert len([name for name in asked if name in scripts]) == 6 and problems == []


def test_maps_that_do_not_come_are_named_and_asked_for_again(alone):
    page, _, _, folder = alone
    page.goto("/index.html")
    root = opened(page)
    away = folder / "away"
    (folder / "explorers").rename(away)
    choose(root, "Photo", 1)
    summary = root.locator(".pa-summary")
    expect(summary).to_contain_text("two could not be loaded")
    choose(root, "Photo", 0)  # the first photo is still there
    expect(summary).to_contain_text("one, head")
    away.rename(folder / "explorers")
    choose(root, "Photo", 1)
    expect(summary).to_contain_text("two, head")


@PATCHES
def test_its_costs_are_pythons(explorer):  # noqa: F811
    python = gallery.explorers()["patches of a photo"]
    slider = explorer.get_by_role("slider", name="Side of a patch")
    sizes = list(python._sizes)
    for index, python.patch in enumerate(sizes):
        slide(slider, index)
        cost, shown = list(python.cost().values()), facts(explorer)
        assert [int(text.replace(",", "")) for text in shown[:4]] == cost[:4]
        assert shown[4] == f"{cost[4] / 1e6:.1f} M"


@PATCHES
def test_a_token_is_the_pixels_of_its_patch(explorer):  # noqa: F811
    python = gallery.explorers()["patches of a photo"]
    slide(explorer.get_by_role("slider", name="Side of a patch"), 1)  # 12 pixels
    for at, bytes_ in enumerate(python._images):
        choose(explorer, "Photo", at)
        expect(explorer.locator("dl output").last).not_to_have_text("…")
        picture = np.asarray(Image.open(io.BytesIO(bytes_)).convert("RGB"))
        for lifted in (1, 7, 16):
            slide(explorer.get_by_role("slider", name="Lifted out"), lifted)
            row, column = divmod(lifted - 1, 4)
            patch = picture[12 * row : 12 * row + 12, 12 * column : 12 * column + 12]
            shown = [int(part) for part in facts(explorer)[5].split(", ")]
            assert np.abs(patch.mean(axis=(0, 1)) - shown).max() < 3
    slide(explorer.get_by_role("slider", name="Lifted out"), 0)
    assert facts(explorer)[5] == "–"


@PATCHES
def test_patches_are_lifted_as_far_as_the_one_that_is_clicked(explorer):  # noqa: F811
    canvas, lifted = (
        explorer.locator("canvas").first,
        explorer.get_by_role("slider", name="Lifted out"),
    )
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] / 2 + 3, "y": box["height"] / 2 + 3})
    assert lifted.input_value() == str(3 * 6 + 4)
    slide(explorer.get_by_role("slider", name="Side of a patch"), 2)
    assert lifted.get_attribute("max") == "9"
    assert lifted.input_value() == "9"  # there are no more
    expect(explorer.locator(".pa-summary")).to_contain_text("row 3, column 3")
