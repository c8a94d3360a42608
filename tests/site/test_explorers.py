"""Every explorer, on every page, in a real browser: it draws, and whatever a reader can move moves it."""

import io
import json
import zlib
from contextlib import contextmanager
from pathlib import Path

import gallery
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from reading import FRAME, new_page

from helpers.explorers import GateExplorer
from helpers.gradients import OPTIMIZERS, SURFACES, descend

ROOT = Path(__file__).resolve().parents[2]
STATE = "application/vnd.jupyter.widget-state+json"
NUMBERS = "output.pa-number"
# Left out of the compared pictures: numbers, bars that stand for them, and the page's header that floats above.
PICTURE_ONLY = """.pa-number, .pa-picture dl, .pa-bars, .pa-note, .bd-header-article, .skip-link {
    visibility: hidden !important }"""
TALL = {
    "width": 1280,
    "height": 2400,
}  # every explorer fits, so nothing scrolls while it is tested


def stored_on(path):
    """The explorers that a notebook stores: {name: state}."""
    notebook = json.loads(path.read_text())
    return notebook["metadata"].get("widgets", {}).get(STATE, {"state": {}})["state"]


PAGES = {
    path.stem: stored_on(path) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
}
KINDS = {name: type(widget).__name__ for name, widget in gallery.explorers().items()}
CASES = [("gallery", place, kind) for place, kind in enumerate(KINDS.values())] + [
    (page, place, model["state"]["_anywidget_id"].rpartition(".")[2])
    for page, models in PAGES.items()
    for place, model in enumerate(models.values())
]


def cases(*kinds):
    """Parametrise over the explorers of these kinds, or of all kinds, on all pages."""
    chosen = [case for case in CASES if not kinds or case[2] in kinds]
    return pytest.mark.parametrize(
        ("where", "place", "kind"),
        chosen,
        ids=[f"{where}-{place}-{kind}" for where, place, kind in chosen],
    )


@pytest.fixture(scope="session")
def gallery_address(serving, tmp_path_factory):
    """Where the gallery is served."""
    folder = tmp_path_factory.mktemp("gallery")
    gallery.write(folder, gallery.explorers())
    return serving(folder)


@contextmanager
def opened(request, browser, where):
    """A page with explorers; at the end, no error and no request to another host."""
    on_site = where != "gallery"
    address = request.getfixturevalue("address" if on_site else "gallery_address")
    page, problems = new_page(browser, address)
    page.set_viewport_size(TALL)
    page.goto(f"/notebooks/{where}.html" if on_site else "/index.html")
    yield page
    page.context.close()
    assert problems == []


def drawn(page, place, kind):
    """The explorer at a place of a page, drawn."""
    reached = page.locator(".pa-place").nth(place)
    reached.scroll_into_view_if_needed()  # only now the explorer starts
    root = reached.locator(".pa-explorer")
    expect(root).to_have_attribute("data-explorer", kind)
    expect(root).to_have_attribute("data-ready", "true")
    root.scroll_into_view_if_needed()
    return root


@pytest.fixture
def explorer(request, browser, where, place, kind):
    """An explorer on its page."""
    with opened(request, browser, where) as page:
        yield drawn(page, place, kind)


def numbers(root):
    return root.locator(NUMBERS).all_inner_texts()


def picture(root):
    """The pixels of the drawing, (H, W, 3)."""
    drawing = root.locator(".pa-picture")
    png = drawing.screenshot(style=PICTURE_ONLY, animations="disabled")
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def same(one, other):
    """Whether two pictures look alike.

    Rounded edges differ by a few of 255 levels from one screenshot to the next.
    """
    return one.shape == other.shape and np.abs(one - other).max() <= 8


def value(text):
    """The first number in a text."""
    return float(
        text.replace("−", "-").replace("∞", "inf").strip("(").split(" ")[0].rstrip(",")
    )


def slide(control, to):
    """Put a slider at a position, as a drag would."""
    control.evaluate(
        "(input, to) => { input.value = to; input.dispatchEvent(new Event('input')); }",
        to,
    )
    return float(control.input_value())


