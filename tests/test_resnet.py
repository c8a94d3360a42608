"""The ResNets are the published ones, counted exactly; the counter counts what a library's does."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from helpers.resnet import (
    BLOCKS,
    Bottleneck,
    ConvolutionStem,
    ResNet,
    SmallStem,
    count_flops,
    count_parameters,
    require_images,
    require_maps,
    resnet,
)

pytestmark = pytest.mark.usefixtures("double_precision")

PARAMETERS = {26: 13_696_552, 38: 19_626_792, 50: 25_557_032}
FLOPS = {26: 4_684_513_280, 38: 6_431_440_896, 50: 8_178_368_512}
PUBLISHED = {26: 4.7e9, 38: 6.5e9, 50: 8.2e9}  # Ramachandran et al. 2019, table 1


def counted_without_computing(depth, **options):
    with torch.device("meta"):
        return resnet(depth, **options)


def by_library(model, *shape):
    images = torch.zeros(1, *shape, device=next(model.parameters()).device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images)
    return counter.get_total_flops()


def tiny(**options):
    return ResNet((1, 2), classes=5, width=4, **options)


# ---- counts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", BLOCKS)
def test_parameters_exactly(depth):
    assert count_parameters(counted_without_computing(depth)) == PARAMETERS[depth]


@pytest.mark.parametrize("depth", BLOCKS)
def test_depth_is_the_number_of_layers_with_weights_on_the_way(depth):
    model = counted_without_computing(depth)
    layers = [
        n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)
    ]
    assert len([n for n in layers if "shortcut" not in n]) == depth


@pytest.mark.parametrize("depth", BLOCKS)
def test_flops_of_the_paper_and_of_a_library(depth):
    model = counted_without_computing(depth)
    flops = sum(count_flops(model).values())
    assert flops == pytest.approx(PUBLISHED[depth], abs=0.1e9)
    assert flops == FLOPS[depth] == by_library(model, 3, 224, 224)


def test_stride_in_the_first_layer_is_the_cheaper_network_of_the_first_paper():
    """He et al. 2016, table 1: 3.8 · 10⁹ multiplications for 50 layers, by which it meant multiply-adds."""
    first = counted_without_computing(50, stride_first=True)
    assert sum(count_flops(first).values()) / 2 == pytest.approx(3.8e9, abs=0.1e9)
    later = counted_without_computing(50)
    assert sum(count_flops(later).values()) / 2 == pytest.approx(4.1e9, abs=0.02e9)
    assert count_parameters(first) == PARAMETERS[50]


def test_flops_module_by_module_by_hand():
    flops = count_flops(counted_without_computing(50))
    assert flops["stem.0"] == 2 * 112**2 * 64 * 3 * 7**2
    assert flops["stages.0.0.spatial"] == 2 * 56**2 * 64 * 64 * 3**2
    assert flops["stages.3.0.shortcut.0"] == 2 * 7**2 * 1024 * 2048
    assert flops["classify"] == 2 * 2048 * 1000
    assert len(flops) == 1 + 16 * 3 + 4 + 1


class Twice(nn.Module):
    """One layer that runs twice, grouped and one-dimensional ones, and a product that no layer makes."""

    def __init__(self):
        super().__init__()
        self.grouped = nn.Conv2d(6, 12, 3, groups=3)
        self.line = nn.Conv1d(12, 4, 5, padding=2)
        self.shared = nn.Linear(9, 9)

    def forward(self, x):
        x = self.line(self.grouped(x).flatten(2))  # (B, 4, 9)
        x = self.shared(self.shared(x))
        return x @ x.mT

    def multiply_adds(self, x):
        return len(x) * 4 * 4 * 9


def test_counter_agrees_with_the_library_on_other_layers():
    model = Twice()
    flops = count_flops(model, (6, 5, 5))
    assert flops[""] == 2 * 4 * 4 * 9
    assert flops["shared"] == 2 * (2 * 4 * 9 * 9)
    assert sum(flops.values()) == by_library(model, 6, 5, 5)


def test_counting_leaves_the_model_as_it_was():
    model = tiny().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert sum(count_flops(model, (3, 32, 32)).values()) == by_library(
        model.eval(), 3, 32, 32
    )
    model.train()
    count_flops(model, (3, 32, 32))
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())
    with pytest.raises(ValueError, match="images"):
        count_flops(model, (4, 32, 32))
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_what_has_no_layers_costs_nothing():
    assert count_flops(nn.ReLU()) == {} and count_parameters(nn.ReLU()) == 0


def test_frozen_parameters_are_not_counted():
    model = tiny()
    whole = count_parameters(model)
    model.classify.requires_grad_(False)
    assert count_parameters(model) == whole - 32 * 5 - 5


# ---- what is computed -----------------------------------------------------------------------------------------------


def normalised(x, norm):
    mean, var = norm.running_mean[:, None, None], norm.running_var[:, None, None]
    x = (x - mean) / torch.sqrt(var + norm.eps)
    return x * norm.weight[:, None, None] + norm.bias[:, None, None]


def shake(model):
    """Statistics and scales as after training, so that no norm is the identity."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 2)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_()
    return model.eval()


