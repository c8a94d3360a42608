"""The Transformer against PyTorch's, with copied weights, and by its properties."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from helpers.data import number_pairs
from helpers.transformer import (
    POSITIONS,
    ContinuousPositions,
    DecoderLayer,
    EncoderLayer,
    KeyValueCache,
    LearnedPositions,
    MultiHeadAttention,
    SinusoidalPositions,
    Transformer,
    TransformerDecoder,
    TransformerEncoder,
    causal_mask,
    padding_mask,
    position_encoder,
    sinusoidal_positions,
)
from helpers.translation import RECORDED, Translator, exact_match_by_length

EXACT = {"rtol": 0, "atol": 1e-12}

pytestmark = pytest.mark.usefixtures("double_precision")

D, HEADS, FF = 12, 3, 20
LENGTHS = torch.tensor([[5, 6, 7, 8, 2], [5, 6, 2, 0, 0]])  # tokens, the second padded

MASKS = {
    "none": None,
    "padding": padding_mask(LENGTHS),  # (2, 1, 5)
    "causal": causal_mask(5),
    "both": padding_mask(LENGTHS) & causal_mask(5),  # (2, 5, 5)
    "float": torch.randn(5, 5, generator=torch.Generator().manual_seed(0)).double(),
    "float with −∞": torch.zeros(5, 5).masked_fill(~causal_mask(5), -torch.inf),
    "one for each head": torch.rand(
        2, HEADS, 5, 5, generator=torch.Generator().manual_seed(0)
    )
    .lt(0.5)
    .logical_or(torch.eye(5, dtype=torch.bool)),
}


def in_torch(mask, num_heads=HEADS, batch=2):
    """A mask of ours as `nn.MultiheadAttention` wants it: True = ignore, the same shape for every batch and head."""
    if mask is None:
        return None
    mask = mask.double() if mask.is_floating_point() else ~mask
    if mask.dim() == 3:
        mask = mask.unsqueeze(1)
    shape = (batch, num_heads, 5, 5)
    return mask.expand(shape).reshape(batch * num_heads, 5, 5)


def copy_attention(ours, theirs):
    with torch.no_grad():
        parts = ours.query, ours.key, ours.value
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.out_proj.weight.copy_(ours.output.weight)
        if ours.query.bias is not None:
            theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
            theirs.out_proj.bias.copy_(ours.output.bias)


def copy_layer(ours, theirs):
    copy_attention(ours.attention, theirs.self_attn)
    theirs.linear1.load_state_dict(ours.feed_forward.inner.state_dict())
    theirs.linear2.load_state_dict(ours.feed_forward.outer.state_dict())
    norms = [ours.around_attention, ours.around_feed_forward]
    if isinstance(ours, DecoderLayer):
        copy_attention(ours.cross_attention, theirs.multihead_attn)
        norms.insert(1, ours.around_cross_attention)
    for i, residual in enumerate(norms, 1):
        getattr(theirs, f"norm{i}").load_state_dict(residual.norm.state_dict())


def randomise(module):
    """Norms start as ones and zeros, and biases of attention in PyTorch as zeros: with those, errors would hide."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) / 3)
    return module


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mask", MASKS)
def test_attention_equals_torch(mask, bias):
    ours = randomise(MultiHeadAttention(D, HEADS, bias))
    theirs = nn.MultiheadAttention(D, HEADS, bias=bias, batch_first=True)
    copy_attention(ours, theirs)
    x, mask = torch.randn(2, 5, D), MASKS[mask]
    output, weights = ours(x, attn_mask=mask, need_weights=True)
    expected, expected_weights = theirs(
        x, x, x, attn_mask=in_torch(mask), average_attn_weights=False
    )
    torch.testing.assert_close(output, expected, **EXACT)
    torch.testing.assert_close(weights, expected_weights, **EXACT)
    fused, nothing = ours(x, attn_mask=mask)
    assert nothing is None
    torch.testing.assert_close(fused, output, **EXACT)


