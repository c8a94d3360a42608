"""Scenes: what is in them is where they say it is, and every caption is true."""

from collections import Counter

import pytest
import torch

from helpers import scenes
from helpers.scenes import (
    COLOURS,
    SIZES,
    Object,
    Scene,
    Tiles,
    captions,
    load_tiles,
    make_scenes,
    matching_caption,
    pick_captions,
    plural,
    vocabulary,
)


@pytest.fixture(scope="module")
def digits():
    return load_tiles("digits", "training")


@pytest.fixture(scope="module")
def many(digits):
    return make_scenes(digits, 200, seed=0)


def scene(*things, size=64):
    """A scene without a picture: each thing is (noun, colour, box)."""
    nouns = sorted({noun for noun, _, _ in things})
    objects = [Object(nouns.index(n), n, c, box, 0) for n, c, box in things]
    return Scene(torch.zeros(3, size, size), tuple(objects))


def said(scene):
    return {" ".join(caption.words) for caption in captions(scene)}


def match(scene, text):
    return matching_caption(scene, text.split())


LEFT, RIGHT, LOW = (4, 24, 14, 40), (44, 24, 60, 36), (26, 50, 36, 62)


# ---- tiles ----------------------------------------------------------------------------------------------------------


def test_parts_share_no_tile():
    parts = [load_tiles("digits", part) for part in scenes.PARTS]
    rows = [t.numpy().tobytes() for part in parts for t in part.images]
    assert [len(p.images) for p in parts] == [1197, 200, 400]
    assert len(set(rows)) == len(rows) == 1797
    assert parts[0].images.shape[1:] == (8, 8) and parts[0].nouns[7] == "7"


@pytest.mark.slow
def test_scenes_of_clothes():
    """Needs the registry, or the cache."""
    tiles = load_tiles("clothes", "test")
    made, words = make_scenes(tiles, 50, seed=0), vocabulary(tiles.nouns)
    assert_boxes_hold_tiles(made, tiles)
    assert {thing.noun for s in made for thing in s.objects} == set(tiles.nouns)
    for s, caption in zip(made, pick_captions(made, 0), strict=True):
        assert matching_caption(s, caption.words) == caption
        assert words.decode(words.encode(caption.words)) == list(caption.words)


# ---- pictures -------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_scenes(digits, many):
    again, other = make_scenes(digits, 200, seed=0), make_scenes(digits, 200, seed=1)
    assert all(torch.equal(a.image, b.image) for a, b in zip(many, again, strict=True))
    assert [s.objects for s in many] == [s.objects for s in again]
    assert [s.objects for s in many] != [s.objects for s in other]


def test_pictures_are_colour_from_0_to_1(many):
    pictures = torch.stack([s.image for s in many])
    assert pictures.shape == (200, 3, 64, 64) and pictures.dtype == torch.float32
    assert pictures.min() == 0 and 0.9 < pictures.max() <= 1


def test_without_clutter_all_ink_is_in_the_boxes_and_reaches_their_edges(digits):
    for s in make_scenes(digits, 60, seed=3, clutter=0):
        inside = torch.zeros(64, 64, dtype=torch.bool)
        for thing in s.objects:
            left, top, right, bottom = thing.box
            assert 0 <= left < right <= 64 and 0 <= top < bottom <= 64
            assert not inside[top:bottom, left:right].any()  # none over another
            inside[top:bottom, left:right] = True
            part = s.image[:, top:bottom, left:right]
            ink = part.amax(0) > 0.1 * max(COLOURS[thing.colour]) * 0.999
            assert all(edge.any() for edge in (ink[0], ink[-1], ink[:, 0], ink[:, -1]))
            assert max(right - left, bottom - top) <= max(SIZES)
        assert (s.image[:, ~inside] == 0).all()


