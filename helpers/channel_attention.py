"""Attention over channels: squeeze-and-excitation, gather-excite, ECA, and CBAM, which looks at places as well.

Shapes: maps x (B, C, H, W). Each module computes weights from x, between 0 and 1, and scales: x ⊙ weights(x), where one
weight stands for a whole channel, or for a place. Channels are not mixed: the product is no dot product, and the
weights, each from its own sigmoid, do not sum to 1. All take the number of channels first, as `ResNet` hands it over:
`resnet(50, attention=SqueezeExcitation)`.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from einops import rearrange, reduce
from torch import nn
from torch.nn import functional as F

from helpers.resnet import require_maps

# ---------------------------------------------------------------------------------------------------------------------
# What they share
# ---------------------------------------------------------------------------------------------------------------------


class Scaling(nn.Module):
    """x (B, C, H, W) → x ⊙ weights(x). The sigmoid is a module, `gate`: a hook on it sees the weights.

    Raises ValueError for channels < 1, and for maps with other channels, of integers, or with NaN.
    """

    def __init__(self, channels: int):
        super().__init__()
        if channels < 1:
            raise ValueError(f"channels: got {channels}, expected at least 1")
        self.channels = channels
        self.gate = nn.Sigmoid()

    def weights(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, C, H, W) → what broadcasts to it."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        require_maps("x", x, self.channels)
        return x * self.weights(x)


def _hidden(channels: int, reduction: int) -> int:
    if not 1 <= reduction <= channels:
        raise ValueError(
            f"reduction: got {reduction}, expected 1 to {channels}, the number of channels"
        )
    return channels // reduction


@contextmanager
def gates(
    model: nn.Module,
    change: Callable[[str, torch.Tensor], torch.Tensor] | None = None,
) -> Iterator[dict[str, torch.Tensor]]:
    """Within it, a forward of the model leaves in the dict what its gates say: name of the module → weights.

    (B, C) from squeeze-and-excitation, ECA and CBAM's channels, (B, 1, H, W) from CBAM's places, (B, C, h, w) from
    gather-excite. change: gets name and weights, returns those to go on with, so that channels can be switched by hand.
    """
    seen: dict[str, torch.Tensor] = {}

    def watch(name):
        def hook(gate, inputs, weights):
            seen[name] = weights.detach()
            return None if change is None else change(name, weights)

        return hook

    hooks = [
        module.gate.register_forward_hook(watch(name))
        for name, module in model.named_modules()
        if isinstance(module, Scaling)
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


# ---------------------------------------------------------------------------------------------------------------------
# Squeeze-and-excitation
# ---------------------------------------------------------------------------------------------------------------------


class SqueezeExcitation(Scaling):
    """A weight for each channel from the means of all: squeeze, excitation, scale.

    z_c = mean of x_c over all places;  s = σ(W₂ ReLU(W₁ z));  output x_c · s_c
    W₁ (C/r, C), W₂ (C, C/r), r = reduction. Without biases: 28.07 M parameters for
    ResNet-50, as the paper's released models have 28.1 M.
    Raises ValueError for a reduction below 1 or above C.
    Source: Hu et al. 2018, eq. 2 to 4.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        bias: bool = False,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ):
        super().__init__(channels)
        hidden = _hidden(channels, reduction)
        self.excitation = nn.Sequential(
            nn.Linear(channels, hidden, bias),  # W₁
            activation(),
            nn.Linear(hidden, channels, bias),  # W₂
        )

    def weights(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, C, H, W) → (B, C, 1, 1)."""
        z = reduce(x, "b c y x -> b c", "mean")
        return rearrange(self.gate(self.excitation(z)), "b c -> b c 1 1")


# ---------------------------------------------------------------------------------------------------------------------
# Gather-excite
# ---------------------------------------------------------------------------------------------------------------------


class GatherExcite(Scaling):
    """Weights for regions: gather a map over a neighbourhood, give each place its region's weight.

    Gathered is at every e-th place, e = extent, over the 2e − 1 places around it in
    each direction, or over the whole map (extent None); each channel by itself:
    - learned=False: by the mean. With reduction None nothing at all is learned.
    - learned=True: by log₂ e depthwise 3×3 convolutions with stride 2, or, over the
      whole map, by one depthwise convolution of its size, which then is fixed.
    reduction: then two 1×1 convolutions across channels, as in squeeze-and-excitation,
    which is the case of the mean over the whole map.
    Raises ValueError for an extent that is not a power of 2 from 2 on, a learned
    gather over the whole map without size, a reduction below 1 or above C, and maps
    of another size than a learned gather over the whole map was made for.
    Source: Hu et al. 2018 (gather-excite): GE-θ⁻, GE-θ and, with reduction, GE-θ⁺.
    """

    def __init__(
        self,
        channels: int,
        extent: int | None = None,
        learned: bool = False,
        size: int | None = None,
        reduction: int | None = None,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ):
        super().__init__(channels)
        if extent is not None and (extent < 2 or extent & (extent - 1)):
            raise ValueError(
                f"extent: got {extent}, expected 2, 4, 8, … or None for the whole map"
            )
        if learned and extent is None and (size is None or size < 1):
            raise ValueError(
                f"size: got {size}, expected height = width of the maps, at least 1, "
                "for a learned gather over the whole map"
            )
        self.size = size if learned and extent is None else None
        if not learned and extent is None:
            self.gather = nn.AdaptiveAvgPool2d(1)
        elif not learned:
            self.gather = nn.AvgPool2d(
                2 * extent - 1, extent, padding=extent - 1, count_include_pad=False
            )
        elif extent is None:
            self.gather = nn.Sequential(
                nn.Conv2d(channels, channels, size, groups=channels, bias=False),
                nn.BatchNorm2d(channels),
            )
        else:
            self.gather = nn.Sequential()
            for step in range(int(math.log2(extent))):
                if step:
                    self.gather.append(activation())
                self.gather.append(
                    nn.Conv2d(channels, channels, 3, 2, 1, groups=channels, bias=False)
                )
                self.gather.append(nn.BatchNorm2d(channels))
        self.excite = nn.Identity()
        if reduction is not None:
            hidden = _hidden(channels, reduction)
            self.excite = nn.Sequential(
                nn.Conv2d(channels, hidden, 1, bias=False),
                activation(),
                nn.Conv2d(hidden, channels, 1, bias=False),
            )

    def weights(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, C, H, W) → (B, C, H, W): the nearest region's weight at each place."""
        height, width = x.shape[-2:]
        if self.size is not None and (height, width) != (self.size, self.size):
            raise ValueError(
                f"x: got maps of {height} × {width}, expected {self.size} × {self.size}, "
                "for which the gather was made"
            )
        regions = self.gate(self.excite(self.gather(x)))  # (B, C, ⌈H/e⌉, ⌈W/e⌉)
        return F.interpolate(regions, (height, width), mode="nearest")