def test_a_float_mask_of_another_precision_is_converted():
    attention, x = MultiHeadAttention(D, HEADS).float(), torch.randn(2, 5, D).float()
    mask = torch.zeros(5, 5, dtype=torch.float64).masked_fill(
        ~causal_mask(5), -torch.inf
    )
    for need_weights in (False, True):
        output, _ = attention(x, attn_mask=mask, need_weights=need_weights)
        assert output.dtype == torch.float32
        torch.testing.assert_close(output, attention(x, attn_mask=causal_mask(5))[0])


def test_cross_attention_equals_torch():
    ours = randomise(MultiHeadAttention(D, HEADS))
    theirs = nn.MultiheadAttention(D, HEADS, batch_first=True)
    copy_attention(ours, theirs)
    query, key, value = (
        torch.randn(2, 3, D),
        torch.randn(2, 5, D),
        torch.randn(2, 5, D),
    )
    padding = LENGTHS == 0  # True = ignore, in PyTorch
    output, weights = ours(query, key, value, ~padding.unsqueeze(1), need_weights=True)
    expected, mean = theirs(query, key, value, key_padding_mask=padding)
    torch.testing.assert_close(output, expected, **EXACT)
    torch.testing.assert_close(weights.mean(dim=1), mean, **EXACT)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", [F.relu, F.gelu, nn.GELU()])
@pytest.mark.parametrize("mask", ["none", "padding", "float with −∞"])
def test_encoder_layer_equals_torch(mask, activation, norm_first):
    options = {"norm_first": norm_first, "activation": activation}
    ours = randomise(EncoderLayer(D, HEADS, FF, eps=1e-6, **options))
    theirs = nn.TransformerEncoderLayer(
        D, HEADS, FF, 0.0, layer_norm_eps=1e-6, batch_first=True, **options
    )
    copy_layer(ours, theirs)
    x, mask = torch.randn(2, 5, D), MASKS[mask]
    expected = theirs(x, in_torch(mask))
    for need_weights in (False, True):
        output, weights = ours(x, mask, need_weights)
        torch.testing.assert_close(output, expected, **EXACT)
        assert (weights is not None) == need_weights


@pytest.mark.parametrize("norm_first", [False, True])
def test_decoder_layer_equals_torch(norm_first):
    ours = randomise(DecoderLayer(D, HEADS, FF, norm_first=norm_first))
    theirs = nn.TransformerDecoderLayer(
        D, HEADS, FF, 0.0, norm_first=norm_first, batch_first=True
    )
    copy_layer(ours, theirs)
    x, memory = torch.randn(2, 4, D), torch.randn(2, 5, D)
    expected = theirs(x, memory, ~causal_mask(4), memory_key_padding_mask=LENGTHS == 0)
    output, (own, cross) = ours(
        x, memory, causal_mask(4), padding_mask(LENGTHS), need_weights=True
    )
    torch.testing.assert_close(output, expected, **EXACT)
    assert own.shape == (2, HEADS, 4, 4) and cross.shape == (2, HEADS, 4, 5)
    assert (cross[1, :, :, 3:] == 0).all()


@pytest.mark.parametrize("norm_first", [False, True])
def test_the_stacks_equal_nn_transformer(norm_first):
    """nn.Transformer norms its output once more, with post-LN too: there its last norms are left out here."""
    size = {"d_ff": FF, "num_layers": 2, "norm_first": norm_first}
    encoder = randomise(TransformerEncoder(D, HEADS, **size))
    decoder = randomise(TransformerDecoder(D, HEADS, **size))
    theirs = nn.Transformer(
        D, HEADS, 2, 2, FF, 0.0, norm_first=norm_first, batch_first=True
    )
    for ours, stack in ((encoder, theirs.encoder), (decoder, theirs.decoder)):
        for layer, other in zip(ours.layers, stack.layers, strict=True):
            copy_layer(layer, other)
        if norm_first:
            stack.norm.load_state_dict(ours.norm.state_dict())
        else:
            stack.norm = None
    source, target = torch.randn(2, 5, D), torch.randn(2, 4, D)
    expected = theirs(
        source,
        target,
        tgt_mask=~causal_mask(4),
        src_key_padding_mask=LENGTHS == 0,
        memory_key_padding_mask=LENGTHS == 0,
    )
    memory, maps = encoder(source, attn_mask=padding_mask(LENGTHS), need_weights=True)
    output, _ = decoder(
        target, memory, attn_mask=causal_mask(4), memory_mask=padding_mask(LENGTHS)
    )
    torch.testing.assert_close(output, expected, **EXACT)
    assert [m.shape for m in maps] == [(2, HEADS, 5, 5)] * 2


