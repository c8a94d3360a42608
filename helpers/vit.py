"""The Vision Transformer (Dosovitskiy et al. 2021): an image is a sequence of patches, read by a Transformer's encoder.

Shapes: B images (B, C, H, W) with C channels and pixels from 0 to 1; p the side of a patch; N = (H/p)·(W/p) patches;
d = d_model numbers a token, h heads; T = 1 + R + N tokens: the class token, R registers, the patches row by row.
"""

from collections.abc import Callable, Sequence

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F

from helpers.resnet import require_pixels
from helpers.transformer import TransformerEncoder
from helpers.validation import require_shape

# Table 1 of the paper, and Ti and S of Touvron et al. 2021: d_model, heads, layers. d_ff is 4 · d_model.
SIZES = {
    "Ti": (192, 3, 12),
    "S": (384, 6, 12),
    "B": (768, 12, 12),
    "L": (1024, 16, 24),
    "H": (1280, 16, 32),
}

# ---------------------------------------------------------------------------------------------------------------------
# From pixels to tokens
# ---------------------------------------------------------------------------------------------------------------------


def require_divisible(name: str, images: torch.Tensor, patch: int) -> None:
    """Raise ValueError unless whole patches of patch × patch pixels fill images (…, H, W)."""
    height, width = images.shape[-2:]
    if height % patch or width % patch or not height or not width:
        raise ValueError(
            f"{name}: got {height} × {width} pixels, expected multiples of {patch}, the side of a patch"
        )


def cut(images: torch.Tensor, patch: int) -> torch.Tensor:
    """images (B, C, H, W) → their patches row by row, (B, N, C·p²).

    Raises ValueError for sides that p does not divide."""
    require_divisible("images", images, patch)
    return rearrange(images, "b c (y i) (x j) -> b (y x) (c i j)", i=patch, j=patch)


def patch_embedding(channels: int, d_model: int, patch: int) -> nn.Conv2d:
    """One linear layer for every patch, as a convolution: (B, C, H, W) → (B, d, H/p, W/p)."""
    return nn.Conv2d(channels, d_model, patch, stride=patch)


def convolutional_stem(channels: int, d_model: int, patch: int) -> nn.Sequential:
    """The same shapes by 3×3 convolutions with stride 2, each with twice the channels, and a 1×1 at the end.

    Raises ValueError for a p that is no power of two, or a d that p does not divide.
    Source: Xiao et al. 2021, section 4; with GELU for ReLU.
    """
    steps = patch.bit_length() - 1
    if patch < 2 or patch != 2**steps or d_model % patch:
        raise ValueError(
            f"patch, d_model: got {patch} and {d_model}, expected a power of two and a multiple of it"
        )
    stem, width = nn.Sequential(), channels
    for step in reversed(range(steps)):
        stem.append(nn.Conv2d(width, d_model >> step, 3, 2, padding=1, bias=False))
        width = d_model >> step
        stem.extend([nn.BatchNorm2d(width), nn.GELU()])
    return stem.append(nn.Conv2d(width, d_model, 1))


def resize_positions(
    positions: torch.Tensor, before: tuple[int, int], after: tuple[int, int]
) -> torch.Tensor:
    """Positions (H·W, d) of a grid of `before` = (H, W) patches, as a picture with d channels made as large as `after`.

    Bicubic, with a low pass when it gets smaller. Source: Dosovitskiy et al. 2021, 3.2; Darcet et al. 2024 for the how.
    """
    if before == after:
        return positions
    picture = rearrange(positions, "(y x) d -> 1 d y x", y=before[0])
    picture = F.interpolate(picture, after, mode="bicubic", antialias=True)
    return rearrange(picture, "1 d y x -> (y x) d")


# ---------------------------------------------------------------------------------------------------------------------
# The model
# ---------------------------------------------------------------------------------------------------------------------


