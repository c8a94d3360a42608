"""The explorers of tokens and of analogies: what they store and refuse; the browser's arithmetic against Python's."""

import zlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.data import book_text, wordpiece_vocabulary
from helpers.embeddings import WordVectors
from helpers.explorers import AnalogyExplorer, TokenExplorer
from helpers.explorers.analogy import quantised
from helpers.explorers.tokens import packed
from helpers.tokens import BPE, WordPiece, split_words

PIECES = ["[UNK]", "a", "##a", "ab", "##b", "abc", "un", "##heard", "中", "😀", "é"]
RANDOM = np.random.default_rng(0)
NAMES = [f"word{chr(97 + i)}" for i in range(12)]
VECTORS = RANDOM.normal(size=(12, 5))


def tokens(**more):
    return TokenExplorer(["ab unheard", "a"], PIECES, **more)


def analogies(**more):
    return AnalogyExplorer(
        NAMES, VECTORS, [tuple(NAMES[:3]), tuple(NAMES[3:6])], **more
    )


@pytest.fixture
def value_of(in_node):
    """The value of an expression of JavaScript with the functions of both explorers at hand, and `given`."""
    imports = """
        import * as tokens from "./wordpiece.js";
        import * as analogy from "./analogy.js";
        """
    return lambda code, given: in_node(f"{imports}answer({code});", given)


# --- tokens ---------------------------------------------------------------------------------------------------

CUT = """(() => {
    const vocabulary = tokens.frontDecoded(given.packed);
    return given.texts.map((text) => tokens.splitWords(text).flatMap((word) => tokens.cutWordPiece(word, vocabulary)));
})()"""
MERGES = """given.map(([words, most]) => {
    const merges = tokens.learnMerges(words, most);
    return [merges.map(({ pair }) => pair), words.map((word) => tokens.cutMerged(word, merges))];
})"""


def front_coded(pieces):
    return zlib.decompress(packed(pieces)).decode()


def test_the_vocabulary_arrives_whole(value_of):
    got = value_of("[...tokens.frontDecoded(given)]", front_coded(PIECES))
    assert got == sorted(PIECES)


# Characters that Unicode had long ago: Python's tables and the browser's are of different years.
LETTERS = "aábAÉßéσΣİıŁñ中文שלعو가か\u0301\u200d\u00ad"
OTHERS = " \t\n\u00a0\u2028.,-$+#!?“”…«»١5½²™😀🎉\ue000\ufffd\u0007"
TEXTS = st.lists(st.text(LETTERS + OTHERS, max_size=30), min_size=150, max_size=200)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(TEXTS)
def test_odd_strings_give_pythons_pieces(value_of, texts):
    ours = WordPiece([*PIECES, *"-.,$+#!?5ßσלe", *(f"##{c}" for c in "eißσl文ל")])
    got = value_of(CUT, {"packed": front_coded(ours.pieces), "texts": texts})
    assert got == [ours.tokenize(text) for text in texts]


@pytest.mark.slow
def test_a_book_and_chosen_strings_give_pythons_pieces(value_of):
    ours = WordPiece(wordpiece_vocabulary())
    texts = book_text("chesterton-thursday").split("\n")
    texts += ["", "a" * 100, "a" * 101, "unheard " * 10_000, "cafe\u0301 שלום 你好 😀"]
    got = value_of(CUT, {"packed": front_coded(ours.pieces), "texts": texts})
    assert got == [ours.tokenize(text) for text in texts]


WORD = st.text("abcdef中😀", min_size=1, max_size=6)


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(st.lists(WORD, min_size=1, max_size=12), st.integers(0, 20)),
        min_size=20,
        max_size=40,
    )
)
def test_merges_are_pythons(value_of, cases):
    for (words, most), (merges, cuts) in zip(
        cases, value_of(MERGES, cases), strict=True
    ):
        learned = BPE.learn(Counter(words), most)
        assert [tuple(pair) for pair in merges] == learned.merges
        assert cuts == [learned.cut(word) for word in words]


def test_merges_of_a_page(value_of):
    words = split_words(book_text("carroll-alice")[:4000])
    merges, cuts = value_of(MERGES, [[words, 60]])[0]
    learned = BPE.learn(Counter(words), 60)
    assert [tuple(pair) for pair in merges] == learned.merges and len(merges) == 60
    assert cuts == [learned.cut(word) for word in words]


