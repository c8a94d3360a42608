"""WordPiece and BPE against the library `tokenizers`, on real text and on odd strings."""

import json
import re
import unicodedata
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from helpers.data import BOOKS, book_text, wordpiece_vocabulary
from helpers.tokens import BPE, WordPiece, merge, normalize, split_words

# A small vocabulary, so that most tests need no download: letters, some pieces, signs.
LETTERS = "abcdefghijklmnopqrstuvwxyzσα中文ש0123456789"
SMALL = [
    "[UNK]",
    *LETTERS,
    *(f"##{c}" for c in LETTERS if c not in "qx"),
    *"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    *["un", "##heard", "heard", "melod", "##ically", "the", "##ing", "sing"],
]


def reference(vocabulary):
    """The library's WordPiece with BERT's normalization."""
    numbers = {piece: i for i, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(
        models.WordPiece(numbers, unk_token="[UNK]", max_input_chars_per_word=100)
    )
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return lambda text: tokenizer.encode(text, add_special_tokens=False).tokens


OURS, THEIRS = WordPiece(SMALL), reference(SMALL)


def is_old(character):
    """Whether Unicode 3.2 sees the character as today's does: the library's tables of categories are old."""
    category = unicodedata.category(character)
    before = unicodedata.ucd_3_2_0.category(character)
    added = before == "Cn" and category[0] in "LNSZ"
    return category != "Cn" and (category == before or added)


ODD = st.text(st.characters(exclude_categories=["Cs"]).filter(is_old), max_size=40)
WORDS = st.text("abcqxhingel #!-.,é́\u200d\u00ad中שσΣİ\t\n\u2028😀", max_size=60)


@settings(max_examples=600, deadline=None)
@given(ODD | WORDS)
def test_odd_strings_give_the_librarys_pieces(text):
    assert OURS.tokenize(text) == THEIRS(text)


@given(ODD)
def test_normalizing_twice_changes_nothing_but_spaces(text):
    once = normalize(text)
    assert normalize(once).split() == once.split()
    assert split_words(once) == split_words(text)


@given(st.text("abcqx", min_size=1, max_size=30))
def test_pieces_join_to_the_word(word):
    pieces = OURS.cut(word)
    joined = "".join(piece.removeprefix("##") for piece in pieces)
    assert joined == word or pieces == ["[UNK]"]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        (" \n\t ", []),
        ("UNHEARD", ["un", "##heard"]),
        ("quick", ["q", "##u", "##i", "##c", "##k"]),
        ("aqa", ["[UNK]"]),  # q never continues a word here
        ("thé e\u0301", ["the", "e"]),
        ("a\u200db 😀", ["a", "##b", "[UNK]"]),
        ("中文", ["中", "文"]),
        ("$5,000.", ["$", "5", ",", "0", "##0", "##0", "."]),
        ("שלום", ["[UNK]"]),
        ("a" * 100, ["a"] + 99 * ["##a"]),
        ("a" * 101, ["[UNK]"]),
    ],
)
def test_chosen_strings(text, pieces):
    assert OURS.tokenize(text) == pieces
    assert THEIRS(text) == pieces


def test_ten_thousand_words():
    text = "unheard singing " * 5000
    assert len(OURS.tokenize(text)) == 20_000
    assert OURS.encode("un a") == [SMALL.index("un"), SMALL.index("a")]


@pytest.mark.parametrize("text", [None, 3, b"bytes", ["a"]])
def test_what_is_no_text(text):
    kind = type(text).__name__
    with pytest.raises(ValueError, match=f"text: got {kind}, expected a string"):
        OURS.tokenize(text)


@pytest.mark.parametrize("vocabulary", [[], ["a"], ["[UNK]", "a", "a"]])
def test_a_vocabulary_that_does_not_serve(vocabulary):
    with pytest.raises(ValueError, match=f"vocabulary: got {len(vocabulary)} pieces, "):
        WordPiece(vocabulary)


