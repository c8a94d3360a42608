"""What is asked of the units of a trained LSTM, and what is recorded of it."""

import json

import numpy as np
import pytest
import torch

from helpers.cells import (
    CAPITAL,
    FEATURES,
    LINE,
    QUOTATION,
    RECORDED,
    chance,
    correlations,
    features,
    recorded_lstm,
    streams_loss,
    token_lstm,
)
from helpers.data import Vocabulary


def marked(text):
    """The text with what lies inside a quotation in capitals."""
    inside = features(text)[QUOTATION]
    return "".join(
        c.upper() if on else c.lower() for c, on in zip(text, inside, strict=True)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("she said, 'oh dear!' and", "she said, 'OH DEAR!' and"),
        ("'i can't,' said she", "'I CAN'T,' said she"),
        ("the rabbit's 'oh!'", "the rabbit's 'OH!'"),
        ("('yes') no", "('YES') no"),
        ("'one\n\ntwo'", "'ONE\n\ntwo'"),
        ("it--'well', it", "it--'WELL', it"),
    ],
)
def test_quotations_are_told_from_apostrophes(text, expected):
    assert marked(text) == expected


def test_place_in_the_line_and_capitals():
    found = features("Ab\ncD")
    assert found[LINE].tolist() == [0, 1, 2, 0, 1]
    assert found[CAPITAL].tolist() == [1, 0, 0, 0, 1]


def test_correlations_are_numpys():
    random = np.random.default_rng(0)
    values, feature = random.normal(size=(50, 4)), random.normal(size=50)
    values[:, 3] = 2.0
    expected = [np.corrcoef(values[:, n], feature)[0, 1] for n in range(3)]
    np.testing.assert_allclose(
        correlations(values, feature), [*expected, 0], atol=1e-12
    )
    with pytest.raises(
        ValueError, match=r"feature: got shape \(49,\), expected \(50\)"
    ):
        correlations(values, feature[:-1])


def test_chance_grows_with_the_number_of_units_and_is_small_for_noise():
    random = np.random.default_rng(0)
    values, feature = random.normal(size=(4000, 64)), random.normal(size=4000)
    many, few = chance(values, feature), chance(values[:, :2], feature)
    assert len(many) == 200 and many.mean() > few.mean()
    assert many.max() < 0.1


def test_a_model_reads_a_part_as_the_whole():
    vocabulary = Vocabulary(["abc"])
    model, tokens = token_lstm(vocabulary, 0), torch.tensor([[3, 4, 5, 3, 4]])
    logits, _ = model(tokens)
    first, state = model(tokens[:, :2])
    second, _ = model(tokens[:, 2:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), logits)


def test_streams_are_read_on_and_on():
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, tokens, state):
            seen.append((tokens.tolist(), state))
            return torch.zeros(*tokens.shape, 40, requires_grad=True), (
                torch.zeros(1, requires_grad=True),
            )

    loss = streams_loss(Spy(), torch.arange(21), streams=2, length=3)
    for _ in range(4):
        loss(None)
    rows = [tokens for tokens, _ in seen]
    assert rows[0] == [[0, 1, 2], [10, 11, 12]] and rows[1] == [[3, 4, 5], [13, 14, 15]]
    assert rows[2] == [[6, 7, 8], [16, 17, 18]] and rows[3] == rows[0]
    assert seen[0][1] is None and seen[3][1] is None
    assert seen[1][1] is not None and not seen[1][1][0].requires_grad


def test_the_recorded_correlations_come_from_the_recorded_weights():
    from helpers.characters import alice, mean_loss

    vocabulary, parts = alice()
    model = recorded_lstm(vocabulary)
    run = json.loads((RECORDED / "cells.json").read_text())["runs"][0]
    assert mean_loss(model, parts["test"]) == pytest.approx(run["test_loss"], abs=1e-3)
    with torch.no_grad():
        trace = model.lstm.trace(model.one_hot(parts["test"][None]))
    cells = torch.tanh(trace["c"][0]).numpy()
    wanted = features("".join(vocabulary.tokens[i] for i in parts["test"]))
    for feature in FEATURES:
        recorded = run["trained"][feature]
        again = correlations(cells, wanted[feature])[recorded["unit"]]
        assert again == pytest.approx(recorded["test"], abs=2e-3)
