"""Number words, their alignment, and the vocabulary."""

import json
import re
from hashlib import sha256

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from num2words import num2words

from helpers.data import (
    CLOTHES,
    GLOVE_WORDS,
    LARGEST_NUMBER,
    Vocabulary,
    _photos,
    _snappy,
    digits,
    fashion,
    glove_vectors,
    number_pair,
    number_pairs,
    number_words,
    speech,
    split_text,
    true_alignment,
    wordpiece_vocabulary,
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
    with pytest.raises(ValueError, match="sequences: got none, expected at least one"):
        vocabulary.batch([])
    with pytest.raises(
        ValueError,
        match="sequence: got the token 'z', expected one of the 4 known tokens",
    ):
        vocabulary.encode(("a", "z"))
    with pytest.raises(
        ValueError, match="sequence: got an empty sequence, expected at least one token"
    ):
        vocabulary.encode(())


@given(st.lists(st.text("ab \n", min_size=1, max_size=30), min_size=30, max_size=60))
def test_a_text_is_cut_between_paragraphs(paragraphs):
    text = "\n\n".join(paragraphs)
    train, validation, test = split_text(text)
    assert train + validation + test == text
    assert train.endswith("\n\n") and validation.endswith("\n\n")
    assert len(train) <= 0.8 * len(text) + 2 and len(test) >= 0.1 * len(text) - 2


def test_shares_are_of_the_characters():
    train, validation, test = split_text("0123456\n\n" * 1000, 0.2, 0.1)
    assert [len(part) / 9 for part in (train, validation, test)] == [700, 200, 100]


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.0, 0.1), (0.1, -0.1)])
def test_shares_that_leave_nothing(shares):
    with pytest.raises(ValueError, match="validation, test: got"):
        split_text("one\n\ntwo\n\nthree\n\n", *shares)


@pytest.mark.parametrize("text", ["", "one paragraph", "one\n\n" + 99 * "x"])
def test_a_text_too_short_to_cut(text):
    with pytest.raises(ValueError, match="expected several paragraphs in each part"):
        split_text(text)


@pytest.mark.slow
def test_speech():
    """Needs the registry, or the cache of an earlier run."""
    sound, rate = speech()
    assert (sound.shape, sound.dtype, rate) == ((176_000,), torch.float64, 16_000)
    assert 0.5 < sound.abs().max() <= 1


def test_snappy_reads_literals_and_copies_of_each_kind():
    """By the format's description: a literal "abcd", copies with offsets of 11, 16 and 32 bits, one over itself."""
    long = bytes(range(70))
    data = b"".join(
        [
            bytes([95]),  # 4 + 4 + 8 + 5 + 4 + 70 bytes
            bytes([3 << 2]) + b"abcd",
            bytes([0b000_000_01, 4]),  # 4 bytes from 4 back: abcd
            bytes([7 << 2 | 2, 2, 0]),  # 8 bytes from 2 back: cdcdcdcd
            bytes([4 << 2 | 3, 1, 0, 0, 0]),  # 5 bytes from 1 back: ddddd
            bytes([3 << 2]) + b"wxyz",
            bytes([60 << 2, 69]) + long,
        ]
    )
    assert _snappy(data) == b"abcdabcdcdcdcdcdddddd" + b"wxyz" + long


@pytest.mark.parametrize("count", [0, -1, GLOVE_WORDS + 1])
def test_a_number_of_vectors_that_are_not_there(count):
    with pytest.raises(ValueError, match=f"count: got {count}, expected 1 to 95360"):
        glove_vectors(count)


@pytest.mark.slow
def test_the_word_pieces_are_those_of_bert():
    """Needs the registry, or the cache. The hash is that of vocab.txt as Google published it."""
    text = "".join(f"{piece}\n" for piece in wordpiece_vocabulary())
    assert sha256(text.encode()).hexdigest() == (
        "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
    )


@pytest.mark.slow
def test_glove_vectors():
    """Needs the registry, or the cache. The first numbers of "the" are those that Stanford's file begins with."""
    words, vectors = glove_vectors(GLOVE_WORDS)
    assert words[:5] == ["the", ",", ".", "of", "to"] and len(set(words)) == GLOVE_WORDS
    assert vectors.shape == (GLOVE_WORDS, 50)
    assert vectors[0, :3].round(3).tolist() == pytest.approx(
        [0.418, 0.25, -0.412], abs=1e-3
    )


def test_digits_are_split_once_and_for_all():
    parts = digits()
    assert [len(x) for x, _ in parts] == [1197, 200, 400] and parts[0][0].shape[1] == 64
    assert parts[0][0].min() == 0 and parts[0][0].max() == 1
    assert all(set(y.tolist()) == set(range(10)) for _, y in parts)
    rows = [tuple(row.tolist()) for images, _ in parts for row in images]
    assert len(set(rows)) == len(rows) == 1797  # no image in two parts
    again = digits()
    assert all(torch.equal(a[0], b[0]) for a, b in zip(parts, again, strict=True))


def test_photos_without_pixels_are_dropped():
    row = [*range(256), *[7] * 528]
    text = json.dumps({"data": [row, [], row[::-1], []]}, separators=(",", ":"))
    assert _photos(text).tolist() == [row, row[::-1]]


@pytest.mark.slow
def test_fashion():
    """Needs the registry, or the cache."""
    parts = fashion()
    assert [len(x) for x, _ in parts] == [54_946, 5_000, 10_000]
    for images, classes in parts:
        assert images.shape[1:] == (28, 28) and images.dtype == torch.float32
        assert images.min() == 0 and images.max() == 1
        share = classes.bincount() / len(classes)
        assert share.shape == (10,) and ((share - 0.1).abs() < 0.02).all()
    photos = [photo.tobytes() for images, _ in parts for photo in images.numpy()]
    assert len(set(photos)) == len(photos) == 69_946  # no photo in two parts
    images, classes = parts[0]  # trousers are tall and narrow, and have two legs
    trousers = images[classes == CLOTHES.index("trousers")].mean(0)
    assert trousers[24, 14] < trousers[24, 10] and trousers[:, :5].mean() < 0.02
