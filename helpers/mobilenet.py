"""A network that knows the thousand classes of ImageNet: MobileNetV2, and weights that others trained for it.

Shapes: B images in a batch, maps (B, C, H, W) with C channels.
"""

import json

import numpy as np
import torch
from einops import rearrange, reduce
from torch import nn
from torch.nn import functional as F

from helpers.data import fetch
from helpers.resnet import require_pixels
from helpers.validation import require_shape

# Mean and standard deviation of red, green and blue in ImageNet, by which the weights' makers scaled every image.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Table 2 of the paper: expansion, channels, number of blocks, stride of the first of them.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def convolution(
    inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU6: (B, inputs, H, W) → (B, outputs, H/stride, W/stride)."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


class InvertedResidual(nn.Module):
    """Widen the channels, look around in each of them on its own, narrow them again: (B, inputs, …) → (B, outputs, …).

    The narrow layer has no activation, and where the shapes allow it the input is added.
    Source: Sandler et al. 2018, table 1 and figure 4.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int):
        super().__init__()
        wide = inputs * expansion
        widen = [convolution(inputs, wide, 1)] if expansion > 1 else []
        self.conv = nn.Sequential(
            *widen,
            convolution(wide, wide, 3, stride, groups=wide),  # a kernel for a channel
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, inputs, H, W) → (B, outputs, H/stride, W/stride)."""
        return x + self.conv(x) if self.adds else self.conv(x)


class MobileNetV2(nn.Module):
    """Images in, scores of 1,000 classes out. `features` ends in maps of 1/32 of the height and width.

    The modules have the names that they have in torchvision, whose weights fit. Source: Sandler et al. 2018.
    """

    def __init__(self, num_classes: int = 1000):
        super().__init__()
        layers, before = [convolution(3, 32, 3, stride=2)], 32
        for expansion, channels, count, first in STAGES:
            for i in range(count):
                stride = first if i == 0 else 1
                layers.append(InvertedResidual(before, channels, stride, expansion))
                before = channels
        layers.append(convolution(before, 1280, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, num_classes))
        for name, values in (("mean", MEAN), ("deviation", DEVIATION)):
            by_channel = rearrange(torch.tensor(values), "c -> c 1 1")
            self.register_buffer(name, by_channel, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images (B, 3, H, W) from 0 to 1 → scores (B, num_classes), before a softmax.

        Raises ValueError for other channels, types and ranges, NaN, and less than 32 pixels a side.
        """
        require_pixels("images", images, 3)
        if min(images.shape[-2:]) < 32:
            got = tuple(images.shape[-2:])
            raise ValueError(f"images: got {got} pixels, expected at least (32, 32)")
        maps = self.features((images - self.mean) / self.deviation)
        return self.classifier(reduce(maps, "b c y x -> b c", "mean"))


def photo_tensor(photo: np.ndarray, size: int = 224) -> torch.Tensor:
    """The middle of a photo: (H, W, 3) in uint8 → (1, 3, size, size) in float32 from 0 to 1.

    The shorter side is made 8/7 of `size`, and of that the middle square is kept: 256 and 224 pixels are what the
    weights' makers measured with. Raises ValueError for other shapes and types, and less than 32 pixels a side.
    """
    require_shape("photo", photo, ("H", "W", 3))
    if photo.dtype != np.uint8:
        raise ValueError(f"photo: got {photo.dtype}, expected uint8, from 0 to 255")
    if min(photo.shape[:2]) < 32 or size < 32:
        raise ValueError(
            f"photo, size: got {photo.shape[:2]} pixels and {size}, expected at least 32 a side"
        )
    pixels = torch.tensor(photo, dtype=torch.float32) / 255
    pixels = rearrange(pixels, "y x c -> 1 c y x")
    scale = round(size * 8 / 7) / min(photo.shape[:2])
    height, width = (max(size, round(scale * side)) for side in photo.shape[:2])
    pixels = F.interpolate(pixels, (height, width), mode="bilinear", antialias=True)
    top, left = (height - size) // 2, (width - size) // 2
    return pixels[..., top : top + size, left : left + size].clamp(0, 1)


def pretrained() -> tuple[MobileNetV2, list[str]]:
    """The network with torchvision's weights, ready to evaluate, and the names of its 1,000 classes.

    A name is the first of ImageNet's for that class; four of them, such as crane, are those of two classes.
    3.5 million parameters, trained on the 1.3 million images of ImageNet. Downloaded (14 MB) at the first call; raises
    DownloadError as `helpers.data.fetch` does. Source: Sandler et al. 2018, Russakovsky et al. 2015.
    """
    weights = torch.load(
        fetch("mobilenet") / "mobilenet_v2-b0353104.pth", weights_only=True
    )
    model = MobileNetV2().to(torch.float32)
    model.load_state_dict(weights)
    file = fetch("imagenet names") / "imagenet1k_label_to_names.json"
    synonyms = json.loads(file.read_text("utf-8"))  # "0": "tench, Tinca tinca"
    names = [synonyms[str(k)].partition(",")[0] for k in range(1000)]
    return model.eval(), names
