"""Explorer of attention on a graph: who listens to whom, along its edges."""

import numpy as np
import traitlets

from helpers.explorers.base import HERE, Explorer, attention_rows, finite_array, within
from helpers.explorers.base import words as checked_words


class GraphExplorer(Explorer):
    """A graph, drawn; the weights of the chosen node on its neighbours, after one step or several.

    places   (N, 2) where the nodes are drawn;  classes: N whole numbers, 0 or 1;  names: of the two classes
    weights  (heads, N, N), rows sum to 1: head by head what node i takes from node j
    node     the chosen node;  head: 0 to heads − 1, or heads for their mean;  steps: 1 to 4, how often the weights
             are applied

    Raises ValueError for wrong shapes, NaN, rows that do not sum to 1, and values outside these.
    """

    _esm = HERE / "static" / "graph.js"
    _weights = traitlets.Bytes().tag(sync=True)  # float32
    _shape = traitlets.List().tag(sync=True)
    _places = traitlets.List().tag(sync=True)
    _classes = traitlets.List().tag(sync=True)
    _names = traitlets.List().tag(sync=True)
    node = traitlets.Int().tag(sync=True)
    head = traitlets.Int().tag(sync=True)
    steps = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        places,
        classes,
        weights,
        names=("one", "other"),
        node: int = 0,
        head: int | None = None,
        steps: int = 1,
        label: str = "Attention on a graph",
    ):
        places = finite_array("places", places, ("N", 2))
        n = len(places)
        weights = attention_rows("weights", weights, ("heads", n, n))
        classes = finite_array("classes", classes, (n,))
        if not np.isin(classes, (0, 1)).all():
            raise ValueError(f"classes: got {classes.tolist()}, expected 0 or 1 each")
        low, high = places.min(axis=0), places.max(axis=0)
        places = (places - low) / np.where(high > low, high - low, 1)
        super().__init__(
            _weights=weights.astype("<f4").tobytes(),
            _shape=list(weights.shape),
            _places=np.round(places, 4).tolist(),
            _classes=classes.astype(int).tolist(),
            _names=checked_words("names", names, 2),
            node=node,
            head=len(weights) if head is None else head,
            steps=steps,
            label=label,
        )

    def row(self) -> np.ndarray:
        """What the chosen node takes from each node: (N,)."""
        weights = np.frombuffer(self._weights, "<f4").reshape(self._shape).astype(float)
        heads = [*weights, weights.mean(axis=0)]
        return np.linalg.matrix_power(heads[self.head], self.steps)[self.node]

    @traitlets.validate("node")
    def _check_node(self, proposal) -> int:
        return within("node", proposal.value, 0, self._shape[1] - 1)

    @traitlets.validate("head")
    def _check_head(self, proposal) -> int:
        return within("head", proposal.value, 0, self._shape[0])

    @traitlets.validate("steps")
    def _check_steps(self, proposal) -> int:
        return within("steps", proposal.value, 1, 4)

    def __repr__(self) -> str:
        heads, nodes, _ = self._shape
        return f"GraphExplorer({nodes} nodes, {heads} heads)"
