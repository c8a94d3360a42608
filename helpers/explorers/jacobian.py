"""Explorer of the product of Jacobians: what is left of a gradient after many steps back."""

from functools import lru_cache

import numpy as np
import traitlets

from helpers.explorers.base import HERE, Explorer, one_of, within

ACTIVATIONS = ["tanh", "linear", "relu"]
KINDS = ["orthogonal", "gaussian"]
NORMS = ["typical", "worst"]
SIZES = [4, 8, 16, 32, 48, 64]
DRAWS = 5
LONGEST, WARM_UP = 100, 50  # steps


class JacobianExplorer(Explorer):
    """A recurrent network h_t = φ(W h_{t−1} + input noise), and the norm of ∂h_T/∂h_{T−k} against the lag k.

    activation  "tanh", "linear" or "relu";  kind: how W is drawn, "orthogonal" or "gaussian"
    radius      spectral radius of W, exactly, 0.1 to 2;  length: greatest lag, 8 to 100
    size        index in SIZES of the number of units;  draw: which random numbers, 0 to 4
    noise       standard deviation of the input, 0 to 2
    norm        "typical" (root mean square over all directions) or "worst" (spectral norm)

    Everything is computed in the browser, random numbers included; Python stores the spectral radii of the Gaussian
    draws alone. Raises ValueError for values outside these.
    """

    _esm = HERE / "static" / "jacobian.js"
    _radii = traitlets.List().tag(sync=True)  # [draw][size]
    _sizes = traitlets.List().tag(sync=True)
    _steps = traitlets.List().tag(sync=True)
    activation = traitlets.Unicode().tag(sync=True)
    kind = traitlets.Unicode().tag(sync=True)
    radius = traitlets.Float().tag(sync=True)
    length = traitlets.Int().tag(sync=True)
    size = traitlets.Int().tag(sync=True)
    draw = traitlets.Int().tag(sync=True)
    noise = traitlets.Float().tag(sync=True)
    norm = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        activation: str = "tanh",
        kind: str = "gaussian",
        radius: float = 0.9,
        length: int = 40,
        size: int = 3,
        draw: int = 0,
        noise: float = 0.3,
        norm: str = "typical",
        label: str = "What is left of a gradient, step by step back in time",
    ):
        super().__init__(
            _radii=_radii(),
            _sizes=SIZES,
            _steps=[WARM_UP, LONGEST],
            activation=activation,
            kind=kind,
            radius=radius,
            length=length,
            size=size,
            draw=draw,
            noise=noise,
            norm=norm,
            label=label,
        )

    @traitlets.validate("activation")
    def _check_activation(self, proposal) -> str:
        return one_of("activation", proposal.value, ACTIVATIONS)

    @traitlets.validate("kind")
    def _check_kind(self, proposal) -> str:
        return one_of("kind", proposal.value, KINDS)

    @traitlets.validate("norm")
    def _check_norm(self, proposal) -> str:
        return one_of("norm", proposal.value, NORMS)

    @traitlets.validate("radius")
    def _check_radius(self, proposal) -> float:
        return within("radius", proposal.value, 0.1, 2)

    @traitlets.validate("length")
    def _check_length(self, proposal) -> int:
        return within("length", proposal.value, 8, LONGEST)

    @traitlets.validate("size")
    def _check_size(self, proposal) -> int:
        return within("size", proposal.value, 0, len(SIZES) - 1)

    @traitlets.validate("draw")
    def _check_draw(self, proposal) -> int:
        return within("draw", proposal.value, 0, DRAWS - 1)

    @traitlets.validate("noise")
    def _check_noise(self, proposal) -> float:
        return within("noise", proposal.value, 0, 2)

    def __repr__(self) -> str:
        return f"JacobianExplorer({self.activation}, {self.kind}, radius {self.radius}, {SIZES[self.size]} units)"


def normals(seed: int, count: int) -> np.ndarray:
    """Standard normal numbers, the same ones that the browser draws: mulberry32, then Box and Muller's cosine."""
    numbers, state = np.empty(2 * count), seed
    for i in range(2 * count):
        state = (state + 0x6D2B79F5) & 0xFFFFFFFF
        t = ((state ^ state >> 15) * (state | 1)) & 0xFFFFFFFF
        t ^= (t + ((t ^ t >> 7) * (t | 61) & 0xFFFFFFFF)) & 0xFFFFFFFF
        numbers[i] = ((t ^ t >> 14) + 0.5) / 2**32
    return np.sqrt(-2 * np.log(numbers[0::2])) * np.cos(2 * np.pi * numbers[1::2])


def seed_of(draw: int, size: int) -> int:
    """The seed of a draw at a size: its normals are W row by row, then h_0, then the noise of each step."""
    return 1000 * (draw + 1) + size


@lru_cache
def _radii() -> list[list[float]]:
    """Spectral radii of the Gaussian matrices with entries of variance 1, by draw and size."""
    matrices = [
        [normals(seed_of(draw, n), n * n).reshape(n, n) for n in SIZES]
        for draw in range(DRAWS)
    ]
    return [
        [round(float(np.abs(np.linalg.eigvals(g)).max()), 9) for g in row]
        for row in matrices
    ]
