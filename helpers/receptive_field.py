"""How far a unit of a convolutional network could see, and how far it does.

Shapes: B images in a batch, maps (B, C, H, W) with C channels. A field is (H, W), one number for each pixel.
"""

from collections.abc import Callable, Sequence

import torch
from einops import rearrange, reduce
from torch import nn
from torch.nn import functional as F

from helpers.data import digits
from helpers.resnet import require_maps
from helpers.training import RECORDED, read_part
from helpers.validation import require_choice, require_finite, require_shape
from helpers.visual_attention import require_batch, run_to_layer


def theoretical_receptive_field(
    kernel_sizes: Sequence[int], strides: Sequence[int] | None = None
) -> int:
    """How many pixels wide the part of the image is that can change one unit: 1 + Σ_l (k_l − 1) Π_{i<l} s_i.

    strides: all 1 if left out. Raises ValueError for a number below 1 and for lists of different lengths.
    """
    strides = [1] * len(kernel_sizes) if strides is None else list(strides)
    if len(strides) != len(kernel_sizes):
        raise ValueError(
            f"strides: got {len(strides)}, expected {len(kernel_sizes)}, one for each kernel size"
        )
    for name, numbers in (("kernel_sizes", kernel_sizes), ("strides", strides)):
        if any(number < 1 for number in numbers):
            raise ValueError(
                f"{name}: got {list(numbers)}, expected each to be at least 1"
            )
    width, step = 1, 1  # step: pixels from a unit to the next
    for size, stride in zip(kernel_sizes, strides, strict=True):
        width += (size - 1) * step
        step *= stride
    return width


class ConvStack(nn.Module):
    """n convolutions, one on the other, which keep height and width: (B, inputs, H, W) → (B, channels, H, W).

    weights: "uniform", each an average over all it sees, or "random", drawn from a normal distribution so that the
    numbers keep their size. activation: None for a linear stack. residual: each layer but the first adds what it
    computes, divided by √n, to what it got, so that 40 of them can be trained.
    Raises ValueError for fewer than one layer, an even kernel size, other weights, and images of other channels.
    """

    def __init__(
        self,
        num_layers: int,
        channels: int = 1,
        inputs: int = 1,
        weights: str = "random",
        kernel_size: int = 3,
        activation: Callable | None = None,
        residual: bool = False,
    ):
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers: got {num_layers}, expected at least 1")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size: got {kernel_size}, expected an odd number, so that there is a middle"
            )
        require_choice("weights", weights, ("uniform", "random"))
        self.layers = nn.ModuleList(
            nn.Conv2d(
                inputs if i == 0 else channels,
                channels,
                kernel_size,
                padding=kernel_size // 2,
                bias=False,
            )
            for i in range(num_layers)
        )
        self.activation = activation
        self.scale = num_layers**-0.5 if residual else None
        for layer in self.layers:
            if weights == "uniform":
                nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
            else:
                kind = "linear" if activation is None else "relu"
                nn.init.kaiming_normal_(layer.weight, nonlinearity=kind)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, inputs, H, W) → (B, channels, H, W)."""
        require_maps("x", x, self.layers[0].in_channels)
        for i, layer in enumerate(self.layers):
            new = layer(x)
            if self.activation is not None:
                new = self.activation(new)
            x = x + self.scale * new if self.scale and i else new
        return x


@torch.enable_grad()
def effective_receptive_field(
    network: nn.Module, images: torch.Tensor, layer: str = ""
) -> torch.Tensor:
    """How much each pixel changes the middle unit of a layer: images (B, C, H, W) → field (H, W), which sums to 1.

    It is the size of the gradient of that unit, summed over the unit's channels, then, without signs, over the image's
    channels, and averaged over the images. layer: its name in `network.named_modules()`; the network's output if left
    out. The network is evaluated as it would be after `eval()`, and left as it was.
    Raises ValueError for images that the network does not take, a name that it does not have, a layer whose output is
    not (B, C, H, W), and a gradient that is 0 everywhere.
    Source: Luo et al. 2016, section 3.
    """
    field = torch.zeros(require_batch(images).shape[2:], dtype=images.dtype)
    for image in images.detach():  # one by one: a gradient needs much memory
        image = image[None].requires_grad_()
        maps, _ = run_to_layer(network, image, layer, lambda output: output)
        middle = maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2]  # (1, C)
        (gradient,) = torch.autograd.grad(middle.sum(), image)
        require_finite("gradient of the middle unit", gradient)
        field += reduce(gradient.abs(), "1 c y x -> y x", "sum")
    if not field.any():
        raise ValueError(
            "network: got a gradient of 0 everywhere, expected a unit that some pixel changes"
        )
    return field / field.sum()


def spread(field: torch.Tensor) -> float:
    """σ in pixels: the standard deviation of a field (H, W) around its mean, the same for both axes on average.

    Raises ValueError for another shape, negative or infinite numbers, and only zeros.
    Of n layers of uniform 3×3 kernels it is √(n·8/12): a layer adds the variance 8/12 of three equal numbers in a row.
    """
    _require_field(field)
    variances = []
    for axis in (0, 1):
        weight = field.sum(1 - axis) / field.sum()
        place = torch.arange(len(weight), dtype=weight.dtype)
        mean = (weight * place).sum()
        variances.append((weight * (place - mean) ** 2).sum())
    return torch.stack(variances).mean().sqrt().item()


def effective_size(field: torch.Tensor, share: float = 0.0455) -> float:
    """The side, in pixels, of a square as large as all pixels together that reach `share` of the greatest.

    0.0455 is what a normal distribution has outside two standard deviations. Raises ValueError as `spread` does, and
    unless 0 < share ≤ 1. Source: Luo et al. 2016, section 3.
    """
    _require_field(field)
    if not 0 < share <= 1:
        raise ValueError(f"share: got {share}, expected more than 0 and at most 1")
    return (field >= share * field.max()).sum().item() ** 0.5


def _require_field(field: torch.Tensor) -> None:
    require_shape("field", field, ("H", "W"))
    require_finite("field", field)
    if field.min() < 0 or field.max() == 0:
        least, greatest = field.min().item(), field.max().item()
        raise ValueError(
            f"field: got numbers from {least:g} to {greatest:g}, expected none below 0 and some above"
        )


# ---------------------------------------------------------------------------------------------------------------------
# A task that asks for a wide field: which digit does this pixel belong to?
# ---------------------------------------------------------------------------------------------------------------------

SIDE, CELL = 12, 24  # of a digit and of the picture that it lies in, in pixels
NO_INK = -1


def digit_pictures(
    part: int, count: int, seed: int, cells: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Handwritten digits at random places: images (N, 1, S, S) from 0 to 1, labels (N, S, S), S = `cells` · 24.

    part: 0 training, 1 validation, 2 test, which share no digit. A picture is made of cells² squares of 24 pixels with
    one digit of 12 pixels in each. The label of a pixel is its digit's, and `NO_INK` where there is no ink.
    The same seed gives the same pictures. Raises ValueError for another part, and for numbers below 1.
    """
    require_choice("part", part, (0, 1, 2))
    for name, number in (("count", count), ("cells", cells)):
        if number < 1:
            raise ValueError(f"{name}: got {number}, expected at least 1")
    tiles, classes = digits()[part]
    generator = torch.Generator().manual_seed(seed)
    each = count * cells**2
    chosen = torch.randint(len(tiles), (each,), generator=generator)
    corners = torch.randint(CELL - SIDE + 1, (each, 2), generator=generator)
    small = rearrange(tiles[chosen], "n (y x) -> n 1 y x", y=8)
    ink = F.interpolate(small, (SIDE, SIDE), mode="bilinear")[:, 0]  # (each, 12, 12)
    images = torch.zeros(each, CELL, CELL)
    labels = torch.full((each, CELL, CELL), NO_INK)
    for i, (y, x) in enumerate(corners.tolist()):
        place = i, slice(y, y + SIDE), slice(x, x + SIDE)
        images[place] = ink[i].to(images.dtype)
        labels[place] = torch.where(ink[i] > 0.5, classes[chosen[i]], NO_INK)
    pattern = "(n r c) y x -> n (r y) (c x)"
    images, labels = (
        rearrange(each, pattern, r=cells, c=cells) for each in (images, labels)
    )
    return images[:, None], labels