@pytest.mark.parametrize("stride_first", [False, True])
def test_a_block_written_out(stride_first):
    block = shake(Bottleneck(6, 2, 2, stride_first=stride_first))
    x = torch.randn(2, 6, 8, 8)
    first, second = (2, 1) if stride_first else (1, 2)
    branch = F.conv2d(x, block.down.weight, stride=first)
    branch = normalised(branch, block.down_norm).relu()
    branch = F.conv2d(branch, block.spatial.weight, stride=second, padding=1)
    branch = normalised(branch, block.spatial_norm).relu()
    branch = normalised(F.conv2d(branch, block.up.weight), block.up_norm)
    straight = F.conv2d(x[:, :, ::2, ::2], block.shortcut[0].weight)
    straight = normalised(straight, block.shortcut[1])
    assert torch.allclose(block(x), (branch + straight).relu(), atol=1e-12)


@pytest.mark.slow  # the other library takes seconds to load
def test_same_numbers_as_another_library():
    """The `transformers` library's ResNet with our weights: the same layers in the same order."""
    from transformers import ResNetConfig, ResNetForImageClassification

    ours = shake(tiny())
    config = ResNetConfig(
        embedding_size=4, hidden_sizes=[16, 32], depths=[1, 2], num_labels=5
    )
    theirs = ResNetForImageClassification(config).eval()
    # they list a block's shortcut first, we list it last
    names = [n for n, m in ours.named_modules() if list(m.parameters(recurse=False))]
    names.sort(key=_place)
    source = [ours.get_submodule(name) for name in names]
    target = [m for m in theirs.modules() if list(m.parameters(recurse=False))]
    assert len(source) == len(target)
    for one, other in zip(source, target, strict=True):
        other.load_state_dict(one.state_dict())
    images = torch.randn(2, 3, 37, 50)
    with torch.no_grad():
        assert torch.allclose(ours(images), theirs(images).logits, atol=1e-10)


def _place(name):
    if name.startswith("stages"):
        _, stage, block, *rest = name.split(".")
        order = ["shortcut", "down", "down_norm", "spatial", "spatial_norm", "up"]
        order += ["up_norm"]
        return 1, int(stage), int(block), order.index(rest[0]), rest[1:]
    return (0, name) if name.startswith("stem") else (2, name)


def test_sizes_on_the_way():
    model = tiny().eval()
    images = torch.randn(2, 3, 32, 48)
    assert model.stem(images).shape == (2, 4, 8, 12)
    assert model.features(images).shape == (2, 32, 4, 6)
    assert model(images).shape == (2, 5)
    small = tiny(stem=SmallStem, channels=1).eval()
    assert small.features(torch.randn(2, 1, 28, 28)).shape == (2, 32, 14, 14)


def test_the_head_is_linear_in_the_maps_as_class_activation_maps_need_it():
    model, images = shake(tiny()), torch.randn(2, 3, 32, 32)
    maps = torch.einsum("bcyx,kc->bkyx", model.features(images), model.classify.weight)
    expected = maps.mean(dim=(2, 3)) + model.classify.bias
    assert torch.allclose(model(images), expected, atol=1e-12)


