"""Pages broken on purpose, in one small book: each break must be met, by the build or by what reads the page."""

import io
import re

import build
import nbformat
import numpy as np
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from reading import CUT_TITLES, SIZES, new_page, scroll_through, sideways

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
ESM = """
function render({ model, el }) {
  el.innerHTML = `<section class="pa-explorer" data-ready="true" aria-label="A number">${model.get("n")}</section>`;
}
export default { render };
"""


def shows(data):
    """A code cell with one output."""
    return new_code_cell(
        "figure", execution_count=1, outputs=[new_output("display_data", data)]
    )


def figure(layout):
    """A cell that shows a Plotly figure."""
    return shows(
        {
            "application/vnd.plotly.v1+json": {
                "data": [{"x": [1, 2], "y": [2, 1]}],
                "layout": layout,
            }
        }
    )


def sound():
    """A notebook that has one of everything and nothing wrong."""
    cells = [
        new_markdown_cell("# A page\n\nAn equation: $a^2$."),
        figure({"meta": {"alt": "A line falls."}}),
        shows({VIEW: {"model_id": "number", "version_major": 2, "version_minor": 0}}),
    ]
    model = {
        "model_module": "anywidget",
        "model_module_version": "~0.9.*",
        "model_name": "AnyModel",
        "state": {"_esm": ESM, "n": 42, "label": "A number"},
    }
    state = {"version_major": 2, "version_minor": 0, "state": {"number": model}}
    language = {"name": "python", "pygments_lexer": "ipython3"}
    return new_notebook(
        cells=cells, metadata={"widgets": {STATE: state}, "language_info": language}
    )


def in_space():
    """A figure in the plane, one in space, and another in the plane."""
    notebook = sound()
    surface = figure({"meta": {"alt": "A bowl."}, "height": 300})
    surface.outputs[0].data["application/vnd.plotly.v1+json"]["data"] = [
        {"type": "surface", "z": [[2, 1, 2], [1, 0, 1], [2, 1, 2]]}
    ]
    notebook.cells += [surface, figure({"meta": {"alt": "Another line."}})]
    return notebook


def with_long_title():
    """A figure whose title is longer than a phone is wide, with a legend below."""
    layout = {
        "meta": {"alt": "Two lines."},
        "height": 300,
        "title": {"text": "Right labels by the distance of the clue, five seeds"},
        "xaxis": {"title": {"text": "distance"}},
        "showlegend": True,
        "legend": {"orientation": "h", "y": -0.25},
    }
    return and_also(figure(layout))


def without_state():
    notebook = sound()
    del notebook.metadata.widgets[STATE]["state"]["number"]
    return notebook


def with_broken_code():
    notebook = sound()
    notebook.metadata.widgets[STATE]["state"]["number"]["state"]["_esm"] = (
        "export default {"
    )
    return notebook


def and_also(cell):
    notebook = sound()
    notebook.cells.append(cell)
    return notebook


NOTEBOOKS = {
    "sound": sound(),
    "in_space": in_space(),
    "with_long_title": with_long_title(),
    "without_state": without_state(),
    "with_broken_code": with_broken_code(),
    "unknown_mime_type": and_also(shows({"application/x-nobody-knows": "?"})),
    "without_alt": and_also(figure({})),
    "foreign": and_also(
        new_markdown_cell('<img src="https://example.org/picture.png" alt="A picture">')
    ),
    "borrowing_nothing": and_also(
        new_markdown_cell("```{explorer} sound.ipynb\n:label: Nothing\n```")
    ),
    "wide": and_also(new_markdown_cell('<div style="width: 2000px">wide</div>')),
}


@pytest.fixture(scope="module")
def book(tmp_path_factory, serving):
    """The notebooks as a book with the real one's settings: whether it built clean, its log, its address."""
    folder = tmp_path_factory.mktemp("book")
    for name in ["_config.yml", "book", "node_modules"]:
        (folder / name).symlink_to(build.ROOT / name)
    for name, notebook in NOTEBOOKS.items():
        nbformat.write(notebook, folder / f"{name}.ipynb")
    root, *others = NOTEBOOKS
    contents = {
        "format": "jb-book",
        "root": root,
        "chapters": [{"file": name} for name in others],
    }
    (folder / "_toc.yml").write_text(yaml.safe_dump(contents))
    clean = build.run(folder, folder, folder / "log")
    return clean, (folder / "log").read_text(), serving(folder / "_build" / "html")


@pytest.fixture
def warnings(book):
    """The build's warnings about a page; the build as a whole was not clean."""
    clean, log, _ = book
    assert not clean
    return lambda name: [
        line
        for line in log.splitlines()
        if f"{name}.ipynb" in line and "WARNING" in line
    ]


@pytest.fixture
def read(browser, book):
    """Open a page and scroll through it; returns it and its problems."""
    page, problems = new_page(browser, book[2])

    def open_page(name):
        page.goto(f"/{name}.html")
        scroll_through(page)
        return page, problems

    yield open_page
    page.context.close()


