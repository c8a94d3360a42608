"""Explorer of analogies: a + b − c among word vectors."""

import zlib
from collections.abc import Sequence
from itertools import chain

import numpy as np
import traitlets

from helpers.explorers.base import HERE, Explorer, finite_array, within, words


class AnalogyExplorer(Explorer):
    """Choose or type three words; see the words nearest to a + b − c, and a map of them.

    names     V different words without spaces, in lower case, at least 11;  vectors (V, d)
    examples  triples (a, b, c) to choose from; the first is shown at first
    exclude   whether the three words themselves are left out of the answer

    The vectors travel as whole numbers from −31 to 31 (`quantised`). Raises ValueError for NaN, wrong shapes, words
    twice or with spaces, and examples whose words have no vector. What the reader types may be anything.
    """

    _esm = HERE / "static" / "analogy.js"
    _words = traitlets.Unicode().tag(sync=True)
    _vectors = traitlets.Bytes().tag(sync=True)  # int8, deflated
    _examples = traitlets.List().tag(sync=True)
    example = traitlets.Int().tag(sync=True)
    a = traitlets.Unicode().tag(sync=True)
    b = traitlets.Unicode().tag(sync=True)
    c = traitlets.Unicode().tag(sync=True)
    exclude = traitlets.Bool().tag(sync=True)

    def __init__(
        self,
        names: Sequence[str],
        vectors,
        examples: Sequence[tuple[str, str, str]],
        exclude: bool = True,
        label: str = "Sums and differences of word vectors",
    ):
        names = words("names", names)
        if any(not name or name != name.lower() or " " in name for name in names):
            raise ValueError("names: got one with a space or a capital, expected none")
        if len(set(names)) < len(names) or len(names) < 11:
            got = f"{len(names)} words, {len(set(names))} of them different"
            raise ValueError(f"names: got {got}, expected at least 11, each once")
        vectors = finite_array("vectors", vectors, (len(names), "d"))
        examples = [words("examples", example, 3) for example in examples]
        if not examples:
            raise ValueError("examples: got none, expected at least 1")
        for name in chain(*examples):
            if name not in names:
                raise ValueError(f"examples: got {name!r}, expected words of names")
        a, b, c = examples[0]
        super().__init__(
            _words=" ".join(names),
            _vectors=zlib.compress(quantised(vectors).tobytes(), 9),
            _examples=examples,
            example=0,
            a=a,
            b=b,
            c=c,
            exclude=exclude,
            label=label,
        )

    @traitlets.validate("example")
    def _check_example(self, proposal) -> int:
        return within("example", proposal.value, 0, len(self._examples) - 1)

    def __repr__(self) -> str:
        return f"AnalogyExplorer({len(self._words.split())} words)"


def quantised(vectors) -> np.ndarray:
    """Whole numbers along each vector (V, d), in int8, the greatest of each ±31: only the direction is kept.

    Numbers so small are squeezed well on their way to the page.

    Raises ValueError for a vector of length 0.
    """
    greatest = np.abs(vectors).max(axis=1, keepdims=True)
    if not greatest.all():
        raise ValueError("vectors: got one of length 0, expected none")
    return np.round(vectors / greatest * 31).astype(np.int8)