def parameters(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def test_the_papers_parameter_counts():
    """Without embeddings, attention without bias: base and big of Vaswani et al. 2017, table 3."""
    with torch.device("meta"):
        for size, expected in (
            ((512, 8, 2048, 6), 44_101_632),
            ((1024, 16, 4096, 6), 176_283_648),
        ):
            stacks = (
                TransformerEncoder(*size, bias=False),
                TransformerDecoder(*size, bias=False),
            )
            assert parameters(*stacks) == expected
        layers = (
            EncoderLayer(512, 8, 2048, bias=False),
            DecoderLayer(512, 8, 2048, bias=False),
        )
        assert parameters(*layers) == 7_350_272


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), length=st.integers(2, 8), data=st.data())
def test_the_future_leaves_the_past_unchanged(seed, length, data):
    change = data.draw(st.integers(1, length - 1))
    torch.manual_seed(seed)
    layers = TransformerEncoder(D, HEADS, FF, 2)
    x = torch.randn(1, length, D)
    before, _ = layers(x, attn_mask=causal_mask(length))
    x[:, change:] = torch.randn(1, length - change, D)
    after, _ = layers(x, attn_mask=causal_mask(length))
    torch.testing.assert_close(after[:, :change], before[:, :change], **EXACT)
    assert not torch.allclose(after[:, change:], before[:, change:])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), length=st.integers(2, 8))
def test_without_positions_order_does_not_matter(seed, length):
    torch.manual_seed(seed)
    layers = TransformerEncoder(D, HEADS, FF, 2)
    x, order = torch.randn(1, length, D), torch.randperm(length)
    torch.testing.assert_close(layers(x[:, order])[0], layers(x)[0][:, order], **EXACT)


@pytest.mark.parametrize(
    "positions",
    [SinusoidalPositions(D), LearnedPositions(9, D), ContinuousPositions(D)],
)
def test_with_positions_order_matters(positions):
    layers = TransformerEncoder(D, HEADS, FF, 2)
    x, order = torch.randn(1, 6, D), torch.arange(6).flip(0)
    p = positions(6)
    assert p.shape == (6, D)
    assert not torch.allclose(
        layers(x[:, order] + p)[0], layers(x + p)[0][:, order], atol=1e-3
    )


def test_relative_positions_equal_a_loop_and_see_order():
    attention = randomise(MultiHeadAttention(D, HEADS, max_distance=2))
    x = torch.randn(1, 6, D)
    output, weights = attention(x, attn_mask=causal_mask(6), need_weights=True)
    q, k = attention.query(x)[0], attention.key(x)[0]  # (6, D)
    size = D // HEADS
    for h in range(HEADS):
        part = slice(h * size, (h + 1) * size)
        for t in range(6):
            energy = torch.stack(
                [
                    q[t, part]
                    @ (k[s, part] + attention.relative.weight[max(s - t, -2) + 2])
                    / math.sqrt(size)
                    for s in range(t + 1)
                ]
            )
            torch.testing.assert_close(
                weights[0, h, t, : t + 1], energy.softmax(dim=0), **EXACT
            )
    fused, _ = attention(x, attn_mask=causal_mask(6))
    torch.testing.assert_close(fused, output, **EXACT)
    flipped, _ = attention(x.flip(1), attn_mask=None)
    assert not torch.allclose(flipped, attention(x)[0].flip(1), atol=1e-3)


def test_relative_positions_see_distance_alone():
    attention = randomise(MultiHeadAttention(D, HEADS, max_distance=3))
    pattern = torch.randn(1, 3, D)
    x = torch.cat([pattern, pattern], dim=1)
    window = (torch.arange(6).unsqueeze(1) - torch.arange(6)).clamp(0, 3)
    mask = (window < 2) & causal_mask(6)
    output, _ = attention(x, attn_mask=mask)
    torch.testing.assert_close(output[:, 4:], output[:, 1:3], **EXACT)


