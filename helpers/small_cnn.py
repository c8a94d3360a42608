"""A small network for photos of clothes, with a place for attention after each of its three convolutions.

Shapes: B photos (B, 28, 28) with pixels from 0 to 1; maps (B, 16, 14, 14), (B, 32, 14, 14) and (B, 64, 7, 7).
"""

import json
from collections.abc import Callable
from functools import partial

import torch
from einops import rearrange, reduce
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from helpers.channel_attention import (
    CBAM,
    EfficientChannelAttention,
    GatherExcite,
    SqueezeExcitation,
)
from helpers.data import CLOTHES
from helpers.resnet import convolution, require_images
from helpers.training import RECORDED
from helpers.validation import require_choice

WIDTHS, STRIDES = (16, 32, 64), (2, 1, 2)

KINDS: dict[str, Callable[[int], nn.Module]] = {
    "plain": nn.Identity,
    "SE": partial(SqueezeExcitation, reduction=4, activation=nn.GELU),
    "GE": GatherExcite,
    "GE learned": partial(GatherExcite, extent=4, learned=True, activation=nn.GELU),
    "ECA": EfficientChannelAttention,
    "CBAM": partial(CBAM, reduction=4, activation=nn.GELU),
}


class SmallCNN(nn.Module):
    """Three times convolution, BatchNorm, GELU and attention; the mean over the places; one linear layer.

    attention: makes the module of a stage from its channels. It comes last in a stage,
    so that the third one scales what the mean is taken of. All other weights are drawn
    first: with one seed they are the same, whatever the attention.
    widths, strides: of the three stages. Raises ValueError for widths that are not three.
    """

    def __init__(
        self, attention: Callable[[int], nn.Module], widths=WIDTHS, strides=STRIDES
    ):
        super().__init__()
        if len(widths) != len(strides):
            raise ValueError(f"widths: got {len(widths)}, expected {len(strides)}")
        self.stages = nn.ModuleList()
        for inputs, width, stride in zip((1, *widths), widths, strides):  # noqa: B905
            self.stages.append(
                nn.Sequential(
                    convolution(inputs, width, 3, stride),
                    nn.BatchNorm2d(width),
                    nn.GELU(),
                )
            )
        self.classify = nn.Linear(widths[-1], len(CLOTHES))
        self.attention = nn.ModuleList(attention(width) for width in widths)

    def maps(self, photos: torch.Tensor, stage: int = 2) -> torch.Tensor:
        """photos (B, 28, 28) → what this stage, 0 to 2, gives to its attention: (B, C, H, W).

        Raises ValueError for other shapes, NaN, and pixels that are not scaled to 0 to 1.
        """
        x = rearrange(photos, "... y x -> ... 1 y x")
        require_images("photos", x, 1)
        for before, attend in zip(
            self.stages[:stage], self.attention[:stage], strict=True
        ):
            x = attend(before(x))
        return self.stages[stage](x)

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        """photos (B, 28, 28) → logits (B, 10), which number `CLOTHES`."""
        x = self.attention[-1](self.maps(photos))
        return self.classify(reduce(x, "b c y x -> b c", "mean"))


def build(kind: str, seed: int) -> SmallCNN:
    """A network of one of `KINDS`, with the weights of this seed. Raises ValueError for another kind."""
    require_choice("kind", kind, KINDS)
    torch.manual_seed(seed)
    return SmallCNN(KINDS[kind])


def batch_loss(model: nn.Module, photos: torch.Tensor, classes: torch.Tensor, size=32):
    """What `fit` asks for: a function that draws a batch and returns its mean cross-entropy."""

    def loss(generator: torch.Generator) -> torch.Tensor:
        rows = torch.randint(len(photos), (size,), generator=generator)
        return F.cross_entropy(model(photos[rows]), classes[rows])

    return loss


@torch.no_grad()
def predict(model: nn.Module, photos: torch.Tensor) -> torch.Tensor:
    """Logits (N, 10) of many photos (N, 28, 28), in parts; the model is in evaluation mode then."""
    model.eval()
    return torch.cat([model(part) for part in photos.split(500)])


def accuracy(model: nn.Module, photos: torch.Tensor, classes: torch.Tensor) -> float:
    """Share of the photos whose class gets the greatest logit."""
    return (predict(model, photos).argmax(dim=1) == classes).double().mean().item()


def recorded() -> dict:
    """What experiments/channel_attention.py wrote down."""
    return json.loads((RECORDED / "channel_attention.json").read_text())


def load(kind: str) -> SmallCNN:
    """The network of `kind` with the weights that the recorded run with seed 0 ended with."""
    model = build(kind, 0).float()
    name = f"channel_attention_{kind.lower().replace(' ', '_')}.safetensors"
    model.load_state_dict(load_file(RECORDED / name))
    return model.eval()


def tail(model: SmallCNN) -> dict[str, torch.Tensor]:
    """The numbers of all that follows the second attention of an SE network, BatchNorm drawn into the convolution."""
    convolve, norm, _ = model.stages[2]
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()  # (64,)
    excitation = model.attention[2].excitation
    return {
        "kernel": convolve.weight * scale[:, None, None, None],
        "bias": norm.bias - norm.running_mean * scale,
        "W_1": excitation[0].weight,
        "W_2": excitation[2].weight,
        "W": model.classify.weight,
        "b": model.classify.bias,
    }
