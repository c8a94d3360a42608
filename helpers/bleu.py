"""How good are translations? Exact match, and BLEU (Papineni et al. 2002) of a whole set of them."""

import math
from collections import Counter
from collections.abc import Sequence

Sentences = Sequence[Sequence[str]]  # each a sequence of tokens


def exact_match(hypotheses: Sentences, references: Sentences) -> float:
    """The share of hypotheses that are right in every token. Raises ValueError as `bleu` does."""
    pairs = _pairs(hypotheses, references)
    return sum(list(h) == list(r) for h, r in pairs) / len(pairs)


def ngrams(tokens: Sequence[str], n: int) -> Counter:
    """How often each run of `n` neighbouring tokens occurs. Raises ValueError for n < 1."""
    if n < 1:
        raise ValueError(f"n: got {n}, expected at least 1")
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def precision(hypotheses: Sentences, references: Sentences, n: int) -> tuple[int, int]:
    """n-grams that are also in the reference, and all n-grams, summed over the sentences.

    An n-gram counts at most as often as the reference has it ("clipped"). Raises ValueError as `bleu` does.
    """
    right = total = 0
    for hypothesis, reference in _pairs(hypotheses, references):
        found = ngrams(hypothesis, n)
        right += (found & ngrams(reference, n)).total()  # & keeps the lesser count
        total += found.total()
    return right, total


def bleu(hypotheses: Sentences, references: Sentences, max_n: int = 4) -> float:
    """BLEU of a corpus, 0 to 100: geometric mean of the precisions for n = 1 … max_n, times the brevity penalty.

    Where no n-gram at all is right, its count is taken as 1/2, 1/4, … (for the first, the second such n).
    Raises ValueError for no sentences, other numbers of hypotheses than references, or a string in place of tokens.
    Source: Papineni et al. 2002; the smoothing is method 3 of Chen and Cherry 2014.
    """
    pairs = _pairs(hypotheses, references)
    logs, smoothed = [], 1.0
    counts = [precision(hypotheses, references, n) for n in range(1, max_n + 1)]
    if counts[0][0] == 0 or counts[-1][1] == 0:
        return 0.0  # not one token right, or every sentence shorter than max_n
    for right, total in counts:
        if right == 0:
            smoothed /= 2
            right = smoothed
        logs.append(math.log(right / total))
    length = sum(len(hypothesis) for hypothesis, _ in pairs)
    wanted = sum(len(reference) for _, reference in pairs)
    brevity = min(1.0, math.exp(1 - wanted / length))
    return 100 * brevity * math.exp(sum(logs) / max_n)


def _pairs(hypotheses: Sentences, references: Sentences) -> list[tuple]:
    if len(hypotheses) != len(references) or not hypotheses:
        raise ValueError(
            f"hypotheses: got {len(hypotheses)} for {len(references)} references, expected one for each, at least one"
        )
    for name, sentences in (("hypotheses", hypotheses), ("references", references)):
        if any(isinstance(sentence, str) for sentence in sentences):
            raise ValueError(
                f"{name}: got a string, expected each sentence as a list of tokens"
            )
    return list(zip(hypotheses, references, strict=True))
