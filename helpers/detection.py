"""Detection with a Transformer (DETR, Carion et al. 2020): boxes as a set, and a matching that says which is whose.

Shapes: B images, N object queries, K classes, d = d_model. Boxes are (centre x, centre y, width, height), each a share
of the image from 0 to 1, (0, 0) at the top left; `corners` makes (left, top, right, bottom) of them.
"""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from safetensors.torch import load_file
from scipy.optimize import linear_sum_assignment
from torch import nn
from torch.nn import functional as F

from helpers.resnet import require_images
from helpers.scenes import Scene, Tiles, load_tiles, make_scenes
from helpers.training import RECORDED
from helpers.transformer import (
    TransformerDecoder,
    TransformerEncoder,
    sinusoidal_positions,
)
from helpers.validation import require_choice, require_finite, require_shape


class Objects(NamedTuple):
    """What is in one image: labels (n,) from 0 to K − 1, boxes (n, 4); n may be 0."""

    labels: torch.Tensor
    boxes: torch.Tensor


class Prediction(NamedTuple):
    """What one decoder layer says: the last of the K + 1 logits means "no object"."""

    logits: torch.Tensor  # (B, N, K + 1)
    boxes: torch.Tensor  # (B, N, 4)
    weights: torch.Tensor | None  # (B, heads, N, H/8 · W/8): where each query looked


Pairs = tuple[torch.Tensor, torch.Tensor]  # queries (n,), and the object of each (n,)


class Detections(NamedTuple):
    """What was found in one image: labels (n,), scores (n,), boxes (n, 4)."""

    labels: torch.Tensor
    scores: torch.Tensor
    boxes: torch.Tensor


# ---------------------------------------------------------------------------------------------------------------------
# Boxes
# ---------------------------------------------------------------------------------------------------------------------


def require_boxes(name: str, boxes: torch.Tensor) -> None:
    """Raise ValueError unless boxes are (…, 4) finite floats, of widths and heights that are not negative."""
    if boxes.ndim < 1 or boxes.shape[-1] != 4 or not boxes.is_floating_point():
        raise ValueError(
            f"{name}: got {boxes.dtype} of shape {tuple(boxes.shape)}, expected floats of shape (…, 4)"
        )
    require_finite(name, boxes)
    if (boxes[..., 2:] < 0).any():
        raise ValueError(
            f"{name}: got a negative width or height, expected (centre x, centre y, width, height)"
        )


def corners(boxes: torch.Tensor) -> torch.Tensor:
    """boxes (…, 4) → (left, top, right, bottom), (…, 4)."""
    centre, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)


