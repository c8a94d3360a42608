"""The explorer of attention to a neighbourhood in a browser: its numbers are Python's; click or key chooses a pixel."""

import gallery
import numpy as np
import pytest
from test_explorers import explorer, gallery_address, slide, state, value  # noqa: F401

PLACE = list(gallery.explorers()).index("window")
WINDOW = pytest.mark.parametrize(
    ("where", "place", "kind"), [("gallery", PLACE, "WindowExplorer")]
)


@WINDOW
@pytest.mark.parametrize("part", ["both", "content", "offsets"])
def test_its_numbers_are_pythons(explorer, part):  # noqa: F811
    python = gallery.explorers()["window"]
    stored = state(explorer)
    for trait in ("_images", "_vectors", "_offsets"):  # drawn anew, the same
        assert stored[trait] == getattr(python, trait)
    python.picture, python.head, python.part = "bag", 1, part
    explorer.get_by_role("combobox", name="Picture").select_option("bag")
    explorer.get_by_role("combobox", name="Head").select_option(index=1)
    explorer.get_by_label("Energy from").select_option(part)
    for python.query in (0, 16, 41):
        slide(explorer.get_by_role("slider", name="Pixel"), python.query)
        weights = python.window().ravel()
        seen = weights[weights > 0]
        facts = explorer.locator("dl output").all_inner_texts()
        assert abs(value(facts[0]) - weights.max()) < 6e-4
        assert abs(value(facts[2]) - weights[4]) < 6e-4
        effective = 2 ** -(seen * np.log2(seen)).sum()
        assert abs(value(facts[3]) - effective) < 0.06
        assert facts[3].endswith(f"of {len(seen)}")


@WINDOW
def test_a_pixel_is_chosen_by_pointer_and_arrows(explorer):  # noqa: F811
    slider = explorer.get_by_role("slider", name="Pixel")
    canvas = explorer.locator("canvas").first
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] - 4, "y": box["height"] - 4})
    assert slider.input_value() == "41"
    slider.press("ArrowUp")
    assert slider.input_value() == "34"
    slider.press("ArrowDown")
    slider.press("ArrowDown")  # there is no row below
    assert slider.input_value() == "41"
