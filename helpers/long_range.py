"""The look-up test of chapter 07b: something stands far off, and is asked for. One small model per pattern.

In the spirit of the Long Range Arena (Tay et al. 2021), made so small that one knows what each pattern cannot see.
"""

from collections.abc import Callable

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F

from helpers.beyond_text import LowRankAttention, linear_attention, pattern_mask
from helpers.training import RECORDED, load_part
from helpers.validation import require_choice

LENGTH, WIDTH, RANK = 64, 8, 8
NAMES, VALUES, PAIRS = 16, 8, 8
DISTANCES = ((1, 8), (9, 16), (17, 32), (33, 63))  # how far off the pair stands


def look_up(batch_size: int, generator: torch.Generator):
    """→ x (B, 64, 25), asking (B, 8) positions, y (B, 8) the values asked for, distance (B, 8) how far off they stand.

    Eight positions hold a name (16 numbers, one-hot) and a value (8 numbers, one-hot). Eight others ask: a name, and a
    mark. The rest hold a value without a name. Always saying one value: 1/8 right.
    """
    rows = torch.arange(batch_size)[:, None]
    noise = torch.rand(3, batch_size, LENGTH, generator=generator)
    places = noise[0].argsort(dim=1)[:, : 2 * PAIRS]  # (B, 16), all different
    told, asking = places[:, :PAIRS], places[:, PAIRS:]  # question i asks for pair i
    names = noise[1, :, :NAMES].argsort(dim=1)[:, :PAIRS]  # (B, 8), all different
    values = (VALUES * noise[2]).long()  # (B, 64)
    x = torch.zeros(batch_size, LENGTH, NAMES + VALUES + 1)
    x[..., NAMES : NAMES + VALUES] = F.one_hot(values, VALUES).to(x.dtype)
    x[rows, asking] = 0
    x[rows, told, names] = x[rows, asking, names] = 1
    x[rows, asking, -1] = 1
    return x, asking, values[rows, told], (told - asking).abs()


class Masked(nn.Module):
    """Dot-product attention under a fixed mask."""

    def __init__(self, mask: torch.Tensor):
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, query, key, value):
        return F.scaled_dot_product_attention(query, key, value, self.mask)


class Linear(nn.Module):
    def forward(self, query, key, value):
        return linear_attention(query, key, value)


MIXERS: dict[str, Callable[[], nn.Module]] = {
    **{
        name: lambda name=name: Masked(pattern_mask(name, LENGTH, WIDTH))
        for name in ("full", "window", "strided", "global", "random")
    },
    "low rank": lambda: LowRankAttention(LENGTH, RANK),
    "linear": Linear,
}


class Block(nn.Module):
    """A pre-norm layer: heads of attention by `mixer`, then a feed-forward network, each with a residual."""

    def __init__(self, mixer: nn.Module, d_model: int, num_heads: int):
        super().__init__()
        self.mixer, self.num_heads = mixer, num_heads
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.query_key_value = nn.Linear(d_model, 3 * d_model)
        self.output = nn.Linear(d_model, d_model)
        self.feed_forward = nn.Sequential(
            nn.Linear(d_model, 2 * d_model), nn.GELU(), nn.Linear(2 * d_model, d_model)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = rearrange(
            self.query_key_value(self.norm1(x)),
            "b t (n h d) -> n b h t d",
            n=3,
            h=self.num_heads,
        )
        mixed = self.mixer(query, key, value)
        x = x + self.output(rearrange(mixed, "b h t d -> b t (h d)"))
        return x + self.feed_forward(self.norm2(x))


class LookUp(nn.Module):
    """Two blocks of one pattern: x (B, 64, 25), asking (B, 8) → logits (B, 8, 8) of the positions that ask."""

    def __init__(self, pattern: str, d_model: int = 32, num_heads: int = 4):
        super().__init__()
        require_choice("pattern", pattern, MIXERS)
        self.embedding = nn.Linear(NAMES + VALUES + 1, d_model)
        self.blocks = nn.Sequential(
            *(Block(MIXERS[pattern](), d_model, num_heads) for _ in range(2))
        )
        self.answer = nn.Linear(d_model, VALUES)

    def forward(self, x: torch.Tensor, asking: torch.Tensor) -> torch.Tensor:
        states = self.blocks(self.embedding(x))  # (B, 64, d_model)
        return self.answer(states[torch.arange(len(x))[:, None], asking])


def look_up_model(pattern: str, seed: int) -> LookUp:
    """A fresh model. Raises ValueError for a pattern that is not in `MIXERS`."""
    torch.manual_seed(seed)
    return LookUp(pattern)


def recorded_look_up(pattern: str) -> LookUp:
    """The model that experiments/efficient_attention.py trained with seed 0. Raises ValueError for other patterns."""
    file = RECORDED / "look_up.safetensors"
    return load_part(look_up_model(pattern, 0), file, pattern)


def batch_loss(model: LookUp, batch_size: int = 32):
    """For `helpers.training.fit`."""

    def loss(generator: torch.Generator) -> torch.Tensor:
        x, asking, y, _ = look_up(batch_size, generator)
        return F.cross_entropy(model(x, asking).flatten(0, 1), y.flatten())

    return loss


@torch.no_grad()
def accuracy_by_distance(model: LookUp, seed: int, sequences: int = 500) -> list[float]:
    """The share of right answers in each of the ranges of `DISTANCES`."""
    x, asking, y, distance = look_up(sequences, torch.Generator().manual_seed(seed))
    right = (model(x, asking).argmax(dim=-1) == y).double()
    return [
        right[(low <= distance) & (distance <= high)].mean().item()
        for low, high in DISTANCES
    ]
