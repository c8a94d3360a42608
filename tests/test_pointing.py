"""Whether a caption is true and a look is on its thing, on cases that are counted by hand."""

import math

import pytest
import torch

from helpers.pointing import (
    KINDS,
    boxes_of,
    pointing,
    score_captions,
    touched,
    word_kind,
)
from helpers.scenes import Object, Scene, captions, matching_caption

NOUNS = ("3", "7", "bag", "dress")
LEFT, RIGHT = (4, 24, 14, 40), (44, 24, 60, 36)


def scene(*things):
    """A scene without a picture: each thing is (noun, colour, box)."""
    objects = [Object(NOUNS.index(n), n, c, box, 0) for n, c, box in things]
    return Scene(torch.zeros(3, 64, 64), tuple(objects))


PAIR = scene(("3", "red", LEFT), ("7", "blue", RIGHT))
TWINS = scene(("7", "red", LEFT), ("7", "red", RIGHT))


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("3", "noun"),
        ("7s", "noun"),
        ("dresses", "noun"),
        ("red", "colour"),
        ("two", "count"),
        ("left", "direction"),
        ("above", "direction"),
        ("of", "function word"),
        ("a", "function word"),
    ],
)
def test_kinds_of_words(word, kind):
    assert word_kind(word, NOUNS) == kind and kind in KINDS


def test_a_caption_is_scored_by_what_is_right_in_it():
    written = [
        "a red 3 left of a blue 7",  # true
        "a red 3 right of a blue 7",  # the direction alone is wrong
        "a blue 3 left of a red 7",  # both colours there, and swapped
        "a red 3 left of a red 7",  # a colour is wrong
        "a red 3 left of a blue 3",  # a noun is wrong
    ]
    score = score_captions(5 * [PAIR], [w.split() for w in written], NOUNS)
    assert (score.true, score.nouns, score.colours) == (1 / 5, 4 / 5, 4 / 5)
    assert score.directions == 1 / 3


def test_scenes_without_a_direction_do_not_count_for_directions():
    score = score_captions([TWINS], [["two", "red", "7s"]], NOUNS)
    assert (score.true, score.nouns, score.colours) == (1, 1, 1)
    assert math.isnan(score.directions)
    assert score_captions([TWINS], [["red", "7"]], NOUNS).nouns == 0  # one, not two


def test_boxes_of_words_of_one_kind():
    caption = matching_caption(PAIR, ["a", "red", "3", "left", "of", "a", "blue", "7"])
    none = []
    assert boxes_of(PAIR, caption, "noun", NOUNS) == [
        none,
        none,
        [LEFT],
        *4 * [none],
        [RIGHT],
    ]
    assert boxes_of(PAIR, caption, "colour", NOUNS) == [
        none,
        [LEFT],
        *4 * [none],
        [RIGHT],
        none,
    ]
    both = [LEFT, RIGHT]
    assert boxes_of(PAIR, caption, "direction", NOUNS) == [
        *3 * [none],
        both,
        *4 * [none],
    ]
    (twins,) = captions(TWINS)
    assert boxes_of(TWINS, twins, "count", NOUNS) == [both, none, none]


def test_touched_cells():
    grid = touched([(8, 0, 16, 9)], 32, 4)
    assert grid.nonzero().tolist() == [[0, 1], [1, 1]]  # row, column
    assert touched([], 32, 4).sum() == 0
    assert touched([(0, 0, 1, 1), (31, 31, 32, 32)], 32, 4).sum() == 2


def test_pointing_by_hand():
    boxes = [[[], [(0, 0, 8, 8)], [(8, 8, 16, 16), (24, 24, 32, 32)]]]
    maps = torch.zeros(3, 4, 4)
    maps[0, 2, 2] = 1
    maps[1, 0, 1], maps[1, 0, 0] = 0.7, 0.3  # beside it
    maps[2, 3, 3], maps[2, 0, 0] = 0.6, 0.4  # on the second box
    score = pointing([maps], boxes, 32)
    assert score.words == 2 and score.hits == 0.5
    assert score.weight == pytest.approx((0.3 + 0.6) / 2)
    assert score.chance == pytest.approx((1 / 16 + 2 / 16) / 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: touched([], 32, 5), "cells: got 5, expected a divisor of 32"),
        (
            lambda: pointing([torch.rand(3, 4, 4)], [3 * [[]]], 16),
            "boxes: got no word with a",
        ),
        (
            lambda: pointing([torch.rand(3, 4, 4)], [[[]]], 16),
            r"maps: got shape \(3, 4, 4\), ex",
        ),
        (
            lambda: pointing([torch.rand(3, 4, 4)], [], 16),
            "boxes: got 0 captions, expected 1",
        ),
        (
            lambda: score_captions([PAIR], [], NOUNS),
            "written: got 0 captions, expected 1",
        ),
        (lambda: score_captions([], [], NOUNS), "written: got 0 captions, expected 1"),
        (
            lambda: boxes_of(PAIR, captions(PAIR)[0], "verb", NOUNS),
            "kind: got 'verb', expected",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
