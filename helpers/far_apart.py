"""Two digits far apart in one picture: is it the same digit twice? A question for a network that sees far.

Shapes: B pictures (B, 1, 48, 48), a grid of 6 × 6 tiles of 8 × 8 pixels; maps (B, C, 6, 6), one place for each tile.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from helpers.data import digits
from helpers.resnet import require_images
from helpers.training import RECORDED, read_part
from helpers.validation import require_choice
from helpers.vision_self_attention import NonLocal

GRID, TILE, APART = 6, 8, 4


class Pictures(NamedTuple):
    """Pictures with two digits on empty ground; half of the pairs, about, are of one class."""

    images: torch.Tensor  # (B, 1, 48, 48), from 0 to 1
    same: torch.Tensor  # (B,), 1 where both digits are of one class, else 0
    places: torch.Tensor  # (B, 2): the two tiles, counted row by row


@cache
def _digits():
    return digits()


def pictures(count: int, part: int, generator: torch.Generator) -> Pictures:
    """Draw pictures. Their digits lie at least 4 tiles apart, in rows or in columns, and are never one image twice.

    part: of `helpers.data.digits`, 0 to train, 1 to validate, 2 to test: no digit of one part is in another.
    Raises ValueError for a count below 1 and another part.
    """
    if count < 1:
        raise ValueError(f"count: got {count}, expected at least 1")
    require_choice("part", part, range(3))
    tiles, classes = _digits()[part]
    tiles = tiles.to(torch.get_default_dtype()).unflatten(1, (TILE, TILE))
    same = torch.rand(count, generator=generator, dtype=torch.float32) < 0.5
    first = torch.randint(len(tiles), (count,), generator=generator)
    fits = (classes == classes[first, None]) == same[:, None]  # (B, N)
    fits[torch.arange(count), first] = False
    chance = torch.rand(fits.shape, generator=generator, dtype=torch.float32)
    second = (fits * chance).argmax(dim=1)
    row, column = torch.arange(GRID**2) // GRID, torch.arange(GRID**2) % GRID
    far = torch.maximum(
        (row - row[:, None]).abs(), (column - column[:, None]).abs()
    )  # (36, 36)
    pairs = (far >= APART).nonzero()
    places = pairs[torch.randint(len(pairs), (count,), generator=generator)]
    ground = torch.zeros(count, GRID**2, TILE, TILE)
    ground[torch.arange(count)[:, None], places] = tiles[
        torch.stack([first, second], 1)
    ]
    ground = ground.unflatten(1, (GRID, GRID)).transpose(2, 3)  # rows of pixels
    return Pictures(
        ground.reshape(count, 1, GRID * TILE, GRID * TILE), same.long(), places
    )


# ---------------------------------------------------------------------------------------------------------------------
# The network
# ---------------------------------------------------------------------------------------------------------------------

CHANNELS = 32


class Near(nn.Module):
    """A 3 × 3 convolution between two 1 × 1 ones, added to what came in: sees the eight tiles around."""

    def __init__(self, channels: int = CHANNELS, inner: int = 12):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, inner, 1),
            nn.GELU(),
            nn.Conv2d(inner, inner, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(inner, channels, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, C, H, W) → (B, C, H, W)."""
        return x + self.layers(x)


WAYS: dict[str, Callable[[], nn.Module]] = {
    "nothing": nn.Identity,
    "convolution": Near,
    "three convolutions": lambda: nn.Sequential(Near(), Near(), Near()),
    "non-local": lambda: NonLocal(CHANNELS),
    "hidden layer": nn.Identity,  # in the head: after the sum over all places
}


def tile_reader(seed: int = 0) -> nn.Sequential:
    """Reads each tile by itself: (B, 1, 48, 48) → (B, 32, 6, 6), by two layers that look at no other tile."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 64, TILE, stride=TILE),
        nn.GELU(),
        nn.Conv2d(64, CHANNELS, 1),
        nn.GELU(),
    )


class Comparer(nn.Module):
    """Tiles read, one of WAYS to bring them together, each place once more by itself, the sum over all, two logits.

    What `way` "nothing" computes is a sum of one term for each tile. No such sum can answer the question: whether two
    digits are the same lies in neither. "hidden layer" has a layer with 32 units after the sum, which can.
    reader: a trained `tile_reader`; it is copied. Raises ValueError for another way.
    """

    def __init__(self, way: str, reader: nn.Module, seed: int = 0):
        super().__init__()
        require_choice("way", way, WAYS)
        torch.manual_seed(seed)
        self.reader = deepcopy(reader)
        self.compare = WAYS[way]()
        self.each = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 1), nn.GELU())
        self.decide = nn.Linear(CHANNELS, 2)
        if way == "hidden layer":
            hidden = nn.Linear(CHANNELS, CHANNELS)
            self.decide = nn.Sequential(hidden, nn.GELU(), self.decide)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images (B, 1, H, W), H and W multiples of 8 → logits (B, 2)."""
        require_images("images", images, 1)
        found = self.each(self.compare(self.reader(images)))
        return self.decide(found.sum(dim=(2, 3)) / 2)  # of the two digits, a mean


# ---------------------------------------------------------------------------------------------------------------------
# Training and scoring
# ---------------------------------------------------------------------------------------------------------------------


def reading_loss(
    reader: nn.Module, classify: nn.Module, batch_size: int = 64
) -> Callable[[torch.Generator], torch.Tensor]:
    """For `fit`: which digit is on a tile? The `classify` that goes with the reader is thrown away later."""
    tiles, classes = _digits()[0]
    tiles = tiles.to(torch.get_default_dtype()).view(-1, 1, TILE, TILE)

    def loss(generator: torch.Generator) -> torch.Tensor:
        rows = torch.randint(len(tiles), (batch_size,), generator=generator)
        read = reader(tiles[rows]).flatten(1)  # (B, 32)
        return F.cross_entropy(classify(read), classes[rows])

    return loss


def comparing_loss(
    model: Comparer, batch_size: int = 64
) -> Callable[[torch.Generator], torch.Tensor]:
    """For `fit`: the same digit or not, in pictures drawn anew each time."""

    def loss(generator: torch.Generator) -> torch.Tensor:
        drawn = pictures(batch_size, 0, generator)
        return F.cross_entropy(model(drawn.images), drawn.same)

    return loss


@torch.no_grad()
def accuracy(model: Comparer, count: int = 2000, seed: int = 1000) -> float:
    """The share of `count` pictures of digits not trained on that are judged right."""
    drawn = pictures(count, 2, torch.Generator().manual_seed(seed))
    return float((model(drawn.images).argmax(1) == drawn.same).double().mean())


def recorded_comparer(way: str | None = None) -> Comparer | nn.Sequential:
    """Seed 0's network after training, "non-local" or "hidden layer"; without a way, the reader that all began with.

    Made by experiments/far_apart.py.
    """
    model = tile_reader() if way is None else Comparer(way, tile_reader())
    begin = f"{way or 'reader'}/"
    own = read_part(RECORDED / "far_apart.safetensors", begin)
    if not own:
        raise ValueError(
            f"way: got {way!r}, expected 'non-local', 'hidden layer' or None"
        )
    model.load_state_dict(own)
    return model.to(torch.get_default_dtype()).eval()
