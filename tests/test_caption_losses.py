"""Losses of a captioner: by hand, by enumeration of all paths, and within the standard error."""

import math
from itertools import product

import pytest
import torch
from test_captioning import tiny
from torch import nn

from helpers.caption_losses import (
    MovingBaseline,
    doubly_stochastic_penalty,
    entropy,
    gradient_noise,
    hard_loss,
    log_likelihood,
    log_probability_of_places,
    soft_loss,
)

pytestmark = pytest.mark.usefixtures("double_precision")


def test_log_likelihood_leaves_padding_out():
    logits, target = torch.randn(2, 3, 5), torch.tensor([[3, 2, 0], [4, 3, 2]])
    log_p = torch.log_softmax(logits, -1)
    expected = [
        log_p[0, 0, 3] + log_p[0, 1, 2],
        log_p[1, 0, 4] + log_p[1, 1, 3] + log_p[1, 2, 2],
    ]
    assert torch.allclose(log_likelihood(logits, target), torch.stack(expected))


# ---- the penalty ----------------------------------------------------------------------------------------------------


def test_penalty_is_0_if_every_place_is_looked_at_once():
    words = torch.ones(1, 4, dtype=torch.bool)
    each = torch.eye(4)[[2, 0, 3, 1]][None]
    assert doubly_stochastic_penalty(each, words) == 0
    assert doubly_stochastic_penalty(torch.full((1, 4, 4), 0.25), words) == 0
    always = torch.eye(4)[[0, 0, 0, 0]][None]
    assert doubly_stochastic_penalty(always, words) == (1 - 4) ** 2 + 3
    padded = torch.cat([each, torch.rand(1, 2, 4)], dim=1)
    mask = torch.tensor([[True] * 4 + [False] * 2])
    assert doubly_stochastic_penalty(padded, mask) == 0


def test_least_penalty_with_fewer_words_than_places():
    words = torch.ones(1, 3, dtype=torch.bool)
    even = doubly_stochastic_penalty(torch.full((1, 3, 12), 1 / 12), words)
    assert even.item() == pytest.approx(12 * (1 - 3 / 12) ** 2)
    energies = torch.randn(50, 3, 12)
    others = doubly_stochastic_penalty(energies.softmax(-1), words.expand(50, 3))
    assert (others > even).all()


def test_gradient_of_the_penalty_is_that_of_the_squares():
    """The 1 of the paper plays no part in it."""
    energies = torch.randn(2, 3, 12, requires_grad=True)
    weights, words = energies.softmax(-1), torch.ones(2, 3, dtype=torch.bool)
    ours = doubly_stochastic_penalty(weights, words).sum()
    squares = weights.sum(dim=1).square().sum()
    one, other = (
        torch.autograd.grad(x, energies, retain_graph=True)[0]
        for x in (ours, squares)
    )  # fmt: skip
    assert torch.allclose(one, other, atol=1e-12) and one.abs().max() > 1e-3


def test_soft_loss_by_hand():
    model, annotations, target = tiny()
    told = model(annotations, target)
    terms = [
        -torch.log_softmax(told.logits[b], -1)[[0, 1], target[b]].sum()
        + 0.5 * ((1 - told.weights[b].sum(0)) ** 2).sum()
        for b in range(2)
    ]
    assert torch.allclose(soft_loss(model, annotations, target, 0.5), sum(terms) / 2)


# ---- hard attention: REINFORCE --------------------------------------------------------------------------------------


def enumerated(model, annotations, target):
    """−Σ_s p(s) log p(y | s), the mean over the captions: all 3² paths of places, one after the other."""
    total = 0
    words = torch.ones(target.shape, dtype=torch.bool)
    for path in product(range(3), repeat=2):
        places = torch.tensor([path, path])
        told = model(annotations, target, "hard", places)
        log_p = log_probability_of_places(told.weights, places, words)
        total = total - log_p.exp() * log_likelihood(told.logits, target)
    return total.mean()


def gradients(loss, model):
    found = torch.autograd.grad(loss, [*model.parameters()], allow_unused=True)
    return torch.cat([g.flatten() for g in found if g is not None])


def estimates(draws, baseline, score_weight=1.0):
    """The exact gradient and `draws` estimates of it, each from one path for each caption."""
    model, annotations, target = tiny()
    exact = gradients(enumerated(model, annotations, target), model)
    generator, found = torch.Generator().manual_seed(0), []
    for _ in range(draws):
        fixed = MovingBaseline()
        fixed.value = baseline
        loss = hard_loss(
            model, annotations, target, fixed, score_weight, 0.0, generator
        )  # fmt: skip
        found.append(gradients(loss, model))
    return exact, torch.stack(found)


