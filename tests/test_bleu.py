"""BLEU is sacrebleu's, on corpora of every kind; exact match; bad input."""

import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.bleu import bleu, exact_match, ngrams, precision

SENTENCE = st.lists(st.sampled_from("abcde"), min_size=1, max_size=12)
CORPUS = st.lists(st.tuples(SENTENCE, SENTENCE), min_size=1, max_size=8)


def reference_score(hypotheses, references):
    joined = [
        [" ".join(tokens) for tokens in side] for side in (hypotheses, references)
    ]
    return sacrebleu.corpus_bleu(joined[0], [joined[1]], tokenize="none").score


@settings(max_examples=500, deadline=None)
@given(CORPUS)
def test_bleu_is_sacrebleus(corpus):
    hypotheses, references = zip(*corpus, strict=True)
    expected = reference_score(hypotheses, references)
    assert bleu(hypotheses, references) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(st.lists(SENTENCE, min_size=1, max_size=5), st.data())
def test_bleu_is_sacrebleus_where_most_is_right(references, data):
    hypotheses = [list(sentence) for sentence in references]
    for sentence in hypotheses:
        if data.draw(st.booleans()):
            sentence[data.draw(st.integers(0, len(sentence) - 1))] = "x"
        if data.draw(st.booleans()):
            sentence.append("y")
    expected = reference_score(hypotheses, references)
    assert bleu(hypotheses, references) == pytest.approx(expected, abs=1e-9)


def test_by_hand():
    reference = ["three", "hundred", "and", "forty", "five"]
    hypothesis = ["three", "hundred", "and", "fifty", "four"]
    assert precision([hypothesis], [reference], 1) == (3, 5)
    assert precision([hypothesis], [reference], 2) == (2, 4)
    assert precision([["the", "the", "the"]], [["the", "cat"]], 1) == (1, 3)
    assert ngrams("abab", 2) == {("a", "b"): 2, ("b", "a"): 1}
    assert bleu([reference], [reference]) == pytest.approx(100)
    assert bleu([reference[:4]], [reference]) == pytest.approx(
        100 * 2.718281828459045**-0.25
    )


def test_exact_match():
    hypotheses = [["a"], ("b", "c"), ["a", "b"], ["c"]]
    assert exact_match(hypotheses, [("a",), ["b"], ["a", "c"], ["c"]]) == 0.5


def test_bad_input():
    with pytest.raises(ValueError, match="hypotheses: got 1 for 2 references"):
        bleu([["a"]], [["a"], ["b"]])
    with pytest.raises(ValueError, match="at least one"):
        exact_match([], [])
    with pytest.raises(ValueError, match="references: got a string"):
        bleu([["a"]], ["a"])
    with pytest.raises(ValueError, match="n: got 0, expected at least 1"):
        ngrams(["a"], 0)
