"""What every explorer shares: its style sheet, its label, and the checks of what a reader passes in."""

import io
from pathlib import Path

import anywidget
import numpy as np
import traitlets
from PIL import Image

from helpers.validation import require_choice, require_finite, require_shape

HERE = Path(__file__).parent


class Explorer(anywidget.AnyWidget):
    """A widget that also moves on a static page: its ES module holds the controls and their arithmetic.

    `label` names the explorer for screen readers. Traits with a leading underscore are data; the others are
    what the reader moves, and Python sees them change.
    """

    _css = HERE / "explorer.css"
    label = traitlets.Unicode().tag(sync=True)


def finite_array(name: str, values, shape: tuple[int | str, ...]) -> np.ndarray:
    """Return `values` (array, tensor or lists) as float64 of the given shape.

    In `shape`, an int is that size, a string any size ≥ 1. ValueError for another shape, NaN, infinity.
    """
    if hasattr(values, "detach"):  # a torch tensor, perhaps with a gradient
        values = values.detach().cpu()
    wanted = ", ".join(map(str, shape))
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        got = type(values).__name__
        raise ValueError(
            f"{name}: got {got}, expected numbers of shape ({wanted})"
        ) from error
    require_shape(name, array, shape)
    require_finite(name, array)
    return array


def attention_rows(name: str, values, shape: tuple[int | str, ...]) -> np.ndarray:
    """Return `values` as float64 weights; ValueError if one is negative or a row does not sum to 1 ± 1e-3."""
    weights = finite_array(name, values, shape)
    if weights.min() < 0:
        raise ValueError(
            f"{name}: got {weights.min():.4g} in shape {weights.shape}, expected none below 0"
        )
    sums = weights.sum(axis=-1).ravel()
    worst = int(np.abs(sums - 1).argmax())
    if abs(sums[worst] - 1) > 1e-3:
        got = f"row {worst} of shape {weights.shape} with sum {sums[worst]:.4f}"
        raise ValueError(f"{name}: got {got}, expected 1 ± 0.001")
    return weights


def require_photo(name: str, image) -> np.ndarray:
    """Return a photograph, uint8 of shape (H, W, 3); else raise ValueError."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"{name}: got {image.dtype} of shape {image.shape}, expected uint8 (H, W, 3)"
        )
    return image


def webp(name: str, image, longest: int | None = None) -> bytes:
    """Encode an image as WebP: as a photograph, at most `longest` pixels wide or high, or else without loss.

    Raises ValueError as `require_photo` does.
    """
    picture, stream = Image.fromarray(require_photo(name, image)), io.BytesIO()
    if longest:
        picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    picture.save(stream, "WEBP", lossless=not longest, quality=60, method=6)
    return stream.getvalue()


def within(name: str, value: float, low: float, high: float) -> float:
    """Return `value` if it lies between `low` and `high`, else raise ValueError."""
    if not low <= value <= high:
        raise ValueError(f"{name}: got {value}, expected {low} to {high}")
    return value


def one_of(name: str, value: str, choices) -> str:
    """Return `value` if it is one of `choices`, else raise ValueError."""
    require_choice(name, value, choices)
    return value


def words(name: str, values, length: int | None = None) -> list[str]:
    """Return a list of strings, not empty, of the given length if any; else ValueError."""
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{name}: got {values!r}, expected a list of strings")
    got = list(values)
    if not got or (length is not None and len(got) != length):
        raise ValueError(
            f"{name}: got {len(got)} strings, expected {length or 'at least 1'}"
        )
    return got
