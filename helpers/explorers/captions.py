"""Explorer of captions: word by word, where the model looked in the picture."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import traitlets
from PIL import Image

from helpers.explorers.base import (
    HERE,
    Explorer,
    attention_rows,
    finite_array,
    one_of,
    require_photo,
    within,
)
from helpers.explorers.base import words as checked_words


@dataclass(frozen=True, eq=False)
class Reading:
    """One caption and its looks.

    words   T words
    weights (T, h, w), each map sums to 1
    gates   T numbers from 0 to 1: how much of the context each word takes
    places  T cells, row by row, where a hard look fell, or none for a soft one
    boxes   for each word a list of (left, top, right, bottom) in pixels: what it speaks of, if anything
    true    whether the caption is true of the picture
    expected  a true caption, shown where this one is not

    Raises ValueError for unequal lengths, maps that do not sum to 1, and gates or places that cannot be.
    """

    words: Sequence[str]
    weights: np.ndarray
    gates: Sequence[float]
    boxes: Sequence[Sequence[tuple[int, int, int, int]]]
    true: bool
    places: Sequence[int] = ()
    expected: str = ""

    def __post_init__(self):
        store = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731 (frozen)
        store("words", checked_words("words", self.words))
        count = len(self.words)
        store("weights", finite_array("weights", self.weights, (count, "h", "w")))
        attention_rows("weights", self.weights.reshape(count, -1), (count, "L"))
        store("gates", finite_array("gates", self.gates, (count,)).tolist())
        for gate in self.gates:
            within("gates", gate, 0, 1)
        if len(self.boxes) != count:
            raise ValueError(
                f"boxes: got {len(self.boxes)} lists, expected {count}, one for each word"
            )
        if len(self.places) not in (0, count):
            raise ValueError(
                f"places: got {len(self.places)}, expected none or {count}, one for each word"
            )
        for place in self.places:
            within("places", place, 0, self.weights[0].size - 1)


class CaptionExplorer(Explorer):
    """A picture, a caption, and the map of each word over the picture.

    pictures  name → (H, W, 3) uint8
    readings  name → {look: Reading}, the same looks for each picture

    The reader chooses picture, look and word, and whether the boxes of what a word speaks of are shown. Weights travel
    as a byte each, round(255 √w): they are good to 0.004. Raises ValueError for other pictures, or looks that differ.
    """

    _esm = HERE / "static" / "captions.js"
    _images = traitlets.List().tag(sync=True)  # how many bytes of each
    _pixels = traitlets.Bytes().tag(sync=True)  # WebP, one after the other
    _readings = traitlets.List().tag(sync=True)
    _levels = traitlets.Bytes().tag(sync=True)
    _grid = traitlets.List().tag(sync=True)
    picture = traitlets.Unicode().tag(sync=True)
    look = traitlets.Unicode().tag(sync=True)
    word = traitlets.Int().tag(sync=True)
    boxes = traitlets.Bool().tag(sync=True)

    def __init__(
        self,
        pictures: Mapping[str, np.ndarray],
        readings: Mapping[str, Mapping[str, Reading]],
        word: int = 0,
        boxes: bool = False,
        label: str = "Where a captioner looks, word by word",
    ):
        if not pictures or list(pictures) != list(readings):
            raise ValueError(
                f"readings: got {list(readings)}, expected the pictures' names {list(pictures)}"
            )
        images = [_webp(name, image) for name, image in pictures.items()]
        looks = list(next(iter(readings.values())))
        described, levels, grids = [], [], set()
        for name, by_look in readings.items():
            if list(by_look) != looks or not looks:
                raise ValueError(
                    f"readings[{name!r}]: got looks {list(by_look)}, expected {looks or 'at least one'}"
                )
            for look, reading in by_look.items():
                described.append(
                    {
                        "picture": name,
                        "look": look,
                        "size": list(pictures[name].shape[:2]),
                        "words": reading.words,
                        "gates": [round(gate, 3) for gate in reading.gates],
                        "places": [int(place) for place in reading.places],
                        "boxes": [
                            [list(map(int, box)) for box in of_word]
                            for of_word in reading.boxes
                        ],
                        "true": bool(reading.true),
                        "expected": reading.expected,
                    }
                )
                grids.add(reading.weights.shape[1:])
                levels.append(np.rint(255 * np.sqrt(reading.weights)).astype(np.uint8))
        if len(grids) > 1:
            raise ValueError(f"weights: got grids {sorted(grids)}, expected one")
        super().__init__(
            _images=[len(image) for image in images],
            _pixels=b"".join(images),
            _readings=described,
            _levels=b"".join(level.tobytes() for level in levels),
            _grid=list(grids.pop()),
            picture=described[0]["picture"],
            look=looks[0],
            word=word,
            boxes=boxes,
            label=label,
        )

    @property
    def words(self) -> int:
        """The number of words of the chosen caption."""
        (chosen,) = (
            reading
            for reading in self._readings
            if (reading["picture"], reading["look"]) == (self.picture, self.look)
        )
        return len(chosen["words"])

    @traitlets.validate("picture")
    def _check_picture(self, proposal) -> str:
        names = dict.fromkeys(reading["picture"] for reading in self._readings)
        return one_of("picture", proposal.value, names)

    @traitlets.validate("look")
    def _check_look(self, proposal) -> str:
        names = dict.fromkeys(reading["look"] for reading in self._readings)
        return one_of("look", proposal.value, names)

    @traitlets.validate("word")
    def _check_word(self, proposal) -> int:
        return within("word", proposal.value, 0, self.words - 1)

    @traitlets.observe("picture", "look")
    def _keep_word(self, change) -> None:
        self.word = min(self.word, self.words - 1)

    def __repr__(self) -> str:
        count = len(self._images)
        looks = len(self._readings) // count
        return f"CaptionExplorer({count} pictures × {looks} looks)"


def _webp(name: str, image) -> bytes:
    """Encode a small picture, without loss."""
    image, stream = require_photo(f"pictures[{name!r}]", image), io.BytesIO()
    Image.fromarray(image).save(stream, "WEBP", lossless=True, method=6)
    return stream.getvalue()
