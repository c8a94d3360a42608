"""Channel attention scales channels, no more and no less, and costs what the papers say."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from helpers.channel_attention import (
    CBAM,
    RELEASED_KERNELS,
    ChannelGate,
    EfficientChannelAttention,
    GatherExcite,
    Scaling,
    SpatialGate,
    SqueezeExcitation,
    eca_kernel_size,
    gates,
)
from helpers.resnet import ResNet, count_flops, count_parameters, resnet

pytestmark = pytest.mark.usefixtures("double_precision")

PLAIN = 25_557_032

# one weight a channel, the same at all places
CHANNELS = {
    "SE": SqueezeExcitation,
    "SE with biases": partial(SqueezeExcitation, bias=True),
    "GE whole": GatherExcite,
    "GE whole, learned": partial(GatherExcite, learned=True, size=6),
    "GE whole, across": partial(GatherExcite, reduction=4),
    "ECA": EfficientChannelAttention,
    "CBAM channels": ChannelGate,
}
REGIONS = {
    "GE 2": partial(GatherExcite, extent=2),
    "GE 4, learned": partial(GatherExcite, extent=4, learned=True),
    "GE 4, learned, across": partial(GatherExcite, extent=4, learned=True, reduction=8),
    "CBAM places": SpatialGate,
}
SCALINGS = CHANNELS | REGIONS


def released_eca(channels):
    return EfficientChannelAttention(channels, RELEASED_KERNELS[channels])


def learned_gather(channels):
    """Over whole maps, which are of 56 × 56 places where there are 256 channels, and so on."""
    return GatherExcite(channels, learned=True, size=56 * 256 // channels)


# ---- counts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attention", "parameters"),
    [
        (SqueezeExcitation, 28_071_976),
        (CBAM, 28_089_624),
        (EfficientChannelAttention, PLAIN + 86),
        (released_eca, PLAIN + 80),
        (GatherExcite, PLAIN),
        (partial(GatherExcite, extent=8), PLAIN),
        # three 3×3 kernels and three norms for each of 15,104 channels
        (partial(GatherExcite, extent=8, learned=True), PLAIN + 15_104 * 3 * (9 + 2)),
        # a kernel for each place of each map, and a norm
        (learned_gather, PLAIN + 256 * (3 * 56**2 + 4 * 2 * 28**2 + 6 * 4 * 14**2 + 3 * 8 * 7**2) + 15_104 * 2),
    ],
)  # fmt: skip
def test_parameters_of_a_resnet_50_exactly(attention, parameters):
    with torch.device("meta"):
        model = resnet(50, attention=attention).eval()
        assert model(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)
    assert count_parameters(model) == parameters


def test_what_eca_counts_in_millions_is_2_to_the_20():
    """Its paper gives ResNet-50 with ECA 24.37 M parameters, and with SE 26.77 M."""
    assert round(PLAIN / 2**20, 2) == 24.37
    assert round(28_071_976 / 2**20, 2) == 26.77


def test_biases_of_se_count():
    with torch.device("meta"):
        model = resnet(50, attention=partial(SqueezeExcitation, bias=True))
    assert count_parameters(model) == 28_071_976 + 15_104 + 15_104 // 16


def test_flops_are_those_of_a_library_and_few():
    with torch.device("meta"):
        plain = sum(count_flops(resnet(50)).values())
        costs = {}
        for name, attention in {
            "SE": SqueezeExcitation,
            "ECA": released_eca,
            "CBAM": CBAM,
            "GE": GatherExcite,
        }.items():
            model = resnet(50, attention=attention)
            costs[name] = sum(count_flops(model).values()) - plain
            with FlopCounterMode(display=False) as counter:
                model.eval()(torch.zeros(1, 3, 224, 224))
            assert counter.get_total_flops() == plain + costs[name], name
    assert costs["SE"] == 2 * (28_071_976 - PLAIN)  # each weight once
    kernels = 3 * (256 * 3) + 4 * (512 * 5) + 6 * (1024 * 5) + 3 * (2048 * 7)
    assert costs["ECA"] == 2 * kernels
    places = 3 * 56**2 + 4 * 28**2 + 6 * 14**2 + 3 * 7**2
    assert costs["CBAM"] == 2 * costs["SE"] + 2 * 2 * 49 * places  # its MLP twice
    assert costs["GE"] == 0
    assert max(costs.values()) < 0.005 * plain


@pytest.mark.parametrize(
    ("channels", "size"),
    [(1, 1), (8, 3), (16, 3), (64, 3), (128, 5), (256, 5), (512, 5), (1024, 5), (2048, 7)],
)  # fmt: skip
def test_kernel_of_eca_grows_with_the_channels(channels, size):
    assert eca_kernel_size(channels) == size
    layer = EfficientChannelAttention(channels)
    assert layer.neighbours.kernel_size == (size,)
    assert count_parameters(layer) == size


# ---- scaling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCALINGS)
def test_a_module_multiplies_by_its_weights_between_0_and_1(name):
    layer, x = SCALINGS[name](32), 3 * torch.randn(2, 32, 6, 6)
    weights = layer.weights(x)
    assert torch.equal(layer(x), x * weights)
    assert ((weights > 0) & (weights < 1)).all()
    assert weights.std() > 1e-3  # nothing here could be a constant
    shape = (2, 1, 6, 6) if name == "CBAM places" else (2, 32, 6, 6)
    assert weights.expand(2, 32, 6, 6)[:, : shape[1]].shape == shape


@pytest.mark.parametrize("name", CHANNELS)
def test_scaling_a_channel_is_no_dot_product(name):
    """A channel keeps its picture: every place is multiplied by the same number, and no other channel comes in."""
    layer, x = CHANNELS[name](32).eval(), torch.randn(2, 32, 6, 6)
    output = layer(x)
    assert output.shape == x.shape  # a dot product would leave one number, or one map
    ratio = output / x
    assert torch.allclose(ratio, ratio[:, :, :1, :1].expand_as(ratio), atol=1e-10)
    assert ratio.std(dim=1).min() > 1e-4  # but each channel has its own
    sums = layer.weights(x).expand_as(x)[:, :, 0, 0].sum(dim=1)
    assert (sums > 2).all()  # and they do not sum to 1, as a softmax's would


@pytest.mark.parametrize("name", [name for name in CHANNELS if "learned" not in name])
def test_where_something_is_does_not_matter_to_channels(name):
    layer, x = CHANNELS[name](32), torch.randn(2, 32, 5, 7)
    places = torch.randperm(35)
    moved = x.flatten(2)[:, :, places].view_as(x)
    assert torch.allclose(layer.weights(moved), layer.weights(x), atol=1e-12)
    expected = layer(x).flatten(2)[:, :, places].view_as(x)
    assert torch.allclose(layer(moved), expected, atol=1e-12)


def test_learned_gather_knows_places():
    layer, x = GatherExcite(8, learned=True, size=6), torch.randn(2, 8, 6, 6)
    assert not torch.allclose(layer.weights(x.flip(3)), layer.weights(x))


@pytest.mark.parametrize("name", SCALINGS)
def test_each_image_is_weighted_by_itself(name):
    layer, x = SCALINGS[name](32).eval(), torch.randn(3, 32, 6, 6)
    one_by_one = torch.cat([layer(image[None]) for image in x])
    assert torch.allclose(layer(x), one_by_one, atol=1e-12)


@pytest.mark.parametrize("name", SCALINGS)
def test_every_parameter_learns(name):
    layer = SCALINGS[name](32)
    if name in ("GE whole", "GE 2"):
        assert not list(layer.parameters()) and not layer.state_dict()
        return
    layer(torch.randn(4, 32, 6, 6)).pow(3).sum().backward()
    assert all((p.grad != 0).any() for p in layer.parameters())


# ---- each by hand ---------------------------------------------------------------------------------------------------


def test_squeeze_excitation_by_loops():
    layer, x = SqueezeExcitation(8, reduction=4), torch.randn(2, 8, 3, 5)
    first, second = layer.excitation[0].weight, layer.excitation[2].weight
    assert first.shape == (2, 8) and second.shape == (8, 2)
    for image, output in zip(x, layer(x), strict=True):
        z = torch.stack([channel.sum() / 15 for channel in image])
        s = 1 / (1 + torch.exp(-(second @ (first @ z).relu())))
        for c in range(8):
            assert torch.allclose(output[c], s[c] * image[c], atol=1e-12)


@pytest.mark.slow  # the other library takes seconds to load
def test_squeeze_excitation_is_that_of_another_library():
    """The `transformers` library's layer, in its RegNet, with our weights."""
    from transformers.models.regnet.modeling_regnet import RegNetSELayer

    ours, theirs = SqueezeExcitation(32, bias=True), RegNetSELayer(32, 2)
    for layer, other in zip(ours.excitation, theirs.attention, strict=False):
        if isinstance(layer, nn.Linear):
            other.weight.data = layer.weight.data[:, :, None, None]
            other.bias.data = layer.bias.data
    x = 3 * torch.randn(2, 32, 5, 6)
    assert torch.allclose(ours(x), theirs(x), atol=1e-12)
    assert not torch.allclose(ours(x), x / 2, atol=0.01)


