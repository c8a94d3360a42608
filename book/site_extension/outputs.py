"""MyST-NB mime plugins: Plotly figures become boxes of the page, explorers must have their stored state."""

import hashlib
import json
import re
from html import escape

from docutils import nodes
from myst_nb.core.render import (
    WIDGET_STATE_MIMETYPE,
    WIDGET_VIEW_MIMETYPE,
    MimeData,
    NbElementRenderer,
    sanitize_script_content,
)

STATES = re.compile(
    rf'(<script type="{re.escape(WIDGET_STATE_MIMETYPE)}">)(.*?)(</script>)', re.DOTALL
)
PLOTLY_MIMETYPE = "application/vnd.plotly.v1+json"
DEFAULT_HEIGHT = 450  # Plotly's own


class PlotlyFigure:
    """A figure says in `layout.meta.alt` what it shows, or the build warns; plotly-figures.js draws it."""

    mime_priority_overrides = (("html", PLOTLY_MIMETYPE, 5),)

    @staticmethod
    def handle_mime(
        renderer: NbElementRenderer, data: MimeData, inline: bool
    ) -> list[nodes.Node] | None:
        """Return the figure's JSON in a box of its final height, or None for any other mime type."""
        if inline or data.mime_type != PLOTLY_MIMETYPE:
            return None
        layout = data.content.get("layout", {})
        alt = (layout.get("meta") or {}).get("alt", "")
        if not alt:
            message = f"cell {data.cell_index}: a Plotly figure without a text alternative in layout.meta.alt"
            renderer.logger.warning(message, subtype="figure_alt", line=data.line)
        renderer.add_js_file("plotly-figures", "plotly-figures.js", {"defer": "defer"})
        content = sanitize_script_content(json.dumps(data.content))
        html = (
            f'<div class="pa-figure" role="img" aria-label="{escape(alt)}" '
            f'style="min-height: {layout.get("height", DEFAULT_HEIGHT)}px">'
            f'<script type="{PLOTLY_MIMETYPE}">{content}</script></div>'
        )
        return [nodes.raw(text=html, format="html")]


class Explorer:
    """The build warns of an explorer that would stay empty on the page; a reader without JavaScript is told of each."""

    mime_priority_overrides = ()

    @staticmethod
    def handle_mime(
        renderer: NbElementRenderer, data: MimeData, inline: bool
    ) -> list[nodes.Node] | None:
        """Return the explorer's place, if the notebook stores its state, or None for any other mime type."""
        if data.mime_type != WIDGET_VIEW_MIMETYPE:
            return None
        widgets = renderer.renderer.nb_client.nb_metadata.get("widgets", {})
        states = widgets.get(WIDGET_STATE_MIMETYPE, {}).get("state", {})
        if data.content["model_id"] not in states:
            message = f"cell {data.cell_index}: an explorer without stored state; run `make refresh`"
            renderer.logger.warning(message, subtype="explorer_state", line=data.line)
            return None
        label = states[data.content["model_id"]]["state"].get("label", "")
        told = nodes.raw(text=without_script(label), format="html")
        return [*renderer.render_widget_view(data), told]


def without_script(label: str) -> str:
    """HTML that stands in an explorer's place where JavaScript is switched off."""
    return (
        f'<noscript><p class="pa-told">Explorer: {escape(label)}. '
        "It needs JavaScript.</p></noscript>"
    )


def bytes_apart(page: str) -> tuple[str, dict[str, str]]:
    """Take the bytes that explorers keep in lists out of a page: returns it and the scripts that bring them, by name.

    A list of bytes means that not all are needed at once: explorer-loader.js fetches each when its explorer asks for
    it. A script, not data: a page that is opened as a file may load it too.
    """
    scripts = {}

    def apart(found: re.Match) -> str:
        record = json.loads(found[2])
        for model in record.get("state", {}).values():
            for buffer in model.get("buffers", []):
                if len(buffer["path"]) > 1 and "data" in buffer:
                    data = buffer.pop("data")
                    name = hashlib.sha256(data.encode()).hexdigest()[:16]
                    scripts[name] = f'explorerBytes("{name}", "{data.strip()}");\n'
                    buffer["script"] = name
        return found[1] + sanitize_script_content(json.dumps(record)) + found[3]

    return STATES.sub(apart, page), scripts


def say_once(page: str) -> str:
    """Replace code and style that an earlier explorer of the page stores too by that one's name.

    explorer-loader.js puts them back.
    """

    def shared(found: re.Match) -> str:
        record, first = json.loads(found[2]), {}
        for model_id, model in record.get("state", {}).items():
            for trait in ("_esm", "_css"):
                source = model["state"].get(trait)
                if isinstance(source, str):
                    owner = first.setdefault((trait, source), model_id)
                    if owner != model_id:
                        model["state"][trait] = {"as": owner}
        return found[1] + sanitize_script_content(json.dumps(record)) + found[3]

    return STATES.sub(shared, page)
