"""Explorer of sinusoidal positions: the heatmap, and what a shift does."""

import traitlets

from helpers.explorers.base import HERE, Explorer, within

LENGTH = 64
WIDTHS = [4, 8, 16, 32, 64, 128]


class PositionExplorer(Explorer):
    """The vectors of 64 positions: p[t, 2i] = sin(ω_i t), p[t, 2i + 1] = cos(ω_i t), ω_i = base^(−2i/d).

    place  the position t, 0 to 63;  shift: k, −63 to 63: similarity of t and t + k, and p_t turned into p_{t+k}
    width  an index in WIDTHS of the number of columns d;  base: 10 to 100,000

    Everything is computed in the browser. Raises ValueError for values outside these.
    """

    _esm = HERE / "static" / "positions.js"
    _length = traitlets.Int(LENGTH).tag(sync=True)
    _widths = traitlets.List(WIDTHS).tag(sync=True)
    place = traitlets.Int().tag(sync=True)
    shift = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    base = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        place: int = 20,
        shift: int = 10,
        width: int = 3,
        base: int = 10_000,
        label: str = "Sinusoidal positions",
    ):
        super().__init__(place=place, shift=shift, width=width, base=base, label=label)

    @traitlets.validate("place")
    def _check_place(self, proposal) -> int:
        return within("place", proposal.value, 0, LENGTH - 1)

    @traitlets.validate("shift")
    def _check_shift(self, proposal) -> int:
        return within("shift", proposal.value, 1 - LENGTH, LENGTH - 1)

    @traitlets.validate("width")
    def _check_width(self, proposal) -> int:
        return within("width", proposal.value, 0, len(WIDTHS) - 1)

    @traitlets.validate("base")
    def _check_base(self, proposal) -> int:
        return within("base", proposal.value, 10, 100_000)

    def __repr__(self) -> str:
        return f"PositionExplorer({LENGTH} positions)"