def test_squeeze_excitation_is_a_gather_excite():
    """The mean over the whole map, then two layers across channels: GE-θ⁻ with SE's excitation is SE."""
    squeeze, gather = SqueezeExcitation(32), GatherExcite(32, reduction=16)
    for ours, theirs in ((0, 0), (2, 2)):
        weight = squeeze.excitation[theirs].weight.detach()
        gather.excite[ours].weight.data = weight[:, :, None, None]
    x = torch.randn(3, 32, 7, 5)
    assert torch.allclose(squeeze(x), gather(x), atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([2, 4, 8]), st.integers(1, 17), st.integers(1, 17))
def test_gather_without_parameters_by_loops(extent, height, width):
    torch.manual_seed(height * 31 + width)
    layer, x = GatherExcite(2, extent), torch.randn(1, 2, height, width)
    rows, columns = -(-height // extent), -(-width // extent)
    regions = torch.empty(1, 2, rows, columns)
    for i in range(rows):
        for j in range(columns):
            top, left = max(0, extent * (i - 1) + 1), max(0, extent * (j - 1) + 1)
            around = x[:, :, top : extent * (i + 1), left : extent * (j + 1)]
            regions[:, :, i, j] = around.mean(dim=(2, 3))
    weights = layer.weights(x)
    for u in range(height):
        for v in range(width):
            region = regions[:, :, u * rows // height, v * columns // width]
            assert torch.allclose(weights[:, :, u, v], region.sigmoid(), atol=1e-12)


@pytest.mark.parametrize("extent", [2, 4, 8])
def test_learned_gather_sees_as_far_as_the_mean(extent):
    """log₂ e convolutions of 3×3 with stride 2 see 2e − 1 places, and give as many regions."""
    reached = {}
    for learned in (False, True):
        layer = GatherExcite(3, extent, learned).eval()
        for p in layer.parameters():
            p.data.abs_()  # so that no ReLU shuts the way
        x = torch.rand(1, 3, 32, 32, requires_grad=True)
        gathered = layer.gather(x)
        assert gathered.shape == (1, 3, 32 // extent, 32 // extent)
        gathered[0, 1, 1, 1].backward()
        reached[learned] = x.grad[0] != 0
    assert torch.equal(reached[True], reached[False])
    row = reached[True][1].any(dim=0).nonzero()[:, 0].tolist()
    assert row == list(range(1, 2 * extent))
    assert not reached[True][[0, 2]].any()  # each channel by itself


def test_learned_gather_written_out():
    """Convolution, norm, activation, convolution, norm: no activation at the beginning, and none at the end."""
    layer, x = GatherExcite(3, extent=4, learned=True).eval(), torch.randn(2, 3, 8, 8)
    first, _, _, second, _ = layer.gather
    halved = F.conv2d(x, first.weight, stride=2, padding=1, groups=3)
    halved = (halved / (1 + 1e-5) ** 0.5).relu()  # fresh norms: mean 0, variance 1
    gathered = F.conv2d(halved, second.weight, stride=2, padding=1, groups=3)
    expected = (gathered / (1 + 1e-5) ** 0.5).sigmoid()
    expected = expected.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    assert torch.allclose(layer.weights(x), expected, atol=1e-12)


def test_neighbours_of_eca_by_loops():
    layer, x = EfficientChannelAttention(10, 5), torch.randn(2, 10, 4, 4)
    kernel, z = layer.neighbours.weight[0, 0], F.pad(x.mean(dim=(2, 3)), (2, 2))
    for c in range(10):
        s = torch.sigmoid((z[:, c : c + 5] * kernel).sum(dim=1))
        assert torch.allclose(layer.weights(x)[:, c, 0, 0], s, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "reached"),
    [
        (SqueezeExcitation, range(32)),
        (ChannelGate, range(32)),
        (GatherExcite, [9]),
        (partial(GatherExcite, learned=True, size=4), [9]),
        (partial(GatherExcite, reduction=2), range(32)),
        (partial(EfficientChannelAttention, kernel_size=3), [8, 9, 10]),
        (partial(EfficientChannelAttention, kernel_size=7), range(6, 13)),
    ],
)
def test_which_channels_a_weight_depends_on(make, reached):
    layer = make(32).eval()
    for p in layer.parameters():
        p.data.abs_()  # so that no ReLU shuts the way
    x = torch.rand(1, 32, 4, 4, requires_grad=True)
    layer.weights(x)[0, 9].sum().backward()
    assert x.grad[0].flatten(1).any(dim=1).nonzero()[:, 0].tolist() == list(reached)


def test_cbam_by_hand_channels_first():
    torch.manual_seed(3)
    layer, x = CBAM(8, reduction=2, kernel_size=3).eval(), torch.randn(2, 8, 5, 6)
    layer.spatial.norm.running_mean.fill_(0.1)
    layer.spatial.norm.running_var.fill_(0.3)
    mlp, norm = layer.channel.mlp, layer.spatial.norm
    s = (mlp(x.mean(dim=(2, 3))) + mlp(x.amax(dim=(2, 3)))).sigmoid()
    first = x * s[:, :, None, None]
    both = torch.stack([first.amax(dim=1), first.mean(dim=1)], dim=1)
    map_ = F.conv2d(both, layer.spatial.convolution.weight, padding=1)
    map_ = ((map_ - 0.1) / (0.3 + norm.eps) ** 0.5).sigmoid()
    assert torch.allclose(layer(x), first * map_, atol=1e-12)
    other_way = layer.channel(layer.spatial(x))
    assert not torch.allclose(layer(x), other_way, atol=1e-3)


def test_places_of_cbam_are_the_same_for_all_channels():
    layer, x = SpatialGate(16).eval(), torch.randn(2, 16, 9, 9)
    ratio = layer(x) / x
    assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio), atol=1e-10)
    assert ratio[:, 0].flatten(1).std(dim=1).min() > 1e-3
    order = torch.randperm(16)  # and which channel says it does not matter
    assert torch.allclose(layer(x[:, order]), layer(x)[:, order], atol=1e-12)


