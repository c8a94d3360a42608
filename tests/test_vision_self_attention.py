"""Self-attention between pixels: against dense computations, by its counts, and with bad input."""

import json
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from helpers.data import CLOTHES, fashion
from helpers.resnet import ResNet, count_flops, count_parameters
from helpers.vision_self_attention import (
    RECORDED,
    SMALL,
    VARIANTS,
    AttentionStem,
    LocalSelfAttention,
    NonLocal,
    attention_resnet,
    attention_stem,
    recorded_photos,
    recorded_small,
    small_resnet,
    spatial_attention,
)

pytestmark = pytest.mark.usefixtures("double_precision")
EXACT = {"rtol": 0, "atol": 1e-12}


def hooked(module):
    """What the module gives from now on, in a list."""
    seen = []
    module.register_forward_hook(lambda module, inputs, output: seen.append(output))
    return seen


def pixels(layer, x):
    """A 1×1 convolution, said as a matrix: (C, H, W) → (H·W, C')."""
    matrix = layer.weight[:, :, 0, 0]
    bias = 0 if layer.bias is None else layer.bias
    return x.flatten(1).T @ matrix.T + bias


# ---- non-local ------------------------------------------------------------------------------------------------------


def non_local(kind):
    block = NonLocal(6, 4, kind)
    nn.init.normal_(block.output.weight)
    nn.init.normal_(block.output.bias)
    return block


