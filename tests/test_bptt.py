"""Backpropagation through time by hand against autograd; products of Jacobians against what is known of them."""

import json
import math
from collections import Counter
from importlib.resources import files

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.nn import functional as F

from helpers.bptt import (
    INITIALISATIONS,
    Parameters,
    backward,
    forward,
    gradients_by_lag,
    initial_matrix,
    jacobians,
    limited_backward,
    log_gains,
    predicted_log_gains,
    spectral_radius,
)
from helpers.data import book_text
from helpers.rnn import RNN

RECORDED = files("helpers") / "recorded"
EXACT = {"rtol": 0, "atol": 1e-12}


pytestmark = pytest.mark.usefixtures("double_precision")


def problem(steps=7, d_x=3, d_h=5, d_y=4, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    parameters = Parameters(
        normal(d_h, d_h),
        normal(d_h, d_x),
        normal(d_y, d_h),
        normal(d_h),
        normal(d_y),
        normal(d_h),
    )
    y = torch.randint(d_y, (steps,), generator=generator)
    return normal(steps, d_x), y, parameters


def book_rnn_loss(x, y, p):
    """The summed loss, through helpers.rnn.RNN, and the leaves that autograd differentiates."""
    rnn = RNN(x.shape[1], len(p.b))
    with torch.no_grad():
        for name in "WUb":
            getattr(rnn, name).copy_(getattr(p, name))
    V, c, h_0 = (part.clone().requires_grad_() for part in (p.V, p.c, p.h_0))
    states, _ = rnn(x.unsqueeze(0), h_0.unsqueeze(0))
    loss = F.cross_entropy(states[0] @ V.T + c, y, reduction="sum")
    return loss, Parameters(rnn.W, rnn.U, V, rnn.b, c, h_0)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 12),
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(0, 99),
)
def test_by_hand_equals_autograd(steps, d_x, d_h, d_y, seed):
    x, y, p = problem(steps, d_x, d_h, d_y, seed)
    loss, states, probabilities = forward(x, y, p)
    by_hand = backward(x, y, p, states, probabilities)
    expected, leaves = book_rnn_loss(x, y, p)
    torch.testing.assert_close(loss, expected, **EXACT)
    for ours, theirs in zip(
        by_hand, torch.autograd.grad(expected, leaves), strict=True
    ):
        torch.testing.assert_close(ours, theirs, **EXACT)


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 20])
def test_limited_equals_autograd_on_detached_states(limit):
    x, y, p = problem()
    _, states, probabilities = forward(x, y, p)
    by_hand = limited_backward(x, y, p, states, probabilities, limit)
    leaves = Parameters(*(part.clone().requires_grad_() for part in p))
    loss = 0
    for t in range(len(x)):  # one loss at a time, from a state that is a constant
        start = max(0, t + 1 - limit)
        h = leaves.h_0 if start == 0 else states[start]
        for s in range(start, t + 1):
            h = torch.tanh(leaves.b + leaves.W @ h + leaves.U @ x[s])
        loss = loss + F.cross_entropy(leaves.c + leaves.V @ h, y[t])
    for ours, theirs in zip(by_hand, torch.autograd.grad(loss, leaves), strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


def test_limited_by_the_whole_length_is_the_full_gradient():
    x, y, p = problem()
    _, states, probabilities = forward(x, y, p)
    full = backward(x, y, p, states, probabilities)
    limited = limited_backward(x, y, p, states, probabilities, len(x))
    for one, other in zip(full, limited, strict=True):
        torch.testing.assert_close(one, other, **EXACT)


def test_gradients_by_lag_equal_autograd():
    x, y, p = problem(steps=9)
    _, states, probabilities = forward(x, y, p)
    errors = probabilities - F.one_hot(y, 4)
    ours = gradients_by_lag(p, states, errors, lags=5)
    h = [p.h_0.clone().requires_grad_()]
    for x_t in x:
        h.append(torch.tanh(p.b + p.W @ h[-1] + p.U @ x_t))
    for column, t in enumerate(range(6, 10)):
        loss = F.cross_entropy(p.c + p.V @ h[t], y[t - 1])
        theirs = torch.autograd.grad(loss, h[t - 5 : t + 1], retain_graph=True)
        expected = torch.stack(theirs).flip(0)
        torch.testing.assert_close(ours[:, column], expected, **EXACT)


def test_jacobians_equal_autograd():
    x, y, p = problem()
    _, states, _ = forward(x, y, p)
    for t, ours in enumerate(jacobians(p.W, states[1:])):

        def step(h, t=t):
            return torch.tanh(p.b + p.W @ h + p.U @ x[t])

        theirs = torch.autograd.functional.jacobian(step, states[t])
        torch.testing.assert_close(ours, theirs, **EXACT)


@pytest.mark.parametrize("norm", ["typical", "worst"])
def test_gains_are_norms_of_the_product(norm):
    factors = torch.randn(6, 4, 4)
    product = torch.eye(4)
    for gain, factor in zip(log_gains(factors, norm), factors.flip(0), strict=True):
        product = product @ factor
        expected = torch.linalg.matrix_norm(product, ord=2)
        if norm == "typical":  # the mean over gradients of length 1 in all directions
            expected = (product.square().sum() / 4).sqrt()
        torch.testing.assert_close(gain, expected.log(), **EXACT)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_gains_neither_overflow_nor_underflow(factor):
    gains = log_gains(factor * torch.eye(3).repeat(500, 1, 1))
    expected = math.log(factor) * torch.arange(1, 501)
    torch.testing.assert_close(gains, expected, rtol=1e-10, atol=0)


def test_a_product_that_is_zero_has_gain_minus_infinity():
    factors = torch.stack([torch.eye(2), torch.zeros(2, 2), torch.eye(2)])
    assert log_gains(factors).tolist() == [0, -math.inf, -math.inf]


@pytest.mark.parametrize("gain", [0.7, 1.0, 1.4])
def test_orthogonal_and_linear_is_a_power_of_the_radius(gain):
    W = initial_matrix("orthogonal", 12, torch.Generator().manual_seed(0), gain)
    for norm in ("typical", "worst"):
        gains = log_gains(W.repeat(30, 1, 1), norm)
        expected = math.log(gain) * torch.arange(1, 31)
        torch.testing.assert_close(gains, expected, **EXACT)


def test_long_run_growth_is_the_spectral_radius():
    """Gelfand's formula: ‖Wᵏ‖^(1/k) tends to the radius, in whichever norm."""
    W = torch.randn(8, 8)
    for norm in ("typical", "worst"):
        gains = log_gains(W.repeat(1000, 1, 1), norm)
        rate = (gains[-1] - gains[499]) / 500
        assert abs(rate - spectral_radius(W).log()) < 5e-3


def test_prediction_holds_on_the_average_over_draws():
    generator = torch.Generator().manual_seed(0)
    measured, predicted = [], []
    for _ in range(40):
        W = initial_matrix("gaussian", 128, generator, 1.2)
        h, states = torch.zeros(128), []
        for _ in range(40):
            noise = 0.5 * torch.randn(128, generator=generator)
            h = torch.tanh(W @ h + noise)
            states.append(h)
        states = torch.stack(states[-8:])
        measured.append(log_gains(jacobians(W, states)))
        predicted.append(predicted_log_gains(W, states))
    difference = torch.stack(measured).mean(dim=0) - torch.stack(predicted).mean(dim=0)
    assert difference.abs().max() < 0.1  # a tenth, where eight steps shrink it by half


def test_prediction_is_exact_for_orthogonal_and_linear():
    W = initial_matrix("orthogonal", 6, torch.Generator().manual_seed(1), 0.9)
    predicted = predicted_log_gains(W, torch.zeros(5, 6))  # tanh'(0) = 1
    torch.testing.assert_close(predicted, math.log(0.9) * torch.arange(1, 6), **EXACT)


RADII = {"uniform": 1 / 3**0.5, "xavier": 1.0, "orthogonal": 1.0, "gaussian": 1.0}


@pytest.mark.parametrize("name", INITIALISATIONS)
def test_initialisations_have_their_radius(name):
    generator = torch.Generator().manual_seed(0)
    radii = [spectral_radius(initial_matrix(name, 128, generator)) for _ in range(5)]
    assert abs(sum(radii) / 5 - RADII[name]) < 0.12
    doubled = initial_matrix(name, 8, torch.Generator().manual_seed(0), gain=2.0)
    single = initial_matrix(name, 8, torch.Generator().manual_seed(0))
    torch.testing.assert_close(doubled, 2 * single, **EXACT)


def test_uniform_is_the_first_weight_of_torch():
    """Same law as torch.nn.RNN's: bounded by 1/√n, variance 1/3n."""
    ours = initial_matrix("uniform", 200, torch.Generator().manual_seed(0))
    theirs = torch.nn.RNN(200, 200).weight_hh_l0
    for W in (ours, theirs):
        assert W.abs().max() <= 200**-0.5
        assert abs(W.var() * 3 * 200 - 1) < 0.02


X, Y, P = problem()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: forward(X[0], Y, P), r"x: got shape \(3,\), expected \(T, d_x\)"),
        (lambda: forward(X, Y[1:], P), r"y: got shape \(6,\), expected \(7\)"),
        (lambda: forward(X, Y + 4, P), r"y: got .*, expected whole numbers from 0"),
        (lambda: forward(X * math.nan, Y, P), r"x: got 21 NaN or infinite"),
        (
            lambda: forward(X, Y, P._replace(W=P.W[1:])),
            r"W: got shape \(4, 5\), expected \(5, 5\)",
        ),
        (
            lambda: limited_backward(X, Y, P, *forward(X, Y, P)[1:], limit=0),
            r"limit: got 0, expected at least 1",
        ),
        (
            lambda: gradients_by_lag(P, torch.zeros(8, 5), torch.zeros(7, 4), 7),
            r"lags: got 7, expected 0 to 6",
        ),
        (lambda: log_gains(torch.eye(2)[None], "max"), r"norm: got 'max', expected"),
        (lambda: log_gains(torch.eye(2)), r"factors: got shape \(2, 2\), expected"),
        (lambda: jacobians(P.W, X), r"W: got shape \(5, 5\), expected \(3, 3\)"),
        (lambda: spectral_radius(P.U), r"W: got shape \(5, 3\), expected"),
        (
            lambda: initial_matrix("he", 4, torch.Generator()),
            r"name: got 'he', expected one of 'uniform'",
        ),
        (
            lambda: initial_matrix("xavier", 0, torch.Generator()),
            r"size: got 0, expected at least 1",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- what the experiments recorded ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("first", ["uniform", "orthogonal"])
def test_recorded_weights_score_what_was_recorded(first):
    recorded = json.loads((RECORDED / "reading_back.json").read_text())["text"]
    run = next(r for r in recorded["runs"] if (r["first"], r["seed"]) == (first, 0))
    weights = load_file(RECORDED / f"reading_back_{first}.safetensors")
    p = Parameters(**{name: part.double() for name, part in weights.items()})
    symbols = recorded["symbols"]
    text = " ".join(book_text("carroll-alice").lower().split())
    numbers = torch.tensor([symbols.index(s) for s in text if s in symbols])
    numbers = numbers[len(numbers) * 4 // 5 :][: recorded["read"] + 1]
    x, y = F.one_hot(numbers[:-1], len(symbols)).double(), numbers[1:]
    loss, states, probabilities = forward(x, y, p)
    assert abs(loss / len(y) - run["after"]["loss"]) < 1e-3
    errors = probabilities - F.one_hot(y, len(symbols))
    norms = gradients_by_lag(p, states, errors, 64).norm(dim=2)
    gain = (norms / norms[0]).log().mean(dim=1)
    torch.testing.assert_close(
        gain, torch.tensor(run["after"]["gain"]), rtol=0, atol=2e-3
    )


def test_recorded_runs_have_ten_seeds_each():
    settings = json.loads((RECORDED / "eight_steps.json").read_text())["settings"]
    for name, setting in settings.items():
        runs = setting["runs"]
        for lag_runs in [runs] if name == "gradients" else runs.values():
            kinds = Counter(
                tuple(
                    run.get(key)
                    for key in ("size", "first", "gain", "learning_rate", "clip")
                )
                for run in lag_runs
            )
            assert set(kinds.values()) == {10}, name
