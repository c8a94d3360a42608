"""The Python side of the explorers of chapter 08: what they store, what they refuse."""

import io
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.explorers import ClassMap, ClassMapExplorer, ReceptiveFieldExplorer
from helpers.receptive_field import effective_size, spread

RANDOM = np.random.default_rng(0)
FIELD = np.outer(*2 * [np.exp(-(np.linspace(-2, 2, 21) ** 2))])
PHOTO = RANDOM.integers(0, 256, (60, 60, 3), dtype=np.uint8)
MAPS = RANDOM.normal(size=(3, 7, 5))
NAMES, SCORES = ["cat", "dog", "cow"], [0.7, 0.2, 0.1]
REGIONS = np.zeros((3, 28, 28), bool)
REGIONS[0, 7:14, 14:] = True


def fields(**more):
    return {"random": {(3, 10): FIELD, (5, 40): np.pad(FIELD, 70)}, **more}


def one(**more):
    return ClassMap(PHOTO, NAMES, SCORES, MAPS, **{"regions": REGIONS, **more})


def test_fields_travel_small_and_close_with_their_sigma():
    widget = ReceptiveFieldExplorer(fields())
    levels = np.frombuffer(zlib.decompress(widget._levels), np.uint8)
    first, second = widget._fields
    assert (first["side"], second["side"]) == (21, 81)
    assert len(levels) == 21**2 + 81**2
    back = (levels[: 21**2].reshape(21, 21) / 255) ** 2
    assert np.abs(back - FIELD / FIELD.max()).max() < 0.004
    cut = (levels[21**2 :].reshape(81, 81) / 255) ** 2
    assert np.abs(cut[30:51, 30:51] - back).max() < 1e-9
    for each in (first, second):
        assert each["sigma"] == pytest.approx(spread(torch.tensor(FIELD)))
        assert each["size"] == pytest.approx(effective_size(torch.tensor(FIELD)))
    assert widget._weights == ["uniform", "random"]
    assert repr(widget) == "ReceptiveFieldExplorer(2 fields)"


def test_pictures_maps_and_regions_travel_one_after_another():
    widget = ClassMapExplorer({"a": one(), "b": one(regions=None)})
    sizes = widget._images
    assert sum(sizes) == len(widget._pixels)
    second = Image.open(io.BytesIO(widget._pixels[sizes[0] :]))
    assert second.size == (60, 60)
    maps = np.frombuffer(widget._maps, "<f4").reshape(2, 3, 7, 5)
    assert np.allclose(maps, MAPS, atol=1e-6)
    bits = np.unpackbits(np.frombuffer(widget._regions, np.uint8))
    bits = bits.reshape(2, 3, 56, 56)
    assert np.array_equal(bits[0], REGIONS.repeat(2, axis=1).repeat(2, axis=2))
    assert not bits[1].any()
    assert repr(widget) == "ClassMapExplorer(2 pictures × 3 classes)"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ReceptiveFieldExplorer({}), "fields: got none, expected at least 1"),
        (
            lambda: ReceptiveFieldExplorer({"a": {(4, 10): FIELD}}),
            r"fields\['a'\]: got 4, expected one of 3, 5",
        ),
        (
            lambda: ReceptiveFieldExplorer({"a": {(3, 7): FIELD}}),
            r"fields\['a'\]: got 7, expected one of 5, 10, 20, 40",
        ),
        (
            lambda: ReceptiveFieldExplorer({"a": {(3, 10): FIELD[1:, 1:]}}),
            r"got shape \(20, 20\), expected a square with an odd side",
        ),
        (
            lambda: ReceptiveFieldExplorer({"a": {(3, 10): -FIELD}}),
            "field: got numbers from",
        ),
        (
            lambda: ReceptiveFieldExplorer({"a": {(3, 10): FIELD * np.nan}}),
            "NaN or infinite",
        ),
        (lambda: ReceptiveFieldExplorer(fields(), depth=4), "depth: got 4, expected 0"),
        (lambda: ReceptiveFieldExplorer(fields(), kernel=4), "kernel: got 4, expected"),
        (lambda: ReceptiveFieldExplorer(fields(), weights="x"), "weights: got 'x', ex"),
        (lambda: ReceptiveFieldExplorer(fields(), square=4), "square: got 4, expected"),
        (
            lambda: ClassMap(PHOTO[:50], NAMES, SCORES, MAPS),
            r"image: got \(50, 60\) pixels, expected as many high as wide",
        ),
        (
            lambda: ClassMap(PHOTO / 255, NAMES, SCORES, MAPS),
            "image: got float64 of shape",
        ),
        (
            lambda: ClassMap(PHOTO, NAMES, SCORES[1:], MAPS),
            r"scores: got shape \(2,\), e",
        ),
        (
            lambda: ClassMap(PHOTO, NAMES, SCORES, MAPS[1:]),
            r"maps: got shape \(2, 7, 5\)",
        ),
        (lambda: ClassMap(PHOTO, NAMES, SCORES, MAPS / 0), "maps: got 105 NaN or inf"),
        (lambda: one(regions=REGIONS[1:]), r"regions: got shape \(2, 28, 28\), expect"),
        (lambda: ClassMapExplorer({}), "examples: got none, expected at least 1"),
        (
            lambda: ClassMapExplorer(
                {"a": one(), "b": ClassMap(PHOTO, NAMES[1:], SCORES[1:], MAPS[1:])}
            ),
            "examples: got {'a': 3, 'b': 2} classes, expected as many in each",
        ),
        (lambda: ClassMapExplorer({"a": one()}, example="b"), "example: got 'b', expe"),
        (
            lambda: ClassMapExplorer({"a": one()}, shown=3),
            "shown: got 3, expected 0 to",
        ),
        (lambda: ClassMapExplorer({"a": one()}, threshold=1), "threshold: got 1"),
        (lambda: ClassMapExplorer({"a": one()}, opacity=2), "opacity: got 2"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
