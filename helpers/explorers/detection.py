"""Explorer of a detector with object queries: choose one, see its box and where its decoder looked."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import traitlets

from helpers.explorers.base import (
    HERE,
    Explorer,
    attention_rows,
    finite_array,
    one_of,
    within,
    words,
)


def pixels(name: str, image) -> np.ndarray:
    """A square image (side, side, 3) of numbers from 0 to 1 as bytes. ValueError for another shape or range."""
    side = np.shape(image)[0] if np.ndim(image) else "side"
    image = finite_array(name, image, (side, side, 3))
    within(name, image.min(), 0, 1)
    within(name, image.max(), 0, 1)
    return np.rint(255 * image).astype(np.uint8)


@dataclass(frozen=True, eq=False, repr=False)
class DetectedScene:
    """A picture, what is in it, and what the N queries of a detector say.

    image    (side, side, 3), from 0 to 1
    labels   (n,) true classes;  boxes (n, 4) true boxes: centre x, centre y, width, height, shares of the picture
    scores   (N, K) probability of each class;  found (N, 4) their boxes
    weights  (layers, heads, N, P), P = rows · columns of the explorer's grid; each row sums to 1

    Raises ValueError for other shapes, NaN, values outside [0, 1] and rows that do not sum to 1.
    """

    image: np.ndarray
    labels: Sequence[int]
    boxes: np.ndarray
    scores: np.ndarray
    found: np.ndarray
    weights: np.ndarray

    def __post_init__(self):
        store = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731 (frozen)
        store("image", pixels("image", self.image))
        store("scores", finite_array("scores", self.scores, ("N", "K")))
        n, queries = len(self.labels), len(self.scores)
        store("boxes", finite_array("boxes", self.boxes, (n, 4)))
        store("found", finite_array("found", self.found, (queries, 4)))
        shape = "layers", "heads", queries, "P"
        store("weights", attention_rows("weights", self.weights, shape))
        for name in ("scores", "boxes", "found"):
            for value in (getattr(self, name).min(), getattr(self, name).max()):
                within(name, value, 0, 1)
        for label in self.labels:
            within("labels", label, 0, self.scores.shape[1] - 1)


class DetectionExplorer(Explorer):
    """What the object queries of a DETR find in pictures, and where each looked.

    The reader chooses the picture, a query (or clicks on a box), the decoder layer, one head or their mean, and the
    score from which a box counts. Weights travel as a byte each, round(255 √w): good to 0.002.
    Raises ValueError if the scenes differ in size, classes, queries, layers or heads, or `grid` does not fit.
    """

    _esm = HERE / "static" / "detection.js"
    _scenes = traitlets.List().tag(sync=True)
    _classes = traitlets.List().tag(sync=True)
    _shape = traitlets.List().tag(sync=True)  # side, layers, heads, N, rows, columns
    _data = traitlets.Bytes().tag(sync=True)  # deflated: all pixels, then all weights
    scene = traitlets.Unicode().tag(sync=True)
    query = traitlets.Int().tag(sync=True)
    layer = traitlets.Int().tag(sync=True)
    head = traitlets.Int().tag(sync=True)  # −1: the mean
    threshold = traitlets.Float().tag(sync=True)

    def __init__(
        self,
        scenes: Mapping[str, DetectedScene],
        classes: Sequence[str],
        grid: tuple[int, int],
        query: int = 0,
        layer: int = 0,
        head: int = -1,
        threshold: float = 0.5,
        label: str = "Where the query of each box looks",
    ):
        if not scenes:
            raise ValueError("scenes: got none, expected at least 1")
        sizes = {
            (len(scene.image), *scene.weights.shape, scene.scores.shape[1])
            for scene in scenes.values()
        }
        if len(sizes) > 1:
            raise ValueError(
                f"scenes: got different sizes {sorted(sizes)}, expected one"
            )
        side, layers, heads, queries, places, count = sizes.pop()
        if grid[0] * grid[1] != places:
            raise ValueError(
                f"grid: got {grid[0]} × {grid[1]}, expected {places} places"
            )
        names = words("classes", classes, count)
        levels = [np.rint(255 * np.sqrt(scene.weights)) for scene in scenes.values()]
        parts = [scene.image for scene in scenes.values()] + levels
        data = b"".join(part.astype(np.uint8).tobytes() for part in parts)
        super().__init__(
            _scenes=[_described(name, scene) for name, scene in scenes.items()],
            _classes=names,
            _shape=[side, layers, heads, queries, *grid],
            _data=zlib.compress(data, 9),
            scene=next(iter(scenes)),
            query=query,
            layer=layer,
            head=head,
            threshold=threshold,
            label=label,
        )

    @traitlets.validate("scene")
    def _check_scene(self, proposal) -> str:
        return one_of("scene", proposal.value, [each["name"] for each in self._scenes])

    @traitlets.validate("query")
    def _check_query(self, proposal) -> int:
        return within("query", proposal.value, 0, self._shape[3] - 1)

    @traitlets.validate("layer")
    def _check_layer(self, proposal) -> int:
        return within("layer", proposal.value, 0, self._shape[1] - 1)

    @traitlets.validate("head")
    def _check_head(self, proposal) -> int:
        return within("head", proposal.value, -1, self._shape[2] - 1)

    @traitlets.validate("threshold")
    def _check_threshold(self, proposal) -> float:
        return within("threshold", proposal.value, 0, 0.99)

    def __repr__(self) -> str:
        _, layers, heads, queries, *_ = self._shape
        return (
            f"DetectionExplorer({len(self._scenes)} scenes, {queries} queries, "
            f"{layers} layers × {heads} heads)"
        )


def _described(name: str, scene: DetectedScene) -> dict:
    label, score = scene.scores.argmax(axis=1), scene.scores.max(axis=1)
    return {
        "name": name,
        "truth": [
            [int(c), *box]
            for c, box in zip(scene.labels, scene.boxes.round(4).tolist(), strict=True)
        ],
        "found": [
            [int(c), round(float(s), 4), *box]
            for c, s, box in zip(
                label, score, scene.found.round(4).tolist(), strict=True
            )
        ],
    }
