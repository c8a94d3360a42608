"""Two tasks whose answers have a known place: which digits are in a scene, and which pattern a wafer has.

Shapes: N images, M questions ("where is the 7 of scene 12?"), maps (M, h, w), regions (M, H, W), boolean.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from einops import rearrange
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from helpers.documents import AttentionPooling
from helpers.scenes import load_tiles, make_scenes
from helpers.training import RECORDED
from helpers.validation import require_choice, require_shape
from helpers.visual_attention import SmallCNN, class_activation_map, grad_cam
from helpers.wafers import KINDS, as_images, draw_wafer, wafers

SCENE_SIZE = 56


@dataclass(frozen=True)
class Questions:
    """What is in N images, and M questions after the place of one class.

    images (N, C, H, W); present (N, K), boolean: which classes are there. Question m asks image `rows`[m] for class
    `classes`[m], which is there in the region `regions`[m], (H, W).
    """

    images: torch.Tensor
    present: torch.Tensor
    rows: torch.Tensor
    classes: torch.Tensor
    regions: torch.Tensor


def digit_scenes(part: str, count: int, seed: int, clutter: int = 8) -> Questions:
    """Scenes of one to three handwritten digits among scraps of others, 56 pixels a side, and where each digit is.

    part: "training", "validation" or "test", which share no digit. A region is all boxes of one class.
    The same seed gives the same scenes. Raises ValueError as `load_tiles` and `make_scenes` do.
    """
    scenes = make_scenes(
        load_tiles("digits", part), count, seed, clutter=clutter, size=SCENE_SIZE
    )
    present = torch.zeros(count, 10, dtype=torch.bool)
    regions = torch.zeros(count, 10, SCENE_SIZE, SCENE_SIZE, dtype=torch.bool)
    for i, scene in enumerate(scenes):
        for thing in scene.objects:
            left, top, right, bottom = thing.box
            present[i, thing.label] = True
            regions[i, thing.label, top:bottom, left:right] = True
    rows, classes = present.nonzero(as_tuple=True)
    images = torch.stack([scene.image for scene in scenes])
    return Questions(images, present, rows, classes, regions[rows, classes])


def wafer_maps(count: int, seed: int, patterns: int = 1) -> Questions:
    """Wafers with one pattern each, or with two of different families, and where each pattern is: (N, 2, 40, 40).

    The same seed gives the same wafers. Raises ValueError for another number of patterns, and as `wafers` does.
    """
    require_choice("patterns", patterns, (1, 2))
    if patterns == 1:
        drawn = wafers(count, seed)
        kinds, regions = drawn.kinds[:, None], drawn.regions[:, None]
        maps = drawn.maps
    else:
        random = np.random.default_rng(seed)
        kinds = np.stack([random.permutation(len(KINDS))[:2] for _ in range(count)])
        pairs = [draw_wafer([KINDS[k] for k in both], random) for both in kinds]
        maps = np.stack([map_ for map_, _ in pairs])
        regions = np.stack([region for _, region in pairs])
    present = torch.zeros(count, len(KINDS), dtype=torch.bool)
    present[torch.arange(count)[:, None], torch.tensor(kinds)] = True
    return Questions(
        as_images(maps),
        present,
        torch.arange(count).repeat_interleave(patterns),
        torch.tensor(kinds).flatten(),
        torch.tensor(rearrange(regions, "n p y x -> (n p) y x")),
    )


def batch_loss(model: nn.Module, questions: Questions, batch_size: int = 32):
    """What `fit` asks for. A wafer has one class, so softmax; a scene may have several, so a yes or no for each."""
    alone = bool((questions.present.sum(dim=1) == 1).all())

    def loss(generator: torch.Generator) -> torch.Tensor:
        chosen = torch.randint(
            len(questions.images), (batch_size,), generator=generator
        )
        scores = model(questions.images[chosen])
        present = questions.present[chosen].to(scores.dtype)
        if alone:
            return F.cross_entropy(scores, present)
        return F.binary_cross_entropy_with_logits(scores, present)

    return loss


@torch.no_grad()
def answers_right(model: nn.Module, questions: Questions) -> float:
    """The share of images of which the model knows what is there: the one class, or yes or no for each class."""
    scores = torch.cat([model(part) for part in questions.images.split(64)])
    if (questions.present.sum(dim=1) == 1).all():
        found = F.one_hot(scores.argmax(dim=1), scores.shape[1]).bool()
    else:
        found = scores > 0
    return (found == questions.present).all(dim=1).float().mean().item()


def centre_point(regions: torch.Tensor) -> torch.Tensor:
    """A guess that ignores the image: maps (M, H, W) that are 1 in the middle and 0 elsewhere."""
    maps = torch.zeros(regions.shape)
    height, width = regions.shape[1:]
    maps[:, (height - 1) // 2 : height // 2 + 1, (width - 1) // 2 : width // 2 + 1] = 1
    return maps


def failure_density(images: torch.Tensor, width: int = 3) -> torch.Tensor:
    """The share of dies that failed within `width` × `width` places: wafers (N, 2, H, W) → maps (N, H, W).

    It knows nothing of kinds of patterns. Beyond the edge no die fails. Raises ValueError for other shapes and an even
    width.
    """
    require_shape("images", images, ("N", 2, "H", "W"))
    if width < 1 or width % 2 == 0:
        raise ValueError(f"width: got {width}, expected an odd number from 1")
    failed = images[:, 1:]
    return F.avg_pool2d(failed, width, 1, padding=width // 2)[:, 0]


class AttendingClassifier(nn.Module):
    """A SmallCNN whose mean over the places is a weighted one, with a learned query: the attention pooling of 06a.

    images (B, inputs, H, W) → scores (B, num_classes). `pooling` returns the weights too; `attention_map` keeps them.
    """

    def __init__(self, network: SmallCNN):
        super().__init__()
        self.features, self.head = network.features, network.head
        self.pooling = AttentionPooling(network.head.in_features)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images (B, inputs, H, W) → scores (B, num_classes)."""
        return self.head(self._pool(images)[0])

    @torch.no_grad()
    def attention_map(self, images: torch.Tensor) -> torch.Tensor:
        """images (B, inputs, H, W) → weights (B, h, w), which sum to 1; the same for every class."""
        return self._pool(images)[1]

    def _pool(self, images):
        maps = self.features(images)  # (B, C, h, w)
        places = rearrange(maps, "b c y x -> b (y x) c")
        everywhere = torch.ones(places.shape[:2], dtype=torch.bool)
        pooled, weights = self.pooling(places, everywhere)
        return pooled, rearrange(weights, "b (y x) -> b y x", y=maps.shape[2])


