"""The photographs are there, and the boxes lie in them."""

import numpy as np
import pytest
import torch

from helpers.photos import CREDITS, THINGS, photo, photo_batch


def test_photos_and_their_middle():
    for name in CREDITS:
        pixels = photo(name)
        assert pixels.dtype == np.uint8 and pixels.shape[2] == 3
    assert photo_batch(["coffee", "camera"]).shape == (2, 3, 224, 224)


def test_boxes_are_regions_in_known_photos():
    for thing in THINGS:
        left, top, right, bottom = thing.box
        assert thing.photo in CREDITS
        assert 0 <= left < right <= 224 and 0 <= top < bottom <= 224
        assert thing.region.sum() == (right - left) * (bottom - top)
        assert thing.region[top, left] and thing.region[bottom - 1, right - 1]


def test_a_box_holds_what_it_says():
    """The espresso is orange, the sky beside the rocket is not the rocket, the helmet is dark."""
    found = {}
    for thing in THINGS:
        image = photo_batch([thing.photo])[0]
        found[thing.name] = image[:, thing.region], image[:, ~thing.region]
    red, _, blue = found["espresso"][0].mean(dim=1)
    assert red > 2 * blue
    for name, brighter in (("missile", True), ("crash helmet", False)):
        inside, outside = (part.mean() for part in found[name])
        assert bool(inside > outside) == brighter


def test_unknown_photo():
    with pytest.raises(ValueError, match="name: got 'dog', expected one of 'coffee'"):
        photo("dog")


def test_regions_are_boolean():
    assert all(thing.region.dtype == torch.bool for thing in THINGS)