def test_sinusoidal_positions_follow_the_formula_and_a_shift_is_a_rotation():
    p = sinusoidal_positions(50, 8)
    for t in (0, 1, 49):
        for i in range(4):
            angle = t / 10000 ** (2 * i / 8)
            assert p[t, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-12)
            assert p[t, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-12)
    shift = 7
    omega = 10000.0 ** (-torch.arange(0, 8, 2) / 8)
    rotation = torch.block_diag(
        *[
            torch.tensor([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]])
            for a in (omega * shift).tolist()
        ]
    )
    torch.testing.assert_close(p[:-shift] @ rotation.mT, p[shift:], **EXACT)
    gram = p @ p.mT  # pᵀp depends on the distance alone
    torch.testing.assert_close(gram.diagonal(3), gram[0, 3].expand(47), **EXACT)


def test_continuous_positions_follow_their_velocity():
    """On the constant and on the linear field the Runge–Kutta step is known."""
    positions = ContinuousPositions(2)
    with torch.no_grad():
        for parameter in positions.velocity.parameters():
            parameter.zero_()
        positions.velocity[2].bias.copy_(torch.tensor([1.0, -2.0]))
        expected = positions.start + torch.outer(
            torch.arange(5.0), torch.tensor([1.0, -2.0])
        )
        torch.testing.assert_close(positions(5), expected, **EXACT)
        positions.velocity = nn.Linear(3, 2)
        nn.init.zeros_(positions.velocity.bias)
        positions.velocity.weight.copy_(torch.tensor([[0.0, 1, 0], [-1, 0, 0]]))
        x, y = positions.start.tolist()
        t = torch.arange(7.0)
        circle = torch.stack(
            [x * t.cos() + y * t.sin(), y * t.cos() - x * t.sin()], dim=-1
        )
        torch.testing.assert_close(positions(7), circle, rtol=0, atol=0.2)


@pytest.mark.parametrize("max_distance", [None, 2])
@pytest.mark.parametrize("norm_first", [False, True])
def test_with_a_cache_a_token_at_a_time_is_the_same(norm_first, max_distance):
    layer = randomise(
        EncoderLayer(D, HEADS, FF, norm_first=norm_first, max_distance=max_distance)
    )
    x, cache = torch.randn(2, 6, D), KeyValueCache()
    expected, _ = layer(x, causal_mask(6))
    first, _ = layer(x[:, :3], causal_mask(3), cache=cache)
    rest = [layer(x[:, t : t + 1], cache=cache)[0] for t in (3, 4)]
    last, _ = layer(x[:, 5:], causal_mask(1, 6), cache=cache)
    torch.testing.assert_close(
        torch.cat([first, *rest, last], dim=1), expected, **EXACT
    )
    assert len(cache) == 6


@pytest.mark.parametrize("positions", [None, LearnedPositions(9, D)])
def test_greedy_translation_is_the_likeliest_token_of_teacher_forcing(positions):
    model = Transformer(9, 8, D, HEADS, FF, 2, positions, norm_first=True)
    source = torch.tensor([[5, 6, 7, 8, 2], [5, 6, 2, 0, 0]])
    tokens, weights = model.translate(source, max_length=6)
    logits = model(source, tokens)
    likeliest = logits.argmax(dim=-1)
    for row, written in zip(likeliest, tokens, strict=True):
        stop = written.tolist().index(2) + 1 if 2 in written else len(written)
        assert torch.equal(row[:stop], written[:stop])
    assert weights.shape == (*tokens.shape, 5)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(tokens.shape), **EXACT)
    assert (weights[1, :, 3:] == 0).all()


def test_padding_does_not_change_a_translation():
    model = Transformer(9, 8, D, HEADS, FF, 2).eval()
    alone = model(torch.tensor([[5, 6, 2]]), torch.tensor([[4, 5, 2]]))
    padded = model(
        torch.tensor([[5, 6, 2, 0, 0], [3, 4, 5, 6, 2]]),
        torch.tensor([[4, 5, 2], [3, 3, 2]]),
    )
    torch.testing.assert_close(padded[:1], alone, **EXACT)