def state(root):
    """The stored state of an explorer: its traits, and its binary data as bytes."""
    found = root.evaluate(
        """(root, [state, view]) => {
            const script = (type) => [...document.querySelectorAll(`script[type="${type}"]`)];
            const place = [...document.querySelectorAll('.pa-place')].indexOf(root.closest('.pa-place'));
            const id = JSON.parse(script(view)[place].textContent).model_id;
            const model = script(state).map((s) => JSON.parse(s.textContent).state[id]).find(Boolean);
            const bytes = (text) => [...atob(text)].map((c) => c.charCodeAt(0));
            const here = (model.buffers ?? []).filter(({ data }) => data);  // others stand in files of their own
            return [model.state, here.map(({ path, data }) => [path[0], bytes(data)])];
        }""",
        [STATE, STATE.replace("state", "view")],
    )
    return found[0] | {trait: bytes(data) for trait, data in found[1]}


def softmax(logits, temperature=1.0):
    with np.errstate(invalid="ignore"):
        grown = np.exp((logits - logits.max()) / temperature)
    return grown / grown.sum()


# --- all explorers --------------------------------------------------------------------------------------------


def keep_the_contract(explorer):
    assert explorer.get_attribute("aria-label")
    assert explorer.locator(".pa-summary[aria-live=polite]").inner_text().strip()
    assert numbers(explorer)
    assert explorer.locator(".pa-picture").bounding_box()["height"] > 100
    controls = explorer.locator("input, select, button")
    assert controls.count() > 1
    assert controls.evaluate_all(
        "all => all.every((each) => each.dataset.lmSuppressShortcuts === 'true')"
    )
    assert explorer.locator("input, select").evaluate_all(
        "all => all.every((each) => each.labels.length)"
    )


def moves(control):
    """The keys that move a control to its other positions, one list for each."""
    if control.get_attribute("type") == "checkbox":
        return [[" "]]
    if control.get_attribute("type") == "range":
        at_end = control.input_value() == control.get_attribute("max")
        return [["ArrowLeft", "Home"] if at_end else ["ArrowRight", "End"]]
    if control.evaluate("each => ['text', 'textarea'].includes(each.type)"):
        return [["b"]]
    chosen = control.evaluate("select => select.selectedIndex")
    return [
        ["Home", *["ArrowDown"] * to]
        for to in range(control.locator("option").count())
        if to != chosen
    ]


@cases(*{kind for _, _, kind in CASES} - {"Quiz"})
def test_every_control_moves_picture_and_number_by_keyboard(explorer):
    reset = explorer.get_by_role("button", name="Reset")
    before, drawing = numbers(explorer), picture(explorer)
    assert same(picture(explorer), drawing), (
        "the picture is still until a control moves it"
    )
    controls = [
        c
        for c in explorer.locator(".pa-controls")
        .locator("input, select, textarea")
        .all()
        if c.is_visible() and c.is_enabled()
    ]
    assert len(controls) >= 3
    for control in controls:
        name = control.evaluate("control => control.labels[0].textContent")
        for keys in moves(control):
            control.focus()
            for key in keys:
                shown = numbers(explorer)
                control.press(key)
                assert numbers(explorer) != shown or key == "Home", (
                    f"{name}: {key} changes a number"
                )
            assert numbers(explorer) != before, f"{name}: a number changes"
            assert not same(picture(explorer), drawing), f"{name}: the picture changes"
            reset.click()
            assert numbers(explorer) == before, f"{name}: reset brings it back"
    assert same(picture(explorer), drawing)


DARK = """() => {
    const page = document.documentElement;
    page.style.setProperty('--pst-color-text-base', '#eee');
    page.style.setProperty('--pst-color-background', '#111');
    page.dataset.theme = 'dark';
}"""
PAINTED = (
    "root => [...root.querySelectorAll('canvas')].map((canvas) => canvas.toDataURL())"
)
INSIDE = """root => [...root.querySelectorAll('canvas, svg, table, input, select, button')].every((each) =>
    each.getBoundingClientRect().right <= root.getBoundingClientRect().right + 0.5)"""


# A page is opened once for what leaves an explorer as it is, and for a few explorers at a time.
@pytest.mark.parametrize(
    ("where", "some"),
    [
        (where, here[i : i + 6])
        for where in ("gallery", *PAGES)
        for here in [[case[1:] for case in CASES if case[0] == where]]
        for i in range(0, len(here), 6)
    ],
    ids=lambda value: value if isinstance(value, str) else f"from {value[0][0]}",
)
def test_explorers_keep_the_contract_follow_the_theme_and_fit_a_phone(
    request, browser, where, some
):
    with opened(request, browser, where) as page:
        explorers = {
            f"{kind} {place}": drawn(page, place, kind) for place, kind in some
        }
        light, painted = {}, {}
        for name, explorer in explorers.items():
            keep_the_contract(explorer)
            light[name] = picture(explorer)
            painted[name] = explorer.evaluate(PAINTED)
        ready = page.evaluate("performance.getEntriesByName('explorer-ready').length")
        assert 1 <= ready <= page.locator(".pa-explorer").count()

        page.evaluate(DARK)
        for name, explorer in explorers.items():
            assert not same(picture(explorer), light[name]), name
            if "AttentionExplorer" in name:
                assert explorer.evaluate(PAINTED) != painted[name], name

        page.set_viewport_size({"width": 375, "height": 720})
        page.wait_for_function("() => !document.getAnimations().length")
        for name, explorer in explorers.items():
            explorer.scroll_into_view_if_needed()
            for _ in range(2):
                page.evaluate(FRAME)
            assert explorer.evaluate(INSIDE), name


