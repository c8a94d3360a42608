"""Tokens and analogies in a browser: whatever the reader types gets Python's answer."""

import zlib
from itertools import pairwise

import gallery
import numpy as np
import pytest
from playwright.sync_api import expect
from test_explorers import (  # noqa: F401
    cases,
    explorer,
    gallery_address,
    numbers,
    picture,
    same,
    slide,
    state,
    value,
)

from helpers.embeddings import WordVectors
from helpers.tokens import BPE, WordPiece, split_words

GALLERY = {name: place for place, name in enumerate(gallery.explorers())}
only = pytest.mark.parametrize
TOKENS = only(
    ("where", "place", "kind"), [("gallery", GALLERY["pieces"], "TokenExplorer")]
)
ANALOGIES = only(
    ("where", "place", "kind"), [("gallery", GALLERY["analogies"], "AnalogyExplorer")]
)


def shown(root):
    return root.locator(".pa-tokens li").all_inner_texts()


@TOKENS
def test_typed_text_gives_pythons_tokens(explorer):  # noqa: F811
    wordpiece = WordPiece(gallery.PIECES)
    field = explorer.get_by_label("Text")
    for text in (
        "",
        "  ",
        "unheard",
        "Unhéard, HEARD!",
        "😀 שלום 中文",
        "e\u0301 lower",
    ):
        field.fill(text)
        assert shown(explorer) == wordpiece.tokenize(text)
        words, tokens = numbers(explorer)[2:4]
        assert (int(words), int(tokens)) == (
            len(split_words(text)),
            len(wordpiece.tokenize(text)),
        )
        assert explorer.locator(".pa-summary").inner_text().strip()
    explorer.get_by_role("button", name="Reset").click()
    assert field.input_value() == "unheard, he heard"


@TOKENS
def test_ten_thousand_words(explorer):  # noqa: F811
    explorer.get_by_label("Text").fill("unheard " * 10_000)
    expect(explorer.locator(".pa-note")).to_have_text("The first 300 of 20000 tokens.")
    assert len(shown(explorer)) == 300
    explorer.get_by_label("Tokens").select_option("bpe")
    assert numbers(explorer)[2] == "10000"


@TOKENS
def test_a_word_of_thousands_of_letters_stays_inside(explorer):  # noqa: F811
    explorer.get_by_label("Text").fill("unheard" * 500)
    for kind in ("wordpiece", "bpe", "words", "characters"):
        explorer.get_by_label("Tokens").select_option(kind)
        assert explorer.evaluate("e => e.scrollWidth - e.clientWidth") == 0


@TOKENS
def test_every_control_of_tokens(explorer):  # noqa: F811
    before, drawing = numbers(explorer), picture(explorer)
    reset = explorer.get_by_role("button", name="Reset")
    example = explorer.get_by_label("Example")
    for place in (1, 2):
        example.select_option(str(place))
        assert numbers(explorer) != before and not same(picture(explorer), drawing)
        reset.click()
        assert numbers(explorer) == before and example.input_value() == "0"
    merges = explorer.get_by_role("slider", name="Merges")
    expect(merges).to_be_hidden()
    for kind in ("bpe", "words", "characters"):
        explorer.get_by_label("Tokens").select_option(kind)
        assert numbers(explorer) != before and not same(picture(explorer), drawing)
    explorer.get_by_label("Tokens").select_option("bpe")
    example.select_option("1")
    words = ["low", "low", "lower", "newest", "newest"]
    learned = BPE.learn({word: words.count(word) for word in words}, 60)
    pictures = []
    for count in (0, 2, 5):
        slide(merges, count)
        assert shown(explorer) == [p for w in words for p in learned.cut(w, count)]
        pictures.append(picture(explorer))
    assert not same(pictures[0], pictures[1]) and not same(pictures[1], pictures[2])
    reset.click()
    assert same(picture(explorer), drawing)


@ANALOGIES
def test_typed_words_give_pythons_answer(explorer):  # noqa: F811
    stored = state(explorer)
    whole = np.frombuffer(zlib.decompress(stored["_vectors"]), np.int8)
    whole = whole.reshape(len(gallery.NAMES), -1)
    vectors = WordVectors(gallery.NAMES, whole.astype(float))
    fields = [
        explorer.get_by_role("textbox", name=n, exact=True) for n in ("a", "+ b", "− c")
    ]
    pictures = [picture(explorer)]
    for typed in (
        ("cat", "sea", "dog"),
        ("KING", " queen", "crown"),
        ("red", "red", "red"),
    ):
        for field, word in zip(fields, typed, strict=True):
            field.fill(word)
        a, b, c = (word.strip().lower() for word in typed)
        for exclude in (True, False):
            explorer.get_by_label("Leave these three out").set_checked(exclude)
            rows = explorer.locator(".pa-bars tr")
            names = [n.strip() for n in rows.locator("th").all_inner_texts()]
            cosines = [value(t) for t in rows.locator("output").all_inner_texts()]
            expected = vectors.analogy(a, b, c, 8, exclude)
            assert names == [word for word, _ in expected]
            assert np.allclose(cosines, [cosine for _, cosine in expected], atol=6e-4)
            pictures.append(picture(explorer))
    assert not any(same(p, q) for p, q in pairwise(pictures))
    explorer.get_by_role("button", name="Reset").click()
    assert same(picture(explorer), pictures[0])


@ANALOGIES
def test_an_unknown_word_is_named_and_others_offered(explorer):  # noqa: F811
    before = explorer.locator(".pa-summary").inner_text()
    field = explorer.get_by_role("textbox", name="a", exact=True)
    for typed in ("thro", "", "😀", "two words"):
        field.fill(typed)
        summary = explorer.locator(".pa-summary").inner_text()
        assert summary.startswith(f"No vector for “{typed}”")
        assert ("three" in summary) == (typed == "thro")
    field.fill("a" * 3000)
    assert explorer.evaluate("e => e.scrollWidth - e.clientWidth") == 0
    field.fill("one")
    assert explorer.locator(".pa-summary").inner_text() == before


@ANALOGIES
def test_an_example_brings_its_words(explorer):  # noqa: F811
    before, drawing = numbers(explorer), picture(explorer)
    explorer.get_by_label("Example").select_option("1")
    words = [f.input_value() for f in explorer.locator("input[type=text]").all()]
    assert words == gallery.NAMES[5:8]
    assert numbers(explorer) != before and not same(picture(explorer), drawing)
    explorer.get_by_role("button", name="Reset").click()
    assert numbers(explorer) == before
