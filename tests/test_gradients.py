"""Gradients: by hand, by differences, by autograd; optimizers and a backward pass against PyTorch's; the landscape."""

import copy
import json
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from experiments.optimizers import RECORDED, SIZES
from helpers.data import digits
from helpers.gradients import (
    MLP,
    OPTIMIZERS,
    SGD,
    SURFACES,
    Adam,
    AdamW,
    Momentum,
    descend,
    filter_normalised_direction,
    loss_on_plane,
    numerical_gradient,
    principal_directions,
    train,
)

pytestmark = pytest.mark.usefixtures("double_precision")


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- surfaces -------------------------------------------------------------------------------------------------

coordinate = st.floats(-2, 2)


@pytest.mark.parametrize("name", SURFACES)
@given(x=coordinate, y=coordinate)
def test_gradient_by_hand_is_autograds_and_that_of_differences(name, x, y):
    surface = SURFACES[name]
    point = torch.tensor([x, y], dtype=torch.float64, requires_grad=True)
    (auto,) = torch.autograd.grad(surface.value(*point), point)
    hand = torch.stack([torch.as_tensor(g) for g in surface.gradient(*point.detach())])
    assert torch.allclose(hand, auto, rtol=1e-12, atol=1e-12)
    differences = numerical_gradient(lambda p: surface.value(*p), point.detach())
    assert torch.allclose(hand, differences, rtol=1e-6, atol=1e-5)


def test_the_slide_of_lecture_d_is_wrong_in_y_and_right_in_x():
    x, y = 0.5, -1.5
    differences = numerical_gradient(
        lambda p: SURFACES["lecture"].value(*p), torch.tensor([x, y])
    )
    assert abs(float(differences[0]) - (2 * x + 1 - y**3)) < 1e-8
    assert abs(float(differences[1]) - (-3 * x * y**2 + 2 * y)) < 1e-8
    assert abs(float(differences[1]) - (2 * x * y**2 + 2 * y)) > 5  # the slide


def test_lowest_points_are_where_the_page_marks_them():
    for name, points in {
        "lecture": [(-0.5, 0)],
        "valley": [(0, 0)],
        "rosenbrock": [(1, 1)],
        "saddle": [(0, 2**0.5), (0, -(2**0.5))],
        "beale": [(3, 0.5)],
    }.items():
        for x, y in points:
            assert max(map(abs, SURFACES[name].gradient(x, y))) < 1e-12
            around = [(x + dx, y + dy) for dx in (-0.01, 0.01) for dy in (-0.01, 0.01)]
            value = SURFACES[name].value
            assert all(value(*near) > value(x, y) for near in around)


# --- optimizers -----------------------------------------------------------------------------------------------