# --- each kind ------------------------------------------------------------------------------------------------


@cases("AttentionExplorer")
def test_pointing_at_a_row_makes_it_the_query(explorer):
    canvas = explorer.locator(".pa-map canvas").last
    for view in ("matrix", "lines"):
        explorer.get_by_label("View").select_option(view)
        step = explorer.locator("input[type=range]").first
        step.press("Home")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        before = numbers(explorer)
        canvas.hover(position={"x": box["width"] / 2, "y": box["height"] - 8})
        last = int(step.input_value())
        assert last >= 1 and numbers(explorer) != before
        tapped = {
            "clientX": box["x"] + box["width"] / 2,
            "clientY": box["y"] + box["height"] * 0.6,
        }
        canvas.dispatch_event("click", tapped)  # as a finger does, without hovering
        assert int(step.input_value()) < last


def stored_heads(stored):
    """The weights of each example's first map, (N, h, T_q, T_k)."""
    levels, at, found = zlib.decompress(stored["_levels"]), 0, {}
    for example in stored["_examples"]:
        (panel,) = example["maps"]
        shape = (*stored["_heads"], len(panel["queries"]), len(panel["keys"]))
        count = int(np.prod(shape))
        weights = np.frombuffer(levels[at : at + count], np.uint8) / 255.0
        weights = weights.reshape(shape) ** 2
        found[example["name"]] = weights / weights.sum(axis=-1, keepdims=True)
        at += count
    assert at == len(levels)
    return found


def shown_row(explorer, size):
    """The weights of the chosen row as the table shows them, for maps of at most eight keys; else the greatest."""
    texts = explorer.locator(".pa-bars output").all_inner_texts()
    return [value(text) for text in texts][: min(size, 8)]


def temperature_of_a_head(explorer, stored):
    row = stored_heads(stored)[stored["example"]]
    row = row[stored["layer"], stored["head"], stored["step"]]
    for position in (-0.5, 0, 0.4):
        slide(explorer.get_by_label("Temperature"), position)
        with np.errstate(divide="ignore"):
            weights = softmax(np.log(row), 10**position)
        kept = np.sort(np.argsort(-weights, kind="stable")[:8])
        assert np.allclose(shown_row(explorer, len(row)), weights[kept], atol=6e-4)


@cases("AttentionExplorer")
def test_heads_and_their_fusions(explorer):
    stored = state(explorer)
    if not stored.get("_heads"):
        return
    weights, step = stored_heads(stored)[stored["example"]], stored["step"]
    layers, heads, size, _ = weights.shape
    mean = weights.mean(axis=1)
    top = weights.max(axis=1)
    passed = [(mean[0] + np.eye(size)) / 2]
    for each in mean[1:]:
        passed.append((each + np.eye(size)) / 2 @ passed[-1])
    fused = {"mean": mean, "max": top / top.sum(axis=-1, keepdims=True)}
    fused["rollout"] = np.stack(passed)
    for layer in range(layers):
        slide(explorer.get_by_role("slider", name="Layer"), layer)
        explorer.get_by_label("Show").select_option("head")
        for head in range(0, heads, 2):
            slide(explorer.get_by_role("slider", name="Head"), head)
            kept = np.sort(np.argsort(-weights[layer, head, step], kind="stable")[:8])
            expected = weights[layer, head, step][kept]
            assert np.allclose(shown_row(explorer, size), expected, atol=6e-4)
        for fusion, maps in fused.items():
            explorer.get_by_label("Show").select_option(fusion)
            kept = np.sort(np.argsort(-maps[layer, step], kind="stable")[:8])
            shown = shown_row(explorer, size)
            assert np.allclose(shown, maps[layer, step][kept], atol=6e-4)


