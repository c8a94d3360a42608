"""Explorer of tokens: type a text, see how it is cut."""

import zlib
from collections.abc import Sequence

import traitlets

from helpers.explorers.base import HERE, Explorer, one_of, within, words

TOKENIZERS = ["wordpiece", "bpe", "words", "characters"]


class TokenExplorer(Explorer):
    """Type a text and see its tokens: WordPiece, or byte-pair encoding learned from the text itself, merge by merge.

    examples    texts to choose from; the first is shown at first
    vocabulary  the pieces of WordPiece; without them only the other kinds of tokens are on offer
    tokenizer   "wordpiece", "bpe", "words" or "characters";  merges: how many, for "bpe";  most: how many at most

    All of it is computed in the browser. Raises ValueError for unknown kinds, "wordpiece" without a vocabulary, and
    merges outside 0 … most.
    """

    _esm = HERE / "static" / "tokens.js"
    _pieces = traitlets.Bytes().tag(sync=True)  # sorted, front-coded, deflated
    _examples = traitlets.List().tag(sync=True)
    _most = traitlets.Int().tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)
    example = traitlets.Int().tag(sync=True)
    tokenizer = traitlets.Unicode().tag(sync=True)
    merges = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        examples: Sequence[str],
        vocabulary: Sequence[str] | None = None,
        tokenizer: str | None = None,
        merges: int = 0,
        most: int = 60,
        label: str = "A text and its tokens",
    ):
        examples = words("examples", examples)
        self._size = len(vocabulary or [])
        super().__init__(
            _pieces=packed(vocabulary) if vocabulary else b"",
            _examples=examples,
            _most=within("most", most, 1, 200),
            text=examples[0],
            example=0,
            tokenizer=tokenizer or ("wordpiece" if vocabulary else "bpe"),
            merges=merges,
            label=label,
        )

    @traitlets.validate("tokenizer")
    def _check_tokenizer(self, proposal) -> str:
        return one_of(
            "tokenizer", proposal.value, TOKENIZERS if self._pieces else TOKENIZERS[1:]
        )

    @traitlets.validate("example")
    def _check_example(self, proposal) -> int:
        return within("example", proposal.value, 0, len(self._examples) - 1)

    @traitlets.validate("merges")
    def _check_merges(self, proposal) -> int:
        return within("merges", proposal.value, 0, self._most)

    def __repr__(self) -> str:
        return f"TokenExplorer({len(self._examples)} examples, {self._size} pieces)"


def packed(vocabulary: Sequence[str]) -> bytes:
    """The pieces, sorted; each as a character for the length it shares with the one before, and its other characters.

    What is shared is counted in characters, from "␠" for none; lines joined and deflated.
    """
    lines, before = [], ""
    for piece in sorted(words("vocabulary", vocabulary)):
        shared = 0
        while shared < min(len(before), len(piece)) and before[shared] == piece[shared]:
            shared += 1
        lines.append(chr(32 + shared) + piece[shared:])
        before = piece
    return zlib.compress("\n".join(lines).encode(), 9)
