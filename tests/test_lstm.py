"""LSTM and GRU: equal to torch.nn's, padded batches included, and what the carousel says about their gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from helpers.lstm import GRU, LSTM

EXACT = {"rtol": 0, "atol": 1e-12}
TORCH = {LSTM: (nn.LSTM, "ifgu"), GRU: (nn.GRU, "rfg")}


pytestmark = pytest.mark.usefixtures("double_precision")


def twin(ours):
    """The module of torch.nn with the same weights; PyTorch's LSTM has the order i, f, g, o (our u)."""
    theirs_class, order = TORCH[type(ours)]
    theirs = theirs_class(ours.input_size, ours.hidden_size, batch_first=True)
    index = torch.cat([torch.arange(len(ours.b))[ours.rows(gate)] for gate in order])
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(ours.W_x[index])
        theirs.weight_hh_l0.copy_(ours.W_h[index])
        theirs.bias_ih_l0.copy_(ours.b[index])
        theirs.bias_hh_l0.zero_()
        if isinstance(ours, GRU):
            theirs.bias_hh_l0[-ours.hidden_size :] = ours.b_n
    return theirs, index


def both(kind, b=3, t=7, d_x=4, d_h=5, state=False, lengths=None):
    """Outputs, last states and gradients of ours and PyTorch's, as two dictionaries."""
    ours = kind(d_x, d_h)
    theirs, index = twin(ours)
    results = []
    x = torch.randn(b, t, d_x)
    first = [torch.randn(b, d_h) for _ in range(2 if kind is LSTM else 1)]
    for module in (ours, theirs):
        mine = module is ours
        inputs = [
            x.clone().requires_grad_(),
            *(s.clone().requires_grad_() for s in first),
        ]
        given = None
        if state:
            parts = [s if mine else s.unsqueeze(0) for s in inputs[1:]]
            given = tuple(parts) if kind is LSTM else parts[0]
        if mine:
            states, last = module(inputs[0], given, lengths)
        elif lengths is None:
            states, last = module(inputs[0], given)
        else:
            packed = pack_padded_sequence(
                inputs[0], lengths, batch_first=True, enforce_sorted=False
            )
            states, last = module(packed, given)
            states, _ = pad_packed_sequence(states, batch_first=True, total_length=t)
        last = list(last) if kind is LSTM else [last]
        last = [s if mine else s.squeeze(0) for s in last]
        weight = torch.linspace(-1, 2, states.numel()).view_as(states)
        loss = (states * weight).sum() + sum((s**2).sum() for s in last)
        loss.backward()
        grads = (
            [module.W_x, module.W_h, module.b]
            if mine
            else [module.weight_ih_l0, module.weight_hh_l0, module.bias_ih_l0]
        )
        result = {"states": states, **{f"last {i}": s for i, s in enumerate(last)}}
        for name, parameter in zip(("W_x", "W_h", "b"), grads, strict=True):
            result[f"∂{name}"] = parameter.grad[index] if mine else parameter.grad
        if kind is GRU:
            result["∂b_n"] = module.b_n.grad if mine else module.bias_hh_l0.grad[-d_h:]
        used = inputs if state else inputs[:1]
        result |= {f"∂input {i}": each.grad for i, each in enumerate(used)}
        results.append(result)
    return results


@pytest.mark.parametrize("kind", TORCH)
@pytest.mark.parametrize("state", [False, True])
@pytest.mark.parametrize("lengths", [None, [7, 2, 5]])
def test_equals_torch_in_states_and_gradients(kind, state, lengths):
    lengths = None if lengths is None else torch.tensor(lengths)
    ours, theirs = both(kind, state=state, lengths=lengths)
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(
            ours[name], theirs[name], msg=lambda text, n=name: f"{n}: {text}", **EXACT
        )


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from([LSTM, GRU]),
    seed=st.integers(0, 10_000),
    b=st.integers(1, 4),
    t=st.integers(1, 9),
    d_x=st.integers(1, 5),
    d_h=st.integers(1, 6),
    data=st.data(),
)
def test_equals_torch_for_any_sizes_and_lengths(kind, seed, b, t, d_x, d_h, data):
    torch.manual_seed(seed)
    lengths = data.draw(st.lists(st.integers(1, t), min_size=b, max_size=b))
    ours, theirs = both(kind, b, t, d_x, d_h, lengths=torch.tensor(lengths))
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], **EXACT)


@pytest.mark.parametrize("kind", TORCH)
def test_two_halves_give_the_whole(kind):
    module, x = kind(3, 4), torch.randn(2, 8, 3)
    states, last = module(x)
    first, state = module(x[:, :5])
    second, end = module(x[:, 5:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), states, **EXACT)
    torch.testing.assert_close(end, last, **EXACT)


