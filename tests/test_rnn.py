"""The recurrent network against torch.nn, the models of tokens, and what a window can see."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from helpers.rnn import RNN, TokenRNN, WindowMLP

EXACT = {"rtol": 0, "atol": 1e-12}


pytestmark = pytest.mark.usefixtures("double_precision")


def pair(d_x=3, d_h=5):
    """Ours and torch's, with the same weights."""
    ours, reference = RNN(d_x, d_h), nn.RNN(d_x, d_h, batch_first=True)
    with torch.no_grad():
        reference.weight_hh_l0.copy_(ours.W)
        reference.weight_ih_l0.copy_(ours.U)
        reference.bias_ih_l0.copy_(ours.b)
        reference.bias_hh_l0.zero_()
    return ours, reference


def reference_run(reference, x, state=None, lengths=None):
    state = None if state is None else state.unsqueeze(0)
    if lengths is None:
        states, last = reference(x, state)
    else:
        packed = nn.utils.rnn.pack_padded_sequence(
            x, lengths, batch_first=True, enforce_sorted=False
        )
        states, last = reference(packed, state)
        states, _ = nn.utils.rnn.pad_packed_sequence(
            states, batch_first=True, total_length=x.shape[1]
        )
    return states, last.squeeze(0)


CASES = {
    "plain": (False, None),
    "first state": (True, None),
    "padded": (False, torch.tensor([7, 1, 4, 4])),
    "padded, first state, none full": (True, torch.tensor([2, 6, 1, 3])),
}


@pytest.mark.parametrize("case", CASES)
def test_states_and_gradients_equal_torch(case):
    with_state, lengths = CASES[case]
    ours, reference = pair()
    x = torch.randn(4, 7, 3)
    state = torch.randn(4, 5) if with_state else None
    weights, weights_last = torch.randn(4, 7, 5), torch.randn(4, 5)
    results = []
    for run in (ours, lambda *given: reference_run(reference, *given)):
        given = x.clone().requires_grad_()
        states, last = run(given, state, lengths)
        ((states * weights).sum() + (last * weights_last).sum()).backward()
        results.append((states, last, given.grad))
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, **EXACT)
    for got, expected in (
        (ours.W, reference.weight_hh_l0),
        (ours.U, reference.weight_ih_l0),
        (ours.b, reference.bias_ih_l0),
    ):
        assert expected.grad.abs().max() > 0.1
        torch.testing.assert_close(got.grad, expected.grad, **EXACT)


def test_what_lies_beyond_the_length_does_not_matter():
    ours, _ = pair()
    x, lengths = torch.randn(2, 6, 3), torch.tensor([3, 6])
    changed = x.clone()
    changed[0, 3:] = 99.0
    for got, expected in zip(
        ours(changed, lengths=lengths), ours(x, lengths=lengths), strict=True
    ):
        assert torch.equal(got, expected)


def test_two_halves_make_the_whole():
    ours, _ = pair()
    x = torch.randn(2, 8, 3)
    whole, last = ours(x)
    first, state = ours(x[:, :5])
    second, end = ours(x[:, 5:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, **EXACT)
    torch.testing.assert_close(end, last, **EXACT)


def test_start_values():
    ours = RNN(200, 100)
    for parameter in ours.parameters():
        assert 0.095 < parameter.abs().max() < 0.1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": torch.zeros(2, 4)}, r"x: got shape \(2, 4\), expected \(B, T, 3\)"),
        ({"x": torch.zeros(2, 0, 3)}, r"x: got shape \(2, 0, 3\)"),
        ({"x": torch.full((2, 4, 3), torch.nan)}, "x: got 24 NaN or infinite values"),
        ({"state": torch.zeros(1, 5)}, r"state: got shape \(1, 5\), expected \(2, 5\)"),
        ({"lengths": torch.tensor([0, 4])}, r"lengths: got \[0, 4\], expected numbers"),
        ({"lengths": torch.tensor([1, 5])}, "expected numbers from 1 to 4"),
        ({"lengths": torch.tensor([1])}, r"lengths: got shape \(1,\), expected \(2\)"),
    ],
)
def test_bad_input(given, message):
    ours, _ = pair()
    with pytest.raises(ValueError, match=message):
        ours(**{"x": torch.zeros(2, 4, 3), **given})


def test_bad_sizes():
    with pytest.raises(ValueError, match="input_size: got 0, expected at least 1"):
        RNN(0, 4)
    with pytest.raises(ValueError, match="hidden_size: got -1, expected at least 1"):
        RNN(2, -1)


# --- tokens in, outputs out -------------------------------------------------------------------------------------------


def test_a_token_rnn_is_an_rnn_of_one_hot_vectors_and_a_linear_layer():
    model = TokenRNN(6, 4, 3)
    tokens, lengths = torch.randint(6, (2, 5)), torch.tensor([5, 2])
    states, last = model.rnn(nn.functional.one_hot(tokens, 6).double(), None, lengths)
    logits, state = model(tokens, lengths=lengths)
    expected = states @ model.output.weight.T + model.output.bias
    torch.testing.assert_close(logits, expected, **EXACT)
    assert torch.equal(state, last)
    rest, _ = model(tokens[:, 3:], model(tokens[:, :3])[1])
    torch.testing.assert_close(rest[:1], logits[:1, 3:], **EXACT)


def dense_window(model, tokens):
    """The same by one-hot vectors, position by position."""
    size, steps = tokens.shape
    logits = torch.zeros(size, steps, model.output.out_features)
    for row in range(size):
        for t in range(steps):
            places = range(t - model.window, t + model.window + 1)
            read = [int(tokens[row, p]) if 0 <= p < steps else 0 for p in places]
            x = nn.functional.one_hot(torch.tensor(read), model.num_tokens).double()
            logits[row, t] = model.output(torch.tanh(model.hidden(x.flatten())))
    return logits


@pytest.mark.parametrize("window", [0, 1, 4])
def test_a_window_reads_the_one_hot_vectors_around_each_token(window):
    model, tokens = WindowMLP(5, window, 3, 2), torch.randint(5, (2, 6))
    torch.testing.assert_close(model(tokens), dense_window(model, tokens), **EXACT)


@given(st.integers(0, 4), st.integers(0, 11), st.integers(0, 11))
def test_a_window_sees_so_far_and_no_further(window, changed, place):
    torch.manual_seed(0)
    model = WindowMLP(5, window, 3, 2)
    tokens = torch.randint(1, 5, (1, 12))
    other = tokens.clone()
    other[0, changed] = 0
    same = torch.equal(model(tokens)[0, place], model(other)[0, place])
    assert same == (abs(changed - place) > window)


def test_bad_windows():
    with pytest.raises(ValueError, match="window: got -1, expected 0 or more steps"):
        WindowMLP(5, -1, 3, 2)
    with pytest.raises(ValueError, match=r"tokens: got shape \(3,\), expected \(B, T"):
        WindowMLP(5, 1, 3, 2)(torch.zeros(3, dtype=torch.long))