@pytest.fixture(scope="module")
def real():
    vocabulary = wordpiece_vocabulary()
    return WordPiece(vocabulary), reference(vocabulary)


@pytest.mark.slow
def test_the_lectures_examples(real):
    """What BERT's vocabulary does with them; the transcript of one slide reads "melodically ##ally"."""
    for text, pieces in [
        ("best-selling music artists", "best - selling music artists"),
        ("albums sold 500,000 copies", "albums sold 500 , 000 copies"),
        (
            "technically perfect, melodically correct",
            "technically perfect , melodic ##ally correct",
        ),
        (
            "featuring a previously unheard track",
            "featuring a previously un ##heard track",
        ),
    ]:
        assert real[0].tokenize(text) == pieces.split() == real[1](text)


@pytest.mark.slow
def test_no_difference_in_nine_books(real):
    ours, theirs = real
    sentences = [
        s for title in BOOKS for s in re.split(r"(?<=[.!?])\s+", book_text(title))
    ]
    assert len(sentences) > 40_000
    assert [s for s in sentences if ours.tokenize(s) != theirs(s)] == []


# --- BPE ------------------------------------------------------------------------------------------------------


def librarys_merges(counts, merges):
    alphabet = {c for word in counts for c in word}
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + merges, show_progress=False
    )
    lines = [" ".join([word] * count) for word, count in counts.items()]
    tokenizer.train_from_iterator(lines, trainer)
    learned = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(pair) for pair in learned], tokenizer


SENNRICH = {"low_": 5, "lower_": 2, "newest_": 6, "widest_": 3}


def test_sennrichs_example():
    """The four words of the paper's figure, with "_" at their end. Ties are broken another way than there."""
    learned = BPE.learn(SENNRICH, 6)
    made = ["".join(pair) for pair in learned.merges]
    assert made == ["es", "t_", "est_", "lo", "low", "ew"]
    assert learned.cut("lowest_") == ["low", "est_"]  # a word never seen
    assert learned.cut("lowest_", merges=0) == list("lowest_")


COUNTS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=6).filter(
        lambda word: not re.search(r"(.)\1", word)
    ),  # of a run of one letter the library's running counts differ from a fresh count
    st.integers(1, 9),
    min_size=1,
    max_size=12,
)


@pytest.mark.slow
def test_a_book_gives_the_librarys_merges_and_pieces():
    counts = Counter(split_words(book_text("carroll-alice")))
    merges, tokenizer = librarys_merges(counts, 300)
    learned = BPE.learn(counts, 300)
    assert learned.merges == merges
    for word in counts:
        assert learned.cut(word) == tokenizer.encode(word).tokens


@given(COUNTS, st.integers(0, 30))
def test_cutting_keeps_the_word_and_never_gains_pieces(counts, merges):
    learned = BPE.learn(counts, merges)
    for word in [*counts, "fedcba"]:
        lengths = [len(learned.cut(word, m)) for m in range(len(learned.merges) + 1)]
        assert lengths == sorted(lengths, reverse=True)
        assert "".join(learned.cut(word)) == word
    if merges == 30:  # the words are long merged to one piece each, or merges ran out
        assert len(learned.merges) == 30 or all(
            len(learned.cut(word)) == 1 for word in counts
        )


def test_merging_goes_from_left_to_right():
    assert merge("aaaaa", ("a", "a")) == ["aa", "aa", "a"]
    assert merge(["a", "ba"], ("a", "b")) == ["a", "ba"]


@pytest.mark.parametrize("counts", [{}, {"": 3}])
def test_learning_from_nothing(counts):
    with pytest.raises(ValueError, match=f"counts: got {len(counts)} words"):
        BPE.learn(counts, 3)


def test_a_negative_number_of_merges():
    with pytest.raises(ValueError, match="merges: got -1, expected at least 0"):
        BPE.learn({"a": 1}, -1)
