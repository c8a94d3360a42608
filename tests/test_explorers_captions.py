"""The Python side of the captions' explorer: what it stores, what it refuses, what it is called."""

import io

import numpy as np
import pytest
from PIL import Image

from helpers.explorers import CaptionExplorer, Reading

RANDOM = np.random.default_rng(0)
PICTURE = RANDOM.integers(0, 256, (16, 24, 3), dtype=np.uint8)


def maps(count, rows=2, columns=3):
    grown = np.exp(2 * RANDOM.normal(size=(count, rows, columns)))
    return grown / grown.sum(axis=(1, 2), keepdims=True)


def reading(words="a red 3", weights=None, **more):
    words = words.split()
    given = {
        "words": words,
        "weights": maps(len(words)) if weights is None else weights,
        "gates": [0.5] * len(words),
        "boxes": [[] for _ in words],
        "true": True,
    }
    return Reading(**given | more)


def explorer(**more):
    readings = {
        "one": {"soft": reading(), "hard": reading("a 3", places=[1, 5])},
        "two": {"soft": reading(), "hard": reading(places=[0, 0, 0])},
    }
    return CaptionExplorer({"one": PICTURE, "two": PICTURE[::-1]}, readings, **more)


def test_weights_travel_as_a_byte_each_in_order():
    first, second = maps(3), maps(1)
    made = CaptionExplorer(
        {"p": PICTURE},
        {"p": {"soft": reading(weights=first), "hard": reading("3", weights=second)}},
    )
    back = (np.frombuffer(made._levels, np.uint8) / 255.0) ** 2
    assert np.abs(back - np.concatenate([first, second]).ravel()).max() < 0.004
    assert made._grid == [2, 3]


def test_pictures_travel_without_loss():
    made = explorer()
    start = 0
    for length, picture in zip(made._images, (PICTURE, PICTURE[::-1]), strict=True):
        stored = Image.open(io.BytesIO(made._pixels[start : start + length]))
        assert (np.asarray(stored.convert("RGB")) == picture).all()
        start += length
    assert start == len(made._pixels)


def test_the_word_stays_within_the_chosen_caption():
    made = explorer(word=2)
    made.look = "hard"
    assert (made.word, made.words) == (1, 2)
    made.picture = "two"
    assert made.words == 3 and repr(made) == "CaptionExplorer(2 pictures × 2 looks)"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reading(weights=maps(2)), r"weights: got shape \(2, 2, 3\), expected"),
        (lambda: reading(weights=maps(3) / 2), "weights: got row 0 of shape"),
        (lambda: reading(weights=-maps(3)), "weights: got -"),
        (lambda: reading(gates=[0.5]), r"gates: got shape \(1,\), expected \(3\)"),
        (lambda: reading(gates=[0.5, 2, 0]), "gates: got 2.0, expected 0 to 1"),
        (lambda: reading(boxes=[[]]), "boxes: got 1 lists, expected 3"),
        (lambda: reading(places=[1]), "places: got 1, expected none or 3"),
        (lambda: reading(places=[0, 0, 6]), "places: got 6, expected 0 to 5"),
        (lambda: reading(""), "words: got 0 strings, expected"),
        (lambda: CaptionExplorer({}, {}), r"readings: got \[\], expected"),
        (
            lambda: CaptionExplorer({"p": PICTURE}, {"q": {}}),
            r"readings: got \['q'\], expected the pictures' names \['p'\]",
        ),
        (
            lambda: CaptionExplorer({"p": PICTURE}, {"p": {}}),
            r"readings\['p'\]: got looks \[\], expected at least one",
        ),
        (
            lambda: CaptionExplorer(
                {"p": PICTURE, "q": PICTURE},
                {"p": {"soft": reading()}, "q": {"hard": reading()}},
            ),
            r"readings\['q'\]: got looks \['hard'\], expected \['soft'\]",
        ),
        (
            lambda: CaptionExplorer({"p": PICTURE / 255}, {"p": {"soft": reading()}}),
            r"pictures\['p'\]: got float64",
        ),
        (
            lambda: CaptionExplorer(
                {"p": PICTURE},
                {"p": {"soft": reading(), "hard": reading(weights=maps(3, 3, 3))}},
            ),
            r"weights: got grids \[\(2, 3\), \(3, 3\)\], expected one",
        ),
        (lambda: explorer(word=3), "word: got 3, expected 0 to 2"),
        (lambda: setattr(explorer(), "look", "none"), "look: got 'none', expected"),
        (lambda: setattr(explorer(), "picture", "x"), "picture: got 'x', expected"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
