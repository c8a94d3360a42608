"""Explorers of attention maps: tokens that attend to tokens, patches of a photograph to patches."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import traitlets

from helpers.explorers.base import (
    HERE,
    Explorer,
    attention_rows,
    finite_array,
    one_of,
    require_photo,
    webp,
    within,
    words,
)

NO_ATTENTION = "No attention: every word is written from the same vector."


@dataclass(frozen=True, eq=False, repr=False)
class AttentionMap:
    """One model's attention over one sequence: a panel of the explorer.

    weights   (T_q, T_k), or (N, h, T_q, T_k) for N layers of h heads, each row sums to 1; None for a model without
              attention
    queries   T_q tokens, e.g. what the model wrote
    keys      T_k tokens, e.g. what it read
    truth     the indices of the right keys for each query, where they are known (an empty set: no right key)
    expected  the right tokens; a query that differs from the one in its place is marked as wrong

    Raises ValueError for NaN, negative weights, rows that do not sum to 1, empty sequences, unequal lengths.
    """

    weights: np.ndarray | None
    queries: Sequence[str]
    keys: Sequence[str]
    name: str
    note: str = ""
    truth: Sequence[set[int]] | None = None
    expected: Sequence[str] | None = None

    def __post_init__(self):
        store = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731 (frozen)
        store("queries", words("queries", self.queries))
        store("keys", words("keys", self.keys))
        if self.weights is None:
            store("note", self.note or NO_ATTENTION)
        else:
            shape = len(self.queries), len(self.keys)
            if np.ndim(self.weights) == 4:
                shape = "N", "h", *shape
            store("weights", attention_rows("weights", self.weights, shape))
        if self.expected is not None:
            store("expected", words("expected", self.expected))
        if self.truth is not None:
            if len(self.truth) != len(self.queries):
                raise ValueError(
                    f"truth: got {len(self.truth)} sets, expected {len(self.queries)}, one per query"
                )
            for row, indices in enumerate(self.truth):
                for index in indices:
                    within(f"truth[{row}]", index, 0, len(self.keys) - 1)

    @property
    def heads(self) -> list[int]:
        """Layers and heads, [N, h]; empty for one map, or none."""
        return [] if self.weights is None else list(self.weights.shape[:-2])

    def __repr__(self) -> str:
        return f"AttentionMap({self.name!r}, {len(self.queries)} queries × {len(self.keys)} keys)"


class AttentionExplorer(Explorer):
    """Attention of several models, side by side, one output step (query) at a time.

    `examples` gives each example's panels. The reader chooses the example, the step, a temperature τ (the
    weights become softmax(log w / τ)), and a view: a "matrix", or "lines" between the tokens. `query_name` is
    what a query is called.

    Where maps have layers and heads, the reader chooses these too, in an overview of all, and a fusion: one "head", the
    "mean" or the "max" of the layer's heads (rows brought back to sum 1), or, where queries are keys, the "rollout"
    through the layers so far (Abnar and Zuidema 2020). Such weights travel as a byte each, round(255 √w): they are good
    to 0.002 and one below 4e-6 is 0. Raises ValueError if the maps differ in layers or heads.
    """

    _esm = HERE / "static" / "attention.js"
    _examples = traitlets.List().tag(sync=True)
    _weights = traitlets.Bytes().tag(
        sync=True
    )  # log w of map after map, float16; log 0 = −inf
    _levels = traitlets.Bytes().tag(sync=True)  # of maps with heads, deflated
    _heads = traitlets.List().tag(sync=True)  # layers and heads, or empty
    query_name = traitlets.Unicode("output step").tag(sync=True)
    example = traitlets.Unicode().tag(sync=True)
    step = traitlets.Int().tag(sync=True)
    temperature = traitlets.Float().tag(sync=True)
    view = traitlets.Unicode().tag(sync=True)
    layer = traitlets.Int().tag(sync=True)
    head = traitlets.Int().tag(sync=True)
    fusion = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        examples: Mapping[str, Sequence[AttentionMap]],
        step: int = 0,
        temperature: float = 1.0,
        view: str = "matrix",
        label: str = "Attention weights, step by step",
        query_name: str = "output step",
        layer: int = 0,
        head: int = 0,
        fusion: str = "head",
    ):
        if not examples:
            raise ValueError("examples: got none, expected at least 1")
        packed, described = [], []
        for title, maps in examples.items():
            if not maps or not all(isinstance(panel, AttentionMap) for panel in maps):
                raise ValueError(
                    f"examples[{title!r}]: got {maps!r}, expected one AttentionMap or more"
                )
            described.append(
                {"name": title, "maps": [_described(panel) for panel in maps]}
            )
            packed += [panel for panel in maps if panel.weights is not None]
        heads = [panel.heads for panel in packed if panel.heads]
        if heads and any(each != heads[0] for each in heads):
            raise ValueError(
                f"examples: got maps with {heads} layers and heads, expected as many in each"
            )
        with np.errstate(divide="ignore"):
            logs = b"".join(
                np.log(panel.weights).astype("<f2").tobytes()
                for panel in packed
                if not panel.heads
            )
        levels = b"".join(
            np.rint(255 * np.sqrt(panel.weights)).astype(np.uint8).tobytes()
            for panel in packed
            if panel.heads
        )
        super().__init__(
            _examples=described,
            _weights=logs,
            _levels=zlib.compress(levels, 9) if heads else b"",
            _heads=heads[0] if heads else [],
            example=described[0]["name"],
            step=step,
            temperature=temperature,
            view=view,
            label=label,
            query_name=query_name,
            layer=layer,
            head=head,
            fusion=fusion,
        )

    @property
    def steps(self) -> int:
        """The number of queries of the longest map of the chosen example."""
        chosen = next(
            example for example in self._examples if example["name"] == self.example
        )
        return max(len(panel["queries"]) for panel in chosen["maps"])

    @traitlets.validate("example")
    def _check_example(self, proposal) -> str:
        return one_of(
            "example", proposal.value, [example["name"] for example in self._examples]
        )

    @traitlets.observe("example")
    def _keep_step(self, change) -> None:
        self.step = min(self.step, self.steps - 1)

    @traitlets.validate("step")
    def _check_step(self, proposal) -> int:
        return within("step", proposal.value, 0, self.steps - 1)

    @traitlets.validate("temperature")
    def _check_temperature(self, proposal) -> float:
        return within("temperature", proposal.value, 0.1, 10)

    @traitlets.validate("view")
    def _check_view(self, proposal) -> str:
        return one_of("view", proposal.value, ["matrix", "lines"])

    @traitlets.validate("layer")
    def _check_layer(self, proposal) -> int:
        return within("layer", proposal.value, 0, (self._heads or [1, 1])[0] - 1)

    @traitlets.validate("head")
    def _check_head(self, proposal) -> int:
        return within("head", proposal.value, 0, (self._heads or [1, 1])[1] - 1)

    @traitlets.validate("fusion")
    def _check_fusion(self, proposal) -> str:
        return one_of("fusion", proposal.value, ["head", "mean", "max", "rollout"])

    def __repr__(self) -> str:
        counts = sorted({len(example["maps"]) for example in self._examples})
        many = f"{len(self._examples)} examples × {' or '.join(map(str, counts))} maps"
        if self._heads:
            many += f", {self._heads[0]} layers × {self._heads[1]} heads"
        return f"AttentionExplorer({many})"


def _described(panel: AttentionMap) -> dict:
    return {
        "name": panel.name,
        "note": panel.note,
        "queries": panel.queries,
        "keys": panel.keys,
        "attends": panel.weights is not None,
        "heads": bool(panel.heads),
        "truth": panel.truth and [sorted(indices) for indices in panel.truth],
        "expected": panel.expected,
    }


class ImageAttentionExplorer(Explorer):
    """Attention between the patches of a photograph: choose a patch, see where it looks.

    image       (H, W, 3), uint8
    weights     (P, P), P = rows · columns of `grid`, in reading order; each row sums to 1
    foreground  (rows, columns) of booleans: the share of the weight that falls on it is shown

    Weights travel as the root of log(greatest of the row / w) in 90 levels, finest where weights are large: a
    16×16 grid and its photograph stay near 60 kB, the numbers good to about 0.01 (weights) and 0.05 bits.
    Raises ValueError for NaN, wrong shapes, and rows that do not sum to 1.
    """

    _esm = HERE / "static" / "image.js"
    _image = traitlets.Bytes().tag(sync=True)  # WebP
    _grid = traitlets.List().tag(sync=True)
    _weights = traitlets.Bytes().tag(
        sync=True
    )  # deflated levels; level 255 is weight 0
    _depth = traitlets.Float().tag(
        sync=True
    )  # log(greatest of the row / w) at level 90
    _foreground = traitlets.List(allow_none=True).tag(sync=True)
    query = traitlets.Int().tag(sync=True)
    temperature = traitlets.Float().tag(sync=True)
    opacity = traitlets.Float().tag(sync=True)

    def __init__(
        self,
        image,
        weights,
        grid: tuple[int, int],
        foreground=None,
        query: int = 0,
        temperature: float = 1.0,
        opacity: float = 0.85,
        label: str = "Attention between the patches of a photograph",
    ):
        rows, columns = (int(within("grid", size, 1, 64)) for size in grid)
        weights = attention_rows("weights", weights, (rows * columns, rows * columns))
        image = require_photo("image", image)
        if foreground is not None:
            foreground = (
                finite_array("foreground", foreground, (rows, columns))
                .astype(bool)
                .ravel()
                .tolist()
            )
        levels, depth = _levels(weights)
        super().__init__(
            _image=webp(image),
            _grid=[rows, columns],
            _weights=zlib.compress(levels.tobytes(), 9),
            _depth=depth,
            _foreground=foreground,
            query=query,
            temperature=temperature,
            opacity=opacity,
            label=label,
        )

    @traitlets.validate("query")
    def _check_query(self, proposal) -> int:
        return within("query", proposal.value, 0, self._grid[0] * self._grid[1] - 1)

    @traitlets.validate("temperature")
    def _check_temperature(self, proposal) -> float:
        return within("temperature", proposal.value, 0.1, 10)

    @traitlets.validate("opacity")
    def _check_opacity(self, proposal) -> float:
        return within("opacity", proposal.value, 0, 1)

    def __repr__(self) -> str:
        return f"ImageAttentionExplorer({self._grid[0]}×{self._grid[1]} patches)"


def _levels(weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Quantise each weight: level = 90 √(log(row's greatest / w) / depth), and 255 for a weight of 0."""
    with np.errstate(divide="ignore"):
        below = np.log(weights.max(axis=1, keepdims=True)) - np.log(
            weights
        )  # ≥ 0, inf where the weight is 0
    seen = np.isfinite(below)
    depth = float(below[seen].max()) or 1.0
    levels = np.full(weights.shape, 255, dtype=np.uint8)
    levels[seen] = np.rint(90 * np.sqrt(below[seen] / depth))
    return levels, depth