@cases("AttentionExplorer")
def test_a_head_is_chosen_in_the_overview(explorer):
    stored = state(explorer)
    if not stored.get("_heads"):
        return
    explorer.get_by_label("Show").select_option("mean")
    overview = explorer.locator(".pa-map canvas").first
    box = overview.bounding_box()
    overview.click(position={"x": box["width"] - 6, "y": box["height"] - 6})
    for name, count in zip(("Layer", "Head"), stored["_heads"], strict=True):
        slider = explorer.get_by_role("slider", name=name)
        assert int(slider.input_value()) == count - 1
    assert explorer.get_by_label("Show").input_value() == "head"


@cases("AttentionExplorer")
def test_temperature_is_a_softmax(explorer):
    stored = state(explorer)
    example = next(e for e in stored["_examples"] if e["name"] == stored["example"])
    if stored.get("_heads"):  # the chosen head's: bytes, round(255 √w)
        return temperature_of_a_head(explorer, stored)
    logits = np.frombuffer(stored["_weights"], "<f2").astype(float)
    place = 0
    for other in stored["_examples"]:
        if other is example:
            break
        place += sum(
            len(m["queries"]) * len(m["keys"]) for m in other["maps"] if m["attends"]
        )
    slider = explorer.get_by_label("Temperature")
    for position in (-0.5, 0, 0.4):
        slide(slider, position)
        at, panels = place, explorer.locator(".pa-panel")
        for number, panel in enumerate(example["maps"]):
            if not panel["attends"]:
                continue
            size = len(panel["keys"])
            rows = logits[at : at + len(panel["queries"]) * size].reshape(-1, size)
            at += rows.size
            if stored["step"] >= len(rows):
                continue
            weights = softmax(rows[stored["step"]], 10**position)
            shown = [
                value(text)
                for text in panels.nth(number)
                .locator(".pa-bars output")
                .all_inner_texts()
            ]
            kept = (
                np.sort(np.argsort(-weights, kind="stable")[:8])
                if size > 8
                else np.arange(size)
            )
            expected = [
                *weights[kept],
                *([1 - weights[kept].sum()] if size > 8 else []),
            ]
            assert np.allclose(shown, expected, atol=6e-4)
            facts = [
                value(t)
                for t in panels.nth(number).locator("dl output").all_inner_texts()[:2]
            ]
            entropy = -sum(w * np.log2(w) for w in weights if w > 0)
            assert np.allclose(facts, [entropy, weights.max()], atol=6e-3)


@cases("ImageAttentionExplorer")
def test_a_patch_is_chosen_by_pointer_and_arrows(explorer):
    rows, columns = state(explorer)["_grid"]
    slider = explorer.get_by_role("slider", name="Patch")
    for canvas in explorer.locator("canvas").all():
        box = canvas.bounding_box()
        at = {"x": box["width"] * 1.5 / columns, "y": box["height"] * 0.5 / rows}
        canvas.click(position=at)
        assert slider.input_value() == "1"
        slider.press("ArrowDown")
        assert slider.input_value() == str(1 + columns)
        slider.press("ArrowUp")
        slider.press("ArrowUp")
        assert slider.input_value() == "1"
        slider.press("End")


@cases("DescentExplorer")
def test_descent_is_pythons(explorer):
    reset = explorer.get_by_role("button", name="Reset")
    names = [option.inner_text() for option in explorer.locator("select").nth(1).locator("option").all()]  # fmt: skip
    assert names == list(OPTIMIZERS)
    for optimizer in names:
        reset.click()
        explorer.get_by_label("Surface").select_option("valley")
        explorer.get_by_label("Optimizer").select_option(optimizer)
        start = [slide(explorer.get_by_label(f"Start {a}"), to) for a, to in (("x", -1.2), ("y", 0.7))]  # fmt: skip
        options = {"learning_rate": 10 ** slide(explorer.get_by_label("Learning rate"), -1.5)}  # fmt: skip
        for label, name in (("Momentum", "momentum" if optimizer == "momentum" else "beta1"),
                            ("Weight decay", "weight_decay")):  # fmt: skip
            if explorer.get_by_label(label).is_visible():
                options[name] = slide(explorer.get_by_label(label), 0.5)
        steps = int(slide(explorer.get_by_label("Step", exact=True), 37))
        path = descend("valley", start, optimizer, steps, **options)
        shown = explorer.locator("dl output").all_inner_texts()
        losses = SURFACES["valley"].value(*path.T)
        assert abs(value(shown[0]) - float(losses[-1])) < 6e-5
        assert abs(value(shown[2]) - float(losses.min())) < 6e-5
        point = [value(part) for part in shown[3].strip("()").split(", ")]
        assert np.allclose(point, path[-1].tolist(), atol=6e-5)


