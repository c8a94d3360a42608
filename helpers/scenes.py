"""Scenes made of real tiles at known places among clutter, and captions whose words have a known place too.

Boxes are (left, top, right, bottom) in pixels, right and bottom exclusive. Images are (3, size, size), from 0 to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import torch
from torch.nn import functional as F

from helpers import data
from helpers.data import Vocabulary
from helpers.validation import require_choice, require_shape

Box = tuple[int, int, int, int]

COLOURS = {
    "red": (1.0, 0.3, 0.3),
    "green": (0.3, 0.9, 0.3),
    "blue": (0.4, 0.5, 1.0),
    "yellow": (1.0, 0.9, 0.2),
}
SIZES = (16, 20, 24)  # sides of a tile in a scene, in pixels
CLEAR = 4  # so many pixels must one direction prevail over the other to be named
COUNTS = {2: "two", 3: "three"}

# ---------------------------------------------------------------------------------------------------------------------
# Tiles
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tiles:
    """Pictures of single things: images (N, h, w) from 0 (nothing) to 1, classes (N,), which number `nouns`.

    Raises ValueError for images of another shape, type or range, and for classes that are not one of the nouns each.
    """

    images: torch.Tensor
    classes: torch.Tensor
    nouns: tuple[str, ...]

    def __post_init__(self):
        require_shape("images", self.images, ("N", "h", "w"))
        _require_unit_range("images", self.images)
        require_shape("classes", self.classes, (len(self.images),))
        low, high = int(self.classes.min()), int(self.classes.max())
        if self.classes.is_floating_point() or low < 0 or high >= len(self.nouns):
            raise ValueError(
                f"classes: got {self.classes.dtype} from {low} to {high}, "
                f"expected integers from 0 to {len(self.nouns) - 1}"
            )


def _require_unit_range(name: str, images: torch.Tensor) -> None:
    """Raise ValueError unless `images` are floats from 0 to 1."""
    if not images.is_floating_point():
        raise ValueError(
            f"{name}: got {images.dtype}, expected floats from 0 to 1; divide bytes by 255"
        )
    low, high = images.min().item(), images.max().item()
    if not (low >= 0 and high <= 1):  # NaN is neither
        raise ValueError(
            f"{name}: got values from {low:.3g} to {high:.3g}, expected 0 to 1"
        )


PARTS = ("training", "validation", "test")


def load_tiles(kind: str, part: str) -> Tiles:
    """The tiles of one part: kind "clothes" (Fashion-MNIST, a download) or "digits" (scikit-learn's, none).

    The parts share no tile, so what is made of them does not either.
    Raises ValueError for another kind or part, DownloadError as `data.fetch` does.
    """
    require_choice("kind", kind, ("clothes", "digits"))
    require_choice("part", part, PARTS)
    if kind == "clothes":
        images, classes = data.fashion()[PARTS.index(part)]
        return Tiles(images, classes, data.CLOTHES)
    images, classes = data.digits()[PARTS.index(part)]
    return Tiles(images.view(-1, 8, 8).float(), classes, tuple("0123456789"))


def plural(noun: str) -> str:
    """Two trousers, dresses, bags; 7s."""
    if noun == "trousers":
        return noun
    return noun + ("es" if noun.endswith("s") else "s")


# ---------------------------------------------------------------------------------------------------------------------
# Scenes
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Object:
    """A tile in a scene: its class, what it is called, its colour, its box, and which tile it is."""

    label: int
    noun: str
    colour: str
    box: Box
    tile: int

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y) in pixels."""
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2


@dataclass(frozen=True)
class Scene:
    """A picture (3, size, size) and what is in it."""

    image: torch.Tensor
    objects: tuple[Object, ...]


def make_scenes(
    tiles: Tiles,
    count: int,
    seed: int,
    most: int = 3,
    clutter: int = 8,
    size: int = 64,
) -> list[Scene]:
    """`count` scenes of 1 to `most` tiles, none over another, and `clutter` scraps of other tiles behind them.

    Each tile is tinted and scaled to one of `SIZES`; its box is as small as holds all ink. The scraps, 6 × 6 pixels,
    have colours too, so that colour alone does not tell what to look at. Half of the scenes with several tiles have two
    of one class. Where `captions` names a direction, it is clear. The same seed gives the same scenes.
    Raises ValueError for count < 1, most outside 1 to 3, clutter < 0, and size < 56.
    """
    for name, got, least, greatest in (
        ("count", count, 1, None),
        ("most", most, 1, 3),
        ("clutter", clutter, 0, None),
        ("size", size, 56, None),
    ):
        if got < least or (greatest is not None and got > greatest):
            expected = f"{least} to {greatest}" if greatest else f"at least {least}"
            raise ValueError(f"{name}: got {got}, expected {expected}")
    maker = _Maker(tiles, size, torch.Generator().manual_seed(seed))
    return [maker.scene(1 + maker.draw(most), clutter) for _ in range(count)]


class _Maker:
    """Draws and paints scenes; every random number comes from one generator."""

    def __init__(self, tiles: Tiles, size: int, generator: torch.Generator):
        self.tiles, self.size, self.generator = tiles, size, generator
        self.of_class = {
            label: (tiles.classes == label).nonzero()[:, 0]
            for label in tiles.classes.unique().tolist()
        }
        torn = [self.draw(len(tiles.images)) for _ in range(200)]
        self.torn = [self._scaled(tile, SIZES[0]) for tile in torn]

    def draw(self, below: int) -> int:
        return int(torch.randint(below, (), generator=self.generator))

    def choose(self, options):
        return options[self.draw(len(options))]

    def scene(self, number: int, clutter: int) -> Scene:
        labels = [self.choose([*self.of_class]) for _ in range(number)]
        if number > 1 and self.draw(2):
            labels[1] = labels[0]
        objects, patches = [], []
        while len(objects) < number:
            objects, patches = [], []
            for label in labels:
                self._place(label, objects, patches)
            if _unclear(objects, self.size):
                objects = []
        image = torch.zeros(3, self.size, self.size)
        for _ in range(clutter):
            self._scrap(image)
        for thing, patch in zip(objects, patches, strict=True):
            left, top, right, bottom = thing.box
            image[:, top:bottom, left:right] = patch
        return Scene(image, tuple(objects))

    def _place(self, label: int, objects: list, patches: list) -> None:
        """Add a tile of this class at a free place, or nothing if none is found."""
        tile = int(self.choose(self.of_class[label]))
        colour, ink = self.choose([*COLOURS]), self._scaled(tile, self.choose(SIZES))
        height, width = ink.shape
        for _ in range(20):
            # in the middle of a square as large as any tile, so that wide and tall things are placed alike
            left = self.draw(self.size - SIZES[-1]) + (SIZES[-1] - width) // 2
            top = self.draw(self.size - SIZES[-1]) + (SIZES[-1] - height) // 2
            box = (left, top, left + width, top + height)
            if not any(_overlap(box, other.box) for other in objects):
                noun = self.tiles.nouns[label]
                objects.append(Object(label, noun, colour, box, tile))
                patches.append(_tinted(ink, colour))
                return

    def _scaled(self, tile: int, side: int) -> torch.Tensor:
        """The tile, scaled and cut down to its ink: (height, width)."""
        picture = self.tiles.images[tile].float()
        scaled = F.interpolate(
            picture[None, None],
            size=(side, side),
            mode="bilinear",
            antialias=True,
        )[0, 0].clamp(0, 1)
        rows = (scaled > 0.1).any(dim=1).nonzero()[:, 0]
        columns = (scaled > 0.1).any(dim=0).nonzero()[:, 0]
        if len(rows) == 0:
            raise ValueError(
                f"images: got nothing but background in tile {tile}, expected something to show"
            )
        return scaled[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

    def _scrap(self, image: torch.Tensor) -> None:
        ink = self.choose(self.torn)
        top, left = (self.draw(max(1, length - 6)) for length in ink.shape)
        patch = _tinted(ink[top : top + 6, left : left + 6], self.choose([*COLOURS]))
        y, x = self.draw(self.size - 6), self.draw(self.size - 6)
        image[:, y : y + patch.shape[1], x : x + patch.shape[2]] = patch


def _tinted(ink: torch.Tensor, colour: str) -> torch.Tensor:
    return torch.tensor(COLOURS[colour])[:, None, None] * ink


def _overlap(one: Box, other: Box) -> bool:
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right, bottom = min(one[2], other[2]), min(one[3], other[3])
    return left < right and top < bottom


# ---------------------------------------------------------------------------------------------------------------------
# Captions
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Caption:
    """Words, and for each the objects of the scene that it speaks of: none for "a", "of", "left"."""

    words: tuple[str, ...]
    objects: tuple[tuple[int, ...], ...]

    def boxes(self, scene: Scene) -> list[list[Box]]:
        """For each word the boxes of what it speaks of."""
        return [[scene.objects[i].box for i in said] for said in self.objects]


Words = list[tuple[str, tuple[int, ...]]]  # each word with its objects


def _plain(text: str) -> Words:
    return [(word, ()) for word in text.split()]


def captions(scene: Scene) -> list[Caption]:
    """All captions of the grammar that are true of the scene, such as
    "a red sneaker left of a blue bag" and "left of a blue bag is a red sneaker".

    One thing: what and where. Two: what, and which way from each other. More, or several of a class: how many of what,
    in any order. A colour is said of several things if all have it.
    """
    groups: dict[int, list[int]] = {}
    for i, thing in enumerate(scene.objects):
        groups.setdefault(thing.label, []).append(i)
    phrases = [_phrase(scene, members) for members in groups.values()]
    if len(scene.objects) == 1:
        here = _plain(_place_name(scene.objects[0], scene.image.shape[-1]))
        all_words = [phrases[0] + here, here + _plain("is") + phrases[0]]
    elif len(scene.objects) == len(groups) == 2:
        all_words = []
        for (a, one), (b, other) in permutations(enumerate(phrases)):
            way = _plain(_direction(scene.objects[a], scene.objects[b]))
            all_words += [one + way + other, way + other + _plain("is") + one]
    else:
        all_words = [_listed(order) for order in permutations(phrases)]
    return [
        Caption(tuple(w for w, _ in words), tuple(said for _, said in words))
        for words in all_words
    ]


def _phrase(scene: Scene, members: Sequence[int]) -> Words:
    """A red sneaker; two red sneakers; three sneakers."""
    said, things = tuple(members), [scene.objects[i] for i in members]
    colour = [(things[0].colour, said)] if len({t.colour for t in things}) == 1 else []
    noun = things[0].noun
    if len(things) == 1:
        return [*_plain("a"), *colour, (noun, said)]
    return [(COUNTS[len(things)], said), *colour, (plural(noun), said)]


def _listed(phrases: Sequence[Words]) -> Words:
    """p; p and q; p, q and r."""
    words = list(phrases[0])
    for i, phrase in enumerate(phrases[1:], 2):
        words += _plain("and" if i == len(phrases) else ",") + phrase
    return words


def _offsets(scene_objects: Sequence[Object], size: int):
    """The (x, y) that decide what a direction is called: from the middle, or from each other."""
    if len(scene_objects) == 1:
        x, y = scene_objects[0].centre
        return [(x - size / 2, y - size / 2)]
    return [
        (a.centre[0] - b.centre[0], a.centre[1] - b.centre[1])
        for a, b in combinations(scene_objects, 2)
    ]


def _unclear(objects: Sequence[Object], size: int) -> bool:
    """Whether what `captions` says about directions would hang on a few pixels."""
    if len(objects) > 2:
        return False
    return any(abs(abs(x) - abs(y)) < CLEAR for x, y in _offsets(objects, size))


def _place_name(thing: Object, size: int) -> str:
    ((x, y),) = _offsets([thing], size)
    if abs(x) > abs(y):
        return "on the left" if x < 0 else "on the right"
    return "at the top" if y < 0 else "at the bottom"


def _direction(one: Object, other: Object) -> str:
    ((x, y),) = _offsets([one, other], 0)
    if abs(x) > abs(y):
        return "left of" if x < 0 else "right of"
    return "above" if y < 0 else "below"


def matching_caption(scene: Scene, words: Sequence[str]) -> Caption | None:
    """The true caption with these words, or None: what is written is not true of the scene."""
    return next((c for c in captions(scene) if c.words == tuple(words)), None)


def vocabulary(nouns: Sequence[str]) -> Vocabulary:
    """Every word that a caption can hold."""
    return Vocabulary(
        [
            [*nouns, *map(plural, nouns), *COLOURS, *COUNTS.values()],
            ["a", "and", ",", "is", "on", "the", "left", "right", "at", "top"],
            ["bottom", "of", "above", "below"],
        ]
    )


def pick_captions(scenes: Sequence[Scene], seed: int) -> list[Caption]:
    """One true caption of each scene, drawn at random: what a model is trained on."""
    generator = torch.Generator().manual_seed(seed)
    picked = []
    for scene in scenes:
        options = captions(scene)
        i = int(torch.randint(len(options), (), generator=generator))
        picked.append(options[i])
    return picked