def assert_boxes_hold_tiles(made, tiles):
    """Each box holds the tile that it names, cut down to its ink, in its colour."""
    for s in made:
        for thing in s.objects:
            left, top, right, bottom = thing.box
            part = s.image[:, top:bottom, left:right]
            ink = part / torch.tensor(COLOURS[thing.colour])[:, None, None]
            assert torch.allclose(ink, ink[:1].expand_as(ink), atol=1e-6)
            assert tiles.classes[thing.tile] == thing.label
            assert thing.noun == tiles.nouns[thing.label]
            tile = tiles.images[thing.tile].float()
            rows, columns = ((tile > 0.1).any(d).nonzero()[:, 0] for d in (1, 0))
            tile = tile[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            whole = torch.nn.functional.interpolate(
                tile[None, None], size=(bottom - top, right - left), mode="bilinear"
            )
            both = torch.stack([whole.flatten(), ink[0].flatten()])
            assert torch.corrcoef(both)[0, 1] > 0.6


def test_a_box_holds_the_tile_in_its_colour(digits):
    assert_boxes_hold_tiles(make_scenes(digits, 50, seed=4), digits)


def test_clutter_lies_outside_too(digits):
    bare, full = (make_scenes(digits, 20, 0, clutter=n) for n in (0, 12))
    share = [torch.stack([s.image for s in m]).amax(1).gt(0.1).float().mean() for m in (bare, full)]  # fmt: skip
    assert share[1] > share[0] + 0.02
    assert all(s.objects for s in full)


def test_every_number_class_colour_and_size_comes_up(many):
    numbers = Counter(len(s.objects) for s in many)
    assert numbers.keys() == {1, 2, 3} and min(numbers.values()) > 45
    things = [thing for s in many for thing in s.objects]
    assert len({t.label for t in things}) == 10
    assert {t.colour for t in things} == {*COLOURS}
    several = [s for s in many if len(s.objects) > 1]
    twins = sum(s.objects[0].label == s.objects[1].label for s in several)
    assert 0.4 < twins / len(several) < 0.7  # a half, and a tenth of the rest


# ---- captions -------------------------------------------------------------------------------------------------------


def test_one_thing():
    assert said(scene(("bag", "red", LEFT))) == {
        "a red bag on the left",
        "on the left is a red bag",
    }
    assert "a red bag on the right" in said(scene(("bag", "red", RIGHT)))
    assert "a red bag at the bottom" in said(scene(("bag", "red", LOW)))
    assert "a red bag at the top" in said(scene(("bag", "red", (26, 0, 36, 9))))


def test_two_things():
    assert said(scene(("bag", "red", LEFT), ("dress", "blue", RIGHT))) == {
        "a red bag left of a blue dress",
        "left of a blue dress is a red bag",
        "a blue dress right of a red bag",
        "right of a red bag is a blue dress",
    }
    upright = scene(("bag", "red", LOW), ("dress", "blue", (26, 0, 36, 9)))
    assert "a red bag below a blue dress" in said(upright)
    assert "above a red bag is a blue dress" in said(upright)


def test_several_of_a_class():
    two = ("dress", "red", LEFT), ("dress", "blue", RIGHT)
    assert said(scene(*two)) == {"two dresses"}
    assert said(scene(*two, ("bag", "green", LOW))) == {
        "two dresses and a green bag",
        "a green bag and two dresses",
    }
    same = [("bag", "red", box) for box in (LEFT, RIGHT, LOW)]
    assert said(scene(*same)) == {"three red bags"}
    each = [(noun, "red", box) for noun, _, box in (*two, ("bag", "", LOW))]
    assert "two red dresses and a red bag" in said(scene(*each))
    three = scene(("bag", "red", LEFT), ("coat", "red", RIGHT), ("boot", "blue", LOW))
    assert len(said(three)) == 6
    assert "a red coat , a blue boot and a red bag" in said(three)


def test_each_word_knows_its_boxes():
    two = scene(("dress", "red", LEFT), ("bag", "blue", LOW), ("dress", "red", RIGHT))
    caption = match(two, "a blue bag and two red dresses")
    both = [LEFT, RIGHT]
    assert caption.boxes(two) == [[], [LOW], [LOW], [], both, both, both]
    pair = scene(("bag", "red", LEFT), ("dress", "blue", RIGHT))
    caption = match(pair, "right of a red bag is a blue dress")
    assert caption.objects == ((), (), (), (0,), (0,), (), (), (1,), (1,))


def test_what_is_not_true_matches_nothing():
    pair = scene(("bag", "red", LEFT), ("dress", "blue", RIGHT))
    assert match(pair, "a red bag left of a blue dress")
    assert match(pair, "a red bag right of a blue dress") is None
    assert match(pair, "a blue bag left of a red dress") is None
    assert match(pair, "a red bag") is match(pair, "") is None


def test_directions_are_clear(many):
    """No pixel or two decides what is right."""
    seen = Counter()
    for s in many:
        if len(s.objects) == 1:
            (x, y), middle = s.objects[0].centre, (32, 32)
        elif len(s.objects) == 2:
            (x, y), middle = s.objects[0].centre, s.objects[1].centre
        else:
            continue
        assert abs(abs(x - middle[0]) - abs(y - middle[1])) >= 4
        words = set(captions(s)[0].words)
        seen.update(words & {"left", "right", "top", "bottom", "above", "below"})
    assert len(seen) == 6 and min(seen.values()) > 3


def test_captions_vary_in_length_and_are_all_in_the_vocabulary(digits, many):
    picked = pick_captions(many, 0)
    words = vocabulary(digits.nouns)
    assert len({len(c.words) for c in picked}) >= 6
    for s, caption in zip(many, picked, strict=True):
        assert matching_caption(s, caption.words) == caption
        assert words.decode(words.encode(caption.words)) == list(caption.words)
    assert pick_captions(many, 0) == picked != pick_captions(many, 1)
    openings = {c.words[0] for c in picked}
    assert {"a", "two", "three", "left", "above", "on", "at"} <= openings


def test_plurals():
    assert [*map(plural, ("bag", "dress", "trousers", "7"))] == [
        "bags",
        "dresses",
        "trousers",
        "7s",
    ]


# ---- bad input ------------------------------------------------------------------------------------------------------

TILE, CLASS = torch.rand(2, 8, 8), torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: load_tiles("cats", "test"), "kind: got 'cats', expected one of"),
        (lambda: load_tiles("digits", "all"), "part: got 'all', expected one of"),
        (lambda: Tiles(TILE[0], CLASS, "ab"), r"images: got shape \(8, 8\), expected"),
        (lambda: Tiles(TILE[:, None], CLASS, "ab"), r"images: got shape \(2, 1, 8, 8"),
        (lambda: Tiles((TILE * 255).byte(), CLASS, "ab"), "images: got torch.uint8"),
        (lambda: Tiles(TILE + 1, CLASS, "ab"), "images: got values from"),
        (lambda: Tiles(TILE / 0, CLASS, "ab"), "images: got values from .* to inf"),
        (lambda: Tiles(TILE, CLASS[:1], "ab"), r"classes: got shape \(1,\), expected"),
        (lambda: Tiles(TILE, CLASS, "a"), "classes: got torch.int64 from 0 to 1, exp"),
        (lambda: Tiles(TILE, CLASS.float(), "ab"), "classes: got torch.float32 from"),
        (lambda: make(count=0), "count: got 0, expected at least 1"),
        (lambda: make(most=4), "most: got 4, expected 1 to 3"),
        (lambda: make(most=0), "most: got 0, expected 1 to 3"),
        (lambda: make(clutter=-1), "clutter: got -1, expected at least 0"),
        (lambda: make(size=32), "size: got 32, expected at least 56"),
        (lambda: make(Tiles(0 * TILE, CLASS, "ab")), "images: got nothing but backgr"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def make(tiles=None, count=1, **settings):
    return make_scenes(tiles or Tiles(TILE, CLASS, ("a", "b")), count, 0, **settings)