class PixelClassifier(nn.Module):
    """A stack of 3×3 convolutions that says of each pixel which digit it belongs to.

    images (B, 1, H, W) → scores (B, 10, H, W), before a softmax. Stride 1 throughout: a unit of the last layer sees
    2 · num_layers + 1 pixels each way, if it uses them.
    """

    def __init__(self, num_layers: int, channels: int = 8):
        super().__init__()
        self.body = ConvStack(num_layers, channels, activation=F.silu, residual=True)
        self.head = nn.Conv2d(channels, 10, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images (B, 1, H, W) → scores (B, 10, H, W)."""
        return self.head(self.body(images))

    def batch_loss(self, batch_size: int = 16) -> Callable:
        """What `fit` asks for: a batch is drawn anew, and its loss is the mean over the pixels with ink."""

        def loss(generator: torch.Generator) -> torch.Tensor:
            seed = int(torch.randint(2**31, (), generator=generator))
            images, labels = digit_pictures(0, batch_size, seed)
            return F.cross_entropy(self(images), labels, ignore_index=NO_INK)

        return loss


@torch.no_grad()
def pixel_accuracy(model: PixelClassifier, images, labels) -> float:
    """The share of pixels with ink whose digit is right: images (N, 1, H, W), labels (N, H, W)."""
    found = model(images).argmax(dim=1)
    return (found == labels)[labels != NO_INK].float().mean().item()


def measured_field(model: PixelClassifier) -> torch.Tensor:
    """The model's effective receptive field, (81, 81), over 8 test pictures of 25 digits each."""
    images, _ = digit_pictures(2, 8, seed=7, cells=5)
    middle = 5 * CELL // 2
    window = slice(middle - 40, middle + 41)
    return effective_receptive_field(model, images, "body")[window, window]


def recorded_classifier(num_layers: int) -> PixelClassifier:
    """The trained one of seed 0, as experiments/receptive_field.py left it: 5, 10, 20 or 40 layers."""
    own = read_part(RECORDED / "receptive_field.safetensors", f"{num_layers}.")
    if not own:
        raise ValueError(f"num_layers: got {num_layers}, expected 5, 10, 20 or 40")
    model = PixelClassifier(num_layers)
    model.load_state_dict(own)
    return model.eval()
