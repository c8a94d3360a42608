"""Explorer of attention to a neighbourhood: a pixel's window of weights, and the parts they are made of."""

from collections.abc import Mapping

import numpy as np
import traitlets

from helpers.explorers.base import HERE, Explorer, finite_array, one_of, within

PARTS = {
    "both": "content + offsets",
    "content": "content alone",
    "offsets": "offsets alone",
}


class WindowExplorer(Explorer):
    """The weights of one pixel on the k × k around it, head by head.

    pictures  name → image (H, W) from 0 to 1, queries and keys (h, H·W, d), pixels row by row; all of one size
    offsets   (h, k², d): the vector r of each neighbour, row by row; k odd
    query     the pixel;  head: 0 to h − 1;  part: what the energy is made of, "both" is q·k + q·r

    Queries and keys travel in float16, the energies are good to about 0.01. Raises ValueError for wrong shapes, NaN,
    and values outside these.
    """

    _esm = HERE / "static" / "window.js"
    _names = traitlets.List().tag(sync=True)
    _images = traitlets.Bytes().tag(sync=True)  # uint8, picture after picture
    _vectors = traitlets.Bytes().tag(
        sync=True
    )  # float16: of each picture queries, then keys
    _offsets = traitlets.Bytes().tag(sync=True)  # float32
    _shape = traitlets.List().tag(sync=True)  # H, W, h, d, k
    _parts = traitlets.List().tag(sync=True)
    picture = traitlets.Unicode().tag(sync=True)
    query = traitlets.Int().tag(sync=True)
    head = traitlets.Int().tag(sync=True)
    part = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        pictures: Mapping[str, tuple],
        offsets,
        query: int = 0,
        head: int = 0,
        part: str = "both",
        label: str = "Attention to a neighbourhood",
    ):
        if not pictures:
            raise ValueError("pictures: got none, expected at least 1")
        offsets = finite_array("offsets", offsets, ("h", "k²", "d"))
        heads, area, depth = offsets.shape
        size = int(area**0.5)
        if size**2 != area or size % 2 == 0:
            raise ValueError(
                f"offsets: got {area} neighbours, expected the square of an odd number"
            )
        images, vectors, shape = [], [], ("H", "W")
        for name, (image, queries, keys) in pictures.items():
            image = finite_array(f"pictures[{name!r}]", image, shape)
            shape = image.shape
            if image.min() < 0 or image.max() > 1:
                got = f"{image.min():g} to {image.max():g}"
                raise ValueError(f"pictures[{name!r}]: got {got}, expected 0 to 1")
            images.append(np.rint(255 * image).astype(np.uint8).tobytes())
            for kind, values in (("queries", queries), ("keys", keys)):
                values = finite_array(
                    f"pictures[{name!r}], {kind}", values, (heads, image.size, depth)
                )
                vectors.append(values.astype("<f2").tobytes())
        super().__init__(
            _names=list(pictures),
            _images=b"".join(images),
            _vectors=b"".join(vectors),
            _offsets=offsets.astype("<f4").tobytes(),
            _shape=[*shape, heads, depth, size],
            _parts=list(PARTS.items()),
            picture=next(iter(pictures)),
            query=query,
            head=head,
            part=part,
            label=label,
        )

    def window(self) -> np.ndarray:
        """The weights that are shown, (k, k); neighbours outside the picture have 0."""
        height, width, heads, depth, size = self._shape
        vectors = np.frombuffer(self._vectors, "<f2").astype(float)
        vectors = vectors.reshape(-1, 2, heads, height * width, depth)
        queries, keys = vectors[self._names.index(self.picture), :, self.head]
        offsets = np.frombuffer(self._offsets, "<f4").reshape(heads, size**2, depth)
        energy = np.full(size**2, -np.inf)
        for place in range(size**2):
            row = self.query // width + place // size - size // 2
            column = self.query % width + place % size - size // 2
            if 0 <= row < height and 0 <= column < width:
                content = queries[self.query] @ keys[row * width + column]
                offset = queries[self.query] @ offsets[self.head, place]
                energy[place] = {
                    "both": content + offset,
                    "content": content,
                    "offsets": offset,
                }[self.part]
        weights = np.exp(energy - energy.max())
        return (weights / weights.sum()).reshape(size, size)

    @traitlets.validate("picture")
    def _check_picture(self, proposal) -> str:
        return one_of("picture", proposal.value, self._names)

    @traitlets.validate("query")
    def _check_query(self, proposal) -> int:
        return within("query", proposal.value, 0, self._shape[0] * self._shape[1] - 1)

    @traitlets.validate("head")
    def _check_head(self, proposal) -> int:
        return within("head", proposal.value, 0, self._shape[2] - 1)

    @traitlets.validate("part")
    def _check_part(self, proposal) -> str:
        return one_of("part", proposal.value, list(PARTS))

    def __repr__(self) -> str:
        height, width, heads, _, size = self._shape
        return (
            f"WindowExplorer({len(self._names)} pictures of {height} × {width} pixels, "
            f"{heads} heads, {size} × {size} neighbours)"
        )
