"""Explorer of the attention-guided network: heatmap, threshold, box, crop, and what its three branches say."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import traitlets

from helpers.explorers.base import HERE, Explorer, finite_array, one_of, within, words
from helpers.explorers.detection import pixels

BRANCHES = ("global", "local", "fusion")


@dataclass(frozen=True, eq=False, repr=False)
class GuidedScene:
    """A picture, and what an attention-guided network makes of it at T thresholds.

    image   (side, side, 3), from 0 to 1;  label: the true class;  box: the true one, (top, left, bottom, right), pixels
    heat    (side, side), from 0 to 1
    boxes   (T, 4), what is cut out at each threshold
    probabilities  (T, 3, K), of the global, the local and the fusion branch; each row sums to 1

    Raises ValueError for other shapes, NaN, boxes beyond the picture, and values outside [0, 1].
    """

    image: np.ndarray
    label: int
    box: Sequence[int]
    heat: np.ndarray
    boxes: np.ndarray
    probabilities: np.ndarray

    def __post_init__(self):
        store = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731 (frozen)
        store("image", pixels("image", self.image))
        side = len(self.image)
        store("heat", finite_array("heat", self.heat, (side, side)))
        store("boxes", finite_array("boxes", self.boxes, ("T", 4)).astype(int))
        store("box", finite_array("box", self.box, (4,)).astype(int))
        shape = len(self.boxes), len(BRANCHES), "K"
        store("probabilities", finite_array("probabilities", self.probabilities, shape))
        for name, most in (("heat", 1), ("boxes", side), ("box", side)):
            for value in (getattr(self, name).min(), getattr(self, name).max()):
                within(name, value, 0, most)
        within("probabilities", self.probabilities.min(), 0, 1)
        within("probabilities", self.probabilities.sum(axis=-1).min(), 0.999, 1.001)
        within("probabilities", self.probabilities.sum(axis=-1).max(), 0.999, 1.001)
        within("label", self.label, 0, self.probabilities.shape[2] - 1)


class GuidedExplorer(Explorer):
    """Where an attention-guided network looks twice: the threshold decides how much of the picture is cut out.

    The reader chooses the picture, one of the `thresholds`, and how dark the cold part of the heatmap is.
    Raises ValueError if scenes differ in size or classes, or have other than one box for each threshold.
    """

    _esm = HERE / "static" / "guided.js"
    _scenes = traitlets.List().tag(sync=True)
    _classes = traitlets.List().tag(sync=True)
    _thresholds = traitlets.List().tag(sync=True)
    _side = traitlets.Int().tag(sync=True)
    _data = traitlets.Bytes().tag(sync=True)  # deflated: all pixels, then all heatmaps
    scene = traitlets.Unicode().tag(sync=True)
    threshold = traitlets.Int().tag(sync=True)  # which of the thresholds
    shade = traitlets.Float().tag(sync=True)

    def __init__(
        self,
        scenes: Mapping[str, GuidedScene],
        classes: Sequence[str],
        thresholds: Sequence[float],
        threshold: int = 0,
        shade: float = 0.6,
        label: str = "Heatmap, threshold, crop, and what each branch says",
    ):
        if not scenes:
            raise ValueError("scenes: got none, expected at least 1")
        levels = finite_array("thresholds", thresholds, ("T",)).tolist()
        sizes = {
            (len(scene.image), len(scene.boxes), scene.probabilities.shape[2])
            for scene in scenes.values()
        }
        if len(sizes) > 1 or next(iter(sizes))[1] != len(levels):
            raise ValueError(
                f"scenes: got (side, thresholds, classes) {sorted(sizes)}, expected one with {len(levels)} thresholds"
            )
        side, _, count = sizes.pop()
        parts = [scene.image for scene in scenes.values()]
        parts += [np.rint(255 * scene.heat) for scene in scenes.values()]
        data = b"".join(part.astype(np.uint8).tobytes() for part in parts)
        super().__init__(
            _scenes=[_described(name, scene) for name, scene in scenes.items()],
            _classes=words("classes", classes, count),
            _thresholds=levels,
            _side=side,
            _data=zlib.compress(data, 9),
            scene=next(iter(scenes)),
            threshold=threshold,
            shade=shade,
            label=label,
        )

    @traitlets.validate("scene")
    def _check_scene(self, proposal) -> str:
        return one_of("scene", proposal.value, [each["name"] for each in self._scenes])

    @traitlets.validate("threshold")
    def _check_threshold(self, proposal) -> int:
        return within("threshold", proposal.value, 0, len(self._thresholds) - 1)

    @traitlets.validate("shade")
    def _check_shade(self, proposal) -> float:
        return within("shade", proposal.value, 0, 1)

    def __repr__(self) -> str:
        return f"GuidedExplorer({len(self._scenes)} scenes × {len(self._thresholds)} thresholds)"


def _described(name: str, scene: GuidedScene) -> dict:
    return {
        "name": name,
        "label": int(scene.label),
        "box": scene.box.tolist(),
        "boxes": scene.boxes.tolist(),
        "probabilities": scene.probabilities.round(3).tolist(),
    }
