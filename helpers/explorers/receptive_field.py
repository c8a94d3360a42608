"""Explorer of receptive fields: the square that theory allows, and what was measured within it."""

import zlib
from collections.abc import Mapping

import numpy as np
import torch
import traitlets

from helpers.explorers.base import HERE, Explorer, finite_array, one_of, within
from helpers.receptive_field import effective_size, spread

WINDOW = 81  # pixels that the picture shows each way
DEPTHS, KERNELS = (5, 10, 20, 40), (3, 5)


class ReceptiveFieldExplorer(Explorer):
    """Choose the layers of a stack, its kernel and its weights; see theory's square, the measured field and its σ.

    fields  {weights: {(kernel, layers): field}}: what was measured, (n, n) with n odd, none below 0; kernels 3 and 5,
            5, 10, 20 or 40 layers. What is missing is said to be. The browser knows "uniform" itself.
    depth   the index of the number of layers in `DEPTHS`;  square: the side of the reader's square, odd, 1 to 81

    A field travels cut to 81 pixels a side, as round(255 √(f / greatest)), with its σ and its size beside it.
    Raises ValueError for NaN, negative numbers, other shapes and other keys.
    """

    _esm = HERE / "static" / "receptive_field.js"
    _levels = traitlets.Bytes().tag(sync=True)  # deflated, field after field
    _fields = traitlets.List().tag(sync=True)
    _depths = traitlets.List(list(DEPTHS)).tag(sync=True)
    _weights = traitlets.List().tag(sync=True)
    depth = traitlets.Int().tag(sync=True)
    kernel = traitlets.Int().tag(sync=True)
    weights = traitlets.Unicode().tag(sync=True)
    square = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        fields: Mapping[str, Mapping[tuple[int, int], np.ndarray]],
        depth: int = 1,
        kernel: int = 3,
        weights: str = "random",
        square: int = 9,
        label: str = "Receptive fields of stacks of convolutions",
    ):
        levels, described = [], []
        for name, measured in fields.items():
            for (size, layers), field in measured.items():
                where = f"fields[{name!r}]"
                one_of(where, size, KERNELS)
                one_of(where, layers, DEPTHS)
                field = finite_array(f"{where}[{size}, {layers}]", field, ("n", "n"))
                if len(field) % 2 == 0 or len(set(field.shape)) > 1:
                    raise ValueError(
                        f"{where}: got shape {field.shape}, expected a square with an odd side"
                    )
                sigma = spread(torch.tensor(field))
                side = effective_size(torch.tensor(field))
                cut = max(0, (len(field) - WINDOW) // 2)
                field = field[cut : len(field) - cut, cut : len(field) - cut]
                levels.append(np.rint(255 * np.sqrt(field / field.max())))
                described.append(
                    {"weights": name, "kernel": size, "layers": layers}
                    | {"side": len(field), "sigma": sigma, "size": side}
                )
        if not described:
            raise ValueError("fields: got none, expected at least 1")
        packed = b"".join(each.astype(np.uint8).tobytes() for each in levels)
        super().__init__(
            _levels=zlib.compress(packed, 9),
            _fields=described,
            _weights=["uniform", *(name for name in fields if name != "uniform")],
            depth=depth,
            kernel=kernel,
            weights=weights,
            square=square,
            label=label,
        )

    @traitlets.validate("depth")
    def _check_depth(self, proposal) -> int:
        return within("depth", proposal.value, 0, len(DEPTHS) - 1)

    @traitlets.validate("kernel")
    def _check_kernel(self, proposal) -> int:
        return one_of("kernel", proposal.value, KERNELS)

    @traitlets.validate("weights")
    def _check_weights(self, proposal) -> str:
        return one_of("weights", proposal.value, self._weights)

    @traitlets.validate("square")
    def _check_square(self, proposal) -> int:
        return one_of("square", proposal.value, range(1, WINDOW + 1, 2))

    def __repr__(self) -> str:
        return f"ReceptiveFieldExplorer({len(self._fields)} fields)"
