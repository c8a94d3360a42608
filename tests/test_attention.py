"""Energy functions, attention and the decoders, against references and by their properties."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from helpers.attention import (
    ENERGIES,
    Attention,
    BahdanauDecoder,
    LuongDecoder,
    energy_function,
)

EXACT = {"rtol": 0, "atol": 1e-12}


pytestmark = pytest.mark.usefixtures("double_precision")


def batch(b=2, t=3, s=5, d_q=4, d_k=4, d_v=6):
    return torch.randn(b, t, d_q), torch.randn(b, s, d_k), torch.randn(b, s, d_v)


MASKS = {
    "none": None,
    "padding": torch.tensor(
        [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=torch.bool
    ).unsqueeze(1),
    "causal": torch.ones(3, 5, dtype=torch.bool).tril(),
}


@pytest.mark.parametrize("mask", MASKS)
def test_scaled_dot_equals_torch(mask):
    query, key, value = batch()
    output, _ = Attention(energy_function("scaled_dot", 4, 4))(
        query, key, value, MASKS[mask]
    )
    torch.testing.assert_close(
        output, F.scaled_dot_product_attention(query, key, value, MASKS[mask]), **EXACT
    )


@pytest.mark.parametrize("mask", MASKS)
def test_dot_equals_torch_without_the_scale(mask):
    query, key, value = batch()
    output, _ = Attention(energy_function("dot", 4, 4))(query, key, value, MASKS[mask])
    expected = F.scaled_dot_product_attention(query, key, value, MASKS[mask], scale=1.0)
    torch.testing.assert_close(output, expected, **EXACT)


def loop(energy, query, key):
    """Every energy by itself: energy(one query, one key, position of the key, number of keys)."""
    b, t, s = len(query), query.shape[1], key.shape[1]
    values = [
        [[energy(query[i, j], key[i, k], k, s) for k in range(s)] for j in range(t)]
        for i in range(b)
    ]
    return torch.stack(
        [torch.stack([torch.stack(row) for row in rows]) for rows in values]
    )


def test_additive_equals_a_loop():
    query, key, _ = batch(d_k=7)
    module = energy_function("additive", 4, 7)
    W_q, W_k, v = module.query.weight, module.key.weight, module.v.weight[0]
    expected = loop(
        lambda q, k, *_: sum(
            v[h] * torch.tanh(W_q[h] @ q + W_k[h] @ k) for h in range(4)
        ),
        query,
        key,
    )
    torch.testing.assert_close(module(query, key), expected, **EXACT)


def test_general_equals_a_loop():
    query, key, _ = batch(d_k=7)
    module = energy_function("general", 4, 7)
    expected = loop(lambda q, k, *_: q @ module.key.weight @ k, query, key)
    torch.testing.assert_close(module(query, key), expected, **EXACT)


def test_cosine_equals_torch_and_is_zero_for_a_zero_vector():
    query, key, _ = batch()
    key[0, 1] = 0
    energy = energy_function("cosine", 4, 4)(query, key)
    torch.testing.assert_close(
        energy,
        F.cosine_similarity(query.unsqueeze(2), key.unsqueeze(1), dim=-1),
        **EXACT,
    )
    assert (energy[0, :, 1] == 0).all()


def test_local_equals_a_loop_and_keeps_to_its_window():
    query, key, value = batch(s=9)
    module = energy_function("local", 4, 4)

    def one(q, k, position, s):
        centre = (s - 1) * module.position(q).squeeze()
        if abs(position - centre) > 2 * module.sigma:
            return torch.tensor(-torch.inf)
        return q @ module.base.key.weight @ k - (position - centre) ** 2 / (
            2 * module.sigma**2
        )

    torch.testing.assert_close(module(query, key), loop(one, query, key), **EXACT)
    _, weights = Attention(module)(query, key, value)
    assert ((weights > 0).sum(dim=-1) <= 5).all() and (weights == 0).any()


def test_local_weights_are_luongs_up_to_the_sum():
    """Luong et al. multiply the softmax inside the window by the Gaussian; ours divides that by its sum."""
    query, key, value = batch(s=9)
    module = energy_function("local", 4, 4)
    _, weights = Attention(module)(query, key, value)
    distance = torch.arange(9) - 8 * module.position(query)
    inside = (
        module.base(query, key)
        .masked_fill(distance.abs() > 2 * module.sigma, -torch.inf)
        .softmax(dim=-1)
    )
    luong = inside * torch.exp(-(distance**2) / (2 * module.sigma**2))
    torch.testing.assert_close(
        weights, luong / luong.sum(dim=-1, keepdim=True), **EXACT
    )
    assert (luong.sum(dim=-1) < 1).all()


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(list(ENERGIES)),
    seed=st.integers(0, 10_000),
    s=st.integers(1, 8),
)
def test_rows_sum_to_one_and_masked_keys_get_nothing(name, seed, s):
    torch.manual_seed(seed)
    query, key, value = batch(s=s)
    mask = torch.rand(2, 3, s) < 0.6
    attention = Attention(energy_function(name, 4, 4))
    mask |= torch.nn.functional.one_hot(
        attention.energy(query, key).argmax(dim=-1), s
    ).bool()  # one key is left
    output, weights = attention(query, key, value, mask)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 3), **EXACT)
    assert (weights[~mask] == 0).all() and output.isfinite().all()


@settings(max_examples=20, deadline=None)
@given(
    name=st.sampled_from([name for name in ENERGIES if name != "local"]),
    seed=st.integers(0, 10_000),
)
def test_permuting_the_keys_permutes_the_weights_and_leaves_the_output(name, seed):
    torch.manual_seed(seed)
    query, key, value = batch()
    order = torch.randperm(5)
    attention = Attention(energy_function(name, 4, 4))
    output, weights = attention(query, key, value)
    output_after, weights_after = attention(query, key[:, order], value[:, order])
    torch.testing.assert_close(weights_after, weights[:, :, order], **EXACT)
    torch.testing.assert_close(output_after, output, **EXACT)


def test_variance_of_the_dot_product_is_the_width():
    for d in (4, 64, 512):
        dots = (torch.randn(20_000, d) * torch.randn(20_000, d)).sum(dim=-1)
        assert dots.var().item() == pytest.approx(d, rel=0.05)


def test_a_hook_on_the_softmax_sees_the_map():
    query, key, value = batch()
    attention, seen = Attention(energy_function("scaled_dot", 4, 4)), []
    attention.softmax.register_forward_hook(
        lambda module, inputs, output: seen.append(output)
    )
    _, weights = attention(query, key, value)
    assert seen[0] is weights


NAN = torch.full((2, 5, 4), torch.nan)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"query": torch.zeros(2, 4)},
            r"query: got shape \(2, 4\), expected \(B, T, d_q\)",
        ),
        (
            {"query": torch.zeros(2, 0, 4)},
            r"query: got shape \(2, 0, 4\), expected \(B, T, d_q\), each at least 1",
        ),
        (
            {"key": torch.zeros(3, 5, 4)},
            r"key: got shape \(3, 5, 4\), expected \(2, S, d_k\)",
        ),
        (
            {"key": torch.zeros(2, 0, 4)},
            r"key: got shape \(2, 0, 4\), expected \(2, S, d_k\), each at least 1",
        ),
        (
            {"value": torch.zeros(2, 4, 6)},
            r"value: got shape \(2, 4, 6\), expected \(2, 5, d_v\)",
        ),
        (
            {"key": NAN},
            r"key: got 40 NaN or infinite values in shape \(2, 5, 4\), expected none",
        ),
        (
            {"attn_mask": torch.zeros(2, 3, 5)},
            "attn_mask: got torch.float32, expected torch.bool",
        ),
        (
            {"attn_mask": torch.ones(2, 3, 4, dtype=torch.bool)},
            r"attn_mask: got shape \(2, 3, 4\), expected .* \(2, 3, 5\)",
        ),
        (
            {"attn_mask": torch.zeros(3, 5, dtype=torch.bool)},
            "attn_mask: got a query with every key masked",
        ),
    ],
)
def test_bad_input_is_named(change, message):
    query, key, value = batch()
    arguments = {"query": query, "key": key, "value": value, "attn_mask": None} | change
    with pytest.raises(ValueError, match=message):
        Attention(energy_function("scaled_dot", 4, 4))(**arguments)


def test_unknown_energy_and_unequal_sizes():
    with pytest.raises(
        ValueError, match="name: got 'nearest', expected one of 'cosine', 'dot'"
    ):
        energy_function("nearest", 4, 4)
    with pytest.raises(ValueError, match="query_size: got 4, expected 8"):
        energy_function("dot", 4, 8)


@pytest.mark.parametrize("decoder", [BahdanauDecoder, LuongDecoder])
def test_decoder_step_by_step_equals_all_at_once(decoder):
    module = decoder(num_tokens=11, hidden_size=6)
    states, summary = torch.randn(2, 5, 12), torch.randn(2, 12)
    mask, previous = MASKS["padding"], torch.randint(3, 11, (2, 4))
    logits, last, weights = module(
        previous, module.start(summary), states, summary, mask
    )
    assert (
        logits.shape == (2, 4, 11)
        and last.shape == (2, 6)
        and weights.shape == (2, 4, 5)
    )
    assert (weights[1, :, 3:] == 0).all()
    state = module.start(summary)
    for t in range(4):
        step, state, _ = module(previous[:, t : t + 1], state, states, summary, mask)
        torch.testing.assert_close(step[:, 0], logits[:, t], **EXACT)
    torch.testing.assert_close(state, last, **EXACT)


def test_bahdanau_asks_before_it_reads_the_last_token_and_luong_after():
    """s_{t−1} asks in Bahdanau's decoder, s_t in Luong's: only there does y_{t−1} change the map of its own step."""
    states, summary, mask = (
        torch.randn(1, 5, 12),
        torch.randn(1, 12),
        torch.ones(1, 1, 5, dtype=torch.bool),
    )
    for decoder, depends in ((BahdanauDecoder, False), (LuongDecoder, True)):
        module = decoder(num_tokens=11, hidden_size=6)
        maps = [
            module(torch.tensor([[y]]), module.start(summary), states, summary, mask)[2]
            for y in (3, 7)
        ]
        assert torch.equal(*maps) is not depends


def test_energy_modules_train():
    for name in ("general", "additive", "local"):
        query, key, value = batch(b=1)
        attention = Attention(energy_function(name, 4, 4))
        attention(query, key, value)[0].square().sum().backward()
        assert all(
            p.grad is not None and p.grad.abs().sum() > 0
            for p in attention.parameters()
        ), name
        assert isinstance(attention.energy, nn.Module)