@pytest.mark.parametrize("kind", ["embedded gaussian", "dot product"])
def test_non_local_equals_a_dense_computation(kind):
    """Pixel by pixel, in plain loops over the formula."""
    block, x = non_local(kind), torch.randn(2, 6, 3, 5)
    seen = hooked(block.weigh)
    z = block(x)
    assert z.shape == x.shape
    for image, output, weights in zip(x, z, seen[0], strict=True):
        theta, phi, g = (pixels(f, image) for f in (block.theta, block.phi, block.g))
        for i in range(15):
            f = torch.stack([(theta[i] * phi[j]).sum() for j in range(15)])
            w = f.exp() / f.exp().sum() if kind == "embedded gaussian" else f / 15
            y = sum(w[j] * g[j] for j in range(15))
            expected = (
                image[:, i // 5, i % 5]
                + block.output.weight[:, :, 0, 0] @ y
                + block.output.bias
            )
            torch.testing.assert_close(output[:, i // 5, i % 5], expected, **EXACT)
            torch.testing.assert_close(weights[i], w, **EXACT)


def test_non_local_is_self_attention():
    """Embedded Gaussian: the usual formula, but for the 1/√d."""
    block, x = non_local("embedded gaussian"), torch.randn(1, 6, 4, 4)
    q, k, v = (pixels(f, x[0]) for f in (block.theta, block.phi, block.g))
    mixed = F.scaled_dot_product_attention(q[None], k[None], v[None], scale=1.0)
    expected = x + block.output(mixed.mT.unflatten(-1, (4, 4)))
    torch.testing.assert_close(block(x), expected, **EXACT)


def test_a_new_non_local_block_changes_nothing_but_learns():
    for kind in ("embedded gaussian", "dot product"):
        block, x = NonLocal(6, kind=kind), torch.randn(2, 6, 4, 3)
        assert block.theta.out_channels == 3
        assert torch.equal(block(x), x)
        block(x).square().sum().backward()
        assert block.output.weight.grad.abs().sum() > 1e-6


def test_non_local_sees_the_far_corner():
    block, x = non_local("embedded gaussian"), torch.randn(1, 6, 8, 8)
    changed = x.clone()
    changed[..., -1, -1] += 1
    assert (block(x)[..., 0, 0] - block(changed)[..., 0, 0]).abs().max() > 1e-6


def test_rows_of_the_map_sum_to_one_for_the_softmax_alone():
    for kind in ("embedded gaussian", "dot product"):
        block = non_local(kind)
        seen = hooked(block.weigh)
        block(torch.randn(2, 6, 4, 4))
        assert seen[0].shape == (2, 16, 16)
        sums = seen[0].sum(-1)
        assert (kind == "embedded gaussian") == torch.allclose(sums, torch.ones(2, 16))


# ---- local ----------------------------------------------------------------------------------------------------------


def without_offsets(layer):
    nn.init.zeros_(layer.row)
    nn.init.zeros_(layer.column)
    return layer


def window(height, width, reach):
    """(H·W, H·W): True where both coordinates are at most `reach` apart."""
    y, x = torch.arange(height * width) // width, torch.arange(height * width) % width
    near = ((y - y[:, None]).abs() <= reach) & ((x - x[:, None]).abs() <= reach)
    return near


@pytest.mark.parametrize("size", [1, 3, 7])
def test_without_offsets_one_head_is_dense_attention_under_a_mask(size):
    layer = without_offsets(LocalSelfAttention(5, 6, size, num_heads=1))
    x = torch.randn(2, 5, 6, 9)
    for image, output in zip(x, layer(x), strict=True):
        q, k, v = (pixels(f, image) for f in (layer.query, layer.key, layer.value))
        mask = window(6, 9, size // 2)
        expected = F.scaled_dot_product_attention(q, k, v, mask, scale=1.0)
        torch.testing.assert_close(output.flatten(1).T, expected, **EXACT)


def test_local_attention_equals_a_loop():
    """Heads, both offsets, the border: every pixel by itself."""
    layer, x = LocalSelfAttention(5, 8, 3, num_heads=2), torch.randn(5, 4, 6)
    seen = hooked(layer.softmax)
    output = layer(x[None])[0]
    q, k, v = (
        pixels(f, x).unflatten(0, (4, 6)) for f in (layer.query, layer.key, layer.value)
    )  # (4, 6, 8)
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        for i in range(4):
            for j in range(6):
                places, energies = [], []
                for a in range(max(0, i - 1), min(4, i + 2)):
                    for b in range(max(0, j - 1), min(6, j + 2)):
                        r = [layer.row[head, a - i + 1], layer.column[head, b - j + 1]]
                        energies.append(q[i, j, part] @ (k[a, b, part] + torch.cat(r)))
                        places.append((a, b))
                weights = torch.softmax(torch.stack(energies), dim=0)
                expected = sum(
                    w * v[a, b, part] for w, (a, b) in zip(weights, places, strict=True)
                )
                torch.testing.assert_close(output[part, i, j], expected, **EXACT)
                for w, (a, b) in zip(weights, places, strict=True):
                    neighbour = 3 * (a - i + 1) + b - j + 1
                    got = seen[0][0, head, 6 * i + j, neighbour]
                    torch.testing.assert_close(got, w, **EXACT)


def test_one_weight_for_each_head_and_position():
    """Not one for each channel: energies are summed over the channels of a head."""
    layer, x = LocalSelfAttention(5, 24, 3, num_heads=4), torch.randn(2, 5, 6, 7)
    seen = hooked(layer.softmax)
    layer(x)
    weights = seen[0]
    assert weights.shape == (2, 4, 42, 9)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 42), **EXACT)
    assert (weights[..., ~layer.inside(6, 7)] == 0).all()
    assert (weights[..., layer.inside(6, 7)] > 0).all()
    assert layer.inside(6, 7).sum() == (3 * 6 - 2) * (3 * 7 - 2)


def test_only_the_neighbourhood_counts_and_a_shift_shifts():
    layer, x = LocalSelfAttention(4, 8, 5, num_heads=2), torch.randn(1, 4, 12, 12)
    changed = x.clone()
    changed[..., 6, 6] += 1
    differs = (layer(x) - layer(changed)).abs().amax((0, 1)) > 1e-9
    expected = torch.zeros(12, 12, dtype=torch.bool)
    expected[4:9, 4:9] = True
    assert torch.equal(differs, expected)
    moved = layer(x.roll((1, 2), (2, 3)))[..., 3:-2, 4:-2]
    torch.testing.assert_close(moved, layer(x)[..., 2:-3, 2:-4], **EXACT)


def test_offsets_tell_directions_apart():
    layer, x = LocalSelfAttention(4, 8, 3, num_heads=2), torch.randn(1, 4, 7, 7)
    for flip in (2, 3):
        assert not torch.allclose(layer(x.flip(flip)).flip(flip), layer(x), atol=1e-3)
    without_offsets(layer)
    for flip in (2, 3):
        torch.testing.assert_close(layer(x.flip(flip)).flip(flip), layer(x), **EXACT)


def test_parameters_do_not_grow_with_the_square_of_the_neighbourhood():
    small, large = (LocalSelfAttention(64, 64, size) for size in (3, 11))
    assert count_parameters(small) == 3 * 64 * 64 + 3 * 64
    assert count_parameters(large) == 3 * 64 * 64 + 11 * 64


# ---- stem -----------------------------------------------------------------------------------------------------------


def test_stem_equals_a_loop():
    stem, x = AttentionStem(3, 8, size=2, num_heads=2, mixtures=3), torch.randn(3, 4, 6)
    seen = hooked(stem.softmax)
    output = stem(x[None])[0]
    q, k = (pixels(f, x).unflatten(0, (4, 6)) for f in (stem.query, stem.key))
    matrices = stem.values.weight[:, :, 0, 0].unflatten(0, (3, 8))  # (m, out, in)
    for i in range(4):
        for j in range(6):
            values, energies = [], [[], []]
            for a in (i - i % 2, i - i % 2 + 1):
                for b in (j - j % 2, j - j % 2 + 1):
                    place = stem.place_row[a % 2] + stem.place_column[b % 2]
                    p = torch.softmax(stem.nu @ place, dim=0)
                    mixed = sum(p[m] * matrices[m] for m in range(3))
                    values.append(mixed @ x[:, a, b])
                    for head, part in enumerate((slice(0, 4), slice(4, 8))):
                        r = [stem.row[head, a - i + 1], stem.column[head, b - j + 1]]
                        energies[head].append(
                            q[i, j, part] @ (k[a, b, part] + torch.cat(r))
                        )
            for head, part in enumerate((slice(0, 4), slice(4, 8))):
                weights = torch.softmax(torch.stack(energies[head]), dim=0)
                expected = sum(
                    w * v[part] for w, v in zip(weights, values, strict=True)
                )
                torch.testing.assert_close(output[part, i, j], expected, **EXACT)
    assert seen[0].shape == (1, 6, 2, 4, 4)
    torch.testing.assert_close(seen[0].sum(-1), torch.ones(1, 6, 2, 4), **EXACT)


def test_mixtures_vary_with_the_place_and_sum_to_one():
    p = AttentionStem().mixtures()
    assert p.shape == (16, 4)
    torch.testing.assert_close(p.sum(-1), torch.ones(16), **EXACT)
    assert (p - p[0]).abs().amax(-1)[1:].min() > 1e-3


def test_without_mixtures_the_stem_is_attention_within_blocks():
    stem, x = AttentionStem(3, 8, mixtures=1, num_heads=1), torch.randn(1, 3, 8, 12)
    without_offsets(stem)
    block = (torch.arange(96) // 12 // 4) * 3 + torch.arange(96) % 12 // 4
    q, k, v = (pixels(f, x[0]) for f in (stem.query, stem.key, stem.values))
    mask = block == block[:, None]
    expected = F.scaled_dot_product_attention(q, k, v, mask, scale=1.0)
    torch.testing.assert_close(stem(x)[0].flatten(1).T, expected, **EXACT)


# ---- table 1 of Ramachandran et al. 2019 ----------------------------------------------------------------------------

TABLE = {  # FLOPs in G, a multiply-add being 2; parameters in M
    ("convolution", 26): (4.7, 13.7),
    ("convolution", 38): (6.5, 19.6),
    ("convolution", 50): (8.2, 25.6),
    ("convolution stem, attention", 26): (4.5, 10.3),
    ("convolution stem, attention", 38): (5.7, 14.1),
    ("convolution stem, attention", 50): (7.0, 18.0),
    ("attention", 26): (4.7, 10.3),
    ("attention", 38): (6.0, 14.1),
    ("attention", 50): (7.2, 18.0),
}
EXACTLY = {26: 10_335_592, 38: 14_183_592, 50: 18_031_592}


@pytest.mark.parametrize(("variant", "depth"), TABLE)
def test_table_1(variant, depth):
    with torch.device("meta"):
        model = attention_resnet(depth, variant)
    giga, mega = TABLE[variant, depth]
    assert sum(count_flops(model).values()) / 1e9 == pytest.approx(giga, abs=0.1)
    assert count_parameters(model) / 1e6 == pytest.approx(mega, abs=0.1)
    if variant == "attention":
        assert count_parameters(model) == EXACTLY[depth]
        layers = [type(m) for m in model.modules()]
        assert nn.Conv2d in layers and all(
            m.kernel_size == (1, 1) for m in model.modules() if type(m) is nn.Conv2d
        )


@pytest.mark.parametrize("variant", VARIANTS[1:])
def test_our_count_of_flops_is_the_library_s(variant):
    with torch.device("meta"):
        model = attention_resnet(26, variant).eval()
        with FlopCounterMode(display=False) as library:
            model(torch.zeros(1, 3, 224, 224))
    ours = sum(count_flops(model).values())
    assert ours == library.get_total_flops()


def test_the_library_agrees_on_a_non_local_block():
    block = NonLocal(16)
    with FlopCounterMode(display=False) as library:
        block(torch.randn(1, 16, 6, 7))
    expected = library.get_total_flops()
    assert sum(count_flops(block, (16, 6, 7)).values()) == expected


def test_a_small_attention_network_runs_and_trains():
    model = ResNet(
        (1, 1),
        classes=3,
        width=16,
        spatial=spatial_attention(3, 2),
        stem=attention_stem,
        activation=nn.GELU,
    )
    images = torch.rand(4, 3, 20, 20)  # 5 × 5 after the stem, then 3 × 3
    assert model.features(images).shape == (4, 128, 3, 3)
    F.cross_entropy(model(images), torch.tensor([0, 1, 2, 0])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_a_stride_is_a_mean_over_pixels():
    layer = spatial_attention(3, 2)(8, 2)
    x = torch.randn(1, 8, 6, 6)
    full = layer[0](x)
    expected = torch.stack(
        [full[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
    ).mean(0)
    torch.testing.assert_close(layer(x), expected, **EXACT)


# ---- bad input ------------------------------------------------------------------------------------------------------

X = torch.zeros(1, 6, 8, 8, dtype=torch.float64)
LAYERS = [
    lambda: NonLocal(6),
    lambda: LocalSelfAttention(6, 8, 3, 2),
    lambda: AttentionStem(6, 8),
]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X[:, :3], r"got shape \(1, 3, 8, 8\), expected \(B, 6, H, W\)"),
        (X[0], r"got shape \(6, 8, 8\), expected \(B, 6, H, W\)"),
        (X[..., :0], "each at least 1"),
        (X.byte(), "got torch.uint8, expected floating-point"),
        (X + math.nan, "got 384 NaN or infinite values"),
    ],
)
def test_bad_maps_are_named(layer, x, message):
    with pytest.raises(
        ValueError, match=f"x: {message}" if "got" in message else message
    ):
        layer()(x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NonLocal(6, kind="gauss"), "kind: got 'gauss', expected one of"),
        (lambda: NonLocal(0), "channels: got 0, expected at least 1"),
        (lambda: NonLocal(6, 0), "inner: got 0, expected at least 1"),
        (lambda: LocalSelfAttention(6, 8, 4, 2), "size: got 4, expected an odd number"),
        (lambda: LocalSelfAttention(6, 8, -1, 2), "size: got -1, expected an odd"),
        (lambda: LocalSelfAttention(6, 8, 3, 3), "num_heads: got 3, expected one of"),
        (lambda: LocalSelfAttention(6, 8, 3, 8), "num_heads: got 8, expected one of"),
        (lambda: LocalSelfAttention(6, 8, 3, 0), "num_heads: got 0, expected one of"),
        (lambda: LocalSelfAttention(0, 8), "in_channels: got 0, expected at least 1"),
        (lambda: LocalSelfAttention(8, 0), "out_channels: got 0, expected at least 1"),
        (lambda: AttentionStem(3, 8, mixtures=0), "mixtures: got 0, expected at least"),
        (lambda: AttentionStem(3, 8, size=0), "size: got 0, expected at least 1"),
        (lambda: AttentionStem(3, 8, num_heads=3), "num_heads: got 3, expected one"),
        (lambda: AttentionStem(6, 8)(X[..., :6]), "x: got 8 × 6 pixels, expected mult"),
        (lambda: AttentionStem(6, 8)(X[..., :6, :]), "x: got 6 × 8 pixels, expected"),
        (lambda: attention_resnet(50, "all"), "variant: got 'all', expected one of"),
        (lambda: attention_resnet(18), "depth: got 18, expected one of 26"),
    ],
)
def test_bad_sizes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---- the small comparison -------------------------------------------------------------------------------------------

RECORD = json.loads((RECORDED / "window_attention.json").read_text())


def test_small_networks_differ_in_their_spatial_layers_alone():
    sizes = {"convolution 3×3": 9 * 64, "attention 3×3": 3 * 64 + 3 * 8}
    counts = {name: count_parameters(small_resnet(name)) for name in SMALL}
    rest = {counts[name] - 2 * size for name, size in sizes.items()}
    assert len(rest) == 1
    assert counts["attention 5×5"] - counts["attention 3×3"] == 2 * 2 * 8
    assert counts["attention 5×5"] - counts["attention 5×5, no offsets"] == 2 * 5 * 8
    assert counts == {run["model"]: run["parameters"] for run in RECORD["runs"]}


def test_no_offsets_stay_zero():
    model = small_resnet("attention 5×5, no offsets")
    model(torch.rand(2, 1, 14, 14)).sum().backward()
    layer = model.stages[0][0].spatial
    assert (layer.offsets() == 0).all() and layer.row.grad is None
    assert not layer.row.requires_grad


def test_the_record_has_the_same_budget_for_all():
    seeds = {
        name: sorted(r["seed"] for r in RECORD["runs"] if r["model"] == name)
        for name in SMALL
    }
    assert all(each == seeds["attention 3×3"] for each in seeds.values())
    assert len(seeds["attention 3×3"]) >= 3


@pytest.mark.slow
def test_recorded_weights_give_the_recorded_accuracy():
    images, classes = (each[: RECORD["photos"]["test"]] for each in fashion()[2])
    images = F.avg_pool2d(images[:, None].double(), 2)
    for name in SMALL:
        (recorded,) = (
            r["accuracy"]
            for r in RECORD["runs"]
            if (r["model"], r["seed"]) == (name, 0)
        )
        model = recorded_small(name)
        with torch.no_grad():
            judged = torch.cat([model(b).argmax(1) for b in images.split(200)])
        again = float((judged == classes).double().mean())
        assert again == pytest.approx(recorded, abs=0.003), name


def test_recorded_photos_are_recognised():
    photos, model = recorded_photos(), recorded_small("attention 5×5")
    assert all(
        p.shape == (14, 14) and 0 <= p.min() < p.max() <= 1 for p in photos.values()
    )
    with torch.no_grad():
        judged = model(torch.stack(list(photos.values()))[:, None]).argmax(1)
    right = [CLOTHES[i] == name for i, name in zip(judged, photos, strict=True)]
    assert sum(right) >= len(right) - 1


def test_another_small_network_is_refused():
    with pytest.raises(ValueError, match="name: got 'mlp', expected one of"):
        small_resnet("mlp")