@cases("DescentExplorer")
def test_a_start_is_clicked_and_divergence_is_said(explorer):
    explorer.get_by_label("Surface").select_option("valley")
    explorer.get_by_label("Optimizer").select_option("SGD")
    expect(explorer.get_by_label("Momentum")).to_be_hidden()
    plane = explorer.locator(".pa-map > svg")
    box = plane.bounding_box()
    plane.click(position={"x": box["width"] * 0.8, "y": box["height"] * 0.3})
    x, y = (float(explorer.get_by_label(f"Start {a}").input_value()) for a in "xy")
    assert 0.8 < x < 1.6 and 0.4 < y < 1.2
    slide(explorer.get_by_label("Step", exact=True), 200)
    summary, shout = explorer.locator(".pa-summary"), plane.locator("text.pa-strong")
    slide(explorer.get_by_label("Learning rate"), -1.14)  # below 2/25
    expect(summary).to_contain_text("arrived at a lowest point")
    expect(shout).to_be_empty()
    slide(explorer.get_by_label("Learning rate"), -1)  # above
    expect(summary).to_contain_text("Diverged")
    expect(shout).to_contain_text("diverged by step")


@cases("EnergyExplorer")
def test_the_query_can_be_dragged(explorer):
    handle = explorer.locator(".pa-handle")
    handle.scroll_into_view_if_needed()
    before = numbers(explorer), picture(explorer)
    box = handle.bounding_box()
    mouse = explorer.page.mouse
    mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    mouse.down()
    mouse.move(box["x"] - 20, box["y"] + 50, steps=4)
    assert numbers(explorer) != before[0] and not same(picture(explorer), before[1])
    moved = [
        float(explorer.get_by_label(f"Query {axis}").input_value()) for axis in "xy"
    ]
    assert (
        moved[0] < state(explorer)["query"][0]
        and moved[1] < state(explorer)["query"][1]
    )
    mouse.up()
    mouse.move(box["x"] + 60, box["y"])
    assert [
        float(explorer.get_by_label(f"Query {axis}").input_value()) for axis in "xy"
    ] == moved


def energies(name, q, keys, parameters, centre, sigma):
    """The energies of the query with each key, in numpy."""
    if name == "cosine":
        lengths = np.linalg.norm(q) * np.linalg.norm(keys, axis=1)
        return np.where(lengths > 0, keys @ q / np.where(lengths > 0, lengths, 1), 0)
    if name == "dot":
        return keys @ q
    if name == "scaled_dot":
        return keys @ q / np.sqrt(2)
    if name == "general":
        return np.einsum("a,ab,ib->i", q, np.array(parameters["general"]["W"]), keys)
    if name == "additive":
        w_q, w_k, v = (
            np.array(parameters["additive"][part]) for part in ("W_q", "W_k", "v")
        )
        return np.tanh(w_q @ q + np.einsum("hb,ib->ih", w_k, keys)) @ v
    away = np.arange(len(keys)) - centre
    base = energies(parameters["local"]["base"], q, keys, parameters, centre, sigma)
    return np.where(np.abs(away) > 2 * sigma, -np.inf, base - away**2 / (2 * sigma**2))


@cases("EnergyExplorer")
@pytest.mark.parametrize(
    "name", ["cosine", "dot", "scaled_dot", "general", "additive", "local"]
)
def test_energies_are_numpys_to_three_decimals(explorer, name):
    stored = state(explorer)
    keys, values = np.array(stored["_keys"]), np.array(stored["_values"])
    explorer.get_by_label("Energy function").select_option(name)
    centre, sigma = stored["centre"], stored["sigma"]
    if name == "local":
        before = picture(explorer), numbers(explorer)
        centre = slide(explorer.get_by_label("Position p"), 1.3)
        sigma = slide(explorer.get_by_label("Width σ"), 0.8)
        assert not same(picture(explorer), before[0]) and numbers(explorer) != before[1]
    else:
        expect(explorer.get_by_label("Position p")).to_be_hidden()
    for x, y in ((1, 0.5), (-0.7, 1.2), (0, 0)):
        q = np.array(
            [
                slide(explorer.get_by_label(f"Query {a}"), to)
                for a, to in (("x", x), ("y", y))
            ]
        )
        expected = energies(name, q, keys, stored["_parameters"], centre, sigma)
        weights = softmax(expected)
        shown = [
            value(text)
            for text in explorer.locator(".pa-energies output").all_inner_texts()
        ]
        assert np.allclose(shown[::2], expected, atol=6e-4)
        assert np.allclose(shown[1::2], weights, atol=6e-4)
        output = (
            explorer.locator("dl output").first.inner_text().strip("()").split(", ")
        )
        assert np.allclose(
            [value(part) for part in output], weights @ values, atol=6e-4
        )


