"""Photographs that scikit-image and scikit-learn bring along, and boxes that we drew around nine things in them.

The pixels of a box are those of `helpers.mobilenet.photo_tensor`: the middle 224 × 224 of the photo.
"""

from dataclasses import dataclass

import numpy as np
import torch

from helpers.mobilenet import photo_tensor
from helpers.validation import require_choice

# Who made them. The last two: CC BY 2.0; the others are in the public domain or CC0.
CREDITS = {
    "coffee": "Rachel Michetti",
    "rocket": "SpaceX",
    "camera": "Lav Varshney",
    "astronaut": "NASA",
    "chelsea": "Stéfan van der Walt",
    "china": "danielbuechele, flickr",
    "flower": "vultilion, flickr",
}
SIZE = 224


@dataclass(frozen=True)
class Thing:
    """A thing in a photo that ImageNet has a class for: box (left, top, right, bottom), right and bottom exclusive."""

    photo: str
    name: str
    box: tuple[int, int, int, int]

    @property
    def region(self) -> torch.Tensor:
        """(224, 224), boolean: True in the box."""
        left, top, right, bottom = self.box
        region = torch.zeros(SIZE, SIZE, dtype=torch.bool)
        region[top:bottom, left:right] = True
        return region


# Drawn by hand, by eye, for this book.
THINGS = (
    Thing("coffee", "espresso", (43, 43, 156, 112)),
    Thing("coffee", "coffee mug", (31, 0, 181, 172)),
    Thing("rocket", "missile", (104, 62, 122, 221)),
    Thing("camera", "tripod", (98, 99, 169, 224)),
    Thing("camera", "reflex camera", (106, 50, 152, 104)),
    Thing("china", "palace", (0, 2, 140, 215)),
    Thing("china", "lakeside", (117, 108, 224, 170)),
    Thing("astronaut", "space shuttle", (154, 0, 220, 126)),
    Thing("astronaut", "crash helmet", (125, 157, 224, 224)),
)


def photo(name: str) -> np.ndarray:
    """A photo by its name in `CREDITS`: (H, W, 3) in uint8. Raises ValueError for another name."""
    import skimage.data
    from sklearn.datasets import load_sample_image

    require_choice("name", name, CREDITS)
    if name in ("china", "flower"):
        return load_sample_image(f"{name}.jpg")
    pixels = getattr(skimage.data, name)()
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels


def photo_batch(names) -> torch.Tensor:
    """The middle of each photo: names (N) → (N, 3, 224, 224) in float32 from 0 to 1."""
    return torch.cat([photo_tensor(photo(name)) for name in names])
