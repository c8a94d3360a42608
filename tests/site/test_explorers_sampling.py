"""The explorer of the next token in a browser: its numbers are Python's, and a click chooses the place."""

import gallery
import numpy as np
import pytest
import torch
from test_explorers import explorer, gallery_address, slide, state, value  # noqa: F401

from helpers.explorers.sampling import STEP
from helpers.generation import next_probabilities

PLACE = list(gallery.explorers()).index("sampling")
SAMPLING = pytest.mark.parametrize(
    ("where", "place", "kind"), [("gallery", PLACE, "SamplingExplorer")]
)


@SAMPLING
@pytest.mark.parametrize(
    ("position", "k", "top_p"), [(0, 5, 1), (-0.4, 3, 1), (0.3, 5, 0.7), (0, 4, 0.5)]
)
def test_its_numbers_are_pythons(explorer, position, k, top_p):  # noqa: F811
    stored = state(explorer)
    text = stored["_passages"][0]["text"]
    logits = np.frombuffer(stored["_logits"], "<i2").reshape(-1, 5)[: len(text)] * STEP
    slide(explorer.get_by_label("Temperature"), position)
    slide(explorer.get_by_label("Top-k"), k)
    slide(explorer.get_by_label("Top-p"), top_p)
    slide(explorer.get_by_label("Look at place"), 4)
    p = next_probabilities(torch.tensor(logits), 10**position, k, top_p).numpy()
    right = p[np.arange(len(text)), [stored["_characters"].index(c) for c in text]]
    facts = explorer.locator("dl output").all_inner_texts()
    whole = next_probabilities(torch.tensor(logits), 10**position).numpy()[3]
    assert facts[0] == f"{(p[3] > 0).sum()} of 5"
    assert abs(value(facts[1]) - whole[p[3] > 0].sum()) < 6e-4
    assert abs(value(facts[3]) - (p > 0).sum(axis=1).mean()) < 0.06
    assert facts[5] == f"{(right == 0).sum()} of {len(text)}"
    if right.all():
        assert abs(value(facts[6]) - np.exp(-np.log(right).mean())) < 6e-3
    else:
        assert facts[6] == "∞"
    shown = [
        0.0 if each == "cut" else value(each)
        for each in explorer.locator(
            ".pa-bars tr:visible td:last-child output"
        ).all_inner_texts()
    ]
    assert np.allclose(shown, sorted(p[3], reverse=True), atol=6e-4)


@SAMPLING
def test_the_likeliest_is_drawn_when_only_one_may_come(explorer):  # noqa: F811
    stored = state(explorer)
    text = stored["_passages"][0]["text"]
    logits = np.frombuffer(stored["_logits"], "<i2").reshape(-1, 5)[: len(text)]
    slide(explorer.get_by_label("Top-k"), 1)
    signs = {" ": "␣", "\n": "⏎"}
    expected = []
    for row, character in zip(logits, text, strict=True):
        best = stored["_characters"][row.argmax()]
        expected.append("✓" if best == character else signs.get(best, best))
    drawn = explorer.locator(".pa-tokens li span").all_inner_texts()
    assert drawn == expected
    explorer.get_by_role("button", name="Draw again").click()
    assert explorer.locator(".pa-tokens li span").all_inner_texts() == drawn
    slide(explorer.get_by_label("Top-k"), 5)
    seen = set()
    for _ in range(4):
        explorer.get_by_role("button", name="Draw again").click()
        seen.add("".join(explorer.locator(".pa-tokens li span").all_inner_texts()))
    assert len(seen) == 4


@SAMPLING
def test_a_click_chooses_the_place_and_a_shorter_text_keeps_it_inside(explorer):  # noqa: F811
    place = explorer.get_by_label("Look at place")
    explorer.locator(".pa-tokens li").nth(15).click()
    assert place.input_value() == "16"
    explorer.get_by_label("Text").select_option(index=1)
    assert place.input_value() == place.get_attribute("max") == "7"
    assert explorer.locator(".pa-tokens li").count() == 7
