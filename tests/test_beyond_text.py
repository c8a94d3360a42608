"""Attention beyond text: windows, graphs, sums and convolutions are the attention that they claim to be."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from helpers.beyond_text import (
    PATTERNS,
    ConvolutionAttention,
    GraphAttention,
    LinearAttentionCell,
    LowRankAttention,
    WindowedSelfAttention,
    attend_along_edges,
    feature_map,
    linear_attention,
    pattern_mask,
    reach,
    windowed_attention,
)

pytestmark = pytest.mark.usefixtures("double_precision")


def offsets(length):
    position = torch.arange(length)
    return position - position[:, None]  # key − query


# ---- patterns -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("causal", [False, True])
def test_every_position_sees_itself_and_causal_ones_no_later(name, causal):
    mask = pattern_mask(name, 37, 3, causal)
    assert mask.shape == (37, 37) and mask.diagonal().all()
    assert not causal or not mask.triu(1).any()
    assert causal or mask.triu(1).any()


def test_keys_of_a_row():
    """Row 20 of 41, by hand."""
    keys = {
        name: set(pattern_mask(name, 41, 2)[20].nonzero()[:, 0].tolist())
        for name in PATTERNS
    }
    assert keys["full"] == set(range(41))
    assert keys["window"] == {18, 19, 20, 21, 22}
    assert keys["dilated"] == {16, 18, 20, 22, 24}
    assert keys["blocks"] == {20, 21, 22, 23, 24}
    assert keys["strided"] == {0, 5, 10, 15, 19, 20, 21, 25, 30, 35, 40}
    assert keys["global"] == {0, 18, 19, 20, 21, 22}
    assert keys["random"] > {0, 19, 20, 21} and len(keys["random"]) <= 6
    assert pattern_mask("global", 41, 2)[0].all()


def test_reach_of_windows_grows_by_the_width_and_that_of_blocks_not():
    for layers in (1, 2, 5):
        near = offsets(60).abs() <= 3 * layers
        assert torch.equal(reach(pattern_mask("window", 60, 3), layers), near)
        blocks = pattern_mask("blocks", 60, 3)
        assert torch.equal(reach(blocks, layers), blocks)
    assert not reach(pattern_mask("dilated", 60, 3), 50)[30, 31]  # never an odd one
    assert reach(pattern_mask("global", 60, 3), 2).all()


@pytest.mark.parametrize("name", PATTERNS)
def test_reach_is_what_a_gradient_reaches(name):
    mask, x = pattern_mask(name, 24, 2), torch.randn(24, 4, requires_grad=True)
    hidden = x
    for _ in range(2):
        hidden = hidden + F.scaled_dot_product_attention(hidden, hidden, hidden, mask)
    for query in (0, 11, 23):
        (gradient,) = torch.autograd.grad(hidden[query].sum(), x, retain_graph=True)
        assert torch.equal(gradient.abs().sum(1) > 0, reach(mask, 2)[query])


# ---- windows --------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_a_window_is_masked_dense_attention(length, left, right, seed):
    torch.manual_seed(seed)
    query, key, value = torch.randn(3, 2, 4, length, 5)
    bias = torch.randn(4, 1, left + 1 + right)
    inside = (offsets(length) >= -left) & (offsets(length) <= right)
    energy = bias[:, 0][:, (offsets(length) + left).clamp(0, left + right)]
    mask = torch.where(inside, energy, -torch.inf)  # (heads, T, T)
    expected = F.scaled_dot_product_attention(query, key, value, mask)
    output, weights = windowed_attention(query, key, value, left, right, bias)
    assert torch.allclose(output, expected, atol=1e-12)
    assert weights.shape == (2, 4, length, left + 1 + right)
    place = torch.arange(length)[:, None] - left + torch.arange(left + 1 + right)
    beyond = (place < 0) | (place >= length)
    assert (weights[..., beyond] == 0).all()
    dense = torch.softmax(query @ key.mT / 5**0.5 + mask, dim=-1)
    inner = weights[..., ~beyond]
    assert torch.allclose(inner, dense[..., inside], atol=1e-12)


def test_gradient_through_a_window_is_that_of_the_dense_one():
    tensors = torch.randn(3, 1, 2, 13, 4, requires_grad=True)
    mask = (offsets(13) >= -3) & (offsets(13) <= 1)
    ours = windowed_attention(*tensors, 3, 1)[0].square().sum()
    dense = F.scaled_dot_product_attention(*tensors, mask).square().sum()
    for one, other in zip(
        torch.autograd.grad(ours, tensors),
        torch.autograd.grad(dense, tensors),
        strict=True,
    ):
        assert torch.allclose(one, other, atol=1e-12)


def test_without_lookahead_the_future_changes_nothing():
    layer, x = WindowedSelfAttention(8, 2, 4, 0), torch.randn(1, 20, 8)
    changed = x.clone()
    changed[:, 12:] += 1
    assert torch.equal(layer(x)[:, :12], layer(changed)[:, :12])
    assert not torch.allclose(layer(x)[:, 12:], layer(changed)[:, 12:])
    looking = WindowedSelfAttention(8, 2, 4, 1)
    assert not torch.allclose(looking(x)[:, 11], looking(changed)[:, 11])


# ---- graphs ---------------------------------------------------------------------------------------------------------


def graph(nodes=9):
    generator = torch.Generator().manual_seed(1)
    edges = torch.rand(nodes, nodes, generator=generator) > 0.6
    return torch.randn(nodes, 5, generator=generator), edges | torch.eye(nodes).bool()


@pytest.mark.parametrize("heads", [1, 4])
def test_masked_dense_layer_is_the_one_along_edges(heads):
    nodes, edges = graph()
    layer = GraphAttention(5, 8, heads)
    output, weights = layer(nodes, edges)
    assert torch.allclose(output, attend_along_edges(layer, nodes, edges), atol=1e-12)
    assert (weights[:, ~edges] == 0).all()
    assert torch.allclose(weights.sum(-1), torch.ones(heads, 9))


def test_one_edge_by_hand():
    nodes, edges = graph()
    layer = GraphAttention(5, 6)
    h = layer.W(nodes)
    a = torch.cat([layer.asks[0], layer.answers[0]])
    neighbours = edges[3].nonzero()[:, 0]
    energy = torch.stack([F.leaky_relu(a @ torch.cat([h[3], h[j]]), 0.2) for j in neighbours])  # fmt: skip
    expected = torch.softmax(energy, 0) @ h[neighbours]
    assert torch.allclose(layer(nodes, edges)[0][3], expected, atol=1e-12)


@pytest.mark.parametrize("dynamic", [False, True])
def test_renaming_the_nodes_renames_the_output(dynamic):
    nodes, edges = graph()
    layer, order = GraphAttention(5, 8, 2, dynamic), torch.randperm(9)
    renamed = layer(nodes[order], edges[order][:, order])[0]
    assert torch.allclose(renamed, layer(nodes, edges)[0][order], atol=1e-12)


def test_only_dynamic_attention_ranks_by_who_asks():
    """With all pairs allowed, the static energy gives every node the same favourite."""
    nodes = torch.randn(40, 5)
    everybody = torch.ones(40, 40, dtype=torch.bool)
    favourites = {
        dynamic: GraphAttention(5, 64, 8, dynamic)(nodes, everybody)[1].argmax(-1)
        for dynamic in (False, True)
    }  # (heads, queries)
    counts = {d: [len(h.unique()) for h in f] for d, f in favourites.items()}
    assert max(counts[False]) == 1 < max(counts[True])


# ---- linear attention -----------------------------------------------------------------------------------------------


def test_three_forms_of_linear_attention_are_one():
    query, key, value = torch.randn(3, 2, 4, 50, 8)
    q, k = feature_map(query), feature_map(key)
    weights = (q @ k.mT).tril()  # the quadratic form
    quadratic = weights / weights.sum(-1, keepdim=True) @ value
    parallel = linear_attention(query, key, value, causal=True)
    cell = LinearAttentionCell()
    steps = torch.stack([query, key, value]).unbind(dim=-2)  # T of (3, 2, 4, 8)
    recurrent = torch.stack([cell.step(*step) for step in steps], dim=-2)
    assert (parallel - quadratic).abs().max() < 1e-12
    assert (parallel - recurrent).abs().max() < 1e-12
    assert cell.M.shape == (2, 4, 8, 8) and cell.n.shape == (2, 4, 8)


def test_linear_attention_over_all_keys():
    query, key, value = torch.randn(3, 2, 20, 4)
    weights = feature_map(query) @ feature_map(key).mT
    weights = weights / weights.sum(-1, keepdim=True)
    assert torch.allclose(linear_attention(query, key, value), weights @ value)
    assert (weights > 0).all() and torch.linalg.matrix_rank(weights[0]) <= 4
    last = linear_attention(query, key, value, causal=True)[:, -1]
    assert torch.allclose(last, linear_attention(query, key, value)[:, -1])


def test_low_rank_attention():
    layer = LowRankAttention(20, 6)
    query, key, value = torch.randn(3, 2, 20, 4)
    mixed_keys = torch.einsum("rt,btd->brd", layer.keys, key)
    weights = torch.softmax(query @ mixed_keys.mT / 2, dim=-1)  # (2, 20, 6)
    expected = weights @ torch.einsum("rt,btd->brd", layer.values, value)
    assert torch.allclose(layer(query, key, value), expected)
    with torch.no_grad():
        one = LowRankAttention(20, 20)
        one.keys.copy_(torch.eye(20))
        one.values.copy_(torch.eye(20))
    expected = F.scaled_dot_product_attention(query, key, value)
    assert torch.allclose(one(query, key, value), expected)


# ---- convolution ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "size"), [(40.0, 3), (40.0, 5), (40.0, 1)])
def test_sharp_heads_are_a_convolution(alpha, size):
    kernel, image = torch.randn(4, 3, size, size), torch.randn(3, 9, 11)
    ours = ConvolutionAttention(kernel, alpha)(image)
    border = size // 2
    inside = ours[:, border : 9 - border, border : 11 - border]
    expected = F.conv2d(image[None], kernel)[0]
    assert inside.shape == expected.shape
    assert (inside - expected).abs().max() < 1e-12
    nearest = F.conv2d(F.pad(image[None], 4 * [border], mode="replicate"), kernel)[0]
    assert (ours - nearest).abs().max() < 1e-12


def test_the_error_falls_with_e_to_the_minus_alpha():
    kernel, image = torch.randn(4, 3, 3, 3), torch.randn(3, 9, 9)
    exact = F.conv2d(image[None], kernel)[0]
    error = {
        alpha: (ConvolutionAttention(kernel, alpha)(image)[:, 1:-1, 1:-1] - exact)
        .abs()
        .max()
        .log()
        for alpha in (8.0, 10.0, 20.0)
    }
    assert error[8.0] - error[10.0] == pytest.approx(2, abs=0.05)
    assert error[10.0] - error[20.0] == pytest.approx(10, abs=0.05)


# ---- bad input ------------------------------------------------------------------------------------------------------

X = torch.zeros(1, 6, 4, dtype=torch.float64)
EDGES = torch.eye(3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pattern_mask("spiral", 8), "name: got 'spiral', expected one of"),
        (lambda: pattern_mask("full", 0), "length: got 0, expected at least 1"),
        (lambda: pattern_mask("full", 4, -1), "width: got -1, expected at least 0"),
        (lambda: reach(torch.ones(3, 3), 1), "mask: got torch.float64, expected"),
        (lambda: reach(EDGES[:2], 1), r"mask: got shape \(2, 3\), expected"),
        (lambda: reach(EDGES, 0), "layers: got 0, expected at least 1"),
        (lambda: windowed_attention(X, X, X, -1, 0), "left: got -1, expected at"),
        (lambda: windowed_attention(X, X[:, :5], X, 1, 1), r"key: got shape \(1, 5, 4"),
        (lambda: windowed_attention(X, X, X[:, :5], 1, 1), r"value: got shape \(1, 5,"),
        (lambda: linear_attention(X, X / 0, X), "key: got 24 NaN or infinite values"),
        (lambda: WindowedSelfAttention(8, 3, 1, 1), "num_heads: got 3, expected a di"),
        (lambda: WindowedSelfAttention(8, 2, 1, 1)(X), r"x: got shape \(1, 6, 4\), ex"),
        (lambda: GraphAttention(4, 6, 4), "num_heads: got 4, expected a divisor of"),
        (lambda: GraphAttention(4, 6)(X[0], EDGES), r"nodes: got shape \(6, 4\), exp"),
        (lambda: GraphAttention(4, 6)(X[0, :3], EDGES.int()), "edges: got torch.int"),
        (lambda: GraphAttention(4, 6)(X[0, :3], EDGES.triu(1)), "edges: got none from"),
        (lambda: LowRankAttention(5, 2)(X, X, X), "key: got length 6, expected 5"),
        (lambda: ConvolutionAttention(torch.zeros(1, 1, 2, 2), 1), "kernel: got size"),
        (lambda: ConvolutionAttention(torch.zeros(1, 1, 3, 3), 0), "alpha: got 0, exp"),
        (lambda: ConvolutionAttention(torch.zeros(1, 1, 3, 3), 1)(X[0]), "image: got"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
