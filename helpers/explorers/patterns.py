"""Explorer of efficient patterns: who may look at whom, what it costs, and how far layers of it reach."""

import torch
import traitlets

from helpers.beyond_text import PATTERNS, pattern_mask, reach
from helpers.explorers.base import HERE, Explorer, one_of, within

LONGEST, WIDEST, DEEPEST = 64, 12, 6
WORDS = {
    "full": "full",
    "window": "window",
    "dilated": "dilated window",
    "blocks": "blocks",
    "strided": "window + stride",
    "global": "window + global",
    "random": "window + global + random",
}


class PatternExplorer(Explorer):
    """The mask of a pattern, with what more each query reaches through several layers of it.

    pattern  one of `helpers.beyond_text.PATTERNS`;  length: positions, 8 to 64;  width: of the window, 0 to 12
    layers   1 to 6;  query: the position whose row is followed;  causal: no key after the query

    Everything is computed in the browser. Raises ValueError for values outside these.
    """

    _esm = HERE / "static" / "patterns.js"
    _names = traitlets.List().tag(sync=True)
    _limits = traitlets.List().tag(sync=True)
    pattern = traitlets.Unicode().tag(sync=True)
    length = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    layers = traitlets.Int().tag(sync=True)
    query = traitlets.Int().tag(sync=True)
    causal = traitlets.Bool().tag(sync=True)

    def __init__(
        self,
        pattern: str = "window",
        length: int = 40,
        width: int = 3,
        layers: int = 2,
        query: int = 26,
        causal: bool = False,
        label: str = "Patterns of attention: cost and reach",
    ):
        super().__init__(
            _names=[[name, WORDS[name]] for name in PATTERNS],
            _limits=[LONGEST, WIDEST, DEEPEST],
            pattern=pattern,
            length=length,
            width=width,
            layers=layers,
            query=query,
            causal=causal,
            label=label,
        )

    def numbers(self) -> dict[str, int | None]:
        """Pairs, keys of the query, positions it reaches, and after how many layers all reach all they ever will
        be allowed to: None if never."""
        mask = pattern_mask(self.pattern, self.length, self.width, self.causal)
        query = min(self.query, self.length - 1)
        goal = torch.ones_like(mask).tril() if self.causal else torch.ones_like(mask)
        complete = None
        for layers in range(1, self.length + 1):
            reached = reach(mask, layers)
            if reached[goal].all():
                complete = layers
                break
        return {
            "pairs": int(mask.sum()),
            "keys": int(mask[query].sum()),
            "reached": int(reach(mask, self.layers)[query].sum()),
            "complete": complete,
        }

    @traitlets.validate("pattern")
    def _check_pattern(self, proposal) -> str:
        return one_of("pattern", proposal.value, list(PATTERNS))

    @traitlets.validate("length")
    def _check_length(self, proposal) -> int:
        return within("length", proposal.value, 8, LONGEST)

    @traitlets.validate("width")
    def _check_width(self, proposal) -> int:
        return within("width", proposal.value, 0, WIDEST)

    @traitlets.validate("layers")
    def _check_layers(self, proposal) -> int:
        return within("layers", proposal.value, 1, DEEPEST)

    @traitlets.validate("query")
    def _check_query(self, proposal) -> int:
        return within("query", proposal.value, 0, LONGEST - 1)

    def __repr__(self) -> str:
        return f"PatternExplorer({self.pattern}, {self.length} positions)"
