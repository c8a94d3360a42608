"""Number words, their alignment, and the vocabulary."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from num2words import num2words

from helpers.data import (
    LARGEST_NUMBER,
    Vocabulary,
    number_pair,
    number_pairs,
    number_words,
    true_alignment,
)

NUMBERS = st.integers(1, LARGEST_NUMBER) | st.integers(1, 2000)


@given(NUMBERS)
def test_pieces_join_to_the_word_that_num2words_spells(number):
    assert "".join(number_words(number, "de")) == num2words(
        number, lang="de"
    ).lower().replace(" ", "")
    assert number_words(number, "en") == re.findall(
        "[a-z]+", num2words(number, lang="en")
    )


@given(NUMBERS)
def test_every_english_word_but_and_has_exactly_one_source(number):
    pair = number_pair(number)
    alignment = true_alignment(pair.source, pair.target)
    assert [len(true) for true in alignment] == [
        0 if word == "and" else 1 for word in pair.target
    ]
    used = [i for true in alignment for i in true]
    assert sorted(used) == [i for i, piece in enumerate(pair.source) if piece != "und"]


def test_alignment_crosses_where_german_swaps_units_and_tens():
    pair = number_pair(345_021)
    assert pair.source == (
        "drei",
        "hundert",
        "fünf",
        "und",
        "vierzig",
        "tausend",
        "ein",
        "und",
        "zwanzig",
    )
    assert pair.target == (
        "three",
        "hundred",
        "and",
        "forty",
        "five",
        "thousand",
        "and",
        "twenty",
        "one",
    )
    assert true_alignment(pair.source, pair.target) == [
        {0},
        {1},
        set(),
        {4},
        {2},
        {5},
        set(),
        {8},
        {6},
    ]


@pytest.mark.parametrize("number", [0, -5, LARGEST_NUMBER + 1])
def test_number_out_of_range(number):
    with pytest.raises(
        ValueError, match=rf"number: got {number}, expected 1 to 999999999"
    ):
        number_words(number, "de")


def test_unknown_language():
    with pytest.raises(ValueError, match="language: got 'fr', expected 'de' or 'en'"):
        number_words(3, "fr")


def test_held_out_numbers_are_never_trained_on():
    train, test = number_pairs(3000, 20, seed=1)
    assert not {pair.number for pair in train} & {pair.number for pair in test}
    assert [sum(len(str(pair.number)) == d for pair in test) for d in range(1, 10)] == [
        0,
        0,
        0,
        20,
        20,
        20,
        20,
        20,
        20,
    ]
    assert len({pair.number for pair in test}) == 120
    assert {len(str(pair.number)) for pair in train} == set(range(1, 10))


def test_pairs_depend_on_the_seed_alone():
    assert number_pairs(50, 2, seed=3) == number_pairs(50, 2, seed=3)
    assert number_pairs(50, 2, seed=3) != number_pairs(50, 2, seed=4)


def test_vocabulary_round_trip_and_padding():
    vocabulary = Vocabulary([("b", "a"), ("c",)])
    assert vocabulary.tokens == ["<pad>", "<s>", "</s>", "a", "b", "c"]
    assert vocabulary.batch([("b", "a"), ("c",)]).tolist() == [[4, 3, 2], [5, 2, 0]]
    assert vocabulary.decode([4, 3, 2, 5]) == ["b", "a"]


def test_vocabulary_refuses_what_it_does_not_know():
    vocabulary = Vocabulary([("a",)])
    with pytest.raises(
        ValueError,
        match="sequence: got the token 'z', expected one of the 4 known tokens",
    ):
        vocabulary.encode(("a", "z"))
    with pytest.raises(
        ValueError, match="sequence: got an empty sequence, expected at least one token"
    ):
        vocabulary.encode(())