def test_a_hook_on_the_softmax_sees_the_map_of_every_layer():
    layers, seen = TransformerEncoder(D, HEADS, FF, 2), []
    for layer in layers.layers:
        layer.attention.softmax.register_forward_hook(
            lambda module, inputs, output: seen.append(output)
        )
    x = torch.randn(1, 4, D)
    _, maps = layers(x, need_weights=True)
    assert all(a is b for a, b in zip(seen, maps, strict=True))
    layers(x)
    assert len(seen) == 2  # the fused kernel makes no map


def test_every_parameter_trains():
    model = Transformer(9, 8, D, HEADS, FF, 2, LearnedPositions(9, D), max_distance=2)
    source, target = torch.randint(3, 9, (4, 5)), torch.randint(3, 8, (4, 6))
    F.cross_entropy(model(source, target).flatten(0, 1), target.flatten()).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name
        if not name.endswith("key.bias"):  # the softmax does not see it
            assert p.grad.abs().sum() > 1e-9, name


def test_dropout_is_random_in_training_alone():
    layer, x = EncoderLayer(D, HEADS, FF, dropout=0.5), torch.randn(1, 4, D)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"query": torch.zeros(2, D)},
            r"query: got shape \(2, 12\), expected \(B, T, 12\)",
        ),
        ({"query": torch.zeros(2, 0, D)}, "each at least 1"),
        (
            {"query": torch.zeros(2, 5, 8)},
            r"query: got shape \(2, 5, 8\), expected \(B, T, 12\)",
        ),
        (
            {"query": torch.full((2, 5, D), torch.nan)},
            "query: got 120 NaN or infinite values",
        ),
        (
            {"key": torch.zeros(3, 5, D)},
            r"key: got shape \(3, 5, 12\), expected \(2, S, 12\)",
        ),
        (
            {"key": torch.full((2, 5, D), torch.inf)},
            "key: got 120 NaN or infinite values",
        ),
        (
            {"value": torch.zeros(2, 4, D)},
            r"value: got shape \(2, 4, 12\), expected \(2, 5, 12\)",
        ),
        ({"value": torch.full((2, 5, D), torch.nan)}, "value: got 120 NaN"),
        (
            {"attn_mask": torch.ones(5, 5, dtype=torch.int64)},
            "attn_mask: got torch.int64, expected torch.bool",
        ),
        (
            {"attn_mask": torch.ones(4, 5, dtype=torch.bool)},
            r"attn_mask: got shape \(4, 5\), expected one that broadcasts to "
            r"\(B, T, S\) = \(2, 5, 5\) or \(B, h, T, S\) = \(2, 3, 5, 5\)",
        ),
        (
            {"attn_mask": torch.ones(6, 5, 5, dtype=torch.bool)},
            r"attn_mask: got shape \(6, 5, 5\)",
        ),
        (
            {"attn_mask": torch.ones(1, 1, 1, 5, 5, dtype=torch.bool)},
            r"attn_mask: got shape \(1, 1, 1, 5, 5\)",
        ),
        (
            {"attn_mask": torch.zeros(5, 5, dtype=torch.bool)},
            "attn_mask: got a query with every key masked",
        ),
        (
            {"attn_mask": torch.full((5, 5), -torch.inf)},
            "attn_mask: got a query with every key masked",
        ),
        ({"attn_mask": torch.full((5, 5), torch.nan)}, "attn_mask: got NaN or"),
    ],
)
@pytest.mark.parametrize("need_weights", [False, True])
def test_bad_input_is_named(arguments, message, need_weights):
    arguments = {"query": torch.zeros(2, 5, D), **arguments}
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(D, HEADS)(**arguments, need_weights=need_weights)


