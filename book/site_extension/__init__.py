"""The book's Sphinx extension: Plotly figures in the page, vendored assets, nothing from other hosts."""

from pathlib import Path

from myst_nb.core.render import load_mime_renders
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.fileutil import copy_asset

from . import glossary, icons, katex_server, sharing
from .borrowed import BorrowedExplorer
from .outputs import Explorer, PlotlyFigure, bytes_apart, say_once
from .search import SearchFiveLanguages

VENDORED = {
    "katex/dist/katex.min.css": "katex",
    "katex/dist/fonts": "katex/fonts",
    "plotly.js-cartesian-dist-min/plotly-cartesian.min.js": "plotly",
    "plotly.js-gl3d-dist-min/plotly-gl3d.min.js": "plotly",  # loaded where a figure has three dimensions
}
WRONG_NAMES = {
    '<summary aria-label="Toggle hidden content">': "<summary>",
    'role="doc-biblioentry"': 'role="listitem"',
}


def copy_vendored(app: Sphinx, error: Exception | None) -> None:
    """Copy third-party files out of node_modules into the site."""
    if error or app.builder.format != "html":
        return
    for source, target in VENDORED.items():
        path = Path(app.srcdir, "node_modules", source)
        if not path.exists():
            raise ExtensionError(f"{source} is not in node_modules: run npm ci")
        copy_asset(path, Path(app.outdir, "_static", "vendor", target))


def empty_font_awesome(app: Sphinx, error: Exception | None) -> None:
    """Empty the theme's Font Awesome script: 1.5 MB on each page for icons that its web font draws anyway."""
    if not error and app.builder.format == "html":
        for path in Path(app.outdir, "_static").glob("**/fontawesome.js"):
            path.write_text("")


def few_icons(app: Sphinx, error: Exception | None) -> None:
    """Leave in the icons' font those that the site shows."""
    if not error and app.builder.format == "html":
        icons.keep_icons(Path(app.outdir))


def repair_names(
    app: Sphinx, page: str, template: str, context: dict, doctree: object
) -> None:
    """Let screen readers hear what is there: the summary's own words, and a list's items as such."""
    for wrong, right in WRONG_NAMES.items():
        context["body"] = context.get("body", "").replace(wrong, right)


def lighten(app: Sphinx, error: Exception | None) -> None:
    """Let explorers of a page share their code and style, and keep apart the bytes that they may not need."""
    if not error and app.builder.format == "html":
        folder = Path(app.outdir, "_static", "explorers")
        folder.mkdir(exist_ok=True)
        for path in Path(app.outdir, "notebooks").glob("*.html"):
            page = path.read_text(encoding="utf-8")
            lighter, scripts = bytes_apart(say_once(page))
            for name, script in scripts.items():
                (folder / f"{name}.js").write_text(script, encoding="utf-8")
            if lighter != page:
                path.write_text(lighter, encoding="utf-8")


def setup(app: Sphinx) -> dict:
    """Register the extension."""
    load_mime_renders().extend(
        [PlotlyFigure, Explorer]
    )  # a cached list: what is appended stays registered
    katex_server.install()
    glossary.setup(app)
    sharing.setup(app)
    app.add_directive("explorer", BorrowedExplorer)
    app.add_search_language(SearchFiveLanguages)
    app.connect("html-page-context", repair_names)
    app.connect("build-finished", copy_vendored)
    app.connect("build-finished", empty_font_awesome)
    app.connect("build-finished", lighten)
    app.connect("build-finished", few_icons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
