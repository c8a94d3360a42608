"""ResNet-26, 38 and 50 with places for other layers, and a counter of parameters and FLOPs.

Shapes: B images in a batch, maps (B, C, H, W) with C channels. Three places are open, each to a function that makes a
module, so that a variant is said in one line: the stem, the 3×3 layer within a block, the attention at a block's end.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from helpers.validation import require_choice, require_finite, require_shape

BLOCKS = {26: (1, 2, 4, 1), 38: (2, 3, 5, 2), 50: (3, 4, 6, 3)}
EXPANSION = 4  # a block's output has so many times the channels of its 3×3 layer
LARGEST_VALUE = 20.0  # of an image that was scaled; one in 0 to 255 was not

# ---------------------------------------------------------------------------------------------------------------------
# What comes in
# ---------------------------------------------------------------------------------------------------------------------


def require_maps(name: str, maps: torch.Tensor, channels: int) -> None:
    """Raise ValueError unless `maps` is (B, channels, H, W), of floats and without NaN or infinity.

    Maps on the meta device have no values to look at: what is counted there passes.
    """
    require_shape(name, maps, ("B", channels, "H", "W"))
    if not maps.is_floating_point():
        raise ValueError(f"{name}: got {maps.dtype}, expected floating-point numbers")
    if not maps.is_meta:
        require_finite(name, maps)


def require_images(name: str, images: torch.Tensor, channels: int) -> None:
    """The same for images, which must also be scaled: to 0 to 1, or to mean 0 and variance 1, not 0 to 255."""
    require_maps(name, images, channels)
    if not images.is_meta and (largest := images.abs().max().item()) > LARGEST_VALUE:
        raise ValueError(
            f"{name}: got a value of size {largest:.3g}, expected pixels scaled to 0 to 1, "
            "or to mean 0 and variance 1"
        )


def require_pixels(name: str, images: torch.Tensor, channels: int) -> None:
    """The same for images that are still as a photo is: pixels from 0 to 1."""
    require_maps(name, images, channels)
    if not images.is_meta and (images.min() < 0 or images.max() > 1):
        least, greatest = images.min().item(), images.max().item()
        raise ValueError(
            f"{name}: got values from {least:.3g} to {greatest:.3g}, expected 0 to 1"
        )


# ---------------------------------------------------------------------------------------------------------------------
# The network
# ---------------------------------------------------------------------------------------------------------------------


def convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps height and width (or divides them by the stride), without bias.

    BatchNorm, which follows, would take a bias away. Start: He et al. 2015, by the outputs.
    """
    layer = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