class LayerScale(nn.Module):
    """One learned factor for each of d numbers, small at the start. Source: Touvron et al. 2021b, 2.1."""

    def __init__(self, d_model: int, start: float):
        super().__init__()
        self.factor = nn.Parameter(torch.full((d_model,), start))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (…, d) → (…, d)."""
        return x * self.factor


class ViT(nn.Module):
    """Image in, logits out: patches, class token, positions, encoder, one linear layer.

    size: the side in pixels of the square images whose grid of patches the positions
    are learned for; any other multiple of `patch` has them interpolated.
    classes: None leaves the last layer out, and logits are the class token's state.
    registers: further learned tokens without a position (Darcet et al. 2024).
    layer_scale: the factors' start, if what each sub-layer adds is to be scaled.
    embed: makes the layer (B, C, H, W) → (B, d, H/p, W/p) from (channels, d_model, p).
    mean, deviation: of the pixels, one number for each channel or for all.
    Raises ValueError for a size that `patch` does not divide.
    Source: Dosovitskiy et al. 2021, eq. 1 to 4; pre-LN and GELU, eps 1e-6 as there.
    """

    def __init__(
        self,
        size: int = 224,
        patch: int = 16,
        channels: int = 3,
        d_model: int = 768,
        num_heads: int = 12,
        num_layers: int = 12,
        classes: int | None = 1000,
        d_ff: int | None = None,
        dropout: float = 0.0,
        registers: int = 0,
        layer_scale: float | None = None,
        embed: Callable[[int, int, int], nn.Module] = patch_embedding,
        mean: Sequence[float] = (0.5,),
        deviation: Sequence[float] = (0.5,),
    ):
        super().__init__()
        if patch < 1 or size < patch or size % patch:
            raise ValueError(
                f"size: got {size}, expected a multiple of patch = {patch}"
            )
        self.size, self.patch, self.channels = size, patch, channels
        side = size // patch
        self.embed = embed(channels, d_model, patch)
        self.class_token = nn.Parameter(torch.randn(d_model) * 0.02)
        self.registers = nn.Parameter(torch.randn(registers, d_model) * 0.02)
        self.positions = nn.Parameter(torch.randn(1 + side**2, d_model) * 0.02)
        self.dropout = nn.Dropout(dropout)
        self.encoder = TransformerEncoder(
            d_model,
            num_heads,
            d_ff or 4 * d_model,
            num_layers,
            dropout=dropout,
            norm_first=True,
            activation=F.gelu,
            eps=1e-6,
        )
        if layer_scale is not None:
            for layer in self.encoder.layers:  # what a sub-layer ends in, then scaled
                for part, name in (
                    (layer.attention, "output"),
                    (layer.feed_forward, "outer"),
                ):
                    scale = LayerScale(d_model, layer_scale)
                    setattr(part, name, nn.Sequential(getattr(part, name), scale))
        self.classify = nn.Linear(d_model, classes) if classes else nn.Identity()
        for name, values in (("mean", mean), ("deviation", deviation)):
            by_channel = rearrange(torch.tensor(values), "c -> c 1 1")
            self.register_buffer(name, by_channel, persistent=False)

    @property
    def prefix(self) -> int:
        """How many tokens come before the patches: the class token and the registers."""
        return 1 + len(self.registers)

    def grid(self, images: torch.Tensor) -> tuple[int, int]:
        """How many patches images (…, H, W) have from top to bottom and from left to right."""
        return images.shape[-2] // self.patch, images.shape[-1] // self.patch

    def tokens(self, images: torch.Tensor) -> torch.Tensor:
        """images (B, C, H, W) → the encoder's input (B, T, d).

        Raises ValueError for other channels, integers, NaN, pixels outside of 0 to 1,
        and sides that `patch` does not divide.
        """
        require_pixels("images", images, self.channels)
        require_divisible("images", images, self.patch)
        patches = self.embed((images - self.mean) / self.deviation)  # (B, d, H/p, W/p)
        patches = rearrange(patches, "b d y x -> b (y x) d")
        side = self.size // self.patch
        places = resize_positions(self.positions[1:], (side, side), self.grid(images))
        first = torch.cat([self.class_token + self.positions[:1], self.registers])
        first = first.expand(len(images), -1, -1)  # (B, 1 + R, d)
        return self.dropout(torch.cat([first, patches + places], dim=1))

    def encode(self, images: torch.Tensor, need_weights: bool = False) -> tuple:
        """images (B, C, H, W) → states (B, T, d) after the last norm, and for each layer
        its weights (B, h, T, T) or None. Raises as `tokens` does."""
        return self.encoder(self.tokens(images), need_weights=need_weights)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images (B, C, H, W) → logits (B, classes). Raises as `tokens` does."""
        states, _ = self.encode(images)
        return self.classify(states[:, 0])