@cases("SoftmaxExplorer")
def test_softmax_numbers(explorer):
    stored = state(explorer)
    scores = (
        np.frombuffer(stored["_scores"], "<f4").reshape(stored["_shape"]).astype(float)
    )
    width = int(slide(explorer.get_by_role("slider", name="Key width"), 3))
    slide(explorer.get_by_label("Temperature"), 0.2)
    explorer.get_by_label("Random draw").select_option(index=1)
    explorer.get_by_label("Chart").select_option("gradient")
    means = {}
    for scaled in (False, True):
        scale = 10**0.2 * (stored["_widths"][width] ** 0.5 if scaled else 1)
        rows = [softmax(scores[draw, width], scale) for draw in range(len(scores))]
        sizes = [np.linalg.norm(np.diag(row) - np.outer(row, row)) for row in rows]
        explorer.get_by_label("Divide").set_checked(scaled)
        shown = [
            value(text) for text in explorer.locator("dl output").all_inner_texts()
        ]
        entropy = -(rows[1] * np.log2(rows[1])).sum()
        means[scaled] = np.mean(sizes)
        assert np.allclose(shown[:3], [entropy, rows[1].max(), sizes[1]], atol=6e-4)
    assert np.allclose(shown[3:], [means[False], means[True]], atol=6e-4)


@cases("UnrollExplorer")
def test_an_unrolled_step_is_numpys(explorer):
    stored = state(explorer)
    (d, tokens, outputs), at = stored["_shape"], 0
    flat = np.frombuffer(stored["_weights"], "<f4").astype(float)
    arrays = []
    for shape in ((d, d), (d, tokens), (d,), (outputs, d), (outputs,)):
        arrays.append(flat[at : at + np.prod(shape)].reshape(shape))
        at += np.prod(shape)
    W, U, b, V, c = arrays
    unit = int(slide(explorer.get_by_role("slider", name="Unit"), d - 1))
    for sentence, indices in enumerate(stored["_indices"]):
        if len(stored["_indices"]) > 1:
            explorer.get_by_label("Sentence").select_option(index=sentence)
        state_before = np.zeros(d)
        for step, token in enumerate(indices[:5], 1):
            slide(explorer.get_by_role("slider", name="Step"), step)
            parts = [b, W @ state_before, U[:, token]]
            total = sum(parts)
            state_before = np.tanh(total)
            expected = [part[unit - 1] for part in (*parts, total, state_before)]
            shown = [
                value(text)
                for text in explorer.locator(".pa-bars output").all_inner_texts()
            ]
            assert np.allclose(shown, expected, atol=6e-4)
            output = softmax(c + V @ state_before)[-1]
            shown = explorer.locator("dl output").inner_text()
            assert abs(value(shown) - output) < 6e-4


@cases("UnrollExplorer")
def test_playing_steps_on_and_less_motion_means_one_step_a_click(explorer):
    slider = explorer.get_by_role("slider", name="Step")
    slide(slider, 1)
    play = explorer.get_by_role("button", name="Play")
    play.click()
    explorer.page.wait_for_function(
        "input => Number(input.value) >= 3", arg=slider.element_handle()
    )
    explorer.get_by_role("button", name="Pause").click()
    stopped = slider.input_value()
    explorer.page.wait_for_timeout(600)
    assert slider.input_value() == stopped
    explorer.page.emulate_media(reduced_motion="reduce")
    slide(slider, 1)
    play.click()
    assert slider.input_value() == "2"
    explorer.page.wait_for_timeout(600)
    assert slider.input_value() == "2"


@cases("UnrollExplorer")
def test_step_and_unit_are_chosen_on_the_map(explorer):
    explorer.locator("canvas").click(position={"x": 3, "y": 15})
    assert explorer.get_by_role("slider", name="Step").input_value() == "1"
    assert explorer.get_by_role("slider", name="Unit").input_value() == "2"