# ---------------------------------------------------------------------------------------------------------------------
# ECA: efficient channel attention
# ---------------------------------------------------------------------------------------------------------------------

RELEASED_KERNELS = {256: 3, 512: 5, 1024: 5, 2048: 7}  # of the authors' ResNet-50


def eca_kernel_size(channels: int, gamma: float = 2, b: float = 1) -> int:
    """How many neighbouring channels weigh one: log₂(C)/γ + b/γ, cut to an integer, the next odd number.

    Raises ValueError for channels < 1. Source: Wang et al. 2020, eq. 12, and the authors' code for the rounding.
    """
    if channels < 1:
        raise ValueError(f"channels: got {channels}, expected at least 1")
    size = int(abs((math.log2(channels) + b) / gamma))
    return size if size % 2 else size + 1


class EfficientChannelAttention(Scaling):
    """A weight for each channel from its own mean and those of its k − 1 neighbours: k parameters in all.

    s = σ(convolution of z along the channels). kernel_size: `eca_kernel_size` unless
    given. Channels of a CNN have no order of their own: what neighbours are to each
    other, the layers before learn. Raises ValueError for an even or negative kernel.
    Source: Wang et al. 2020, eq. 9.
    """

    def __init__(self, channels: int, kernel_size: int | None = None):
        super().__init__(channels)
        size = eca_kernel_size(channels) if kernel_size is None else kernel_size
        if size < 1 or size % 2 == 0:
            raise ValueError(
                f"kernel_size: got {size}, expected an odd number from 1 on"
            )
        self.neighbours = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def weights(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, C, H, W) → (B, C, 1, 1)."""
        z = reduce(x, "b c y x -> b 1 c", "mean")  # the channels as a line
        s = self.gate(self.neighbours(z)[:, 0])  # (B, C)
        return rearrange(s, "b c -> b c 1 1")


# ---------------------------------------------------------------------------------------------------------------------
# CBAM: first which channels, then which places
# ---------------------------------------------------------------------------------------------------------------------


class ChannelGate(Scaling):
    """A weight for each channel from the means and the maxima: s = σ(MLP(mean) + MLP(max)), one MLP for both.

    Raises ValueError for a reduction below 1 or above C.
    Source: Woo et al. 2018, eq. 2; biases as in the authors' code.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ):
        super().__init__(channels)
        hidden = _hidden(channels, reduction)
        self.mlp = nn.Sequential(
            nn.Linear(channels, hidden), activation(), nn.Linear(hidden, channels)
        )

    def weights(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, C, H, W) → (B, C, 1, 1)."""
        mean = reduce(x, "b c y x -> b c", "mean")
        largest = reduce(x, "b c y x -> b c", "max")
        s = self.gate(self.mlp(mean) + self.mlp(largest))
        return rearrange(s, "b c -> b c 1 1")


class SpatialGate(Scaling):
    """A weight for each place, the same for all channels, from their maximum and mean there, by one convolution.

    Raises ValueError for an even kernel. Source: Woo et al. 2018, eq. 3; BatchNorm as in the authors' code.
    """

    def __init__(self, channels: int, kernel_size: int = 7):
        super().__init__(channels)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size: got {kernel_size}, expected an odd number from 1 on"
            )
        self.convolution = nn.Conv2d(
            2, 1, kernel_size, padding=kernel_size // 2, bias=False
        )
        self.norm = nn.BatchNorm2d(1)

    def weights(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, C, H, W) → (B, 1, H, W)."""
        largest = reduce(x, "b c y x -> b 1 y x", "max")
        mean = reduce(x, "b c y x -> b 1 y x", "mean")
        both = torch.cat([largest, mean], dim=1)  # (B, 2, H, W)
        return self.gate(self.norm(self.convolution(both)))


class CBAM(nn.Sequential):
    """Channels first, then places, of what the channels' weights have left: (B, C, H, W) → (B, C, H, W).

    Raises ValueError for a reduction below 1 or above C, and an even kernel. Source: Woo et al. 2018, eq. 1.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        kernel_size: int = 7,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ):
        super().__init__()
        self.channel = ChannelGate(channels, reduction, activation)
        self.spatial = SpatialGate(channels, kernel_size)
