"""The reader's own photograph: read from any image file, shown by an explorer, with what is wrong said beside it."""

from collections.abc import Callable
from html import escape

import ipywidgets
import numpy as np

from helpers.own import middle, read_photo

HERE_ONLY = (
    "<p><b>Your own photograph</b> needs a running notebook: open this chapter in Jupyter, Binder or Colab, "
    "and here is a button for a file.</p>"
)


def uploaded(value) -> list[tuple[str, bytes]]:
    """Names and bytes of `FileUpload.value`: a dict by name in ipywidgets 7, a tuple of dicts since 8."""
    if isinstance(value, dict):
        return [(name, bytes(file["content"])) for name, file in value.items()]
    return [(file["name"], bytes(file["content"])) for file in value]


class PhotoUpload(ipywidgets.VBox):
    """A button for a photo, and what `explore` makes of it, the newest first.

    explore   a function from the middle square of the photo, (side, side, 3) in uint8, to a widget

    A file that cannot be read, or an error of `explore`, is named beside the button, and what was shown stays.
    `photos` holds the squares so far by file name. Without a kernel, a page shows a note in its place.
    """

    def __init__(
        self, explore: Callable[[np.ndarray], ipywidgets.Widget], side: int = 224
    ):
        self.explore, self.side, self.photos = explore, side, {}
        self.button = ipywidgets.FileUpload(
            accept="image/*", multiple=False, description="Your photo"
        )
        self.message = ipywidgets.HTML("No photo yet. It stays in your own kernel.")
        self.shown = ipywidgets.VBox()
        self.button.observe(self._take, "value")
        super().__init__(
            [ipywidgets.HBox([self.button, self.message]), self.shown],
        )

    def _take(self, change) -> None:
        files = uploaded(change["new"])
        if not files:
            return
        name, data = files[-1]
        self._say(f"{name}: the maps are being computed …")
        try:
            photo = middle(image := read_photo(data), self.side)
            explorer = self.explore(photo)
        except Exception as error:  # whatever it is, the reader must see it here
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            self._say(f"✗ {name} is not shown. {kind}{error}")
            return
        height, width, _ = image.shape
        self._say(
            f"✓ {name}, {width} × {height} pixels: its middle as {self.side} × {self.side}"
        )
        self.photos[name] = photo
        self.shown.children = (explorer, *self.shown.children)

    def _say(self, text: str) -> None:
        self.message.value = f'<span role="status">{escape(text)}</span>'

    _ipython_display_ = None  # by which ipywidgets 7 would be shown, without the note

    def _repr_mimebundle_(self, **options) -> dict:
        """With a note for pages without a kernel, which show HTML instead of the widget."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return {
            "text/plain": repr(self),
            "text/html": HERE_ONLY,
            "application/vnd.jupyter.widget-view+json": view,
        }

    def __repr__(self) -> str:
        return f"PhotoUpload({self.side} × {self.side} pixels)"
