"""Explorer of a recurrent network, unrolled over a sentence one step at a time."""

from collections.abc import Sequence

import numpy as np
import traitlets

from helpers.explorers.base import HERE, Explorer, finite_array, one_of, within, words


class UnrollExplorer(Explorer):
    """A trained RNN reads a sentence: its states one after the other, and the sum behind one unit of one of them.

    a_t = b + W h_{t−1} + U x_t, h_t = tanh(a_t), ŷ_t = softmax(c + V h_t), computed in the browser.

    W (d, d), U (d, tokens), b (d,), V (outputs, d), c (outputs,)
    tokens     the tokens that the columns of U stand for
    sentences  what can be read; each a sequence of tokens, such as a string of characters
    outputs    the names of the outputs; the last one's probability is shown
    sentence, step, unit  the reader's choice: a place in `sentences`, a step from 1, a unit from 1

    Raises ValueError for NaN, wrong shapes, and sentences that are empty or have other tokens.
    """

    _esm = HERE / "static" / "unroll.js"
    _weights = traitlets.Bytes().tag(sync=True)  # float32: W, U, b, V, c
    _shape = traitlets.List().tag(sync=True)  # d, tokens, outputs
    _sentences = traitlets.List().tag(sync=True)
    _indices = traitlets.List().tag(sync=True)
    _outputs = traitlets.List().tag(sync=True)
    sentence = traitlets.Int().tag(sync=True)
    step = traitlets.Int().tag(sync=True)
    unit = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        W,
        U,
        b,
        V,
        c,
        tokens: Sequence[str],
        sentences: Sequence[Sequence[str]],
        outputs: Sequence[str],
        sentence: int = 0,
        step: int = 1,
        unit: int = 1,
        label: str = "A recurrent network, unrolled step by step",
    ):
        tokens, outputs = words("tokens", tokens), words("outputs", outputs)
        W = finite_array("W", W, ("d", "d"))
        d = len(W)
        W = finite_array("W", W, (d, d))
        U = finite_array("U", U, (d, len(tokens)))
        b, c = finite_array("b", b, (d,)), finite_array("c", c, (len(outputs),))
        V = finite_array("V", V, (len(outputs), d))
        if not sentences or not all(len(each) for each in sentences):
            raise ValueError(
                f"sentences: got {list(sentences)!r}, expected at least one, none empty"
            )
        used = list(dict.fromkeys(token for each in sentences for token in each))
        for token in used:
            one_of("sentences", token, tokens)
        arrays = (W, U[:, [tokens.index(token) for token in used]], b, V, c)
        super().__init__(
            _weights=b"".join(array.astype("<f4").tobytes() for array in arrays),
            _shape=[d, len(used), len(outputs)],
            _sentences=[list(each) for each in sentences],
            _indices=[[used.index(token) for token in each] for each in sentences],
            _outputs=outputs,
            sentence=sentence,
            step=step,
            unit=unit,
            label=label,
        )

    def states(self) -> np.ndarray:
        """The states h_1, … of the chosen sentence, (T, d)."""
        d, used, _ = self._shape
        flat = np.frombuffer(self._weights, "<f4").astype(float)
        W, U, b = np.split(flat[: d * (d + used + 1)], [d * d, d * (d + used)])
        W, U, h, states = W.reshape(d, d), U.reshape(d, used), np.zeros(d), []
        for token in self._indices[self.sentence]:
            h = np.tanh(b + W @ h + U[:, token])
            states.append(h)
        return np.array(states)

    @traitlets.validate("sentence")
    def _check_sentence(self, proposal) -> int:
        return within("sentence", proposal.value, 0, len(self._sentences) - 1)

    @traitlets.validate("step")
    def _check_step(self, proposal) -> int:
        longest = max(map(len, self._sentences))
        return within("step", proposal.value, 1, longest)

    @traitlets.validate("unit")
    def _check_unit(self, proposal) -> int:
        return within("unit", proposal.value, 1, self._shape[0])

    def __repr__(self) -> str:
        return (
            f"UnrollExplorer({self._shape[0]} units, {len(self._sentences)} sentences)"
        )
