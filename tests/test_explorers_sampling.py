"""The explorer of the choice of the next token: the browser keeps what Python keeps; what it refuses."""

import numpy as np
import pytest
import torch

from helpers.explorers import SamplingExplorer
from helpers.explorers.sampling import STEP
from helpers.generation import next_probabilities


def explorer(text="aba", **more):
    logits = np.random.default_rng(0).normal(size=(len(text), 3))
    return SamplingExplorer({"one": (text, logits)}, list("ab "), **more)


def test_the_browser_keeps_what_python_keeps(in_node):
    random = np.random.default_rng(0)
    asked = [
        (random.normal(scale=3, size=20).round(3).tolist(), tau, k, top_p)
        for tau in (0.1, 1.0, 4.0)
        for k in (1, 5, 20)
        for top_p in (0.01, 0.5, 0.9, 1)
        for _ in range(5)
    ]
    asked.append(([1.0, 1.0, 1.0, 0.0], 1.0, 2, 1))  # of equals, the first
    program = """
        import { choose, chosen } from "./sampling.js";
        answer(given.map((each) => [...chosen(choose(...each))]));"""
    answered = in_node(program, asked)
    for (logits, *choice), shown in zip(asked, answered, strict=True):
        expected = next_probabilities(
            torch.tensor(logits, dtype=torch.float64), *choice
        )
        assert np.allclose(shown, expected.numpy(), atol=1e-12)


def test_the_stored_logits_are_the_given_ones_to_a_thousandth():
    logits = np.random.default_rng(1).normal(scale=5, size=(3, 2))
    widget = SamplingExplorer({"one": ("aba", logits)}, list("ab"))
    stored = np.frombuffer(widget._logits, "<i2").reshape(3, 2) * STEP
    assert np.abs(stored - logits).max() <= STEP / 2 + 1e-12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: explorer("abc"), r"passages\['one'\]: got \['c'\], expected only"),
        (lambda: SamplingExplorer({}, "ab"), "characters: got 'ab', expected a list"),
        (lambda: SamplingExplorer({}, ["ab"]), r"characters: got \['ab'\], expected"),
        (lambda: SamplingExplorer({}, ["a"]), "passages: got none, expected at least"),
        (
            lambda: SamplingExplorer({"one": ("aa", [[1.0]])}, ["a"]),
            r"passages\['one'\]: got shape \(1, 1\), expected \(2, 1\)",
        ),
        (
            lambda: SamplingExplorer({"one": ("a", [[33.0]])}, ["a"]),
            "got a logit of 33.0, expected ±32",
        ),
        (
            lambda: SamplingExplorer({"one": ("a", [[np.nan]])}, ["a"]),
            "got 1 NaN or infinite",
        ),
        (lambda: explorer(place=4), "place: got 4, expected 1 to 3"),
        (lambda: explorer(temperature=0), "temperature: got 0.0, expected 0.1 to 10"),
        (lambda: explorer(top_k=4), "top_k: got 4, expected 1 to 3"),
        (lambda: explorer(top_p=0), "top_p: got 0.0, expected 0.01 to 1"),
        (lambda: explorer(sample=0), "sample: got 0, expected 1 to 1000000"),
        (lambda: setattr(explorer(), "passage", "x"), "passage: got 'x', expected one"),
    ],
)
def test_it_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_it_says_what_it_is_and_keeps_its_place_in_a_shorter_text():
    widget = SamplingExplorer(
        {"long": ("abab", np.zeros((4, 2))), "short": ("ab", np.zeros((2, 2)))},
        list("ab"),
        place=4,
    )
    assert repr(widget) == "SamplingExplorer(2 passages, 2 characters)"
    widget.passage = "short"
    assert widget.place == 2 and widget.length == 2
