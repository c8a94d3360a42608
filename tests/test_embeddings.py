"""Skip-gram, its corpus, neighbours and analogies."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from helpers.embeddings import (
    FAMILIES,
    RECORDED,
    Corpus,
    SkipGram,
    WordVectors,
    negative_sampling_loss,
    questions,
    ranks,
    recorded_vectors,
)
from helpers.training import fit

SEEDS = st.integers(0, 10_000)


# --- skip-gram ------------------------------------------------------------------------------------------------


def test_a_lookup_is_a_one_hot_vector_times_the_matrix():
    torch.manual_seed(0)
    model = SkipGram(7, 3)
    model.second.data.normal_()
    centre, context = torch.tensor([2, 5]), torch.tensor([[0, 1], [6, 5]])
    one_hot = F.one_hot(centre, 7).float()  # (B, V)
    every = one_hot @ model.first @ model.second.T  # (B, V): as a network of two layers
    assert torch.allclose(model(centre, context), every.gather(1, context))


@settings(deadline=None)
@given(SEEDS)
def test_the_loss_by_hand(seed):
    logits = torch.randn(
        3, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    by_hand = [
        -np.log(1 / (1 + np.exp(-row[0])))
        - sum(np.log(1 / (1 + np.exp(x))) for x in row[1:])
        for row in logits.numpy()
    ]
    assert np.isclose(negative_sampling_loss(logits).item(), np.mean(by_hand))


def test_knowing_nothing_costs_six_times_log_two():
    assert np.isclose(negative_sampling_loss(torch.zeros(4, 6)).item(), 6 * np.log(2))


def test_a_fresh_model_knows_nothing():
    logits = SkipGram(7, 3)(torch.tensor([2, 5]), torch.tensor([[0, 1], [6, 5]]))
    assert (logits == 0).all()


def test_only_the_rows_that_are_read_get_a_gradient():
    model = SkipGram(6, 2)
    model.second.data.normal_()
    negative_sampling_loss(
        model(torch.tensor([1, 1]), torch.tensor([[2, 3], [2, 4]]))
    ).backward()
    assert model.first.grad.abs().sum(dim=1).nonzero().flatten().tolist() == [1]
    assert model.second.grad.abs().sum(dim=1).nonzero().flatten().tolist() == [2, 3, 4]


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0)])
def test_sizes_that_make_no_model(sizes):
    with pytest.raises(ValueError, match="vocabulary_size, embedding_size: got"):
        SkipGram(*sizes)


def test_it_learns_which_words_are_neighbours():
    """Two circles of words that never meet: afterwards each word is nearest to one of its own circle."""
    random = np.random.default_rng(0)
    circles = [["a", "b", "c", "d"], ["w", "x", "y", "z"]]
    text = []
    for _ in range(200):
        text += random.choice(circles[random.integers(2)], size=12).tolist()
    corpus = Corpus(text, least=1, threshold=1)
    torch.manual_seed(0)
    model = SkipGram(len(corpus.words), 4)

    def batch_loss(generator):
        return negative_sampling_loss(model(*corpus.batch(64, 1, 3, generator)))

    fit(model, batch_loss, 300, 0.05)
    vectors = WordVectors(corpus.words, model.first.detach().numpy())
    for circle in circles:
        for word in circle:
            assert vectors.nearest(vectors[word], 1, [word])[0][0] in circle


# --- corpus ---------------------------------------------------------------------------------------------------


def test_rare_words_are_left_out_and_frequent_ones_thinned():
    corpus = Corpus(900 * ["the"] + 100 * ["sea"] + ["once"], least=2, threshold=0.1)
    assert corpus.words == ["the", "sea"] and corpus.counts.tolist() == [900, 100]
    kept = torch.bincount(corpus.tokens)
    assert 240 < kept[0] < 360 and kept[1] == 100  # √(0.1 / 0.9) of 900


@settings(deadline=None)
@given(SEEDS, st.integers(1, 4))
def test_a_true_neighbour_is_at_most_a_window_away(seed, window):
    words = [f"w{i}" for i in range(50)]  # each once, so a number is a place
    corpus = Corpus(words, least=1, threshold=1)
    generator = torch.Generator().manual_seed(seed)
    centre, context = corpus.batch(40, window, 3, generator)
    assert centre.shape == (40,) and context.shape == (40, 4)
    away = centre - context[:, 0]
    assert (away > 0).any() and (away < 0).any()  # on both sides
    away = away.abs()
    assert (away >= 1).all() and (away <= window).all()


def test_negatives_follow_the_counts_to_the_power_of_three_quarters():
    corpus = Corpus(16 * ["a", "b"] + 65 * ["b"], least=1, threshold=10)
    _, context = corpus.batch(20_000, 1, 1, torch.Generator().manual_seed(0))
    share = (context[:, 1] == corpus.number["a"]).float().mean()
    assert abs(share - 16**0.75 / (16**0.75 + 81**0.75)) < 0.01


def test_a_corpus_without_frequent_words():
    with pytest.raises(ValueError, match="words: got 2, none of them 3 times"):
        Corpus(["a", "b"], least=3)


# --- word vectors ---------------------------------------------------------------------------------------------

WORDS = ["man", "woman", "king", "queen", "apple", "pear"]
PLANE = [(1, 0), (1, 1), (3, 0.2), (2.5, 1.4), (-1, 3), (-2, -1)]


def test_neighbours_by_hand():
    vectors = WordVectors(WORDS, PLANE)
    found = vectors.nearest([1, 0], count=2)
    assert found[0] == ("man", pytest.approx(1)) and found[1][0] == "king"
    assert vectors.nearest([1, 0], 1, without=["man"])[0][0] == "king"
    assert "man" in vectors and "sea" not in vectors


@given(SEEDS)
def test_the_rank_is_the_place_in_the_list(seed):
    random = np.random.default_rng(seed)
    vectors = WordVectors(WORDS, random.normal(size=(6, 3)))
    a, b, c, expected = random.permutation(WORDS)[:4]
    for exclude in (True, False):
        order = [word for word, _ in vectors.analogy(a, b, c, 6, exclude)]
        assert order.index(expected) + 1 == vectors.rank(a, b, c, expected, exclude)
    query = vectors[a] + vectors[b] - vectors[c]
    best = max(WORDS, key=lambda w: vectors[w] @ query / np.linalg.norm(query))
    assert vectors.analogy(a, b, c, 1, exclude=False)[0][0] == best


def test_the_words_of_the_question_are_left_out():
    vectors = WordVectors(WORDS, PLANE)
    assert vectors.analogy("king", "woman", "man", 1)[0][0] == "queen"
    assert {w for w, _ in vectors.analogy("king", "woman", "man", 3)} == {
        "queen",
        "apple",
        "pear",
    }


def test_a_word_of_the_question_may_be_the_expected_one():
    """Then only the two others are left out."""
    vectors = WordVectors(WORDS, PLANE)
    query = vectors["king"] + vectors["queen"] - vectors["man"]
    order = [word for word, _ in vectors.nearest(query, 6, ["king", "man"])]
    place = order.index("queen") + 1
    assert vectors.rank("king", "queen", "man", "queen") == place


@pytest.mark.parametrize(
    ("words", "vectors", "message"),
    [
        (["a", "a"], np.eye(2), "words: got 1 of them twice"),
        (["a"], np.eye(2), r"vectors: got shape \(2, 2\), expected \(1, d\)"),
        (["a", "b"], [[1, 0], [np.nan, 1]], "vectors: got 1 NaN"),
        (["a", "b"], [[1, 0], [0, 0]], "vectors: got length 0 for 'b'"),
    ],
)
def test_vectors_that_do_not_serve(words, vectors, message):
    with pytest.raises(ValueError, match=message):
        WordVectors(words, vectors)


def test_a_word_without_a_vector():
    vectors = WordVectors(WORDS, PLANE)
    for asked in (
        lambda: vectors["sea"],
        lambda: vectors.analogy("sea", "man", "king"),
        lambda: vectors.rank("man", "king", "woman", "sea"),
    ):
        with pytest.raises(ValueError, match="word: got 'sea', expected one of the 6"):
            asked()


# --- analogies ------------------------------------------------------------------------------------------------


def test_questions_are_built_from_pairs():
    assert ("king", "woman", "man", "queen") in questions("man → woman")
    assert ("italy", "paris", "rome", "france") not in questions("capital → country")
    assert ("paris", "italy", "rome", "france") in questions("capital → country")
    for family, text in FAMILIES.items():
        pairs = len(text.split()) // 2
        asked = questions(family)
        assert len(asked) == len(set(asked)) == pairs * (pairs - 1) >= 20
        assert all(word.islower() for question in asked for word in question)


def test_an_unknown_family():
    with pytest.raises(ValueError, match="family: got 'fruit', expected one of 'man"):
        questions("fruit")


def test_only_known_words_are_asked():
    vectors = WordVectors(WORDS, PLANE)
    assert len(ranks(vectors, "man → woman")) == 2  # man, woman, king, queen: both ways
    assert ranks(vectors, "capital → country") == []


def test_recorded_vectors_give_the_recorded_ranks():
    record = json.loads((RECORDED / "word2vec.json").read_text())
    run = record["settings"]["chapter"]["runs"][0]
    vectors = recorded_vectors()
    assert run["seed"] == 0 and len(vectors.words) == run["words"]
    for family, expected in run["ranks"].items():
        got = ranks(vectors, family)
        assert len(got) == len(expected)
        # the last bit decides between words of equal cosine
        assert np.allclose(got, expected, atol=1)


def test_the_comparison_is_fair():
    settings_of = json.loads((RECORDED / "word2vec.json").read_text())["settings"]
    chapter, one_book = settings_of["chapter"], settings_of["one book"]
    assert len(chapter["seeds"]) >= 5 and len(one_book["seeds"]) >= 3
    assert chapter["steps"] == one_book["steps"]
    assert set(one_book["books"]) < set(chapter["books"])
