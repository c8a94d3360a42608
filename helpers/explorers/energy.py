"""Explorer of energy functions: one query in the plane among a few keys."""

import numpy as np
import traitlets

from helpers.explorers.base import HERE, Explorer, finite_array, one_of, within, words

ENERGIES = ["cosine", "dot", "scaled_dot", "general", "additive", "local"]
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
PARAMETERS = {
    "general": {
        "W": [[0.0, -1.0], [1.0, 0.0]]
    },  # a quarter turn: asks for what lies at a right angle
    "additive": {
        "W_q": [[1.0, 0.0], [0.0, 1.0]],
        "W_k": [[1.0, 0.0], [0.0, 1.0]],
        "v": [1.0, 1.0],
    },
    "local": {"base": "dot"},
}


class EnergyExplorer(Explorer):
    """Drag a query among keys, switch the energy function, see energies, weights and the output Σ αᵢ vᵢ.

    keys, values  (n, 2) points of the plane; the values are the keys unless given
    labels        n names of the keys; "k₀", "k₁"… unless given
    energy        one of "cosine", "dot", "scaled_dot", "general", "additive", "local"
    parameters    the fixed parts of some functions: {"general": {"W": (2, 2)}, "additive": {"W_q": (h, 2),
                  "W_k": (h, 2), "v": (h,)}, "local": {"base": "dot" or "general"}}; else those of PARAMETERS
    centre, sigma the reader's choice for "local": key i counts as position i = 0 to n − 1

    Raises ValueError for NaN, wrong shapes, a wrong number of labels, and unknown functions or parameters.
    """

    _esm = HERE / "static" / "energy.js"
    _keys = traitlets.List().tag(sync=True)
    _values = traitlets.List().tag(sync=True)
    _labels = traitlets.List().tag(sync=True)
    _parameters = traitlets.Dict().tag(sync=True)
    query = traitlets.List().tag(sync=True)
    energy = traitlets.Unicode().tag(sync=True)
    centre = traitlets.Float().tag(sync=True)
    sigma = traitlets.Float().tag(sync=True)
    field = traitlets.Bool().tag(sync=True)

    def __init__(
        self,
        keys,
        values=None,
        labels=None,
        query=(1.0, 0.5),
        energy: str = "dot",
        parameters: dict | None = None,
        centre: float | None = None,
        sigma: float = 1.0,
        field: bool = False,
        label: str = "A query among keys: energies, weights and the output",
    ):
        keys = finite_array("keys", keys, ("n", 2))
        n = len(keys)
        values = keys if values is None else finite_array("values", values, (n, 2))
        if labels is None:
            labels = [f"k{i}".translate(SUBSCRIPTS) for i in range(n)]
        super().__init__(
            _keys=keys.tolist(),
            _values=values.tolist(),
            _labels=words("labels", labels, n),
            _parameters=_checked(parameters or {}),
            query=list(query),
            energy=energy,
            centre=(n - 1) / 2 if centre is None else centre,
            sigma=sigma,
            field=field,
            label=label,
        )

    def numbers(self) -> dict[str, np.ndarray]:
        """The energies (n,), weights (n,) and output (2,) of the query; energy −inf outside the window."""
        energies = self._energies(self.energy)
        weights = np.exp(energies - energies.max())
        weights /= weights.sum()
        return {
            "energies": energies,
            "weights": weights,
            "output": weights @ np.array(self._values),
        }

    def _energies(self, name: str) -> np.ndarray:
        query, keys = np.array(self.query), np.array(self._keys)
        if name == "cosine":
            lengths = np.linalg.norm(query) * np.linalg.norm(keys, axis=1)
            return np.divide(
                keys @ query, lengths, out=np.zeros(len(keys)), where=lengths > 0
            )
        if name == "dot":
            return keys @ query
        if name == "scaled_dot":
            return keys @ query / np.sqrt(2)
        parameters = {
            key: np.array(value) for key, value in self._parameters[name].items()
        }
        if name == "general":
            return keys @ parameters["W"].T @ query
        if name == "additive":
            return (
                np.tanh(parameters["W_q"] @ query + keys @ parameters["W_k"].T)
                @ parameters["v"]
            )
        distance = np.arange(len(keys)) - self.centre
        energies = self._energies(self._parameters["local"]["base"]) - distance**2 / (
            2 * self.sigma**2
        )
        return np.where(np.abs(distance) > 2 * self.sigma, -np.inf, energies)

    @traitlets.validate("query")
    def _check_query(self, proposal) -> list[float]:
        return finite_array("query", proposal.value, (2,)).tolist()

    @traitlets.validate("energy")
    def _check_energy(self, proposal) -> str:
        return one_of("energy", proposal.value, ENERGIES)

    @traitlets.validate("centre")
    def _check_centre(self, proposal) -> float:
        return within("centre", proposal.value, 0, len(self._keys) - 1)

    @traitlets.validate("sigma")
    def _check_sigma(self, proposal) -> float:
        return within("sigma", proposal.value, 0.5, 4)

    def __repr__(self) -> str:
        return f"EnergyExplorer({len(self._keys)} keys)"


def _checked(parameters: dict) -> dict:
    """Return PARAMETERS with the given ones in their place, as lists; ValueError if one does not fit."""
    for name in parameters:
        one_of("parameters", name, list(PARAMETERS))
    merged = {
        name: {**default, **parameters.get(name, {})}
        for name, default in PARAMETERS.items()
    }
    for name, default in PARAMETERS.items():
        for key in merged[name]:
            one_of(f"parameters[{name!r}]", key, list(default))
    v = finite_array("parameters['additive']['v']", merged["additive"]["v"], ("h",))
    shapes = {
        ("general", "W"): (2, 2),
        ("additive", "W_q"): (len(v), 2),
        ("additive", "W_k"): (len(v), 2),
    }
    for (name, key), shape in shapes.items():
        merged[name][key] = finite_array(
            f"parameters[{name!r}][{key!r}]", merged[name][key], shape
        ).tolist()
    merged["additive"]["v"] = v.tolist()
    one_of("parameters['local']['base']", merged["local"]["base"], ["dot", "general"])
    return merged
