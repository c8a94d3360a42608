"""Receptive fields are those of theory, and the recorded stacks see and know what is recorded."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from helpers.receptive_field import (
    NO_INK,
    RECORDED,
    ConvStack,
    PixelClassifier,
    digit_pictures,
    effective_receptive_field,
    effective_size,
    measured_field,
    pixel_accuracy,
    recorded_classifier,
    spread,
    theoretical_receptive_field,
)

pytestmark = pytest.mark.usefixtures("double_precision")

DEPTHS = {5: 11, 10: 21, 20: 41, 40: 81}


def box(layers, size):
    """What so many layers of equal weights make of one pixel, by convolving [1, 1, 1]/3 with itself."""
    row = np.ones(1)
    for _ in range(layers):
        row = np.convolve(row, np.ones(3) / 3)
    row = np.pad(row, (size - len(row)) // 2)
    return torch.tensor(np.outer(row, row))


@pytest.mark.parametrize(("layers", "width"), DEPTHS.items())
def test_uniform_stacks_see_a_gaussian_of_known_width(layers, width):
    assert theoretical_receptive_field([3] * layers) == width
    size = width + 4
    stack = ConvStack(layers, weights="uniform")
    field = effective_receptive_field(stack, torch.rand(1, 1, size, size))
    assert torch.allclose(field, box(layers, size), atol=1e-15)
    assert spread(field) == pytest.approx((layers * 8 / 12) ** 0.5, abs=1e-9)
    rows = field.sum(1) > 0
    assert rows.sum() == width and not rows[:2].any() and not rows[-2:].any()


def test_sigma_in_figures():
    sigma = [round((n * 8 / 12) ** 0.5, 3) for n in DEPTHS]
    assert sigma == [1.826, 2.582, 3.651, 5.164]


def test_strides_and_other_kernels():
    """ResNet's stem and AlexNet's first three layers, by hand."""
    assert theoretical_receptive_field([7, 3], [2, 2]) == 7 + 2 * 2
    assert theoretical_receptive_field([11, 3, 5], [4, 2, 1]) == 11 + 2 * 4 + 4 * 8
    assert theoretical_receptive_field([]) == theoretical_receptive_field([1, 1]) == 1


def test_the_theory_bounds_what_a_gradient_reaches_with_strides():
    network = nn.Sequential(
        nn.Conv2d(1, 2, 5, stride=2), nn.Tanh(), nn.Conv2d(2, 3, 3, 2), nn.Tanh()
    )
    field = effective_receptive_field(network, torch.rand(2, 1, 41, 37))
    assert field.shape == (41, 37)
    width = theoretical_receptive_field([5, 3], [2, 2])
    assert (field.sum(1) > 0).sum() == (field.sum(0) > 0).sum() == width == 9


def test_random_weights_on_average_spread_as_far_as_uniform_ones():
    """The mean of the squared gradient is the uniform field: var(Σ w w' …) adds up as the kernels do."""
    total = torch.zeros(11, 11)
    for _ in range(100):
        stack = ConvStack(5, channels=4)
        x = torch.zeros(1, 1, 11, 11, requires_grad=True)
        middle = stack(x)[0, :, 5, 5].sum()
        total += torch.autograd.grad(middle, x)[0][0, 0] ** 2
    assert spread(total) == pytest.approx((5 * 8 / 12) ** 0.5, rel=0.08)


def test_field_is_the_mean_size_of_the_gradient_over_images():
    stack = ConvStack(3, channels=4, inputs=2, activation=torch.tanh)
    images = torch.randn(3, 2, 9, 9)
    expected = 0
    for image in images:
        x = image[None].clone().requires_grad_()
        middle = stack(x)[0, :, 4, 4].sum()
        expected = expected + torch.autograd.grad(middle, x)[0][0].abs().sum(0)
    field = effective_receptive_field(stack, images)
    assert torch.allclose(field, expected / expected.sum(), atol=1e-14)


def test_field_of_a_layer_within():
    stack = ConvStack(6, weights="uniform")
    field = effective_receptive_field(stack, torch.rand(1, 1, 15, 15), "layers.3")
    assert torch.allclose(field, box(4, 15), atol=1e-15)


def test_the_network_is_left_as_it_was():
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Tanh()).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        effective_receptive_field(network, torch.rand(2, 3, 9, 9))
    assert all(module.training for module in network.modules())
    assert all(torch.equal(t, before[n]) for n, t in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_residual_layers_keep_the_theoretical_field_and_narrow_the_effective_one():
    images = torch.rand(1, 1, 25, 25)
    plain, residual = (
        effective_receptive_field(ConvStack(10, 8, residual=r), images)
        for r in (False, True)
    )
    assert (residual.sum(1) > 0).sum() == (plain.sum(1) > 0).sum() == 21
    assert spread(residual) < 0.8 * spread(plain)


def test_depth_does_not_change_the_size_of_the_numbers():
    x = torch.randn(1, 16, 40, 40)
    for residual in (False, True):
        out = ConvStack(40, 32, 16, residual=residual)(x)
        assert 0.2 < out[..., 10:-10, 10:-10].std() < 5


def test_spread_and_size_of_a_field():
    field = torch.zeros(9, 9)
    field[4, 2] = field[4, 6] = 1.0
    assert spread(field) == pytest.approx(2**0.5)  # variances 4 and 0
    assert effective_size(field) == pytest.approx(2**0.5)
    wide = torch.exp(-(torch.arange(-40.0, 41) ** 2) / 2 / 7**2)
    wide = wide[:, None] * wide
    assert spread(wide) == pytest.approx(7, rel=1e-3)
    within = np.pi * 7**2 * 2 * np.log(1 / 0.0455)  # a disc of radius σ √(2 ln 1/share)
    assert effective_size(wide) == pytest.approx(within**0.5, rel=0.01)


# ---- the task, and what was recorded --------------------------------------------------------------------------------


def test_a_picture_has_one_digit_in_each_square():
    images, labels = digit_pictures(1, 6, seed=4, cells=2)
    assert images.shape == (6, 1, 48, 48) and labels.shape == (6, 48, 48)
    assert images.min() == 0 and 0.9 < images.max() <= 1
    for image, label in zip(images[:, 0], labels, strict=True):
        assert torch.equal(label != NO_INK, image > 0.5)
        for y in (0, 24):
            for x in (0, 24):
                square = label[y : y + 24, x : x + 24]
                there = square[square != NO_INK].unique()
                assert len(there) == 1 and 0 <= there[0] <= 9
                ink = image[y : y + 24, x : x + 24] > 0
                assert np.ptp(ink.nonzero().numpy(), axis=0).max() < 12


def test_pictures_depend_on_the_seed_and_parts_share_no_digit():
    one, same, other = (digit_pictures(0, 5, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    train, test = (digit_pictures(part, 5, 1)[0] for part in (0, 2))
    assert not torch.equal(train, test)


def test_only_ink_counts_in_the_accuracy():
    labels = torch.tensor([[[3, NO_INK], [NO_INK, 4]]])
    scores = torch.zeros(1, 10, 2, 2)
    scores[:, 3] = 1
    assert pixel_accuracy(lambda _: scores, None, labels) == 0.5


def test_the_loss_is_of_ink_alone():
    """A network that says the same everywhere: the loss is the mean over the ink of its classes' scores."""
    model = PixelClassifier(1)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.zero_()
    loss = model.batch_loss(4)(torch.Generator().manual_seed(0))
    assert loss.item() == pytest.approx(np.log(10))


RUNS = json.loads((RECORDED / "receptive_field.json").read_text())["runs"]


@pytest.mark.slow
@pytest.mark.parametrize("layers", DEPTHS)
def test_recorded_stacks_score_what_is_recorded(layers):
    (run,) = [r for r in RUNS if r["layers"] == layers and r["seed"] == 0]
    model = recorded_classifier(layers)
    field = measured_field(model)
    assert spread(field) == pytest.approx(run["after"]["sigma"], rel=1e-3)
    assert effective_size(field) == pytest.approx(run["after"]["size"], rel=0.02)
    accuracy = pixel_accuracy(model, *digit_pictures(2, 400, seed=3))
    assert accuracy == pytest.approx(run["accuracy"], abs=1e-3)
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    before = spread(measured_field(PixelClassifier(layers)))
    assert before == pytest.approx(run["before"]["sigma"], rel=1e-3)


def test_every_depth_and_seed_is_recorded_and_training_widens_each_field():
    assert [(r["layers"], r["seed"]) for r in RUNS] == [(n, s) for n in DEPTHS for s in range(3)]  # fmt: skip
    assert all(run["after"]["sigma"] > run["before"]["sigma"] for run in RUNS)


# ---- bad input ------------------------------------------------------------------------------------------------------

FIELD = torch.ones(4, 4)
IMAGES = torch.rand(4, 3, 16, 12, generator=torch.Generator().manual_seed(0)).double()
FIELD_OF = effective_receptive_field
DEAD = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Hardtanh(1e6, 2e6)).double()
FLAT = nn.Sequential(nn.Flatten(), nn.Linear(576, 2)).double()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theoretical_receptive_field([3, 0]), r"kernel_sizes: got \[3, 0\], e"),
        (lambda: theoretical_receptive_field([3], [0]), r"strides: got \[0\], expect"),
        (
            lambda: theoretical_receptive_field([3], [1, 1]),
            "strides: got 2, expected 1",
        ),
        (lambda: ConvStack(0), "num_layers: got 0, expected at least 1"),
        (lambda: ConvStack(1, kernel_size=4), "kernel_size: got 4, expected an odd"),
        (lambda: ConvStack(1, weights="zero"), "weights: got 'zero', expected one of"),
        (
            lambda: ConvStack(1)(IMAGES),
            r"x: got shape \(4, 3, 16, 12\), expected \(B, 1",
        ),
        (lambda: FIELD_OF(ConvStack(1), IMAGES[0]), r"images: got shape \(3, 16, 12\)"),
        (lambda: FIELD_OF(ConvStack(1), IMAGES), r"x: got shape \(1, 3, 16, 12\)"),
        (lambda: FIELD_OF(FLAT, IMAGES), r"layer: got '', whose output is one of s"),
        (lambda: FIELD_OF(DEAD, IMAGES), "network: got a gradient of 0 every"),
        (lambda: spread(FIELD[0]), r"field: got shape \(4,\), expected \(H, W\)"),
        (
            lambda: spread(-FIELD),
            "field: got numbers from -1 to -1, expected none below",
        ),
        (lambda: spread(0 * FIELD), "field: got numbers from 0 to 0, expected none"),
        (lambda: spread(FIELD / 0), "field: got 16 NaN or infinite values"),
        (lambda: effective_size(FIELD, 0), "share: got 0, expected more than 0"),
        (lambda: digit_pictures(3, 1, 0), "part: got 3, expected one of 0, 1, 2"),
        (lambda: digit_pictures(0, 0, 0), "count: got 0, expected at least 1"),
        (lambda: digit_pictures(0, 1, 0, cells=0), "cells: got 0, expected at least"),
        (lambda: recorded_classifier(7), "num_layers: got 7, expected 5, 10, 20 or"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
