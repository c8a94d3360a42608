"""Explorer of a character language model: it goes on with whatever the reader begins."""

from collections.abc import Sequence

import numpy as np
import traitlets

from helpers.explorers.base import HERE, Explorer, finite_array, within, words

LONGEST_PREFIX, WRITTEN = 60, 240  # characters


class CharacterExplorer(Explorer):
    """A recurrent network writes on from the reader's own beginning, one character at a time, in the browser.

    W (d, d), U (d, characters), b (d,), V (characters, d), c (characters,) as in `UnrollExplorer`; the matrices are
    rounded to 8 bits, row by row, so that they travel in a quarter of the space
    characters   those that the model knows
    prefix       the beginning; characters that the model does not know are left out
    temperature  τ: each character is drawn from softmax(o_t / τ)
    sample       whole number that seeds the drawing
    place        the written character whose distribution is shown, from 1

    Raises ValueError for NaN, wrong shapes and characters that are no single characters.
    """

    _esm = HERE / "static" / "character.js"
    _levels = traitlets.Bytes().tag(sync=True)  # int8: W, U, V
    _scales = traitlets.Bytes().tag(sync=True)  # float32: a row's step in W, U, V; b; c
    _size = traitlets.Int().tag(sync=True)
    _characters = traitlets.List().tag(sync=True)
    _written = traitlets.Int().tag(sync=True)
    prefix = traitlets.Unicode().tag(sync=True)
    temperature = traitlets.Float().tag(sync=True)
    sample = traitlets.Int().tag(sync=True)
    place = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        W,
        U,
        b,
        V,
        c,
        characters: Sequence[str],
        prefix: str = "Alice ",
        temperature: float = 0.7,
        sample: int = 1,
        place: int = 1,
        label: str = "A character language model writes on",
    ):
        characters = words("characters", characters)
        if odd := [each for each in characters if len(each) != 1]:
            raise ValueError(f"characters: got {odd}, expected single characters")
        k = len(characters)
        b = finite_array("b", b, ("d",))
        d = len(b)
        matrices = [
            finite_array("W", W, (d, d)),
            finite_array("U", U, (d, k)),
            finite_array("V", V, (k, d)),
        ]
        pairs = [rounded(matrix) for matrix in matrices]
        vectors = [*(steps for _, steps in pairs), b, finite_array("c", c, (k,))]
        super().__init__(
            _levels=b"".join(levels.tobytes() for levels, _ in pairs),
            _scales=b"".join(vector.astype("<f4").tobytes() for vector in vectors),
            _size=d,
            _characters=characters,
            _written=WRITTEN,
            prefix=prefix,
            temperature=temperature,
            sample=sample,
            place=place,
            label=label,
        )

    @traitlets.validate("prefix")
    def _check_prefix(self, proposal) -> str:
        within("length of prefix", len(proposal.value), 0, LONGEST_PREFIX)
        return proposal.value

    @traitlets.validate("temperature")
    def _check_temperature(self, proposal) -> float:
        return within("temperature", proposal.value, 0.1, 10)

    @traitlets.validate("sample")
    def _check_sample(self, proposal) -> int:
        return within("sample", proposal.value, 1, 10**6)

    @traitlets.validate("place")
    def _check_place(self, proposal) -> int:
        return within("place", proposal.value, 1, WRITTEN)

    def __repr__(self) -> str:
        return (
            f"CharacterExplorer({self._size} units, {len(self._characters)} characters)"
        )


def rounded(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A matrix (rows, columns) as whole numbers from −127 to 127, int8, and the step of each row, (rows,)."""
    steps = np.abs(matrix).max(axis=1) / 127
    safe = np.where(steps > 0, steps, 1)
    return np.round(matrix / safe[:, None]).astype(np.int8), steps
