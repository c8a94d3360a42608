"""n-grams by hand and by their properties, perplexity, generation, and the recorded language models scored again."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.characters import (
    RECORDED,
    NGram,
    alice,
    batch_loss,
    character_model,
    generate,
    mean_loss,
    perplexity,
    recorded_model,
)
from helpers.data import Vocabulary

TOKENS = st.lists(st.integers(0, 4), min_size=1, max_size=40)


pytestmark = pytest.mark.usefixtures("double_precision")


@given(TOKENS, st.integers(1, 5), st.lists(st.integers(0, 4), max_size=6))
def test_probabilities_are_positive_and_sum_to_1(tokens, n, context):
    p = NGram(tokens, n, 5).probabilities(context)
    assert p.shape == (5,) and (p > 0).all()
    assert abs(p.sum() - 1) < 1e-12


def test_witten_bell_by_hand():
    tokens = [0, 1, 0, 1, 0, 2]  # K = 4
    unigram = np.array([3, 2, 1, 0]) / 9 + 3 / 9 / 4  # 6 counts, 3 different tokens
    after_0 = (np.array([0, 2, 1, 0]) + 2 * unigram) / (3 + 2)
    assert np.allclose(NGram(tokens, 1, 4).probabilities([0]), unigram)
    assert np.allclose(NGram(tokens, 2, 4).probabilities([2, 0]), after_0)
    assert np.allclose(NGram(tokens, 3, 4).probabilities([2, 0]), after_0)  # 2 0: never
    assert np.allclose(NGram(tokens, 2, 4).probabilities([3]), unigram)
    after_1_0 = (np.array([0, 1, 1, 0]) + 2 * after_0) / (2 + 2)
    assert np.allclose(NGram(tokens, 3, 4).probabilities([0, 1, 0]), after_1_0)


def test_perplexity_is_exp_of_the_mean_loss():
    tokens = torch.tensor([0, 1, 0, 1, 0, 2, 1])
    model = NGram([0, 1, 0, 1, 0, 2], 2, 4)
    context = tokens.tolist()
    p = [model.probabilities(context[:t])[context[t]] for t in range(1, 7)]
    assert math.isclose(perplexity(model, tokens), math.prod(p) ** (-1 / 6))
    uniform = NGram([0], 1, 4)
    uniform.counts.clear()
    assert math.isclose(perplexity(uniform, tokens), 4)


def test_the_state_is_carried_through_the_whole_text():
    vocabulary = Vocabulary(["abc"])
    model = character_model(vocabulary, 8, seed=0)
    tokens = torch.tensor(vocabulary.encode("abcabacbbaca"))
    h, losses = torch.zeros(8), []
    rnn, out = model.rnn, model.output
    for x, y in pairwise(tokens):
        h = torch.tanh(rnn.b + rnn.W @ h + rnn.U[:, x])
        losses.append(-torch.log_softmax(out.weight @ h + out.bias, dim=0)[y])
    expected = torch.stack(losses).mean().item()
    assert abs(mean_loss(model, tokens) - expected) < 1e-12
    assert abs(perplexity(model, tokens) - math.exp(expected)) < 1e-10


def test_excerpts_are_of_the_text_and_the_target_is_one_ahead():
    vocabulary = Vocabulary(["abc"])
    model = character_model(vocabulary, 4, seed=0)
    tokens = torch.tensor(vocabulary.encode("abc" * 30))
    seen = []
    model.register_forward_hook(lambda _, given, out: seen.append((given[0], out[0])))
    loss = batch_loss(model, tokens, 5, 7)(torch.Generator().manual_seed(0))
    ((read, logits),) = seen
    assert read.shape == (5, 7)
    targets = 3 + (read - 3 + 1) % 3  # the text repeats: c follows b follows a
    chosen = torch.log_softmax(logits, dim=-1).gather(2, targets.unsqueeze(2))
    assert abs(loss.item() + chosen.mean().item()) < 1e-12


def test_a_cold_model_writes_the_likeliest_and_the_seed_decides():
    vocabulary = Vocabulary(["abc"])
    model = character_model(vocabulary, 8, seed=1)
    prefix = vocabulary.encode("ab")
    greedy, state, tokens = [], None, torch.tensor([prefix])
    for _ in range(10):
        with torch.no_grad():
            logits, state = model(tokens, state)
        tokens = logits[:, -1:].argmax(dim=-1)
        greedy.append(tokens.item())
    assert generate(model, prefix, 10, temperature=1e-4) == greedy
    texts = [generate(model, prefix, 30, seed=seed) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_generated_tokens_have_the_models_frequencies():
    model = character_model(Vocabulary(["abc"]), 4, seed=0)
    with torch.no_grad():  # no memory: all steps alike
        for parameter in model.parameters():
            parameter.zero_()
        model.output.bias.copy_(torch.arange(6.0))
    drawn = torch.tensor(generate(model, [3], 4000, temperature=2.0))
    shares = torch.bincount(drawn, minlength=6) / 4000
    expected = torch.softmax(torch.arange(6.0) / 2, dim=0)
    assert (shares - expected).abs().max() < 0.03


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: generate(m, [], 3), "prefix: got an empty one"),
        (lambda m: generate(m, [3], 3, temperature=0), "temperature: got 0, expected"),
        (lambda m: NGram([0], 0, 2), "n: got 0, expected at least 1"),
        (lambda m: NGram([0, 2], 1, 2), "tokens: expected numbers from 0 to 1"),
        (lambda m: mean_loss(m, torch.zeros(2, 3)), r"tokens: got shape \(2, 3\)"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(character_model(Vocabulary(["ab"]), 4, seed=0))


# --- recorded ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_recorded_model_has_the_recorded_perplexity():
    vocabulary, parts = alice()
    model = recorded_model(vocabulary)
    record = json.loads((RECORDED / "char_rnn.json").read_text())
    (run,) = [r for r in record["runs"] if (r["hidden_size"], r["seed"]) == (128, 0)]
    assert run["parameters"] == sum(p.numel() for p in model.parameters())
    for name, recorded in run["perplexity"].items():
        assert abs(perplexity(model, parts[name]) - recorded) < 1e-3
    best = run["validation_loss"][run["steps"].index(run["best_step"])]
    assert best == min(run["validation_loss"])
    assert abs(math.exp(best) - run["perplexity"]["validation"]) < 1e-2


@pytest.mark.slow
def test_the_recorded_n_grams_are_counted_again():
    vocabulary, parts = alice()
    record = json.loads((RECORDED / "char_rnn.json").read_text())
    for recorded in record["ngrams"][:3]:
        model = NGram(parts["train"].tolist(), recorded["n"], len(vocabulary))
        assert len(model.counts) == recorded["contexts"]
        for name in ("validation", "test"):
            assert math.isclose(
                perplexity(model, parts[name]), recorded["perplexity"][name]
            )


@pytest.mark.slow
def test_the_parts_are_whole_blocks_of_the_book():
    _, parts = alice()
    assert [len(part) for part in parts.values()] == [115_228, 14_571, 14_538]