REFERENCES = {
    "SGD": (SGD, {}, torch.optim.SGD, {}),
    "momentum": (Momentum, {}, torch.optim.SGD, {"momentum": 0.9}),
    "Adam": (Adam, {}, torch.optim.Adam, {}),
    "AdamW": (AdamW, {"weight_decay": 0.1}, torch.optim.AdamW, {"weight_decay": 0.1}),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_a_hundred_steps_are_torchs(name):
    ours, options, theirs, their_options = REFERENCES[name]
    x, y = draw(20, 5, seed=1), torch.arange(20) % 3
    mine = MLP([5, 7, 3], seed=2)
    other = copy.deepcopy(mine)
    pair = [
        (mine, ours(mine.parameters, 0.02, **options)),
        (other, theirs(other.parameters, lr=0.02, **their_options)),
    ]
    start = parameters_to_vector(mine.parameters)
    for step in range(100):
        for model, optimizer in pair:
            rows = torch.arange(8) + step % 12
            model.forward(x[rows])
            model.backward(y[rows])
            optimizer.step()
    end, reference = (parameters_to_vector(m.parameters) for m in (mine, other))
    assert (end - start).abs().max() > 0.1
    assert (end - reference).abs().max() <= 1e-12


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_they_descend_a_valley(optimizer):
    path = descend("valley", (2, 1), optimizer, 200, learning_rate=0.05)
    values = SURFACES["valley"].value(*path.T)
    assert values[-1] < 0.01 * values[0] and path[0].tolist() == [2, 1]


def test_a_valley_of_curvature_25_takes_rates_below_2_over_25_and_no_more():
    end = {
        rate: abs(
            float(descend("valley", (0, 1), "SGD", 100, learning_rate=rate)[-1, 1])
        )
        for rate in (0.079, 0.081)
    }
    assert end[0.079] < 0.2 and end[0.081] > 5


# --- the perceptron -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[4, 3], [6, 5, 3], [6, 8, 7, 4]])
def test_backward_by_hand_is_autograds(sizes):
    model = MLP(sizes, seed=3)
    for i, b in enumerate(model.biases):
        b += draw(*b.shape, seed=10 + i)
    x, y = draw(9, sizes[0], seed=4), torch.arange(9) % sizes[-1]
    loss = model.loss(x, y)
    model.backward(y)
    leaves = [p.clone().requires_grad_() for p in model.parameters]
    half = len(leaves) // 2
    a = x
    for i, (W, b) in enumerate(zip(leaves[:half], leaves[half:], strict=True)):
        a = nn.functional.linear(a, W, b)
        a = torch.tanh(a) if i < half - 1 else a
    reference = nn.functional.cross_entropy(a, y)
    assert abs(loss - reference.item()) <= 1e-12
    for p, grad in zip(
        model.parameters, torch.autograd.grad(reference, leaves), strict=True
    ):
        assert (p.grad - grad).abs().max() <= 1e-12


def test_an_interruption_keeps_model_and_finished_epochs(capsys):
    x, y = torch.randn(64, 3), torch.arange(64) % 2
    model, steps = MLP([3, 4, 2], seed=0), []

    class Interrupted(SGD):
        def step(self):
            super().step()
            steps.append(1)
            if len(steps) == 5:  # two steps an epoch
                raise KeyboardInterrupt

    losses, path = train(
        model, Interrupted(model.parameters, 0.1), x, y, epochs=9, description="walk"
    )
    assert len(losses) == len(path) == 3 and losses[2] < losses[0]
    assert not torch.equal(parameters_to_vector(model.parameters), path[-1])
    assert "walk: stopped after 2 of 9 epochs" in capsys.readouterr().out


def test_training_lowers_the_loss_and_keeps_the_path():
    (x, y), *_ = digits()
    model = MLP([64, 16, 10], seed=0)
    losses, path = train(model, Momentum(model.parameters, 0.1), x, y, epochs=3)
    assert len(losses) == 4 and path.shape == (4, 64 * 16 + 16 + 160 + 10)
    assert losses[-1] < 0.3 < losses[0] and model.accuracy(x, y) > 0.9
    assert torch.equal(path[-1], parameters_to_vector(model.parameters))


# --- the landscape --------------------------------------------------------------------------------------------


def test_a_direction_has_the_norm_of_every_units_weights():
    model = MLP([6, 5, 3], seed=1)
    moved = copy.deepcopy(model)
    vector_to_parameters(filter_normalised_direction(model, 0), moved.parameters)
    for W, d in zip(model.weights, moved.weights, strict=True):
        assert torch.allclose(d.norm(dim=1), W.norm(dim=1)) and not torch.equal(d, W)
    assert all((b == 0).all() for b in moved.biases)
    assert not torch.equal(
        filter_normalised_direction(model, 0), filter_normalised_direction(model, 1)
    )


def test_principal_directions_find_the_plane_of_a_path():
    plane = torch.linalg.qr(draw(30, 2)).Q.T  # (2, 30)
    path = draw(12, 2, seed=1) @ plane + draw(30, seed=2)
    directions, share = principal_directions(path)
    assert torch.allclose(directions @ directions.T, torch.eye(2), atol=1e-12)
    assert abs(share - 1) < 1e-12
    away = path - path[-1]
    assert torch.allclose(away @ directions.T @ directions, away, atol=1e-10)


def test_loss_on_a_plane_is_the_loss_there():
    model = MLP([4, 3], seed=0)
    x, y = draw(7, 4), torch.arange(7) % 3
    directions = draw(2, 15, seed=5)
    before = parameters_to_vector(model.parameters)
    surface = loss_on_plane(model, x, y, directions, [0, 0.5, 1], [0, -2])
    assert surface.shape == (2, 3) and surface[0, 0] == model.loss(x, y)
    assert torch.equal(parameters_to_vector(model.parameters), before)
    vector_to_parameters(
        before + 0.5 * directions[0] - 2 * directions[1], model.parameters
    )
    assert surface[1, 1] == model.loss(x, y)


# --- what was recorded ----------------------------------------------------------------------------------------


def test_recorded_weights_score_as_recorded():
    recorded = json.loads((RECORDED / "optimizers.json").read_text())
    path = load_file(RECORDED / "optimizers.safetensors")["path"].double()
    one = recorded["optimizers"]["momentum"]["runs"][0]
    training, validation, test = digits()
    both = [torch.cat(pair) for pair in zip(training, validation, strict=True)]
    model = MLP(SIZES)
    for moment, loss in enumerate(one["train_loss"]):
        vector_to_parameters(path[moment], model.parameters)
        assert abs(model.loss(*both) - loss) < 1e-4
    assert model.accuracy(*test) == one["accuracy"] >= 0.97


def test_the_recorded_comparison_is_fair_and_reaches_97_percent():
    recorded = json.loads((RECORDED / "optimizers.json").read_text())
    for each in recorded["optimizers"].values():
        mean = {rate: sum(v) for rate, v in each["validation_loss"].items()}
        assert float(min(mean, key=mean.get)) == each["learning_rate"]
        assert [run["seed"] for run in each["runs"]] == list(range(10))
        assert {len(run["train_loss"]) for run in each["runs"]} == {31}
        assert sum(run["accuracy"] for run in each["runs"]) / 10 >= 0.97


# --- what is refused ------------------------------------------------------------------------------------------

P = [torch.zeros(2, dtype=torch.float64)]
BAD = {
    "parameters: got none, expected at least one": lambda: SGD([], 0.1),
    "learning_rate: got 0, expected a positive": lambda: SGD(P, 0),
    "learning_rate: got nan, expected a positive": lambda: Adam(P, float("nan")),
    "momentum: got 1, expected at least 0 and less": lambda: Momentum(P, 1, 1),
    "beta1: got -0.1, expected at least 0": lambda: Adam(P, 0.1, beta1=-0.1),
    "beta2: got 1.5, expected at least 0": lambda: Adam(P, 0.1, beta2=1.5),
    "weight_decay: got -1, expected at least 0": lambda: AdamW(P, 0.1, -1),
    "parameters[0]: got no gradient": lambda: SGD([torch.zeros(2)], 0.1).step(),
    "surface: got 'hill', expected one of": lambda: descend(
        "hill", (0, 0), "SGD", 1, learning_rate=1
    ),
    "optimizer: got 'Lion', expected one of": lambda: descend(
        "valley", (0, 0), "Lion", 1, learning_rate=1
    ),
    "start: got shape (3,), expected (2)": lambda: descend(
        "valley", (0, 0, 0), "SGD", 1, learning_rate=1
    ),
    "step: got 0, expected a positive": lambda: numerical_gradient(sum, P[0], 0),
    "point: got shape (1, 2), expected (n)": lambda: numerical_gradient(
        sum, P[0].reshape(1, 2)
    ),
    "sizes: got [4], expected at least 2": lambda: MLP([4]),
    "sizes: got [4, 0], expected at least 2": lambda: MLP([4, 0]),
    "x: got shape (2, 3), expected (B, 4)": lambda: MLP([4, 2]).forward(
        torch.zeros(2, 3)
    ),
    "directions: got shape (1, 10), expected (2, 10)": lambda: loss_on_plane(
        MLP([4, 2]), draw(3, 4), torch.zeros(3).long(), draw(1, 10), [0], [0]
    ),
    "path: got 1 NaN": lambda: principal_directions(
        torch.tensor([[0.0, 1.0], [float("nan"), 1.0]])
    ),
    "loss: got nan after 1 epochs": lambda: train(
        (model := MLP([4, 2])),
        SGD(model.parameters, 1e308),
        1e200 * draw(8, 4),
        torch.zeros(8).long(),
        epochs=2,
    ),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message):
    with pytest.raises(ValueError, match=re.escape(message)):
        BAD[message]()
