"""Explorer of class activation maps over pictures: choose a picture, choose a class, see which places speak for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import traitlets

from helpers.explorers.base import (
    HERE,
    Explorer,
    finite_array,
    one_of,
    require_photo,
    webp,
    within,
    words,
)

GRID = 56  # cells a side, to which every map is enlarged


@dataclass(frozen=True, eq=False, repr=False)
class ClassMap:
    """One picture and what a network says of it.

    image    (H, W, 3) in uint8
    names    K classes;  scores: what the network gives each, (K)
    maps     (K, h, w): how much each place speaks for the class, or against it where below 0
    regions  (K, H', W') boolean: where the class is, all False where it is not or nobody knows; None: unknown for all

    Raises ValueError for NaN, other shapes, another type of image, and a picture that is not square.
    """

    image: np.ndarray
    names: Sequence[str]
    scores: Sequence[float]
    maps: np.ndarray
    regions: np.ndarray | None = None

    def __post_init__(self):
        store = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731 (frozen)
        store("names", words("names", self.names))
        count = len(self.names)
        store("scores", finite_array("scores", self.scores, (count,)))
        store("maps", finite_array("maps", self.maps, (count, "h", "w")))
        image = require_photo("image", self.image)
        if image.shape[0] != image.shape[1]:
            raise ValueError(
                f"image: got {image.shape[:2]} pixels, expected as many high as wide"
            )
        store("image", image)
        if self.regions is not None:
            regions = finite_array("regions", self.regions, (count, "H", "W"))
            store("regions", regions > 0)

    def cells(self) -> np.ndarray:
        """The regions on the grid, (K, 56, 56): a cell belongs to a region in which its middle lies."""
        if self.regions is None:
            return np.zeros((len(self.names), GRID, GRID), bool)
        rows, columns = (
            ((np.arange(GRID) + 0.5) * side / GRID).astype(int)
            for side in self.regions.shape[1:]
        )
        return self.regions[:, rows][:, :, columns]

    def __repr__(self) -> str:
        return f"ClassMap({len(self.names)} classes)"


class ClassMapExplorer(Explorer):
    """Which places of a picture speak for a class: shade, outline above a threshold, and what is known to be there.

    examples   {name: ClassMap}, all with as many classes;  example: the chosen one;  shown: the index of its class
    threshold  share of the greatest value from which a place is outlined, 0.05 to 0.95;  opacity of the shade, 0 to 1
    against    whether what speaks against the class is hatched
    digits     after the decimal point of a score;  score: what it is called

    Raises ValueError for no examples, and for different numbers of classes.
    """

    _esm = HERE / "static" / "class_map.js"
    _examples = traitlets.List().tag(sync=True)
    _images = traitlets.List().tag(sync=True)  # how many bytes of each
    _pixels = traitlets.Bytes().tag(sync=True)  # WebP, image after image
    _maps = traitlets.Bytes().tag(sync=True)  # float32, map after map
    _regions = traitlets.Bytes().tag(sync=True)  # a bit a cell, region after region
    _score = traitlets.List().tag(sync=True)
    example = traitlets.Unicode().tag(sync=True)
    shown = traitlets.Int().tag(sync=True)
    threshold = traitlets.Float().tag(sync=True)
    opacity = traitlets.Float().tag(sync=True)
    against = traitlets.Bool().tag(sync=True)

    def __init__(
        self,
        examples: Mapping[str, ClassMap],
        example: str | None = None,
        shown: int = 0,
        threshold: float = 0.5,
        opacity: float = 0.75,
        against: bool = False,
        digits: int = 3,
        score: str = "probability",
        label: str = "Which places speak for a class",
    ):
        if not examples:
            raise ValueError("examples: got none, expected at least 1")
        counts = {name: len(each.names) for name, each in examples.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(
                f"examples: got {counts} classes, expected as many in each"
            )
        images = [
            webp(f"examples[{name!r}]", each.image, 224)
            for name, each in examples.items()
        ]
        super().__init__(
            _examples=[
                {
                    "name": name,
                    "classes": each.names,
                    "scores": each.scores.tolist(),
                    "shape": list(each.maps.shape[1:]),
                }
                for name, each in examples.items()
            ],
            _images=[len(image) for image in images],
            _pixels=b"".join(images),
            _maps=b"".join(
                each.maps.astype("<f4").tobytes() for each in examples.values()
            ),
            _regions=b"".join(
                np.packbits(each.cells()).tobytes() for each in examples.values()
            ),
            _score=[score, digits],
            example=next(iter(examples)) if example is None else example,
            shown=shown,
            threshold=threshold,
            opacity=opacity,
            against=against,
            label=label,
        )

    @traitlets.validate("example")
    def _check_example(self, proposal) -> str:
        return one_of(
            "example", proposal.value, [each["name"] for each in self._examples]
        )

    @traitlets.validate("shown")
    def _check_shown(self, proposal) -> int:
        return within("shown", proposal.value, 0, len(self._examples[0]["classes"]) - 1)

    @traitlets.validate("threshold")
    def _check_threshold(self, proposal) -> float:
        return within("threshold", proposal.value, 0.05, 0.95)

    @traitlets.validate("opacity")
    def _check_opacity(self, proposal) -> float:
        return within("opacity", proposal.value, 0, 1)

    def __repr__(self) -> str:
        return f"ClassMapExplorer({len(self._examples)} pictures × {len(self._examples[0]['classes'])} classes)"