def standard_errors(exact, found):
    error = found.std(dim=0) / math.sqrt(len(found))
    # what no path changes must be exact
    return (found.mean(0) - exact).abs() / error.clamp(min=1e-10)


def test_paths_have_probabilities_that_sum_to_1():
    model, annotations, target = tiny()
    words = torch.ones(2, 2, dtype=torch.bool)
    total = 0
    for path in product(range(3), repeat=2):
        places = torch.tensor([path, path])
        weights = model(annotations, target, "hard", places).weights
        total = total + log_probability_of_places(weights, places, words).exp()
    assert torch.allclose(total, torch.ones(2), atol=1e-12)


@pytest.mark.parametrize("baseline", [0.0, -4.0])
def test_reinforce_is_unbiased(baseline):
    """Against all paths: no parameter's mean is further off than chance allows, whatever the baseline."""
    exact, found = estimates(300, baseline)
    off = standard_errors(exact, found)
    assert off.max() < 4.5 and off.square().mean().sqrt() < 1.6
    assert exact.norm() > 0.1


def test_without_the_score_it_is_biased():
    """The test above can fail: to go without the second term is to be wrong."""
    assert standard_errors(*estimates(300, -4.0, score_weight=0.0)).max() > 6


def test_a_good_baseline_makes_it_less_noisy():
    spread = {
        b: estimates(150, b)[1].var(dim=0).sum() for b in (0.0, -4.0)
    }  # fmt: skip
    assert spread[-4.0] < 0.7 * spread[0.0]


def test_the_baseline_is_used_before_it_moves_on():
    model, annotations, target = tiny()
    baseline = MovingBaseline()
    places = model(annotations, target, "hard", generator=seeded()).places
    told = model(annotations, target, "hard", places)
    reward = log_likelihood(told.logits, target)
    score = log_probability_of_places(told.weights, places, target != 0)
    expected = -(reward + reward * score).mean()  # b = 0
    loss = hard_loss(model, annotations, target, baseline, 1.0, 0.0, seeded())
    assert torch.allclose(loss, expected)
    assert baseline.value == pytest.approx(0.1 * reward.mean().item())
    baseline.update(torch.tensor([-2.0, -4.0]))
    assert baseline.value == pytest.approx(0.09 * reward.mean().item() - 0.3)


def seeded():
    return torch.Generator().manual_seed(5)


def test_entropy():
    words = torch.tensor([[True, True, False]])
    even, sure = torch.full((1, 3, 8), 1 / 8), torch.eye(8)[[1, 4, 4]][None]
    assert entropy(even, words).item() == pytest.approx(2 * math.log(8))
    assert entropy(sure, words) == 0
    model, annotations, target = tiny()
    losses = [
        hard_loss(model, annotations, target, MovingBaseline(), 1.0, weight, seeded())
        for weight in (0.0, 0.5)
    ]
    weights = model(annotations, target, "hard", generator=seeded()).weights
    gained = 0.5 * entropy(weights, target != 0).mean()
    assert torch.allclose(losses[0] - losses[1], gained)


def test_noise_of_a_known_gradient():
    x = nn.Parameter(torch.tensor([3.0, 4.0]))
    assert gradient_noise(lambda: x.square().sum() / 2, [x], 5) == pytest.approx(
        (25, 0)
    )
    signs = iter([1.0, -1.0] * 2)
    mean, variance = gradient_noise(lambda: next(signs) * x[0] + 2 * x[1], [x], 4)
    assert (mean, variance) == pytest.approx((4, 4 / 3))  # (0, 2); ±1 with 3 below


# ---- bad input ------------------------------------------------------------------------------------------------------

WEIGHTS, MASK = torch.rand(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: doubly_stochastic_penalty(WEIGHTS[0], MASK),
            r"weights: got shape \(3, 4\)",
        ),
        (
            lambda: doubly_stochastic_penalty(WEIGHTS, MASK[:1]),
            r"mask: got shape \(1, 3\)",
        ),
        (
            lambda: doubly_stochastic_penalty(WEIGHTS, MASK.long()),
            "mask: got torch.int64",
        ),
        (lambda: MovingBaseline(1.0), "decay: got 1.0, expected"),
        (lambda: gradient_noise(lambda: 0, [], 1), "draws: got 1, expected at least 2"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