def _areas(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Of each pair of boxes a (N, 4), b (M, 4): intersection, union, smallest box around both, each (N, M)."""
    a, b = corners(a)[:, None], corners(b)[None]
    overlap = torch.minimum(a, b)[..., 2:] - torch.maximum(a, b)[..., :2]
    around = torch.maximum(a, b)[..., 2:] - torch.minimum(a, b)[..., :2]
    shared = overlap.clamp(min=0).prod(-1)
    union = sum((x[..., 2:] - x[..., :2]).prod(-1) for x in (a, b)) - shared
    return shared, union, around.prod(-1)


def _ratio(above: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
    """above / below, and 0 where both are: boxes without area."""
    return above / below.clamp(min=torch.finfo(below.dtype).tiny)


def box_iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Intersection over union of each pair: (N, 4), (M, 4) → (N, M), from 0 to 1. Raises ValueError for other boxes."""
    for name, boxes in (("a", a), ("b", b)):
        require_boxes(name, boxes)
    shared, union, _ = _areas(a, b)
    return _ratio(shared, union)


def generalised_iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """IoU minus the empty share of the smallest box around both: (N, 4), (M, 4) → (N, M), from −1 to 1.

    Boxes apart from each other still get a gradient that brings them closer. Raises ValueError for other boxes.
    Source: Rezatofighi et al. 2019, algorithm 1.
    """
    for name, boxes in (("a", a), ("b", b)):
        require_boxes(name, boxes)
    shared, union, around = _areas(a, b)
    return _ratio(shared, union) - _ratio(around - union, around)


# ---------------------------------------------------------------------------------------------------------------------
# The network
# ---------------------------------------------------------------------------------------------------------------------


def grid_positions(height: int, width: int, d_model: int) -> torch.Tensor:
    """(height · width, d): the row's sinusoids and the column's, d/2 numbers each, pixels row by row.

    Raises ValueError for a d that 4 does not divide. Source: Carion et al. 2020, appendix A.4, without its scaling.
    """
    if d_model < 4 or d_model % 4:
        raise ValueError(f"d_model: got {d_model}, expected a multiple of 4")
    row = sinusoidal_positions(height, d_model // 2)[:, None].expand(-1, width, -1)
    column = sinusoidal_positions(width, d_model // 2).expand(height, -1, -1)
    return torch.cat([row, column], dim=-1).flatten(0, 1)


class SmallBackbone(nn.Sequential):
    """Convolutions for small images: (B, channels, H, W) → (B, d, H/8, W/8). A feature has seen 31 × 31 pixels."""

    def __init__(self, channels: int, d_model: int):
        layers, sizes = [], (channels, d_model // 4, d_model // 2, d_model, d_model)
        for (inputs, outputs), stride in zip(
            pairwise(sizes), (2, 2, 2, 1), strict=True
        ):
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride, padding=1),
                nn.GroupNorm(1, outputs),
                nn.GELU(),
            ]
        super().__init__(*layers)


def _require_sides(images: torch.Tensor, channels: int) -> tuple[int, int]:
    """Height and width of the features. ValueError for images that do not fit the backbone."""
    require_images("images", images, channels)
    height, width = images.shape[2:]
    if height % 8 or width % 8:
        raise ValueError(
            f"images: got {height} × {width} pixels, expected multiples of 8"
        )
    return height // 8, width // 8


class DETR(nn.Module):
    """An image in, N boxes with classes out, all at once.

    Convolutions → features with positions → Transformer encoder → decoder, whose
    inputs are N learned vectors, the object queries; of each, one linear layer makes a
    class or "no object", a small network a box. No anchors, no boxes that suppress
    others: queries agree by attending to each other.
    Smaller than the paper's: positions are added once, before the encoder (its table 3
    has that variant), the features are H/8 × W/8, layers are pre-LN with GELU.
    Raises ValueError for images of other channels, integers, with NaN, not scaled, or
    of sizes that 8 does not divide. Source: Carion et al. 2020, figure 2.
    """

    def __init__(
        self,
        classes: int,
        channels: int = 3,
        d_model: int = 64,
        num_heads: int = 4,
        num_layers: int = 2,
        num_queries: int = 10,
    ):
        super().__init__()
        for name, got in (("classes", classes), ("num_queries", num_queries)):
            if got < 1:
                raise ValueError(f"{name}: got {got}, expected at least 1")
        grid_positions(1, 1, d_model)  # raises for a d that does not fit
        self.classes, self.channels = classes, channels
        self.backbone = SmallBackbone(channels, d_model)
        size = d_model, num_heads, 2 * d_model, num_layers
        layer = {"norm_first": True, "activation": F.gelu}
        self.encoder = TransformerEncoder(*size, **layer)
        self.decoder = TransformerDecoder(*size, **layer)
        self.queries = nn.Parameter(torch.randn(num_queries, d_model))
        self.label = nn.Linear(d_model, classes + 1)
        self.box = nn.Sequential(
            nn.Linear(d_model, d_model),
            nn.GELU(),
            nn.Linear(d_model, d_model),
            nn.GELU(),
            nn.Linear(d_model, 4),
            nn.Sigmoid(),
        )

    def encode(
        self, images: torch.Tensor, need_weights: bool = False
    ) -> tuple[torch.Tensor, list]:
        """images (B, channels, H, W) → memory (B, H/8 · W/8, d), and the weights of each encoder layer."""
        height, width = _require_sides(images, self.channels)
        features = rearrange(self.backbone(images), "b d y x -> b (y x) d")
        positions = grid_positions(height, width, features.shape[-1])
        return self.encoder(
            features + positions.to(features), need_weights=need_weights
        )

    def forward(
        self, images: torch.Tensor, need_weights: bool = False
    ) -> list[Prediction]:
        """images (B, channels, H, W) → what each decoder layer says; the last is the answer.

        That all of them are trained is the paper's auxiliary loss (3.2).
        """
        memory, _ = self.encode(images)
        x = self.queries.expand(len(images), -1, -1)
        predictions = []
        for layer in self.decoder.layers:
            x, (_, weights) = layer(x, memory, need_weights=need_weights)
            found = self.decoder.norm(x)  # (B, N, d)
            predictions.append(Prediction(self.label(found), self.box(found), weights))
        return predictions


class GridDetector(nn.Module):
    """Every place of the backbone's grid says for itself whether an object's centre lies in it, which, and how large.

    The baseline: the same convolutions, no attention, no queries, no matching. Of one
    object, neighbouring places may both speak, so `suppress` has to clean up.
    Raises ValueError for images as `DETR` does. Source: the idea of YOLO, Redmon et al. 2016.
    """

    def __init__(self, classes: int, channels: int = 3, d_model: int = 64):
        super().__init__()
        if classes < 1:
            raise ValueError(f"classes: got {classes}, expected at least 1")
        self.classes, self.channels = classes, channels
        self.backbone = SmallBackbone(channels, d_model)
        self.say = nn.Conv2d(d_model, classes + 1 + 4, 1)

    def forward(self, images: torch.Tensor) -> list[Prediction]:
        """images (B, channels, H, W) → one prediction of H/8 · W/8 boxes, row by row; centres lie in their places."""
        sides = _require_sides(images, self.channels)
        said = rearrange(self.say(self.backbone(images)), "b k y x -> b (y x) k")
        logits, (within, size) = said[..., :-4], said[..., -4:].sigmoid().chunk(2, -1)
        y, x = (torch.arange(side).to(within) for side in sides)
        corner = torch.cartesian_prod(y, x).flip(-1)  # (H/8 · W/8, 2): x, y
        centre = (corner + within) / within.new_tensor(sides[::-1])
        return [Prediction(logits, torch.cat([centre, size], dim=-1), None)]

    def responsible(self, images, targets: Sequence[Objects]) -> list[Pairs]:
        """Instead of a matching: an object belongs to the place where its centre lies."""
        height, width = _require_sides(images, self.channels)
        pairs = []
        for target in targets:
            scale = target.boxes.new_tensor([width, height])
            column, row = (target.boxes[:, :2] * scale).long().T
            places = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
            pairs.append((places, torch.arange(len(places))))
        return pairs


@torch.no_grad()
def detect(
    model: nn.Module, images: torch.Tensor, threshold: float = 0.5
) -> list[Detections]:
    """What the model finds: for each image the boxes whose best class has a probability above `threshold`.

    A threshold of 0 keeps every box, as average precision wants it. Highest score first.
    Raises ValueError for a threshold outside [0, 1), and as the model does.
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold: got {threshold}, expected at least 0 and below 1")
    logits, boxes, _ = model(images)[-1]
    scores, labels = logits.softmax(-1)[..., :-1].max(-1)  # (B, N)
    results = []
    for score, label, box in zip(scores, labels, boxes, strict=True):
        order = score.argsort(descending=True, stable=True)
        order = order[score[order] > threshold]
        results.append(Detections(label[order], score[order], box[order]))
    return results


def suppress(found: Detections, iou: float = 0.5) -> Detections:
    """Keep a box only if no surer one of its class overlaps it by more than `iou`: non-maximum suppression.

    Raises ValueError for an iou outside [0, 1].
    """
    if not 0 <= iou <= 1:
        raise ValueError(f"iou: got {iou}, expected 0 to 1")
    order = found.scores.argsort(descending=True, stable=True)
    rivals = (box_iou(found.boxes, found.boxes) > iou) & (
        found.labels[:, None] == found.labels
    )
    kept = []
    for i in order.tolist():
        if not rivals[i, kept].any():
            kept.append(i)
    return Detections(*(x[kept] for x in found))


# ---------------------------------------------------------------------------------------------------------------------
# The set loss: first who is whose, then how far off
# ---------------------------------------------------------------------------------------------------------------------

COSTS = {"label": 1.0, "distance": 5.0, "overlap": 2.0}  # Carion et al. 2020, A.4


def _check(prediction: Prediction, targets: Sequence[Objects]) -> Objects:
    """The objects of all images in a row, after every check."""
    logits, boxes, *_ = prediction
    require_shape("logits", logits, ("B", "N", "K + 1"))
    require_shape("boxes", boxes, (*logits.shape[:2], 4))
    require_finite("logits", logits)
    require_boxes("boxes", boxes)
    if len(targets) != len(logits):
        raise ValueError(
            f"targets: got {len(targets)}, expected {len(logits)}, one for each image"
        )
    queries, most = logits.shape[1], max(len(target.labels) for target in targets)
    if most > queries:
        raise ValueError(
            f"targets: got {most} objects in an image, expected at most {queries}, the queries"
        )
    return _joined(targets, logits.shape[2] - 1)


def _joined(targets: Sequence[Objects], classes: int | None = None) -> Objects:
    for labels, boxes in targets:
        if labels.ndim != 1 or labels.dtype != torch.int64:
            raise ValueError(
                f"labels: got {labels.dtype} of shape {tuple(labels.shape)}, expected torch.int64 of shape (n,)"
            )
        if boxes.shape != (len(labels), 4):
            raise ValueError(
                f"boxes: got shape {tuple(boxes.shape)}, expected ({len(labels)}, 4), one for each label"
            )
    labels, boxes = (torch.cat(parts) for parts in zip(*targets, strict=True))
    require_boxes("boxes", boxes)
    if classes is not None and len(labels):
        low, high = labels.min().item(), labels.max().item()
        if low < 0 or high >= classes:
            raise ValueError(
                f"labels: got {low} to {high}, expected 0 to {classes - 1}"
            )
    return Objects(labels, boxes)


@torch.no_grad()
def match(prediction: Prediction, targets: Sequence[Objects]) -> list[Pairs]:
    """The cheapest way to give every object a query of its own: for each image (queries (n,), objects (n,)).

    The cost of a pair is −p(label) + 5 · Σ|box − box| − 2 · GIoU; the Hungarian algorithm finds the least sum.
    Raises ValueError for other shapes, labels out of range, NaN, and more objects than queries.
    Source: Carion et al. 2020, eq. 1 and A.2.
    """
    labels, true = _check(prediction, targets)
    logits, boxes, *_ = prediction
    places, true = boxes.flatten(0, 1), true.to(boxes)
    cost = (
        -COSTS["label"] * logits.softmax(-1).flatten(0, 1)[:, labels]
        + COSTS["distance"] * torch.cdist(places, true, p=1)
        - COSTS["overlap"] * generalised_iou(places, true)
    )  # every query with every object, of other images too: (B · N, objects)
    blocks = cost.view(*logits.shape[:2], -1).split([len(t.labels) for t in targets], 2)
    pairs = []
    for image, block in enumerate(blocks):
        rows, columns = linear_sum_assignment(block[image].cpu().numpy())
        pairs.append((torch.as_tensor(rows), torch.as_tensor(columns)))
    return pairs


def set_loss(
    prediction: Prediction,
    targets: Sequence[Objects],
    no_object: float = 0.1,
    pairs: list[Pairs] | None = None,
) -> dict[str, torch.Tensor]:
    """The three parts of the loss, weighted, of which the sum is to be made small: label, distance, overlap.

    label: cross-entropy of every query, those without an object being right to say "no object", which weighs
    `no_object`; distance: Σ|box − box|, overlap: 1 − GIoU of the matched pairs, a mean over objects. Whatever order
    the objects come in, the loss is the same. `pairs` says who is whose; without it, `match` does.
    Raises ValueError as `match`, and for no_object ≤ 0.
    Source: Carion et al. 2020, eq. 2 and A.2.
    """
    if not no_object > 0:
        raise ValueError(f"no_object: got {no_object}, expected a positive number")
    pairs = pairs or match(prediction, targets)
    logits, boxes, *_ = prediction
    classes = logits.shape[-1] - 1
    wanted = torch.full(logits.shape[:2], classes, device=logits.device)
    for row, (queries, objects), target in zip(wanted, pairs, targets, strict=True):
        row[queries] = target.labels[objects].to(row)
    weight = logits.new_ones(classes + 1)
    weight[-1] = no_object
    found = torch.cat([b[q] for b, (q, _) in zip(boxes, pairs, strict=True)])
    true = torch.cat([t.boxes[o] for t, (_, o) in zip(targets, pairs, strict=True)])
    true, count = true.to(found), max(1, len(found))
    apart = 1 - generalised_iou(found, true).diagonal()
    return {
        "label": COSTS["label"] * F.cross_entropy(logits.mT, wanted, weight),
        "distance": COSTS["distance"] * (found - true).abs().sum() / count,
        "overlap": COSTS["overlap"] * apart.sum() / count,
    }


def total_loss(
    predictions: Sequence[Prediction], targets: Sequence[Objects], no_object=0.1
) -> torch.Tensor:
    """The sum of `set_loss` over its parts and over the decoder's layers, each matched by itself."""
    return sum(sum(set_loss(p, targets, no_object).values()) for p in predictions)


# ---------------------------------------------------------------------------------------------------------------------
# Average precision
# ---------------------------------------------------------------------------------------------------------------------


def precision_recall(
    detections: Sequence[Detections],
    targets: Sequence[Objects],
    label: int,
    iou: float = 0.5,
) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall of a class after each detection, the surest of all images first: (n,), (n,).

    A detection is right if, of the objects of its class in its image that no surer one took, the one it covers best
    overlaps by at least `iou`; a second box on the same object is wrong. Raises ValueError if the class has no object.
    """
    if len(detections) != len(targets):
        raise ValueError(
            f"detections: got {len(detections)}, expected {len(targets)}, one for each image"
        )
    if not 0 < iou <= 1:
        raise ValueError(f"iou: got {iou}, expected above 0 and at most 1")
    queue, left, total = [], [], 0
    for image, (found, target) in enumerate(zip(detections, targets, strict=True)):
        _joined([target])
        _joined([Objects(found.labels, found.boxes)])
        require_finite("scores", found.scores)
        true = target.boxes[target.labels == label]
        total += len(true)
        left.append([True] * len(true))
        mine = (found.labels == label).nonzero()[:, 0]
        overlaps = box_iou(found.boxes[mine], true.to(found.boxes)).tolist()
        scores = found.scores[mine].tolist()
        queue += [(s, image, o) for s, o in zip(scores, overlaps, strict=True)]
    if not total:
        raise ValueError(f"label: got {label}, expected one that some target has")
    right = []
    for _, image, overlaps in sorted(queue, key=lambda entry: -entry[0]):
        free = [o if left[image][j] else -1.0 for j, o in enumerate(overlaps)]
        best = int(np.argmax(free)) if free else -1
        right.append(best >= 0 and free[best] >= iou)
        if right[-1]:
            left[image][best] = False
    hits = np.cumsum(right, dtype=float)
    return hits / np.arange(1, len(right) + 1), hits / total


def average_precision(
    detections: Sequence[Detections],
    targets: Sequence[Objects],
    label: int,
    iou: float = 0.5,
) -> float:
    """The area under precision over recall, precision being the best at that recall or a higher one: 0 to 1.

    Raises ValueError as `precision_recall`. Source: Everingham et al. 2010, in the form without sampling used since.
    """
    precision, recall = precision_recall(detections, targets, label, iou)
    if not len(precision):
        return 0.0
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(best * np.diff(recall, prepend=0.0)))


def mean_average_precision(
    detections: Sequence[Detections], targets: Sequence[Objects], iou: float = 0.5
) -> float:
    """The mean of `average_precision` over the classes that occur in the targets. ValueError if none does."""
    labels = sorted({label for target in targets for label in target.labels.tolist()})
    if not labels:
        raise ValueError("targets: got no object, expected at least one")
    scores = [average_precision(detections, targets, c, iou) for c in labels]
    return float(np.mean(scores))


# ---------------------------------------------------------------------------------------------------------------------
# The task, and what was trained on it
# ---------------------------------------------------------------------------------------------------------------------

CLASSES = 5  # the digits 0 to 4
MODELS = {
    "DETR": lambda: DETR(CLASSES, num_queries=8),
    "grid": lambda: GridDetector(CLASSES),
}


def digit_scenes(part: str, count: int, seed: int) -> list[Scene]:
    """Scenes of one to three digits from 0 to 4 among scraps of digits; parts as in `scenes.load_tiles`."""
    tiles = load_tiles("digits", part)
    few = tiles.classes < CLASSES
    tiles = Tiles(tiles.images[few], tiles.classes[few], tiles.nouns[:CLASSES])
    return make_scenes(tiles, count, seed)


def as_targets(scenes: Sequence[Scene]) -> tuple[torch.Tensor, list[Objects]]:
    """Images (B, 3, size, size), and what is in each, with boxes as shares of the image."""
    images, targets = torch.stack([scene.image for scene in scenes]), []
    for scene in scenes:
        sides = torch.tensor([thing.box for thing in scene.objects]).to(images)
        sides = sides / scene.image.shape[-1]
        start, stop = sides[:, :2], sides[:, 2:]
        labels = torch.tensor([thing.label for thing in scene.objects])
        boxes = torch.cat([(start + stop) / 2, stop - start], dim=-1)
        targets.append(Objects(labels, boxes))
    return images, targets


def recorded() -> dict:
    """The results of experiments/detection.py."""
    return json.loads((RECORDED / "detection.json").read_text())


def recorded_weights(name: str) -> Path:
    """Where the weights of seed 0 of one of `MODELS` lie."""
    require_choice("name", name, MODELS)
    return RECORDED / f"detection_{name.lower()}.safetensors"


def recorded_model(name: str) -> nn.Module:
    """One of `MODELS` as experiments/detection.py left it, in the default dtype. ValueError for another name."""
    weights = load_file(recorded_weights(name))
    model = MODELS[name]()
    model.load_state_dict(weights)
    return model.eval()