def test_a_sound_page_has_no_problem(warnings, read):
    assert warnings("sound") == []
    page, problems = read("sound")
    assert problems == [] and sideways(page) == 0
    assert page.locator(".pa-explorer").inner_text() == "42"
    assert page.get_by_role("img", name="A line falls.").count() == 1


def test_a_figure_takes_the_colours_of_the_theme(read):
    page, _ = read("sound")
    colour = "document.querySelector('.pa-figure')._fullLayout.font.color"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{colour} !== '{light}'")


def test_a_long_title_breaks_on_a_phone_and_the_legend_stays_below_the_axis(read):
    page, problems = read("with_long_title")
    title = page.locator(".pa-figure .gtitle")
    lines = "document.querySelector('.pa-figure .gtitle').querySelectorAll('tspan.line').length"
    assert page.evaluate(lines) == 0  # one line has no parts
    page.set_viewport_size(SIZES["phone"])
    # The page comes to its new width in steps, and the title is broken at each.
    page.wait_for_function(f"{lines} > 1 && ({CUT_TITLES})().length === 0")
    assert problems == []
    assert title.text_content().replace(" ", "").startswith("Rightlabels")
    below = """() => document.querySelector(".pa-figure .legend").getBoundingClientRect().top
        >= document.querySelector(".pa-figure .xtitle").getBoundingClientRect().bottom"""
    page.wait_for_function(below)
    page.set_viewport_size(SIZES["desktop"])
    page.wait_for_function(f"{lines} === 0")


PLOTTED = "[...document.querySelectorAll('.pa-figure')].map((f) => !!f._fullLayout)"
WORDS = "getComputedStyle(document.querySelector('[data-space]'), '::after').content"


def test_plane_and_space_live_on_one_page(read):
    page, problems = read("in_space")
    assert page.evaluate(PLOTTED) == [True, True, True] and problems == []
    scripts = page.locator("script[src*='vendor/plotly']").evaluate_all(
        "all => all.map((script) => script.src.match(/plotly-(\\w+)/)[1])"
    )
    assert sorted(scripts) == ["cartesian", "gl3d"]
    colour = "document.querySelector('[data-space]')._fullLayout.scene.xaxis.color"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{colour} !== '{light}'")
    assert page.evaluate(WORDS) == "none"
    shot = page.get_by_role("img", name="A bowl.").screenshot()
    pixels = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).reshape(-1, 3)
    vivid = pixels.max(axis=1).astype(int) - pixels.min(axis=1) > 60
    assert vivid.mean() > 0.02  # the surface's colours; all else is grey


def test_a_surface_is_told_on_paper_and_without_webgl(read, browser, book):
    page, _ = read("in_space")
    page.emulate_media(media="print")
    assert re.sub('" "', "", page.evaluate(WORDS)) == '"Figure: A bowl."'
    assert page.locator("[data-space] .plot-container").is_hidden()
    bare, problems = new_page(browser, book[2])
    bare.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    requests = []
    bare.on("request", lambda request: requests.append(request.url))
    bare.goto("/in_space.html")
    scroll_through(bare)
    assert "which this browser cannot draw" in bare.evaluate(WORDS)
    assert "A bowl." in bare.evaluate(WORDS)
    assert not any("gl3d" in url for url in requests)
    assert bare.evaluate(PLOTTED) == [True, False, True] and problems == []
    bare.context.close()


def test_a_page_without_space_does_not_load_it(read):
    page, _ = read("sound")
    assert page.locator("script[src*='gl3d']").count() == 0


def test_an_explorer_without_stored_state_fails_the_build(warnings):
    (warning,) = warnings("without_state")
    assert "an explorer without stored state" in warning


def test_an_explorer_that_the_other_page_has_not_fails_the_build(book):
    (error,) = [
        line
        for line in book[1].splitlines()
        if "borrowing_nothing" in line and "ERROR" in line
    ]
    assert "label: got 'Nothing', expected one of ['A number']" in error


def test_an_unknown_mime_type_fails_the_build(warnings):
    (warning,) = warnings("unknown_mime_type")
    assert "application/x-nobody-knows" in warning


def test_a_figure_without_a_text_alternative_fails_the_build(warnings):
    (warning,) = warnings("without_alt")
    assert "without a text alternative" in warning


def test_a_file_from_another_host_is_noticed(warnings, read):
    assert warnings("foreign") == []
    _, problems = read("foreign")
    assert "request to another host: https://example.org/picture.png" in problems


def test_a_broken_explorer_is_noticed(warnings, read):
    assert warnings("with_broken_code") == []
    _, problems = read("with_broken_code")
    assert any(problem.startswith("console:") for problem in problems)


def test_a_page_that_scrolls_sideways_is_noticed(read):
    page, _ = read("wide")
    assert sideways(page) > 0