@pytest.mark.parametrize("make", [SqueezeExcitation, CBAM, ChannelGate])
def test_another_activation(make):
    layer = make(16, activation=nn.GELU)
    assert any(isinstance(m, nn.GELU) for m in layer.modules())
    assert not any(isinstance(m, nn.ReLU) for m in layer.modules())


# ---- gates seen and changed -----------------------------------------------------------------------------------------


def small(attention):
    return ResNet((1, 1), classes=4, width=8, attention=attention).eval()


@pytest.mark.parametrize("attention", [SqueezeExcitation, CBAM, GatherExcite])
def test_gates_are_seen_and_the_output_is_the_same(attention):
    model, images = small(attention), torch.randn(2, 3, 32, 32)
    plain = model(images)
    with gates(model) as seen:
        assert torch.equal(model(images), plain)
    modules = {n for n, m in model.named_modules() if isinstance(m, Scaling)}
    assert set(seen) == modules and len(modules) == (4 if attention is CBAM else 2)
    block, inputs = model.stages[0][0], []
    hook = block.attention.register_forward_pre_hook(lambda m, x: inputs.append(x[0]))
    with gates(model) as seen:
        model(images)
    hook.remove()
    first = block.attention.channel if attention is CBAM else block.attention
    name = next(n for n, m in model.named_modules() if m is first)
    weights = first.weights(inputs[0])[:, :, 0, 0]
    assert torch.equal(seen[name].flatten(1), weights)
    assert not any(m._forward_hooks for m in model.modules())


