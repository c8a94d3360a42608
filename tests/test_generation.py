"""The decoder-only model against PyTorch, causality, the cache; sampling against a second implementation."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from helpers.characters import alice
from helpers.generation import (
    RECORDED,
    DecoderOnly,
    generate,
    mean_loss,
    next_probabilities,
    recorded_writer,
    window_losses,
)

pytestmark = pytest.mark.usefixtures("double_precision")

K, N = 11, 16
LOGITS = st.lists(st.integers(-60, 60), min_size=1, max_size=12).map(
    lambda values: torch.tensor(values, dtype=torch.float64) / 10
)


def model(layers=2, context=N, sharper=1.0):
    """A small model with weights large enough that its choices differ."""
    torch.manual_seed(0)
    made = DecoderOnly(K, 12, 3, 20, layers, context).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(sharper).add_(0.1 * torch.randn_like(parameter))
    return made


def text(length, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(K, (batch, length), generator=generator)


# --- the model --------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_it_is_pytorchs_layers_between_two_uses_of_one_matrix():
    ours, tokens = model(), text(9, 4)
    x = ours.embedding.weight[tokens] + ours.positions.embedding.weight[:9]
    for layer in ours.layers.layers:
        attention = layer.attention
        reference = nn.TransformerEncoderLayer(
            12, 3, 20, 0.0, F.gelu, batch_first=True, norm_first=True
        ).eval()
        parts = attention.query, attention.key, attention.value
        reference.self_attn.in_proj_weight.copy_(torch.cat([p.weight for p in parts]))
        reference.self_attn.in_proj_bias.copy_(torch.cat([p.bias for p in parts]))
        for theirs, mine in (
            (reference.self_attn.out_proj, attention.output),
            (reference.linear1, layer.feed_forward.inner),
            (reference.linear2, layer.feed_forward.outer),
            (reference.norm1, layer.around_attention.norm),
            (reference.norm2, layer.around_feed_forward.norm),
        ):
            theirs.load_state_dict(mine.state_dict())
        future = torch.ones(9, 9, dtype=torch.bool).triu(1)
        x = reference(x, src_mask=future)
    expected = ours.layers.norm(x) @ ours.embedding.weight.T
    assert (ours(tokens)[0] - expected).abs().max() < 1e-12


@torch.no_grad()
def test_the_future_changes_nothing_in_the_past():
    ours, tokens = model(), text(12)
    before, _ = ours(tokens)
    for t in range(12):
        changed = tokens.clone()
        changed[:, t] = (changed[:, t] + 1) % K
        after, _ = ours(changed)
        assert torch.equal(before[:, :t], after[:, :t])
        assert (before[:, t] - after[:, t]).abs().max() > 1e-6


@torch.no_grad()
def test_weights_are_causal_and_sum_to_1():
    _, weights = model()(text(8, 2), need_weights=True)
    assert [tuple(each.shape) for each in weights] == 2 * [(2, 3, 8, 8)]
    for each in weights:
        assert (each.triu(1) == 0).all()
        assert (each.sum(dim=-1) - 1).abs().max() < 1e-12


@torch.no_grad()
@pytest.mark.parametrize("pieces", [[1] * N, [5, 1, 1, 4, 5], [N - 1, 1]])
def test_the_cache_gives_the_same_logits(pieces):
    ours, tokens = model(), text(N, 3)
    caches, parts = ours.caches(), []
    for piece in tokens.split(pieces, dim=1):
        parts.append(ours(piece, caches)[0])
    assert (torch.cat(parts, dim=1) - ours(tokens)[0]).abs().max() < 1e-12


def test_gpt_2_has_the_published_number_of_parameters():
    with torch.device("meta"):
        gpt = DecoderOnly(50_257, 768, 12, 3072, 12, context=1024)
    assert sum(p.numel() for p in gpt.parameters()) == 124_439_808


# --- the choice -------------------------------------------------------------------------------------------------------


@given(
    LOGITS,
    st.floats(0.2, 5),
    st.integers(1, 14) | st.none(),
    st.floats(0.01, 1) | st.none(),
)
def test_probabilities_sum_to_1_and_keep_their_proportions(logits, tau, k, top_p):
    p = next_probabilities(logits, tau, k, top_p)
    whole = torch.softmax(logits / tau, dim=0)
    assert abs(p.sum() - 1) < 1e-12 and (p >= 0).all()
    kept = p > 0
    assert kept[logits.argmax()]
    assert kept.sum() <= (k or len(p))
    assert whole[kept].min() >= (whole[~kept].max() if (~kept).any() else 0)
    assert torch.allclose(p[kept], whole[kept] / whole[kept].sum())


@given(LOGITS, st.floats(0.01, 0.99))
def test_the_nucleus_is_the_smallest_set_that_holds_the_share(logits, top_p):
    whole = torch.softmax(logits, dim=0)
    kept = next_probabilities(logits, top_p=top_p) > 0
    assert whole[kept].sum() >= top_p - 1e-12
    assert whole[kept].sum() - whole[kept].min() < top_p + 1e-12


def test_the_three_by_hand():
    logits = torch.log(torch.tensor([0.1, 0.5, 0.1, 0.3]))
    assert torch.allclose(
        next_probabilities(logits, 0.5), torch.tensor([1, 25, 1, 9]) / 36
    )
    halves = torch.tensor([0, 5, 0, 3]) / 8
    assert torch.allclose(next_probabilities(logits, top_k=2), halves)
    assert torch.allclose(next_probabilities(logits, top_p=0.8 - 1e-9), halves)
    ninths = torch.tensor([1, 5, 0, 3]) / 9  # of equals, the first
    assert torch.allclose(next_probabilities(logits, top_k=3), ninths)
    assert torch.allclose(next_probabilities(logits, top_p=0.85), ninths)
    # top_p is a share of what top_k left: 5/8 of it is enough here, 0.6 of all is not
    only = torch.tensor([0.0, 1, 0, 0])
    assert torch.allclose(next_probabilities(logits, top_k=2, top_p=0.6), only)
    assert torch.allclose(next_probabilities(logits, top_p=0.6), halves)


def test_the_choice_is_that_of_transformers():
    processors = pytest.importorskip("transformers.generation.logits_process")
    scores = 3 * torch.randn(50, 30)
    for tau, k, top_p in ((0.7, 5, None), (1.0, None, 0.8), (1.5, 12, 0.6)):
        theirs = processors.TemperatureLogitsWarper(tau)(None, scores)
        if k:
            theirs = processors.TopKLogitsWarper(k)(None, theirs)
        if top_p:
            theirs = processors.TopPLogitsWarper(top_p)(None, theirs)
        expected = torch.softmax(theirs, dim=-1)
        ours = next_probabilities(scores, tau, k, top_p)
        assert (ours - expected).abs().max() < 1e-12


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", [1, N - 1, N, N + 5])
def test_with_and_without_the_cache_the_same_tokens(prefix):
    ours, begin = model(sharper=3), text(prefix)[0].tolist()
    plain = generate(ours, begin, 4 * N, seed=1, cached=False)
    assert generate(ours, begin, 4 * N, seed=1) == plain
    assert len(plain) == 4 * N and len(set(plain)) > 2
    assert generate(ours, begin, 4 * N, seed=2) != plain


@torch.no_grad()
def test_each_token_is_drawn_after_all_before_it():
    ours, begin = model(sharper=3), [1, 2, 3]
    written = generate(ours, begin, N - 3, top_k=1)
    tokens = list(begin)
    for token in written:
        assert token == ours(torch.tensor([tokens]))[0][0, -1].argmax()
        tokens.append(token)
    # the context is full: its second half is read anew, as positions 0, 1, …
    more = generate(ours, tokens, 2, top_k=1)
    assert more[0] == ours(torch.tensor([tokens]))[0][0, -1].argmax()
    again = [*tokens, more[0]][-N // 2 :]
    assert more[1] == ours(torch.tensor([again]))[0][0, -1].argmax()


def test_drawn_tokens_have_the_models_frequencies():
    ours = model()
    with torch.no_grad():  # o = E·1 whatever was read
        for parameter in ours.parameters():
            parameter.zero_()
        ours.layers.norm.bias.fill_(1)
        ours.embedding.weight[:, 0] = torch.arange(K) / 4
    drawn = torch.tensor(generate(ours, [3], 3000, top_k=4))
    shares = torch.bincount(drawn, minlength=K) / 3000
    expected = next_probabilities(torch.arange(K) / 4, top_k=4)
    assert (shares - expected).abs().max() < 0.03
    assert shares[: K - 4].sum() == 0


# --- the loss ---------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_column_is_what_so_many_tokens_predict():
    ours, tokens = model(), text(3 * N)[0]
    losses = window_losses(ours, tokens, stride=4)
    assert losses.shape == (9, N)  # windows at 0, 4, …, 28 and at 31, the last
    for row, start in ((0, 0), (3, 12), (8, 2 * N - 1)):
        for i in (0, 5, N - 1):
            logits, _ = ours(tokens[None, start : start + i + 1])
            expected = -torch.log_softmax(logits[0, -1], 0)[tokens[start + i + 1]]
            assert abs(losses[row, i] - expected) < 1e-12


@torch.no_grad()
@pytest.mark.parametrize("length", [N + 1, N + 2, 2 * N, 3 * N + 1])
@pytest.mark.parametrize("stride", [1, 4, N])
def test_each_token_counts_once_with_all_the_context_there_is(length, stride):
    ours, tokens = model(1), text(length)[0]
    losses = []
    for t in range(1, length):
        if t <= N:
            start = 0
        else:  # the first window that ends at or behind t
            last = length - 1 - N
            start = min(-(-(t - N) // stride) * stride, last)
        logits, _ = ours(tokens[None, start:t])
        losses.append(-torch.log_softmax(logits[0, -1], 0)[tokens[t]])
    expected = torch.stack(losses).mean().item()
    assert abs(mean_loss(ours, tokens, stride) - expected) < 1e-12


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DecoderOnly(0, 4, 2, 8, 1, 8), "num_tokens: got 0, expected at least"),
        (lambda: DecoderOnly(5, 4, 2, 8, 1, 0), "context: got 0, expected at least 1"),
        (lambda: DecoderOnly(5, 5, 2, 8, 1, 8), "d_model: got 5, expected a multiple"),
        (lambda: model()(text(N + 1)), f"length: got {N + 1}, expected at most {N}"),
        (lambda: model()(text(3)[0]), r"tokens: got shape \(3,\), expected \(B, T\)"),
        (lambda: generate(model(), [], 3), "prefix: got an empty one"),
        (lambda: window_losses(model(), text(N)[0]), f"tokens: got {N}, expected more"),
        (
            lambda: window_losses(model(), text(99)[0], 0),
            "stride: got 0, expected 1 to",
        ),
        (lambda: next_probabilities(torch.tensor([math.nan])), "logits: got 1 NaN"),
        (
            lambda: generate(model(), [1], 1, temperature=0),
            "temperature: got 0, expect",
        ),
        (lambda: generate(model(), [1], 1, top_k=0), "top_k: got 0, expected a whole"),
        (
            lambda: generate(model(), [1], 1, top_k=2.5),
            "top_k: got 2.5, expected a whole",
        ),
        (lambda: generate(model(), [1], 1, top_p=1.2), "top_p: got 1.2, expected more"),
        (lambda: generate(model(), [1], 1, top_p=0), "top_p: got 0, expected more"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- recorded ---------------------------------------------------------------------------------------------------------


def test_the_recorded_comparison_is_fair():
    record = json.loads((RECORDED / "generation.json").read_text())
    rnn = json.loads((RECORDED / "char_rnn.json").read_text())["runs"]
    three = {"RNN": [run for run in rnn if run["hidden_size"] == 128]}
    for name, entry in record["models"].items():
        three[name] = entry["runs"]
        best = min(entry["tried"], key=lambda rate: min(entry["tried"][rate]))
        chosen = {run["learning_rate"] for run in entry["runs"]}
        assert chosen == {0.006 if name == "Transformer" else float(best)}
    sizes = [run["parameters"] for runs in three.values() for run in runs]
    assert max(sizes) / min(sizes) < 1.02
    for runs in three.values():
        assert [run["seed"] for run in runs] == [0, 1, 2]
        for run in runs:
            losses = dict(zip(run["steps"], run["validation_loss"], strict=True))
            assert losses[run["best_step"]] == min(losses.values())
            last = run["steps"][-1]
            assert last == 4000 or last - run["best_step"] == 600  # 3 times 200
    assert set(record["step_seconds"]) == set(three)
    assert all(row["same_tokens"] for row in record["cache"]["rows"])


@pytest.mark.slow
def test_the_recorded_model_has_the_recorded_perplexity():
    vocabulary, parts = alice()
    ours = recorded_writer(vocabulary)
    record = json.loads((RECORDED / "generation.json").read_text())
    run = record["models"]["Transformer"]["runs"][0]
    assert run["parameters"] == sum(p.numel() for p in ours.parameters())
    for name, recorded in run["perplexity"].items():
        assert abs(math.exp(mean_loss(ours, parts[name])) - recorded) < 1e-3
