"""The attention-guided network (Guan et al. 2018): look at the whole image, then once more at where one looked.

A global branch sees the image; its heatmap, cut at a threshold, says which part a local branch sees larger; a fusion
branch decides from what both found. Shapes: B images (B, C, H, W), features (B, channels, h, w).
"""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from scipy import ndimage
from torch import nn
from torch.nn import functional as F

from helpers.resnet import require_images, require_maps
from helpers.scenes import load_tiles, make_scenes
from helpers.training import RECORDED
from helpers.validation import require_choice, require_finite, require_shape

BRANCHES = ["global", "local", "fusion"]


def heatmap(features: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """features (B, channels, h, w) → (B, *size), each image's least value 0 and greatest 1.

    The greatest |feature| of each place, made as large as the image. All 0 where the features are the same everywhere.
    Raises ValueError for other shapes, integers and NaN. Source: Guan et al. 2018, attention guided mask inference.
    """
    require_maps("features", features, "channels")
    heat = features.abs().amax(dim=1, keepdim=True)  # (B, 1, h, w)
    heat = F.interpolate(heat, size, mode="bilinear", align_corners=False)[:, 0]
    low, high = heat.amin((1, 2), keepdim=True), heat.amax((1, 2), keepdim=True)
    return (heat - low) / (high - low).clamp(min=torch.finfo(heat.dtype).tiny)


def largest_region(mask: torch.Tensor) -> tuple[int, int, int, int]:
    """The box around the largest connected region of mask (H, W): (top, left, bottom, right), the last two exclusive.

    Pixels connect by their sides. Of regions of one size, the first row by row. The whole image if nothing is True.
    Raises ValueError for a mask of another shape or type.
    """
    require_shape("mask", mask, ("H", "W"))
    if mask.dtype != torch.bool:
        raise ValueError(f"mask: got {mask.dtype}, expected torch.bool")
    numbers, count = ndimage.label(mask.cpu().numpy())
    if not count:
        return 0, 0, *mask.shape
    largest = np.bincount(numbers.ravel())[1:].argmax()
    rows, columns = ndimage.find_objects(numbers)[largest]
    return rows.start, columns.start, rows.stop, columns.stop


def regions(heat: torch.Tensor, threshold: float) -> torch.Tensor:
    """heat (B, H, W) from 0 to 1 → a box for each image, (B, 4) integers: around the largest region above threshold.

    Raises ValueError for a threshold outside [0, 1), NaN and values outside [0, 1]. Source: as `heatmap`.
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold: got {threshold}, expected at least 0 and below 1")
    require_shape("heat", heat, ("B", "H", "W"))
    require_finite("heat", heat)
    if heat.min() < 0 or heat.max() > 1:
        low, high = heat.min().item(), heat.max().item()
        raise ValueError(f"heat: got {low:.3g} to {high:.3g}, expected 0 to 1")
    return torch.tensor([largest_region(one > threshold) for one in heat])


def crop(images: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """What is in each box, made as large as the image: (B, C, H, W), (B, 4) → (B, C, H, W).

    boxes: (top, left, bottom, right) in pixels, the last two exclusive. Bilinear, so that a box around the whole image
    gives the image itself. Raises ValueError for a box that is empty or reaches beyond the image.
    """
    require_maps("images", images, "C")
    require_shape("boxes", boxes, (len(images), 4))
    size = images.shape[2:]
    parts = []
    for image, box in zip(images, boxes.tolist(), strict=True):
        top, left, bottom, right = box
        if not (0 <= top < bottom <= size[0] and 0 <= left < right <= size[1]):
            raise ValueError(
                f"boxes: got {tuple(box)}, expected (top, left, bottom, right) within {tuple(size)} and not empty"
            )
        part = image[None, :, top:bottom, left:right]
        parts.append(F.interpolate(part, size, mode="bilinear", align_corners=False))
    return torch.cat(parts)


class Branch(nn.Module):
    """A small convolutional classifier that also hands out its last feature maps: (B, width, H/8, W/8).

    A feature has seen 31 × 31 pixels.
    """

    def __init__(self, classes: int, channels: int = 1, width: int = 32):
        super().__init__()
        layers, sizes = [], (channels, width // 2, width, width, width)
        for (inputs, outputs), stride in zip(
            pairwise(sizes), (2, 2, 2, 1), strict=True
        ):
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.GELU(),
            ]
        self.features = nn.Sequential(*layers)
        self.classify = nn.Linear(width, classes)

    def forward(
        self, images: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """images (B, channels, H, W) → feature maps, their mean over the places (B, width), logits (B, classes)."""
        maps = self.features(images)
        pooled = maps.mean(dim=(2, 3))
        return maps, pooled, self.classify(pooled)


class Guided(NamedTuple):
    """What the three branches say, (B, classes) each, and where the local one looked."""

    logits: dict[str, torch.Tensor]  # by name, of BRANCHES
    heat: torch.Tensor  # (B, H, W)
    boxes: torch.Tensor  # (B, 4) integers: top, left, bottom, right


class GuidedNetwork(nn.Module):
    """Global branch → heatmap → threshold → crop of the largest region → local branch; fusion of both.

    The crop is a choice, no gradient passes through it: nothing that the local branch
    learns can tell the global one where to look. So the branches are trained one after
    the other; `parameters_of(name)` are those that the loss of logits[name] may change.
    Raises ValueError for images of other channels, integers, with NaN, or not scaled.
    Source: Guan et al. 2018, figure 2; three branches of ResNet-50 there, small here.
    """

    def __init__(self, classes: int, channels: int = 1, width: int = 32):
        super().__init__()
        for name, got, least in (("classes", classes, 1), ("width", width, 2)):
            if got < least:
                raise ValueError(f"{name}: got {got}, expected at least {least}")
        self.channels = channels
        self.whole = Branch(classes, channels, width)
        self.part = Branch(classes, channels, width)
        self.fusion = nn.Linear(2 * width, classes)

    def parameters_of(self, branch: str) -> Iterator[nn.Parameter]:
        """What is trained when it is this branch's turn, one of BRANCHES."""
        require_choice("branch", branch, BRANCHES)
        modules = {"global": self.whole, "local": self.part, "fusion": self.fusion}
        return modules[branch].parameters()

    def forward(self, images: torch.Tensor, threshold: float = 0.7) -> Guided:
        """images (B, channels, H, W); the lower the threshold, the larger the part."""
        require_images("images", images, self.channels)
        maps, seen, logits = self.whole(images)
        heat = heatmap(maps.detach(), tuple(images.shape[2:]))
        boxes = regions(heat, threshold)
        _, closer, local_logits = self.part(crop(images, boxes))
        both = self.fusion(torch.cat([seen, closer], dim=-1))
        return Guided(
            {"global": logits, "local": local_logits, "fusion": both}, heat, boxes
        )


# ---------------------------------------------------------------------------------------------------------------------
# The task, and what was trained on it
# ---------------------------------------------------------------------------------------------------------------------

WEIGHTS = RECORDED / "guided.safetensors"
THRESHOLD = 0.7  # the paper's; of 0.1 to 0.9 also what fits the training scenes best


class Task(NamedTuple):
    """Pictures (B, 3, 64, 64) of one digit among scraps, which digit (B,), and where, (B, 4) as in `crop`."""

    images: torch.Tensor
    labels: torch.Tensor
    boxes: torch.Tensor


def one_digit(part: str, count: int, seed: int) -> Task:
    """Scenes of one of the ten digits among scraps of others; parts as in `scenes.load_tiles`."""
    scenes = make_scenes(load_tiles("digits", part), count, seed, most=1)
    things = [scene.objects[0] for scene in scenes]
    sides = [
        (top, left, bottom, right)
        for left, top, right, bottom in (t.box for t in things)
    ]
    return Task(
        torch.stack([scene.image for scene in scenes]),
        torch.tensor([thing.label for thing in things]),
        torch.tensor(sides),
    )


def fit_of(found: torch.Tensor, true: torch.Tensor) -> tuple[float, float]:
    """Of boxes (B, 4) and true ones: the mean share of the true box that is inside, and the mean IoU."""
    start, stop = torch.maximum(found, true)[:, :2], torch.minimum(found, true)[:, 2:]
    shared = (stop - start).clamp(min=0).prod(dim=1)
    areas = [(box[:, 2:] - box[:, :2]).prod(dim=1) for box in (found, true)]
    inside, iou = shared / areas[1], shared / (sum(areas) - shared)
    return inside.mean().item(), iou.mean().item()


def recorded() -> dict:
    """The results of experiments/guided.py."""
    return json.loads((RECORDED / "guided.json").read_text())


def recorded_network() -> GuidedNetwork:
    """The network of seed 0 of experiments/guided.py, in the default dtype."""
    model = GuidedNetwork(10, 3)
    model.load_state_dict(load_file(WEIGHTS))
    return model.eval()