def character_model(stored):
    """The model of a stored `CharacterExplorer` in NumPy: (h, x) → (h, logits)."""
    d, k = stored["_size"], len(stored["_characters"])
    levels = np.frombuffer(stored["_levels"], np.int8).astype(float)
    scales = np.split(
        np.frombuffer(stored["_scales"], "<f4").astype(float),
        np.cumsum([d, d, k, d]),
    )
    W, U, V = (
        part.reshape(shape) * steps[:, None]
        for part, shape, steps in zip(
            np.split(levels, np.cumsum([d * d, d * k])),
            ((d, d), (d, k), (k, d)),
            scales[:3],
            strict=True,
        )
    )
    b, c = scales[3:]

    def step(h, x):
        h = np.tanh(b + W @ h + U[:, x])
        return h, c + V @ h

    return step


@cases("CharacterExplorer")
def test_the_next_characters_are_numpys(explorer):
    stored = state(explorer)
    step, characters = character_model(stored), stored["_characters"]
    named = {" ": "space", "\n": "new line"}
    for prefix, position in (("ab", -0.3), ("cab ba", 0.2), ("a€b", 0)):
        explorer.get_by_label("Begin with").fill(prefix)
        slide(explorer.get_by_label("Temperature"), position)
        h = np.zeros(stored["_size"])
        for character in prefix.replace("€", ""):
            h, logits = step(h, characters.index(character))
        for place in (1, 2, 3):
            slide(explorer.get_by_role("slider", name="Look at character"), place)
            p = softmax(logits, 10**position)
            rows = explorer.locator(".pa-bars tr:visible")
            names = [
                text.removesuffix(" ◂") for text in rows.locator("th").all_inner_texts()
            ]
            back = {named.get(c, c): i for i, c in enumerate(characters)}
            chosen = [back[name] for name in names]
            shown = [value(text) for text in rows.locator("output").all_inner_texts()]
            assert np.allclose(shown, p[chosen], atol=6e-4)
            assert p.max() == p[chosen[0]]
            facts = explorer.locator("dl output").all_inner_texts()
            bits = -(p[p > 0] * np.log2(p[p > 0])).sum()
            assert abs(value(facts[1]) - bits) < 6e-3
            drawn = back[facts[0].rpartition(", ")[0]]
            h, logits = step(h, drawn)
    assert "1 of your characters" in explorer.locator(".pa-summary").inner_text()


@cases("CharacterExplorer")
def test_again_draws_another_sample_and_an_empty_beginning_is_one_too(explorer):
    text = explorer.locator(".pa-picture p").last
    slide(explorer.get_by_label("Temperature"), 0.3)
    seen = {text.inner_text()}
    for _ in range(3):
        explorer.get_by_role("button", name="Again").click()
        seen.add(text.inner_text())
    assert len(seen) == 4
    explorer.get_by_label("Begin with").fill("")
    assert len(text.text_content()) >= 240


@cases("Quiz")
def test_quiz_by_keyboard(explorer):
    questions = state(explorer)["_questions"]
    again = explorer.get_by_role("button", name="Try again")
    expect(again).to_be_hidden()
    for index, question in enumerate(questions):
        fieldset = explorer.locator("fieldset").nth(index)
        radios = fieldset.get_by_role("radio")
        radios.first.focus()
        radios.first.press(" ")
        for place, option in enumerate(question["options"]):
            if place:
                radios.nth(place - 1).press("ArrowDown")
            expect(radios.nth(place)).to_be_checked()
            verdict = fieldset.locator(".pa-verdict")
            expect(verdict).to_contain_text("✓" if option["correct"] else "✗")
            expect(verdict).to_contain_text(option["why"].replace("`", ""))
        right = next(
            place
            for place, option in enumerate(question["options"])
            if option["correct"]
        )
        fieldset.locator("label").nth(right).click()
        assert numbers(explorer) == [f"{index + 1} of {len(questions)}"]
    again.click()
    assert numbers(explorer) == [f"0 of {len(questions)}"]
    expect(explorer.locator(".pa-verdict").first).to_be_empty()


# --- the loader -----------------------------------------------------------------------------------------------


def test_an_explorer_without_stored_state_says_so(browser, serving, tmp_path):
    shown = gallery.explorers()
    gallery.write(tmp_path, {"gone": None, "quiz": shown["quiz"]})
    page, problems = new_page(browser, serving(tmp_path))
    page.goto("/index.html")
    expect(page.locator(".pa-missing")).to_have_text("This control has no stored state on this page. "
        "Open the chapter in Binder or Colab to use it.")  # fmt: skip
    expect(page.locator(".pa-explorer[data-ready]")).to_have_count(
        1
    )  # the others are not held up
    page.context.close()
    assert len(problems) == 1 and "no stored state for widget gone" in problems[0]


