"""The encoder-decoder's explorers in a browser: their numbers are Python's."""

import numpy as np
import pytest
from playwright.sync_api import expect
from test_explorers import cases, explorer, gallery_address, slide, state, value  # noqa: F401

from helpers.explorers import BeamExplorer, ContextExplorer


def twin(kind, explorer):  # noqa: F811
    """The same explorer in Python."""
    stored = state(explorer)
    copy = kind.__new__(kind)
    super(kind, copy).__init__(
        **{
            name: bytes(value) if isinstance(value, list) and name in BINARY else value
            for name, value in stored.items()
            if name in kind.class_trait_names() and name in TRAITS
        }
    )
    return copy


BINARY = {"_next", "_logs", "_children", "_values"}
TRAITS = {
    "_tokens", "_end", "_longest", "_examples", "_next", "_logs", "_children", "example", "width", "step",
    "_numbers", "_lengths", "_readers", "_values", "number", "digits", "place", "reader",
}  # fmt: skip


@cases("BeamExplorer")
def test_a_beam_ends_with_pythons_hypotheses(explorer):  # noqa: F811
    python = twin(BeamExplorer, explorer)
    step = explorer.get_by_role("slider", name="Step")
    for example in python._examples:
        explorer.get_by_label("Number").select_option(example["name"])
        greedy = python.hypotheses(example["name"], 1)[0][1]
        for width in (1, 2, 5):
            slide(explorer.get_by_role("slider", name="Beam width"), width)
            slide(step, int(step.get_attribute("max")))
            text, total = python.hypotheses(example["name"], width)[0]
            shown = explorer.locator("dl output").all_inner_texts()
            assert abs(value(shown[0]) - total) < 6e-4
            assert abs(value(shown[1]) - greedy) < 6e-4
            right = "right" if text == example["expected"] else "wrong"
            expect(explorer.locator(".pa-summary")).to_contain_text(text)
            expect(explorer.locator(".pa-summary")).to_contain_text(right)


@cases("ContextExplorer")
def test_the_probe_gives_pythons_probabilities(explorer):  # noqa: F811
    python = twin(ContextExplorer, explorer)
    for number, (reader, _), digits, place in zip(
        python._numbers[:2],
        2 * python._readers,
        python._lengths[-2:],
        (0, 2),
        strict=False,
    ):
        explorer.get_by_label("Number").select_option(str(number))
        explorer.get_by_label("Encoder").select_option(reader)
        slide(explorer.get_by_label("Its last digits"), digits)
        slide(explorer.get_by_label("Look at the"), place)
        python.number, python.reader, python.digits = number, reader, digits
        expected = python.probabilities()
        shown = [
            value(t) for t in explorer.locator(".pa-bars output").all_inner_texts()
        ]
        assert np.allclose(shown, expected[place], atol=6e-4)
        right = [int(digit) for digit in str(number)[::-1][:digits]]
        good = sum(p.argmax() == d for p, d in zip(expected, right, strict=True))
        facts = explorer.locator("dl output").all_inner_texts()
        assert facts[0] == f"{good} of {digits}"
        mean = np.mean([p[d] for p, d in zip(expected, right, strict=True)])
        assert value(facts[1]) == pytest.approx(mean, abs=6e-4)


@cases("ContextExplorer")
def test_a_click_chooses_the_place(explorer):  # noqa: F811
    slide(explorer.get_by_label("Its last digits"), 9)
    column = explorer.locator("svg rect[style*=pointer]").nth(10 * 2 + 5)  # hundreds
    column.click()
    assert explorer.get_by_label("Look at the").input_value() == "2"