class ConvolutionStem(nn.Sequential):
    """7×7 convolution and 3×3 maximum, each with stride 2: (B, channels, H, W) → (B, width, H/4, W/4)."""

    def __init__(self, channels: int, width: int, activation=nn.ReLU):
        super().__init__(
            convolution(channels, width, 7, stride=2),
            nn.BatchNorm2d(width),
            activation(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )


class SmallStem(nn.Sequential):
    """One 3×3 convolution for small images: (B, channels, H, W) → (B, width, H, W). Source: He et al. 2016, 4.2."""

    def __init__(self, channels: int, width: int, activation=nn.ReLU):
        super().__init__(
            convolution(channels, width, 3), nn.BatchNorm2d(width), activation()
        )


class Bottleneck(nn.Module):
    """1×1 down to `width` channels, 3×3, 1×1 up to 4 · width, attention, and what came in added.

    spatial: makes the layer in the 3×3's place from (width, stride);
    attention: makes what acts on the branch's 4 · width channels before the sum.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int = 1,
        spatial: Callable[[int, int], nn.Module] | None = None,
        attention: Callable[[int], nn.Module] | None = None,
        activation: Callable[[], nn.Module] = nn.ReLU,
        stride_first: bool = False,
    ):
        super().__init__()
        outputs = EXPANSION * width
        first, second = (stride, 1) if stride_first else (1, stride)
        self.down = convolution(inputs, width, 1, first)
        self.down_norm = nn.BatchNorm2d(width)
        self.spatial = (
            spatial(width, second) if spatial else convolution(width, width, 3, second)
        )
        self.spatial_norm = nn.BatchNorm2d(width)
        self.up = convolution(width, outputs, 1)
        self.up_norm = nn.BatchNorm2d(outputs)
        self.attention = attention(outputs) if attention else nn.Identity()
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
            )
        self.activation = activation()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, inputs, H, W) → (B, 4 · width, H / stride, W / stride)."""
        branch = self.activation(self.down_norm(self.down(x)))
        branch = self.activation(self.spatial_norm(self.spatial(branch)))
        branch = self.attention(self.up_norm(self.up(branch)))
        return self.activation(branch + self.shortcut(x))


class ResNet(nn.Module):
    """Stem, stages of bottleneck blocks, mean over the places, one linear layer.

    blocks: how many a stage; each stage after the first halves height and width
    and doubles the channels. width: channels of the stem and of the first 3×3s.
    spatial(width, stride), attention(channels) and stem(channels, width) make other
    modules for these places. stride_first: a stage's stride in its first 1×1, as in
    the paper, not in the 3×3, as in most libraries since.
    Raises ValueError for blocks, width, classes or channels below 1.
    Source: He et al. 2016, table 1; blocks of ResNet-26 and 38: Ramachandran et al.
    2019, 4.1.
    """

    def __init__(
        self,
        blocks: Sequence[int] = BLOCKS[50],
        classes: int = 1000,
        channels: int = 3,
        width: int = 64,
        *,
        spatial: Callable[[int, int], nn.Module] | None = None,
        attention: Callable[[int], nn.Module] | None = None,
        stem: Callable[[int, int], nn.Module] | None = None,
        activation: Callable[[], nn.Module] = nn.ReLU,
        stride_first: bool = False,
    ):
        super().__init__()
        least = min(blocks, default=0)
        for name, got in (
            ("blocks", least),
            ("classes", classes),
            ("channels", channels),
            ("width", width),
        ):
            if got < 1:
                got = tuple(blocks) if name == "blocks" else got
                raise ValueError(f"{name}: got {got}, expected at least 1")
        self.channels = channels
        if stem is None:
            self.stem = ConvolutionStem(channels, width, activation)
        else:
            self.stem = stem(channels, width)
        self.stages = nn.Sequential()
        inputs = width
        for stage, count in enumerate(blocks):
            layers = nn.Sequential()
            for block in range(count):
                stride = 2 if stage and not block else 1
                layers.append(
                    Bottleneck(
                        inputs,
                        width * 2**stage,
                        stride,
                        spatial,
                        attention,
                        activation,
                        stride_first,
                    )
                )
                inputs = EXPANSION * width * 2**stage
            self.stages.append(layers)
        self.classify = nn.Linear(inputs, classes)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """images (B, channels, H, W) → the last stage's maps, (B, C, H/32, W/32) with the usual stem.

        Raises ValueError for other channels, integers, NaN, and pixels in 0 to 255.
        """
        require_images("images", images, self.channels)
        return self.stages(self.stem(images))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images (B, channels, H, W) → logits (B, classes)."""
        return self.classify(self.features(images).mean(dim=(2, 3)))


def resnet(depth: int, **options) -> ResNet:
    """ResNet-26, 38 or 50 by name; options as of `ResNet`. Raises ValueError for another depth."""
    require_choice("depth", depth, BLOCKS)
    return ResNet(BLOCKS[depth], **options)


# ---------------------------------------------------------------------------------------------------------------------
# Counting
# ---------------------------------------------------------------------------------------------------------------------


def count_parameters(model: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _multiply_adds(module: nn.Module, inputs: tuple, output) -> int | None:
    if hasattr(module, "multiply_adds"):
        return module.multiply_adds(*inputs)
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
        return output.numel() * module.weight[0].numel()  # a dot product each
    return None


@torch.no_grad()
def count_flops(
    model: nn.Module, shape: Sequence[int] = (3, 224, 224)
) -> dict[str, int]:
    """FLOPs of one input of this shape, module by module: name → FLOPs; their sum is the model's.

    A multiplication and the addition that goes with it are 2. Counted are convolutions
    and linear layers, each time they run, and modules that say for themselves what
    their forward multiplies outside of such layers: `multiply_adds(*inputs)` → int.
    Sums, norms, activations and biases are not counted, as in
    `torch.utils.flop_counter`. A model made under `torch.device("meta")` is counted
    without computing anything.
    """
    flops: dict[str, int] = {}

    def watch(name):
        def hook(module, inputs, output):
            if (got := _multiply_adds(module, inputs, output)) is not None:
                flops[name] = flops.get(name, 0) + 2 * got

        return hook

    hooks = [m.register_forward_hook(watch(name)) for name, m in model.named_modules()]
    training = model.training
    parameter = next(model.parameters(), torch.zeros(()))
    model.eval()
    try:
        with parameter.device:  # so that what the forward makes is there, too
            model(torch.zeros(1, *shape, dtype=parameter.dtype))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return flops
