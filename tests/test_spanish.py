"""Real sentences: words, clusters, splits, word pieces, and the recorded translators on the sentences kept here."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.bleu import bleu
from helpers.data import PACKAGES
from helpers.spanish import (
    DECODERS,
    Pieces,
    SentencePair,
    SentenceTranslator,
    bleu_by_length,
    clusters,
    count_words,
    recorded,
    recorded_translator,
    split_clusters,
    split_sentence,
    weights_file,
)

pytestmark = pytest.mark.usefixtures("double_precision")

ENGLISH = Pieces("'abcdefghijklmnopqrstuvwxyz.", ["t h", "▁ th", "▁th e", "▁ c"])
SPANISH = Pieces("¿?.abcdefghijklmnopqrstuvwxyzáéíóúñ", ["▁ e", "▁e l"])


def pairs(*rows):
    return [SentencePair(english, spanish, "") for english, spanish in rows]


def test_words_and_signs():
    assert split_sentence("¿Qué dijo Tom's dog?") == ["¿", "qué", "dijo", "tom's", "dog", "?"]  # fmt: skip
    assert split_sentence("Don’t! 3_4") == ["don't", "!", "3", "4"]
    assert count_words("¡No, no!") == 2


@pytest.mark.parametrize("text", ["", "  \n", "___", None, 7])
def test_a_text_without_words(text):
    with pytest.raises(ValueError, match="text: got"):
        split_sentence(text)


def test_translations_of_one_sentence_are_one_cluster():
    rows = pairs(
        ("Go.", "Ve."), ("Run!", "Corre."), ("Go!", "Vete."), ("Leave.", "¡Vete!")
    )
    assert clusters(rows) == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("other", "together"),
    [
        ("Tom sold his old car today.", True),  # one word is another
        ("Tom sold his old red car yesterday.", True),  # one more
        ("Tom sold his car yesterday.", True),  # one less
        ("Tom sold his red bike yesterday.", False),  # two are others
        ("Yesterday Tom sold his old car.", True),  # one stands elsewhere
        ("His old car Tom sold yesterday.", False),  # three do
    ],
)
def test_near_paraphrases_are_one_cluster(other, together):
    base = "Tom sold his old car yesterday."
    assert clusters(pairs((base, "a"), (other, "b"))) == [0, 1 - together]
    assert clusters(pairs(("a", base), ("b", other))) == [0, 1 - together]


def test_one_word_is_much_in_a_short_sentence():
    assert clusters(pairs(("I am so cold.", "a"), ("I am so hot.", "b"))) == [0, 1]
    rows = pairs(("I am so cold.", "a"), ("I am so hot.", "b"))
    assert clusters(rows, shortest=4) == [0, 0]


def test_neighbours_of_neighbours_are_one_cluster():
    rows = pairs(
        ("a b c d e", "v"),
        ("p q r s t", "w"),
        ("a b c x y", "x"),
        ("a b c x e", "y"),
        ("a b c x z", "x"),
    )
    assert clusters(rows) == [0, 1, 0, 0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_split_by_cluster_shares_no_cluster(seed):
    groups = [0, 1, 1, 2, 3, 3, 3, 3, 4, 5, 0, 6]
    train, held_out = split_clusters(groups, 3, largest=2, seed=seed)
    drawn = {groups[row] for row in held_out}
    assert len(held_out) == len(drawn) == 3
    assert 3 not in drawn  # a large cluster is for training
    assert train == [row for row in range(12) if groups[row] not in drawn]
    assert split_clusters(groups, 3, largest=2, seed=seed) == (train, held_out)


def test_split_by_cluster_needs_clusters():
    groups = [0, 1, 1, 2, 3, 3, 3]
    assert split_clusters(groups, 3, 2, 0)[1] != split_clusters(groups, 3, 2, 1)[1]
    for count in (0, 4):
        with pytest.raises(ValueError, match="expected 1 to 3, the clusters"):
            split_clusters(groups, count, largest=2)


def test_pieces_by_hand():
    assert ENGLISH.cut("The cat.") == ["▁the", "▁c", "a", "t", "▁", "."]
    assert ENGLISH.show(ENGLISH.cut("The cat")) == ["the", "c", "##a", "##t"]
    assert ENGLISH.show(["▁", "x"]) == ["▁", "##x"]
    assert ENGLISH.cut("çà") == ["▁", "�", "�"]
    assert ENGLISH.join(ENGLISH.cut("The cat.")) == ["the", "cat", "."]


@given(st.text(alphabet="abcdeht .,'", min_size=1).filter(lambda t: t.strip(" ")))
def test_pieces_join_to_the_words_that_were_cut(text):
    known = "".join(c for c in text if c != ",")
    if known.strip(" "):
        assert ENGLISH.join(ENGLISH.cut(known)) == split_sentence(known)
    for piece in ENGLISH.cut(text):
        assert piece in ENGLISH.vocabulary.tokens


def test_pieces_are_learned_from_what_is_frequent():
    learned = Pieces.learn(["the the the tea", "the ñu"], merges=3, least=2)
    assert learned.characters == "eht"
    assert learned.merges == ["h e", "t he", "▁ the"]
    assert learned.cut("the") == ["▁the"]
    assert learned.cut("ñu") == ["▁", "�", "�"]
    assert Pieces(learned.characters, learned.merges).cut("the tea") == learned.cut(
        "the tea"
    )


@pytest.mark.parametrize("name", DECODERS)
def test_translations_have_the_shapes_that_they_promise(name):
    translator = SentenceTranslator(DECODERS[name], ENGLISH, SPANISH, hidden_size=6)
    texts = ["The cat.", "A very long dog that sleeps"]
    for text, translation in zip(texts, translator.translate(texts), strict=True):
        assert translation.source == tuple(ENGLISH.cut(text))
        if name == "no attention":
            assert translation.weights is None
        else:
            assert translation.weights.shape == (
                len(translation.tokens),
                len(translation.source) + 1,
            )
            torch.testing.assert_close(
                translation.weights.sum(dim=-1), torch.ones(len(translation.tokens))
            )


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "texts: got"),
        ("The cat.", "texts: got 'The cat.', expected a list"),
        (["The cat.", ""], "text: got '', expected at least one word"),
        (["a" * 101], "texts: got one of 102 word pieces, expected at most 100"),
    ],
)
def test_bad_texts(texts, message):
    translator = SentenceTranslator(
        DECODERS["no attention"], ENGLISH, SPANISH, hidden_size=6
    )
    with pytest.raises(ValueError, match=message):
        translator.translate(texts)


def test_bleu_by_length():
    sources = ["One two.", "One two three.", "One!"]
    references = ["uno dos y más.", "uno dos y tres.", "¡Uno, dos y tres!"]
    written = [split_sentence(text) for text in references]
    written[1] = ["uno", "dos", "y", "dos", "."]
    short, long = bleu_by_length(sources, written, references, [1, 3, 4])
    assert short == pytest.approx(100)
    assert long == bleu([written[1]], [split_sentence(references[1])]) < 60
    with pytest.raises(ValueError, match="edges: got no sentence of 4 to 8 words"):
        bleu_by_length(sources, written, references, [1, 4, 9])


def test_other_names():
    with pytest.raises(ValueError, match="name: got 'Luong', expected one of"):
        recorded_translator("Luong")


# ---------------------------------------------------------------------------------------------------------------------
# What is recorded
# ---------------------------------------------------------------------------------------------------------------------


def test_the_stored_sentences_are_few_and_name_their_authors():
    record = recorded()
    assert len(record["held_out"]) == 20
    assert all(
        sentence["credit"].startswith("CC-BY 2.0 (France) Attribution: tatoeba.org #")
        for sentence in record["held_out"]
    )
    kept = pairs(*((s["english"], s["spanish"]) for s in record["held_out"]))
    assert len(set(clusters(kept))) == 20
    assert record["source"] == PACKAGES["tatoeba"].source


@pytest.mark.parametrize("name", DECODERS)
def test_recorded_weights_write_the_recorded_words(name):
    """What the chapter shows is what the weights do, to the word."""
    record, translator = recorded(), recorded_translator(name)
    made = translator.translate([s["english"] for s in record["held_out"]])
    written = [Pieces.join(translation.tokens) for translation in made]
    assert written == [s["written"][name].split(" ") for s in record["held_out"]]
    run = next(r for r in record["settings"]["long"]["runs"] if r["model"] == name)
    assert translator.num_parameters == run["parameters"]
    assert weights_file(name).stat().st_size < 1_600_000


def test_the_comparison_is_whole():
    record = recorded()
    for setting, count in (("long", 1), ("short", 3), ("random split", 1)):
        for name in record["settings"][setting].get("models", DECODERS):
            runs = [r for r in record["settings"][setting]["runs"] if r["model"] == name]  # fmt: skip
            assert len(runs) == count
    assert sum(record["counts"]["held_out_by_length"]) == record["counts"]["held_out"]
    json.dumps(record, allow_nan=False)