def test_gates_can_be_changed_by_hand():
    """All open: the network without attention. One shut: that channel's branch is 0."""
    model, images = small(SqueezeExcitation), torch.randn(2, 3, 32, 32)
    with gates(model, lambda name, weights: torch.ones_like(weights)) as seen:
        opened = model(images)
    assert all((weights < 1).all() for weights in seen.values())  # as they were
    layers, outputs = [block[0].attention for block in model.stages], []

    def shut(name, weights):
        weights = weights.clone()
        weights[:, 5] = 0
        return weights

    hook = layers[0].register_forward_hook(lambda m, x, y: outputs.append(y))
    with gates(model, shut):
        model(images)
    hook.remove()
    assert (outputs[0][:, 5] == 0).all() and (outputs[0][:, 4] != 0).any()
    for stage in model.stages:
        stage[0].attention = nn.Identity()
    assert torch.equal(model(images), opened)


def test_gates_let_go_after_an_error():
    model = small(CBAM)
    with pytest.raises(ValueError, match="images"), gates(model):
        model(torch.zeros(1, 1, 32, 32))
    assert not any(m._forward_hooks for m in model.modules())


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SCALINGS, "CBAM"])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 31, 6, 6), r"x: got shape \(2, 31, 6, 6\), expected \(B, 32"),
        (torch.zeros(32, 6, 6), r"x: got shape \(32, 6, 6\), expected \(B, 32"),
        (torch.zeros(2, 32, 6, 0), "each at least 1"),
        (torch.zeros(2, 32, 6, 6, dtype=torch.int64), "x: got torch.int64, expected fl"),
        (torch.full((1, 32, 6, 6), torch.inf), "x: got 1152 NaN or infinite"),
    ],
)  # fmt: skip
def test_maps_that_are_none(name, x, message):
    layer = (SCALINGS | {"CBAM": CBAM})[name](32)
    with pytest.raises(ValueError, match=message):
        layer(x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SqueezeExcitation(0), "channels: got 0, expected at least 1"),
        (lambda: SqueezeExcitation(8), "reduction: got 16, expected 1 to 8"),
        (lambda: SqueezeExcitation(8, 0), "reduction: got 0, expected 1 to 8"),
        (lambda: CBAM(8, 9), "reduction: got 9, expected 1 to 8"),
        (lambda: CBAM(8, 2, kernel_size=4), "kernel_size: got 4, expected an odd"),
        (lambda: SpatialGate(8, -1), "kernel_size: got -1, expected an odd"),
        (lambda: EfficientChannelAttention(8, 2), "kernel_size: got 2, expected an odd"),
        (lambda: EfficientChannelAttention(8, -3), "kernel_size: got -3, expected an odd"),
        (lambda: EfficientChannelAttention(0), "channels: got 0, expected at least 1"),
        (lambda: eca_kernel_size(0), "channels: got 0, expected at least 1"),
        (lambda: GatherExcite(8, 3), "extent: got 3, expected 2, 4, 8"),
        (lambda: GatherExcite(8, 1), "extent: got 1, expected 2, 4, 8"),
        (lambda: GatherExcite(8, -4), "extent: got -4, expected 2, 4, 8"),
        (lambda: GatherExcite(8, reduction=9), "reduction: got 9, expected 1 to 8"),
        (lambda: GatherExcite(8, learned=True), "size: got None, expected height = width"),
        (lambda: GatherExcite(8, learned=True, size=0), "size: got 0, expected height"),
        (lambda: learned_gather(256)(torch.zeros(2, 256, 56, 7)), "x: got maps of 56 × 7, expected 56 × 56"),
    ],
)  # fmt: skip
def test_modules_that_are_none(make, message):
    with pytest.raises(ValueError, match=message):
        make()
