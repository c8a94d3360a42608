"""Plotly's own mime type as a node of the page; `plotly-figures.js` draws it in the browser."""

import json
from html import escape

from docutils import nodes
from myst_nb.core.render import MimeData, NbElementRenderer, sanitize_script_content
from sphinx.util import logging

MIME_TYPE = "application/vnd.plotly.v1+json"
DEFAULT_HEIGHT = 450  # Plotly's own

logger = logging.getLogger(__name__)


class PlotlyFigure:
    """A MyST-NB mime plugin. A figure says in `layout.meta.alt` what it shows, or the build warns."""

    mime_priority_overrides = (("html", MIME_TYPE, 5),)

    @staticmethod
    def handle_mime(renderer: NbElementRenderer, data: MimeData, inline: bool) -> list[nodes.Node] | None:
        """Return the figure's JSON in a box of its final height, or None for any other mime type."""
        if inline or data.mime_type != MIME_TYPE:
            return None
        layout = data.content.get("layout", {})
        alt = (layout.get("meta") or {}).get("alt", "")
        if not alt:
            logger.warning(
                "a Plotly figure has no text alternative in layout.meta.alt (cell %s)",
                data.cell_index,
                location=(renderer.renderer.document["source"], data.line),
                type="site",
                subtype="alt",
            )
        renderer.add_js_file("plotly-figures", "plotly-figures.js", {"defer": "defer"})
        content = sanitize_script_content(json.dumps(data.content))
        html = (
            f'<div class="pa-figure" role="img" aria-label="{escape(alt)}" '
            f'style="min-height: {layout.get("height", DEFAULT_HEIGHT)}px">'
            f'<script type="{MIME_TYPE}">{content}</script></div>'
        )
        return [nodes.raw(text=html, format="html")]
