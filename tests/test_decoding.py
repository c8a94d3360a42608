"""Beam search against exhaustive search, greedy search and teacher forcing."""

from functools import partial

import pytest
import torch

from helpers.data import Vocabulary
from helpers.decoding import beam_search, exhaustive_search, log_probability
from helpers.seq2seq import cho, sutskever

MODELS = {
    "cho": cho,
    "sutskever": sutskever,
    "sutskever gru": partial(sutskever, cell=torch.nn.GRU),
}
TOKENS, LENGTH = 5, 4
SOURCE = torch.tensor([[3, 4, 2]])


def tiny(name, seed):
    """Random weights, large enough for probabilities that differ."""
    torch.manual_seed(seed)
    model = MODELS[name](5, TOKENS, 6).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
    return model


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", range(6))
def test_a_wide_beam_is_exhaustive_search(name, seed):
    model = tiny(name, seed)
    best = exhaustive_search(model, SOURCE, TOKENS, LENGTH)
    found = beam_search(model, SOURCE, TOKENS**LENGTH, LENGTH)[0]
    assert found.tokens == best.tokens
    assert found.log_probability == pytest.approx(best.log_probability, abs=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_a_beam_of_one_is_greedy_search(name):
    for seed in range(6):
        model = tiny(name, seed)
        greedy = model.translate(SOURCE, max_length=7)[0][0].tolist()
        found = beam_search(model, SOURCE, 1, max_length=7)
        assert [list(each.tokens) for each in found] == [greedy]


def test_beam_beats_greedy_somewhere_and_no_beam_beats_exhaustive_search():
    gains = []
    for seed in range(20):
        model = tiny("cho", seed)
        best = exhaustive_search(model, SOURCE, TOKENS, LENGTH).log_probability
        one, two = (
            beam_search(model, SOURCE, width, LENGTH)[0].log_probability
            for width in (1, 2)
        )
        assert max(one, two) <= best + 1e-12
        gains.append(two - one)
    assert max(gains) > 0.01


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_what_teacher_forcing_gives(name):
    model = tiny(name, 1)
    every = beam_search(model, SOURCE, 6, max_length=6)
    scored = [each for each in every if Vocabulary.PAD not in each.tokens]
    assert scored
    for found in scored:
        expected = log_probability(model, SOURCE, torch.tensor([found.tokens]))
        assert found.log_probability == pytest.approx(float(expected), abs=1e-12)


def test_the_record_has_what_was_asked():
    model, asked = tiny("cho", 1), {}
    best = beam_search(model, SOURCE, 2, LENGTH, record=asked)[0]
    assert {best.tokens[:t] for t in range(len(best.tokens))} <= set(asked)
    total = sum(asked[best.tokens[:t]][token] for t, token in enumerate(best.tokens))
    assert float(total) == pytest.approx(best.log_probability, abs=1e-12)


def test_padding_does_not_count():
    model = tiny("cho", 0)
    alone = log_probability(model, SOURCE, torch.tensor([[3, 2]]))
    padded = torch.tensor([[3, 2, Vocabulary.PAD]])
    assert torch.allclose(log_probability(model, SOURCE, padded), alone, atol=1e-12)


def test_bad_input():
    model = tiny("cho", 0)
    with pytest.raises(
        ValueError, match=r"source: got shape \(2, 3\), expected \(1, S\)"
    ):
        beam_search(model, SOURCE.expand(2, -1), 2)
    with pytest.raises(ValueError, match="width: got 0, expected at least 1"):
        beam_search(model, SOURCE, 0)
    with pytest.raises(ValueError, match="max_length: got 0, expected at least 1"):
        beam_search(model, SOURCE, 2, max_length=0)
    with pytest.raises(ValueError, match=r"max_length: got 5 \*\* 9 targets"):
        exhaustive_search(model, SOURCE, TOKENS, 9)