TASKS = ("scenes", "wafers", "wafers with attention")


def small_network(task: str, seed: int = 0) -> nn.Module:
    """An untrained network for a task: "scenes", "wafers", or "wafers with attention".

    3 channels in and 10 digits out, or 2 channels and 5 families. Raises ValueError for another task.
    """
    require_choice("task", task, TASKS)
    torch.manual_seed(seed)
    if task == "scenes":
        return SmallCNN(3, 10, width=8)
    network = SmallCNN(2, len(KINDS), width=8)
    return AttendingClassifier(network) if "attention" in task else network


def recorded_network(task: str) -> nn.Module:
    """The trained one of seed 0, as experiments/localisation.py left it. Raises ValueError for another task."""
    model = small_network(task)
    file = f"localisation_{task.replace(' ', '_')}.safetensors"
    model.load_state_dict(load_file(RECORDED / file))
    return model.eval().requires_grad_(False)


def maps_of(
    model: nn.Module, questions: Questions, layer: str | None = None
) -> torch.Tensor:
    """The map that answers each question, (M, h, w): the CAM of its class, or the attention, the same for all.

    layer: its name, for Grad-CAM at that layer instead.
    """
    found = []
    for part in torch.arange(len(questions.rows)).split(64):
        images = questions.images[questions.rows[part]]
        classes = questions.classes[part]
        if layer is not None:
            maps = grad_cam(model, images, layer, classes)
        elif isinstance(model, AttendingClassifier):
            maps = model.attention_map(images)
        else:
            maps = class_activation_map(model, images, "features", "head", classes)
        found.append(maps)
    return torch.cat(found)


def absent(questions: Questions) -> Questions:
    """Every question after a class that is not in the image; the region is all that is there."""
    things = torch.zeros(len(questions.images), *questions.regions.shape[1:])
    things.index_add_(0, questions.rows, questions.regions.to(things.dtype))
    rows, classes = (~questions.present).nonzero(as_tuple=True)
    return replace(questions, rows=rows, classes=classes, regions=things[rows] > 0)