def test_the_whole_vocabulary_is_small():
    assert len(packed(wordpiece_vocabulary())) < 60_000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TokenExplorer([]), "examples: got 0 strings"),
        (lambda: TokenExplorer("text"), "examples: got 'text', expected a list"),
        (
            lambda: TokenExplorer(["a"], tokenizer="wordpiece"),
            "tokenizer: got 'wordpiece', expected one of 'bpe'",
        ),
        (lambda: tokens(tokenizer="sentence"), "tokenizer: got 'sentence'"),
        (lambda: tokens(merges=61), "merges: got 61, expected 0 to 60"),
        (lambda: tokens(most=0), "most: got 0, expected 1 to 200"),
        (lambda: setattr(tokens(), "example", 2), "example: got 2, expected 0 to 1"),
    ],
)
def test_tokens_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- analogies ------------------------------------------------------------------------------------------------

NEAREST = """(() => {
    const bytes = new DataView(Uint8Array.from(given.vectors).buffer);
    const vectors = analogy.unitVectors(bytes, given.count);
    return given.questions.map(([a, b, c, exclude]) => analogy.nearest(
        vectors, vectors[a].map((x, i) => x + vectors[b][i] - vectors[c][i]), 8, exclude ? [a, b, c] : []));
})()"""


def test_the_nearest_words_are_pythons(value_of):
    vectors = RANDOM.normal(size=(60, 20))
    whole = quantised(vectors)
    words = [f"w{i}" for i in range(60)]
    ours = WordVectors(words, whole)
    asked = [[*map(int, RANDOM.permutation(60)[:3]), bool(i % 2)] for i in range(20)]
    given = {"vectors": list(whole.tobytes()), "count": 60, "questions": asked}
    for (a, b, c, exclude), found in zip(asked, value_of(NEAREST, given), strict=True):
        expected = ours.analogy(words[a], words[b], words[c], 8, exclude)
        assert [words[near["word"]] for near in found] == [word for word, _ in expected]
        cosines = [cosine for _, cosine in expected]
        assert np.allclose([near["cosine"] for near in found], cosines)


def test_the_map_is_that_of_a_singular_value_decomposition(value_of):
    points = RANDOM.normal(size=(9, 20)) * np.linspace(1, 4, 20)
    got = value_of("analogy.principal(given)", points.tolist())
    centred = points - points.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    places, expected = np.array(got["places"]), u[:, :2] * s[:2]
    signs = np.sign((places * expected).sum(axis=0))
    assert np.allclose(places, expected * signs, atol=1e-3)
    assert np.isclose(got["share"], (s[:2] ** 2).sum() / (s**2).sum(), atol=1e-4)


def test_whole_numbers_keep_the_direction():
    vectors = RANDOM.normal(size=(200, 50))
    whole = quantised(vectors).astype(float)
    cosines = (vectors * whole).sum(axis=1)
    cosines /= np.linalg.norm(vectors, axis=1) * np.linalg.norm(whole, axis=1)
    assert (np.abs(whole).max(axis=1) == 31).all()
    assert cosines.min() > 0.998


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AnalogyExplorer(NAMES, VECTORS, []), "examples: got none"),
        (
            lambda: AnalogyExplorer(NAMES, VECTORS, [("x", *NAMES[:2])]),
            "examples: got 'x', expected words of names",
        ),
        (
            lambda: AnalogyExplorer(NAMES, VECTORS, [NAMES[:2]]),
            "examples: got 2 strings, expected 3",
        ),
        (
            lambda: AnalogyExplorer(NAMES[:9], VECTORS[:9], [NAMES[:3]]),
            "names: got 9 words",
        ),
        (
            lambda: AnalogyExplorer([*NAMES[:11], NAMES[0]], VECTORS, [NAMES[:3]]),
            "names: got 12 words, 11 of them different",
        ),
        (
            lambda: AnalogyExplorer([*NAMES[:11], "two words"], VECTORS, [NAMES[:3]]),
            "names: got one with a space",
        ),
        (
            lambda: AnalogyExplorer(NAMES, VECTORS[:5], [NAMES[:3]]),
            r"vectors: got shape \(5, 5\)",
        ),
        (
            lambda: AnalogyExplorer(NAMES, VECTORS * np.nan, [NAMES[:3]]),
            "vectors: got 60 NaN",
        ),
        (lambda: quantised(np.zeros((2, 3))), "vectors: got one of length 0"),
        (lambda: setattr(analogies(), "example", 5), "example: got 5"),
    ],
)
def test_analogies_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_they_say_what_they_are():
    assert repr(tokens()) == "TokenExplorer(2 examples, 11 pieces)"
    assert repr(analogies()) == "AnalogyExplorer(12 words)"
    assert tokens().text == "ab unheard" and tokens().tokenizer == "wordpiece"
    assert TokenExplorer(["a"]).tokenizer == "bpe"
    assert (analogies().a, analogies().c) == (NAMES[0], NAMES[2])
    odd = analogies()
    odd.a = "no such word"  # the reader may type anything
    assert odd.a == "no such word"