def vit(name: str, **options) -> ViT:
    """ViT by its size and patch, such as "B/16"; options as of `ViT`. Raises ValueError for another name."""
    size, _, patch = name.partition("/")
    if size not in SIZES or not patch.isdecimal():
        raise ValueError(
            f"name: got {name!r}, expected one of {', '.join(SIZES)} and a patch, such as 'B/16'"
        )
    d_model, heads, layers = SIZES[size]
    return ViT(
        patch=int(patch),
        d_model=d_model,
        num_heads=heads,
        num_layers=layers,
        **options,
    )


@torch.no_grad()
def attention_maps(model: ViT, images: torch.Tensor) -> torch.Tensor:
    """images (B, C, H, W) → all weights (B, layers, h, T, T): row t is where token t looks; each row sums to 1.

    The model is in evaluation mode then. Raises ValueError as `ViT.tokens` does.
    """
    _, weights = model.eval().encode(images, need_weights=True)
    return torch.stack(weights, dim=1)


# ---------------------------------------------------------------------------------------------------------------------
# What to look at
# ---------------------------------------------------------------------------------------------------------------------


def attention_distance(
    maps: torch.Tensor, prefix: int, grid: tuple[int, int]
) -> torch.Tensor:
    """How far patches look: maps (…, T, T), weights → (…), the mean distance in patches, weighed with the weights.

    Counted is what the patches of a grid of (rows, columns) give to patches, not to the `prefix` tokens before them.
    Raises ValueError for maps of another size. Source: Dosovitskiy et al. 2021, section 4.5.
    """
    tokens = prefix + grid[0] * grid[1]
    require_shape("maps", maps, (*maps.shape[:-2], tokens, tokens))
    among = maps[..., prefix:, prefix:]
    among = among / among.sum(dim=-1, keepdim=True)
    places = torch.cartesian_prod(torch.arange(grid[0]), torch.arange(grid[1]))
    places = places.to(maps.dtype)
    distance = torch.cdist(places, places)  # (N, N)
    return (among * distance).sum(dim=-1).mean(dim=-1)


@torch.no_grad()
def position_similarity(model: ViT) -> torch.Tensor:
    """Cosine of every two learned positions, (rows, columns, rows, columns). Source: Dosovitskiy et al. 2021, 4.5."""
    unit = F.normalize(model.positions[1:], dim=-1)
    side = model.size // model.patch
    return (unit @ unit.mT).view(side, side, side, side)


def principal_colours(states: torch.Tensor) -> torch.Tensor:
    """The three directions in which states (N, d) differ most, as red, green, blue: (N, 3), each from 0 to 1.

    Values beyond the 2nd and the 98th percentile are cut off. Source: Oquab et al. 2024, figure 1.
    """
    require_shape("states", states, ("N", "d"))
    centred = states - states.mean(dim=0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    parts = centred @ directions[:3].mT  # (N, 3)
    low, high = parts.quantile(torch.tensor([0.02, 0.98]).to(parts), dim=0)
    return ((parts - low) / (high - low)).clamp(0, 1)


def rearranged(images: torch.Tensor, patch: int, order: torch.Tensor) -> torch.Tensor:
    """Images (B, C, H, W) with their patches in another order: place n shows patch order[n], order (N,)."""
    pieces = cut(images, patch)[:, order]
    return rearrange(
        pieces,
        "b (y x) (c i j) -> b c (y i) (x j)",
        x=images.shape[-1] // patch,
        i=patch,
        j=patch,
    )
