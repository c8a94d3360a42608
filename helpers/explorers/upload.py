"""The reader's own photograph: read from any image file, shown by an explorer, with what is wrong said beside it."""

import io
from collections.abc import Callable
from html import escape

import ipywidgets
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MOST_BYTES, MOST_PIXELS, LEAST_SIDE = 20_000_000, 50_000_000, 32
HERE_ONLY = (
    "<p><b>Your own photograph</b> needs a running notebook: open this chapter in Jupyter, Binder or Colab, "
    "and here is a button for a file.</p>"
)


def read_photo(data: bytes) -> np.ndarray:
    """The picture in an image file: bytes → (H, W, 3), uint8, upright, on white where it was transparent.

    Raises ValueError for what is no image or is damaged, moves, has fewer than 32 pixels a side, more than 50 million
    in all, or more than 20 MB.
    """
    if len(data) > MOST_BYTES:
        raise ValueError(
            f"file: got {len(data) / 1e6:.1f} MB, expected at most {MOST_BYTES / 1e6:.0f}"
        )
    try:
        picture = Image.open(io.BytesIO(data))
        width, height = picture.size  # known before anything is decoded
        if width * height > MOST_PIXELS:
            raise ValueError(
                f"photo: got {width} × {height} pixels, expected at most {MOST_PIXELS / 1e6:.0f} million"
            )
        if min(width, height) < LEAST_SIDE:
            raise ValueError(
                f"photo: got {width} × {height} pixels, expected {LEAST_SIDE} or more a side"
            )
        if (frames := getattr(picture, "n_frames", 1)) > 1:
            raise ValueError(f"photo: got {frames} frames, expected one still picture")
        picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip
            picture = Image.fromarray((np.asarray(picture) // 256).astype(np.uint8))
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture)
        return np.array(picture.convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError(
            f"file: got {len(data)} bytes that are no image, expected a photo, such as JPEG or PNG"
        ) from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"file: the image is damaged ({error})") from error


def middle(image: np.ndarray, side: int) -> np.ndarray:
    """The middle square of a picture (H, W, 3), as (side, side, 3), both in uint8."""
    height, width, _ = image.shape
    least = min(height, width)
    top, left = (height - least) // 2, (width - least) // 2
    square = Image.fromarray(image[top : top + least, left : left + least])
    return np.array(square.resize((side, side), Image.Resampling.BICUBIC))


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

    def _repr_mimebundle_(self, **options) -> dict:
        """With a note for pages without a kernel, which show HTML instead of the widget."""
        return super()._repr_mimebundle_(**options) | {"text/html": HERE_ONLY}

    def __repr__(self) -> str:
        return f"PhotoUpload({self.side} × {self.side} pixels)"
