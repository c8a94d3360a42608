"""The explorer of aspects in a browser: whatever the reader types gets Python's numbers."""

import gallery
import numpy as np
import pytest
import torch
from playwright.sync_api import expect
from test_explorers import explorer, gallery_address, numbers, value  # noqa: F401

from helpers.hotels import encode, split_words

PLACE = list(gallery.explorers()).index("aspects")
ASPECTS = pytest.mark.parametrize(
    ("where", "place", "kind"), [("gallery", PLACE, "AspectExplorer")]
)


@ASPECTS
def test_typed_text_gives_pythons_numbers(explorer):  # noqa: F811
    model = gallery.aspect_model().eval()
    field = explorer.get_by_label("Text")
    for text in ("good bed.", "the Bed was bad , 😀 שלום", "good " * 10_000):
        field.fill(text)
        with torch.no_grad():
            logits, weights = model(encode(text, gallery.KNOWN)[None])
        for a, name in enumerate(("place", "staff")):
            explorer.get_by_label("Aspect", exact=True).select_option(label=name)
            shown = numbers(explorer)
            verdicts = torch.softmax(logits[0], dim=-1).flatten().numpy()
            assert np.allclose([value(each) for each in shown[:4]], verdicts, atol=0.02)
            assert int(shown[4]) == len(split_words(text))
            assert value(shown[7]) == pytest.approx(
                float(weights[0, a].max()), abs=0.02
            )
    expect(explorer.locator(".pa-note").first).to_have_text(
        "The first 400 of 10000 words are read."
    )


@ASPECTS
def test_no_words_are_said_to_be_none(explorer):  # noqa: F811
    before = numbers(explorer)
    for text in ("", "   "):
        explorer.get_by_label("Text").fill(text)
        assert explorer.locator(".pa-summary").inner_text().startswith("No words")
        assert explorer.locator(".pa-tokens li").count() == 0
    explorer.get_by_role("button", name="Reset").click()
    assert numbers(explorer) == before


@ASPECTS
def test_a_word_of_thousands_of_letters_stays_inside(explorer):  # noqa: F811
    explorer.get_by_label("Text").fill("a" * 3000)
    assert numbers(explorer)[4:6] == ["1", "1"]  # one word, unknown
    assert explorer.evaluate("e => e.scrollWidth - e.clientWidth") == 0
