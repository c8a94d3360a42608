"""`{explorer}` shows an explorer of a chapter on another page: one state, stored and tested with the chapter."""

import json
from pathlib import Path

import docutils
from docutils.parsers.rst import directives
from myst_nb.core.render import (
    WIDGET_STATE_MIMETYPE,
    WIDGET_VIEW_MIMETYPE,
    sanitize_script_content,
)
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.util.docutils import SphinxDirective

from .outputs import without_script


class BorrowedExplorer(SphinxDirective):
    """The explorer of that label in that notebook, a path from this page; the build fails where there is none."""

    required_arguments = 1
    option_spec = {"label": directives.unchanged_required}  # noqa: RUF012

    def run(self) -> list[docutils.nodes.Node]:
        """Return the stored state and the place where explorer-loader.js mounts it."""
        _, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(path)
        notebook = json.loads(Path(path).read_text(encoding="utf-8"))
        stored = notebook["metadata"]["widgets"][WIDGET_STATE_MIMETYPE]
        wanted = {
            name: model
            for name, model in stored["state"].items()
            if model["state"].get("label") == self.options["label"]
        }
        if len(wanted) != 1:
            labels = [model["state"].get("label") for model in stored["state"].values()]
            raise self.error(
                f"label: got {self.options['label']!r}, expected one of {labels}"
            )
        (name,) = wanted
        loader = self.config.nb_ipywidgets_js
        for key, (uri, attributes) in enumerate(loader.items()):
            NbMetadataCollector.add_js_file(
                self.env, self.env.docname, f"explorer-{key}", uri, attributes
            )
        scripts = {
            WIDGET_STATE_MIMETYPE: stored | {"state": wanted},
            WIDGET_VIEW_MIMETYPE: {"model_id": name},
        }
        html = "".join(
            f'<script type="{kind}">{sanitize_script_content(json.dumps(content))}</script>'
            for kind, content in scripts.items()
        )
        return [
            docutils.nodes.raw(
                text=html + without_script(self.options["label"]), format="html"
            )
        ]