# ---- the open places ------------------------------------------------------------------------------------------------


class Halved(nn.Module):
    def forward(self, x):
        return x / 2


def test_another_layer_goes_where_it_is_said_to_go():
    asked = []

    def spatial(width, stride):
        asked.append((width, stride))
        return nn.AvgPool2d(stride)

    model = tiny(spatial=spatial)
    assert asked == [(4, 1), (8, 2), (8, 1)]
    assert isinstance(model.stages[1][0].spatial, nn.AvgPool2d)
    assert count_parameters(model) == count_parameters(tiny()) - 9 * (16 + 64 + 64)
    assert model.eval()(torch.randn(1, 3, 32, 32)).shape == (1, 5)


def test_attention_acts_on_the_branch_alone_before_the_sum():
    channels = []

    def attention(count):
        channels.append(count)
        return Halved()

    model = tiny(attention=attention)
    assert channels == [16, 32, 32]
    block = shake(model).stages[1][1]  # its shortcut is the identity
    x = torch.randn(2, 32, 6, 6)
    with_it = block(x)
    block.attention = nn.Identity()
    with torch.no_grad():
        block.up_norm.weight /= 2
        block.up_norm.bias /= 2
    assert torch.allclose(with_it, block(x), atol=1e-12)


def test_another_stem_and_another_activation():
    asked = []

    def stem(channels, width):
        asked.append((channels, width))
        return ConvolutionStem(channels, width, nn.GELU)

    model = tiny(stem=stem, activation=nn.GELU, channels=2)
    assert asked == [(2, 4)]
    assert not any(isinstance(m, nn.ReLU) for m in model.modules())
    assert not any(isinstance(m, nn.ReLU) for m in tiny(activation=nn.GELU).modules())
    assert any(isinstance(m, nn.ReLU) for m in tiny().modules())


def test_every_parameter_learns():
    model = tiny(stem=SmallStem).train()
    F.cross_entropy(model(torch.randn(4, 3, 16, 16)), torch.arange(4)).backward()
    assert all((p.grad != 0).any() for p in model.parameters())


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 32, 32), r"images: got shape \(3, 32, 32\), expected \(B, 3"),
        (torch.zeros(1, 4, 32, 32), r"images: got shape \(1, 4, 32, 32\)"),
        (torch.zeros(1, 32, 32, 3), r"images: got shape \(1, 32, 32, 3\)"),
        (torch.zeros(0, 3, 32, 32), "each at least 1"),
        (torch.zeros(1, 3, 0, 32), "each at least 1"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "images: got torch.uint8"),
        (torch.full((1, 3, 32, 32), torch.nan), "images: got 3072 NaN"),
        (torch.full((1, 3, 32, 32), 255.0), "images: got a value of size 255"),
        (torch.full((1, 3, 32, 32), -255.0), "images: got a value of size 255"),
    ],
)
def test_images_that_are_none(images, message):
    with pytest.raises(ValueError, match=message):
        tiny()(images)


def test_images_that_are_some():
    for images in (torch.rand(1, 3, 4, 5), 4 * torch.randn(1, 3, 4, 4)):
        require_images("images", images, 3)
    require_maps("maps", 1000 * torch.randn(2, 7, 3, 3), 7)  # maps may be large
    require_maps("maps", torch.zeros(2, 7, 3, 3, device="meta"), 7)
    with pytest.raises(ValueError, match="maps: got shape"):
        require_maps("maps", torch.zeros(2, 6, 3, 3, device="meta"), 7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: resnet(34), "depth: got 34, expected one of 26, 38, 50"),
        (lambda: ResNet(()), r"blocks: got \(\), expected at least 1"),
        (lambda: ResNet((1, 0)), r"blocks: got \(1, 0\), expected at least 1"),
        (lambda: tiny(channels=0), "channels: got 0, expected at least 1"),
        (lambda: ResNet((1,), classes=0), "classes: got 0, expected at least 1"),
        (lambda: ResNet((1,), width=0), "width: got 0, expected at least 1"),
    ],
)
def test_networks_that_are_none(make, message):
    with pytest.raises(ValueError, match=message):
        make()