@cases("GateExplorer")
def test_gates_give_pythons_numbers(explorer):
    stored = state(explorer)
    for preset in ("open", "closed", "mean", "reset", "first", "own"):
        explorer.get_by_label("Gates", exact=True).select_option(preset)
        expected = GateExplorer(stored["_signals"], stored["signal"], preset).numbers()
        shown = [
            value(text) for text in explorer.locator("dl output").all_inner_texts()
        ]
        at = stored["step"]
        wanted = [expected["cell"][at], expected["output"][at], expected["cell"][-1]]
        assert np.allclose(shown[1:4], wanted, atol=6e-4)
        assert abs(shown[6] - expected["score"]) <= 0.51


@cases("GateExplorer")
def test_gates_can_be_drawn(explorer):
    lane = explorer.locator("rect[data-gate='0']")
    lane.scroll_into_view_if_needed()
    before, box, mouse = numbers(explorer), lane.bounding_box(), explorer.page.mouse
    mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.9)
    mouse.down()
    mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.9, steps=5)
    mouse.up()
    assert numbers(explorer) != before
    assert explorer.get_by_label("Gates", exact=True).input_value() == "own"
    assert (
        float(explorer.get_by_label("Forget gate f", exact=True).input_value()) <= 0.2
    )


@cases("CellExplorer")
def test_a_click_chooses_unit_and_character(explorer):
    canvas, stored = explorer.locator("canvas"), state(explorer)
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] - 2, "y": box["height"] - 2})
    assert (
        int(explorer.get_by_label("Unit", exact=True).input_value())
        == len(stored["_units"]) - 1
    )
    last = len(stored["_text"]) - 1
    assert int(explorer.get_by_label("Character", exact=True).input_value()) == last
    levels = np.frombuffer(stored["_values"], np.uint8).reshape(4, last + 1, -1)
    levels = levels[:, -1, -1] / 255
    cell = 2 * levels[3] - 1
    wanted = dict(zip("fiu", levels, strict=False)) | {
        "c": cell,
        "h": levels[2] * cell,
    }
    for kind, number in wanted.items():
        explorer.get_by_label("Show", exact=True).select_option(kind)
        shown = explorer.locator("dl output").first.inner_text()
        assert abs(value(shown) - number) < 0.006


@cases("DetectionExplorer")
def test_a_click_on_a_box_chooses_its_query(explorer):
    stored = state(explorer)
    found = next(s for s in stored["_scenes"] if s["name"] == stored["scene"])["found"]
    slide(explorer.get_by_label("Score at least"), 0)
    canvas = explorer.locator("canvas").first
    query = explorer.get_by_role("slider", name="Query")
    box = canvas.bounding_box()
    for _, _, x, y, *_ in found:
        canvas.click(position={"x": box["width"] * x, "y": box["height"] * y})
        over = [
            (w * h, i)
            for i, (_, _, u, v, w, h) in enumerate(found)
            if abs(x - u) <= w / 2 and abs(y - v) <= h / 2
        ]
        assert int(query.input_value()) == min(over)[1]


@cases("DetectionExplorer")
def test_the_boxes_from_a_score_on_are_counted(explorer):
    stored = state(explorer)
    scene = next(s for s in stored["_scenes"] if s["name"] == stored["scene"])
    for position in (0, 0.3, 0.6, 0.9):
        slide(explorer.get_by_label("Score at least"), position)
        shown = explorer.locator("dl output").first.inner_text()
        count = sum(score >= position for _, score, *_ in scene["found"])
        assert shown == f"{count} (known: {len(scene['truth'])})"


@cases("GuidedExplorer")
def test_each_threshold_has_its_box_and_answers(explorer):
    stored = state(explorer)
    scene = next(s for s in stored["_scenes"] if s["name"] == stored["scene"])
    for index, (box, rows) in enumerate(
        zip(scene["boxes"], scene["probabilities"], strict=True)
    ):
        slide(explorer.get_by_role("slider", name="Threshold"), index)
        shown = explorer.locator("dl output").all_inner_texts()
        for text, row in zip(shown, rows, strict=False):
            assert abs(value(text.split()[-1]) - max(row)) < 0.0051
            sign = "✓" if row.index(max(row)) == scene["label"] else "✗"
            assert text.startswith(f"{stored['_classes'][row.index(max(row))]} {sign}")
        top, left, bottom, right = box
        area = 100 * (bottom - top) * (right - left) / stored["_side"] ** 2
        assert abs(value(shown[5]) - area) < 0.051
