"""Text to tokens: byte-pair encoding, learned from counts, and WordPiece with a vocabulary that is given."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import pairwise

# ---------------------------------------------------------------------------------------------------------------------
# Text to words, the way of BERT (uncased). Source: Devlin et al. 2018, and google-research/bert, tokenization.py.
# ---------------------------------------------------------------------------------------------------------------------

CHINESE = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


def normalize(text: str) -> str:
    """Lower case, without accents and control characters; every space is " ", and Chinese characters stand alone.

    Raises ValueError if `text` is not a string.
    """
    if not isinstance(text, str):
        raise ValueError(f"text: got {type(text).__name__}, expected a string")
    clean = "".join(map(_clean, text))
    letters = unicodedata.normalize("NFD", clean)  # é becomes e and an accent
    return "".join(c.lower() for c in letters if unicodedata.category(c) != "Mn")


@cache
def _clean(character: str) -> str:
    category = unicodedata.category(character)
    if character in "\t\n\r" or category[0] == "Z":
        return " "
    if category in ("Cc", "Cf", "Co", "Cs") or character == "\ufffd":
        return ""
    code = ord(character)
    if any(low <= code <= high for low, high in CHINESE):
        return f" {character} "
    return character


def split_words(text: str) -> list[str]:
    """The words of `text` after `normalize`: cut at spaces, and every punctuation mark is a word of its own."""
    spaced = (f" {c} " if _is_punctuation(c) else c for c in normalize(text))
    return [word for word in "".join(spaced).split(" ") if word]


@cache
def _is_punctuation(character: str) -> bool:
    """BERT counts every ASCII sign, such as $ and +, as punctuation."""
    is_sign = character.isascii() and character.isprintable()
    is_sign = is_sign and not character.isalnum() and character != " "
    return is_sign or unicodedata.category(character)[0] == "P"


# ---------------------------------------------------------------------------------------------------------------------
# WordPiece
# ---------------------------------------------------------------------------------------------------------------------


class WordPiece:
    """Cuts each word into the longest pieces that the vocabulary has, from left to right.

    vocabulary: the pieces in the order of their numbers; ## marks one that continues a word. A word that cannot be
    cut, or of more than 100 characters, becomes [UNK]. Source: Wu et al. 2016 (the name), Devlin et al. 2018.
    Raises ValueError for a vocabulary without [UNK] or with a piece twice.
    """

    UNKNOWN = "[UNK]"
    LONGEST = 100  # characters in a word

    def __init__(self, vocabulary: Sequence[str]):
        self.pieces = list(vocabulary)
        self.number = {piece: i for i, piece in enumerate(self.pieces)}
        if self.UNKNOWN not in self.number or len(self.number) < len(self.pieces):
            raise ValueError(
                f"vocabulary: got {len(self.pieces)} pieces, {len(self.number)} of them different, "
                f"expected each once and {self.UNKNOWN} among them"
            )

    def cut(self, word: str) -> list[str]:
        """The pieces of one word."""
        if len(word) > self.LONGEST:
            return [self.UNKNOWN]
        pieces, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):  # the longest first
                piece = ("##" if start else "") + word[start:end]
                if piece in self.number:
                    break
            else:
                return [self.UNKNOWN]
            pieces.append(piece)
            start = end
        return pieces

    def tokenize(self, text: str) -> list[str]:
        """The pieces of a text; none for a text without words. Raises ValueError unless it is a string."""
        return [piece for word in split_words(text) for piece in self.cut(word)]

    def encode(self, text: str) -> list[int]:
        """The numbers of the pieces."""
        return [self.number[piece] for piece in self.tokenize(text)]


# ---------------------------------------------------------------------------------------------------------------------
# Byte-pair encoding
# ---------------------------------------------------------------------------------------------------------------------


class BPE:
    """Merges the most frequent pair of neighbouring pieces, again and again. Source: Sennrich et al. 2016.

    merges: the learned pairs, in order. A word begins as its characters; each merge that applies is carried out.
    """

    def __init__(self, merges: Iterable[tuple[str, str]]):
        self.merges = [tuple(merge) for merge in merges]

    @classmethod
    def learn(cls, counts: Mapping[str, int], merges: int) -> "BPE":
        """Learn up to `merges` merges from words and how often each occurs; fewer if no pair is left.

        Of equally frequent pairs the one with the older pieces wins: characters by code point, then pieces as they
        were made. Raises ValueError for merges < 0 and for no words.
        """
        if merges < 0:
            raise ValueError(f"merges: got {merges}, expected at least 0")
        if not any(counts):
            raise ValueError(f"counts: got {len(counts)} words, expected at least 1")
        words = {word: list(word) for word in counts}
        age = {c: i for i, c in enumerate(sorted({c for word in counts for c in word}))}
        learned = []
        while len(learned) < merges:
            pairs = Counter()
            for word, pieces in words.items():
                for pair in pairwise(pieces):
                    pairs[pair] += counts[word]
            if not pairs:
                break
            best = min(pairs, key=lambda p: (-pairs[p], age[p[0]], age[p[1]]))
            learned.append(best)
            age.setdefault("".join(best), len(age))
            for word, pieces in words.items():
                if best[0] in pieces:
                    words[word] = merge(pieces, best)
        return cls(learned)

    def cut(self, word: str, merges: int | None = None) -> list[str]:
        """The pieces of `word` after the first `merges` merges, or all."""
        pieces = list(word)
        for pair in self.merges[:merges]:
            if pair[0] in pieces:
                pieces = merge(pieces, pair)
        return pieces


def merge(pieces: Sequence[str], pair: tuple[str, str]) -> list[str]:
    """`pieces` with each occurrence of the pair joined, from left to right."""
    merged, i = [], 0
    while i < len(pieces):
        joined = tuple(pieces[i : i + 2]) == tuple(pair)
        merged.append("".join(pair) if joined else pieces[i])
        i += 2 if joined else 1
    return merged