@pytest.mark.parametrize("kind", TORCH)
def test_what_stands_in_the_padding_changes_nothing(kind):
    module, x, lengths = kind(3, 4), torch.randn(2, 6, 3), torch.tensor([6, 2])
    states, last = module(x, lengths=lengths)
    x[1, 2:] = 1e6
    other, end = module(x, lengths=lengths)
    torch.testing.assert_close(other, states, **EXACT)
    torch.testing.assert_close(end, last, **EXACT)
    assert (states[1, 2:] == 0).all()


def test_the_trace_is_what_the_definition_says():
    lstm, x = LSTM(3, 4), torch.randn(2, 6, 3)
    inside = lstm.trace(x)
    states, (_, c) = lstm(x)
    torch.testing.assert_close(inside["h"], states, **EXACT)
    torch.testing.assert_close(inside["c"][:, -1], c, **EXACT)
    h, before = torch.zeros(2, 4), torch.zeros(2, 4)
    for t in range(6):
        for gate, activation in zip(
            "fiug", [torch.sigmoid] * 3 + [torch.tanh], strict=True
        ):
            rows = lstm.rows(gate)
            energy = x[:, t] @ lstm.W_x[rows].T + h @ lstm.W_h[rows].T + lstm.b[rows]
            torch.testing.assert_close(inside[gate][:, t], activation(energy), **EXACT)
        before = inside["f"][:, t] * before + inside["i"][:, t] * inside["g"][:, t]
        torch.testing.assert_close(inside["c"][:, t], before, **EXACT)
        h = inside["u"][:, t] * torch.tanh(before)


def test_the_carousel_is_exact_when_h_is_held_fixed_and_has_more_terms_when_not():
    lstm, x = LSTM(3, 5), torch.randn(1, 3)
    c, u = torch.randn(5), torch.sigmoid(torch.randn(5))
    projected = x @ lstm.W_x.T + lstm.b

    def next_cell(c, fixed):
        h = u * torch.tanh(c)
        return lstm.step(projected, (h.detach() if fixed else h)[None], c[None])[1][0]

    f = lstm.step(projected, (u * torch.tanh(c))[None], c[None])[2][0][0]
    jacobian = torch.autograd.functional.jacobian
    truncated = jacobian(lambda c: next_cell(c, True), c)
    full = jacobian(lambda c: next_cell(c, False), c)
    torch.testing.assert_close(truncated, torch.diag(f), **EXACT)
    assert (full - truncated).abs().max() > 0.01


def test_forget_bias_and_first_weights():
    lstm = LSTM(3, 16, forget_bias=2.5)
    assert (lstm.b[lstm.rows("f")] == 2.5).all()
    assert (LSTM(3, 16).b[lstm.rows("f")] == 1).all()
    for module in (lstm, GRU(3, 16)):
        for name, parameter in module.named_parameters():
            rest = parameter[16:] if name == "b" else parameter
            assert rest.abs().max() <= 0.25 and rest.std() > 0.1, name


def test_chos_reset_is_another_function():
    """Reset before the product or after it: equal only where W_h is diagonal."""
    r, h = torch.rand(4), torch.randn(4)
    W = torch.randn(4, 4)
    assert ((W @ (r * h)) - r * (W @ h)).abs().max() > 0.01
    D = torch.diag(torch.randn(4))
    torch.testing.assert_close(D @ (r * h), r * (D @ h), **EXACT)


NAN = torch.full((2, 5, 3), torch.nan)


@pytest.mark.parametrize("kind", TORCH)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(2, 3)}, r"x: got shape \(2, 3\), expected \(B, T, 3\)"),
        ({"x": torch.zeros(2, 0, 3)}, r"x: got shape \(2, 0, 3\)"),
        (
            {"x": torch.zeros(2, 5, 4)},
            r"x: got shape \(2, 5, 4\), expected \(B, T, 3\)",
        ),
        ({"x": NAN}, "x: got 30 NaN or infinite values"),
        ({"lengths": torch.tensor([5])}, r"lengths: got shape \(1,\), expected \(2\)"),
        (
            {"lengths": torch.tensor([5, 6])},
            r"lengths: got \[5, 6\], expected .* 1 to 5",
        ),
        ({"lengths": torch.tensor([0, 5])}, r"lengths: got \[0, 5\]"),
    ],
)
def test_bad_input_is_named(kind, change, message):
    arguments = {"x": torch.zeros(2, 5, 3), "lengths": None} | change
    with pytest.raises(ValueError, match=message):
        kind(3, 4)(**arguments)


def test_bad_states_and_sizes_are_named():
    x = torch.zeros(2, 5, 3)
    with pytest.raises(
        ValueError, match=r"state: got shape \(2, 5\), expected \(2, 4\)"
    ):
        GRU(3, 4)(x, torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"state\[1\]: got shape \(1, 4\)"):
        LSTM(3, 4)(x, (torch.zeros(2, 4), torch.zeros(1, 4)))
    for kind in TORCH:
        with pytest.raises(ValueError, match="hidden_size: got 0, expected at least 1"):
            kind(3, 0)
