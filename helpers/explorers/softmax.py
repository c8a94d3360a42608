"""Explorer of the softmax: what wide keys do to it, and what dividing by √d_k repairs."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import traitlets

from helpers.explorers.base import HERE, Explorer, finite_array, one_of, within

WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class SoftmaxExplorer(Explorer):
    """Softmax of real dot products: sliders for the key width d_k and the temperature, with or without √d_k.

    scores  (draws, widths, keys): the dot products of a random query with random keys, for every width
    widths  the widths, each above the one before
    width   the index of the chosen one in `widths`;  draw: the index of the chosen draw
    curve   what the chart shows against the width: "entropy" or "gradient" (the norm of the Jacobian)

    Raises ValueError for NaN, wrong shapes and widths that do not rise.
    """

    _esm = HERE / "static" / "softmax.js"
    _scores = traitlets.Bytes().tag(sync=True)  # float32
    _shape = traitlets.List().tag(sync=True)
    _widths = traitlets.List().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    temperature = traitlets.Float().tag(sync=True)
    scaled = traitlets.Bool().tag(sync=True)
    draw = traitlets.Int().tag(sync=True)
    curve = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        scores,
        widths: Sequence[int] = WIDTHS,
        width: int | None = None,
        temperature: float = 1.0,
        scaled: bool = False,
        draw: int = 0,
        curve: str = "entropy",
        label: str = "Softmax of dot products of growing width",
    ):
        widths = finite_array("widths", widths, ("widths",)).astype(int).tolist()
        if widths[0] < 1 or any(wide <= narrow for narrow, wide in pairwise(widths)):
            raise ValueError(
                f"widths: got {widths}, expected whole numbers from 1, each above the one before"
            )
        scores = finite_array("scores", scores, ("draws", len(widths), "keys"))
        super().__init__(
            _scores=scores.astype("<f4").tobytes(),
            _shape=list(scores.shape),
            _widths=widths,
            width=len(widths) * 2 // 3 if width is None else width,
            temperature=temperature,
            scaled=scaled,
            draw=draw,
            curve=curve,
            label=label,
        )

    @classmethod
    def from_seed(
        cls, seed: int = 0, draws: int = 16, keys: int = 12, widths=WIDTHS, **chosen
    ):
        """Draw queries and keys from the standard normal; narrow ones are the first entries of the widest."""
        random = np.random.default_rng(seed)
        query = random.standard_normal((draws, 1, max(widths)))
        key = random.standard_normal((draws, keys, max(widths)))
        dots = np.cumsum(
            query * key, axis=-1
        )  # (draws, keys, d): the dot product of the first d entries
        return cls(dots[..., np.array(widths) - 1].swapaxes(1, 2), widths, **chosen)

    @traitlets.validate("width")
    def _check_width(self, proposal) -> int:
        return within("width", proposal.value, 0, len(self._widths) - 1)

    @traitlets.validate("draw")
    def _check_draw(self, proposal) -> int:
        return within("draw", proposal.value, 0, self._shape[0] - 1)

    @traitlets.validate("curve")
    def _check_curve(self, proposal) -> str:
        return one_of("curve", proposal.value, ["entropy", "gradient"])

    @traitlets.validate("temperature")
    def _check_temperature(self, proposal) -> float:
        return within("temperature", proposal.value, 0.1, 10)

    def __repr__(self) -> str:
        draws, widths, keys = self._shape
        return f"SoftmaxExplorer({draws} draws × {widths} widths × {keys} keys)"