def test_bad_sizes_are_named():
    with pytest.raises(
        ValueError, match="d_model: got 10, expected a multiple of num_heads = 4"
    ):
        MultiHeadAttention(10, 4)
    with pytest.raises(
        ValueError, match="d_model: got 10, expected a multiple of num_heads = 0"
    ):
        MultiHeadAttention(10, 0)
    with pytest.raises(ValueError, match="max_distance: got 0, expected at least 1"):
        MultiHeadAttention(12, 4, max_distance=0)
    with pytest.raises(ValueError, match="d_model: got 7, expected an even number"):
        sinusoidal_positions(3, 7)
    with pytest.raises(ValueError, match="length: got 10, expected at most 9"):
        LearnedPositions(9, D)(10)
    with pytest.raises(ValueError, match="queries: got 6, expected 1 to 5"):
        causal_mask(6, 5)
    with pytest.raises(
        ValueError, match=r"tokens: got shape \(5,\), expected \(B, S\)"
    ):
        padding_mask(torch.ones(5))
    model = Transformer(9, 8, D, HEADS, FF, 1, LearnedPositions(4, D))
    with pytest.raises(ValueError, match="length: got 5, expected at most 4"):
        model(torch.ones(1, 5, dtype=torch.int64), torch.ones(1, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match="every key masked"):
        model(torch.zeros(1, 3, dtype=torch.int64), torch.ones(1, 2, dtype=torch.int64))


def test_positions_by_name():
    for kind in POSITIONS:
        module, options = position_encoder(kind, D, 9)
        assert (module is None) == (kind in ("none", "relative"))
        assert options == ({"max_distance": 8} if kind == "relative" else {})
    with pytest.raises(ValueError, match="kind: got 'rotary', expected one of 'none'"):
        position_encoder("rotary", D, 9)


@pytest.fixture(scope="module")
def record():
    return json.loads((RECORDED / "transformer.json").read_text())


def test_recorded_weights_give_the_recorded_result(record):
    recorded = record["translation"]
    train, test = number_pairs(20_000, 200)
    translator = Translator(
        lambda source, target, _: Transformer(source, target, **recorded["size"]), train
    )
    translator.load("Transformer")
    translations = translator.translate([pair.source for pair in test])
    (run,) = (
        run
        for run in recorded["runs"]
        if (run["model"], run["seed"], run["steps"]) == ("Transformer", 0, 600)
    )
    got = exact_match_by_length(test, translations, recorded["edges"])
    assert got == pytest.approx(run["by_length"], abs=0.02)  # stored as float32
    assert translator.num_parameters == run["parameters"]


def test_all_models_had_the_same_budget(record):
    runs = record["translation"]["runs"]
    done = {(run["model"], run["steps"], run["seed"]) for run in runs}
    models = ("RNN", "RNN with attention", "Transformer")
    assert done == {
        (model, steps, seed)
        for model in models
        for steps in (75, 150, 300, 600)
        for seed in range(3)
    }
    sizes = {run["parameters"] for run in runs}
    assert max(sizes) / min(sizes) < 1.05


def test_what_the_chapter_says_of_positions_is_recorded(record):
    def shares(task, kind, length):
        found = [
            run["accuracy"][str(length)]
            for run in record["positions"]["runs"]
            if (run["task"], run["positions"]) == (task, kind)
        ]
        assert len(found) == 3
        return found

    for kind in ("sinusoidal", "learned"):
        assert min(shares("reverse", kind, 16)) > 0.99
        assert max(shares("three back", kind, 64)) < 0.35
    assert min(shares("three back", "relative, 8", 64)) > 0.99
    assert max(shares("three back", "relative, 16", 64)) < 0.95
    assert max(shares("reverse", "relative, 8", 16)) < 0.4
    assert max(shares("reverse", "none", 16)) < 0.3


def test_recorded_multiplications_are_those_of_the_formulas(record):
    formulas = {
        "attention alone": lambda n, d: 2 * n * n * d,
        "self-attention layer": lambda n, d: 2 * n * n * d + 4 * n * d * d,
        "RNN": lambda n, d: 2 * n * d * d,
        "CNN": lambda n, d: record["cost"]["kernel"] * n * d * d,
    }
    assert {run["layer"] for run in record["cost"]["runs"]} == set(formulas)
    for run in record["cost"]["runs"]:
        expected = formulas[run["layer"]](run["n"], run["d"])
        assert run["multiplications"] == expected, run
