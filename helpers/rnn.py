"""Recurrent networks: one step, again and again, over a sequence of any length.

Shapes throughout: B sequences in a batch, T steps, d_x numbers a step in the input, d_h units in the state.
"""

import torch
from torch import nn

from helpers.validation import require_finite, require_shape


class RNN(nn.Module):
    """The recurrent network of Elman: the new state sees the input and the state before.

    a_t = b + W h_{t−1} + U x_t
    h_t = tanh(a_t)

    W (d_h, d_h), U (d_h, d_x) and b (d_h,) start uniformly within ±1/√d_h, as in
    torch.nn. Source: Elman 1990; in this notation Goodfellow et al. 2016, eq. 10.8 f.
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if size < 1:
                raise ValueError(f"{name}: got {size}, expected at least 1")
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.U = nn.Parameter(torch.empty(hidden_size, input_size))
        self.b = nn.Parameter(torch.empty(hidden_size))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def forward(self, x, state=None, lengths=None):
        """x (B, T, d_x), state h_0 (B, d_h) or zeros, lengths (B,) whole numbers or all T
        → states (B, T, d_h), 0 beyond a sequence's length,
        and last (B, d_h), the state at each sequence's own end.

        Raises ValueError for other shapes, NaN or infinite x, lengths outside 1 … T.
        """
        require_shape("x", x, ("B", "T", self.input_size))
        require_finite("x", x)
        if state is None:
            state = x.new_zeros(len(x), self.hidden_size)
        require_shape("state", state, (len(x), self.hidden_size))

        projected = x @ self.U.T + self.b  # (B, T, d_h): all steps at once
        states = []
        for step in projected.unbind(dim=1):  # W h_{t−1} must wait for h_{t−1}
            state = torch.tanh(torch.addmm(step, state, self.W.T))  # (B, d_h)
            states.append(state)
        states = torch.stack(states, dim=1)
        return (states, state) if lengths is None else cut(states, lengths)


def cut(states, lengths):
    """states (B, T, d_h), lengths (B,) whole numbers
    → states with 0 beyond each sequence's length, and the last state of each, (B, d_h).

    Raises ValueError for lengths outside 1 … T.
    """
    size, steps, _ = states.shape
    require_shape("lengths", lengths, (size,))
    if lengths.min() < 1 or lengths.max() > steps:
        got = lengths.tolist()
        raise ValueError(f"lengths: got {got}, expected numbers from 1 to {steps}")
    beyond = torch.arange(steps) >= lengths.unsqueeze(1)  # (B, T)
    last = states[torch.arange(size), lengths - 1]
    return states.masked_fill(beyond.unsqueeze(2), 0), last


class TokenRNN(nn.Module):
    """Tokens in, one output a step: o_t = c + V h_t, and x_t is the one-hot vector of token t.

    V (d_o, d_h) and c (d_o,) are `output`, a linear layer. Whoever wants probabilities
    takes ŷ_t = softmax(o_t).
    """

    def __init__(self, num_tokens: int, hidden_size: int, num_outputs: int):
        super().__init__()
        self.num_tokens = num_tokens
        self.rnn = RNN(num_tokens, hidden_size)
        self.output = nn.Linear(hidden_size, num_outputs)

    def forward(self, tokens, state=None, lengths=None):
        """tokens (B, T) whole numbers, state and lengths as for `RNN`
        → logits (B, T, d_o), last state (B, d_h)."""
        x = nn.functional.one_hot(tokens, self.num_tokens).to(self.rnn.U.dtype)
        states, last = self.rnn(x, state, lengths)
        return self.output(states), last


class WindowMLP(nn.Module):
    """Labels each token from those at most `window` steps away, on both sides.

    The hidden layer reads the 2·window + 1 one-hot vectors one behind the other, which
    is a sum of as many rows of its matrix. Beyond the ends lies the token 0, padding.
    """

    def __init__(
        self, num_tokens: int, window: int, hidden_size: int, num_outputs: int
    ):
        super().__init__()
        if window < 0:
            raise ValueError(f"window: got {window}, expected 0 or more steps")
        self.num_tokens, self.window = num_tokens, window
        width = 2 * window + 1
        self.hidden = nn.Linear(width * num_tokens, hidden_size)
        self.output = nn.Linear(hidden_size, num_outputs)

    def forward(self, tokens):
        """tokens (B, T) whole numbers → logits (B, T, d_o)."""
        require_shape("tokens", tokens, ("B", "T"))
        width = 2 * self.window + 1
        padded = nn.functional.pad(tokens, (self.window, self.window))
        windows = padded.unfold(1, width, 1)  # (B, T, width)
        rows = windows + self.num_tokens * torch.arange(width)
        summed = nn.functional.embedding_bag(
            rows.flatten(0, 1), self.hidden.weight.T, mode="sum"
        )  # (B·T, hidden_size)
        hidden = torch.tanh(summed + self.hidden.bias)
        return self.output(hidden).unflatten(0, tokens.shape)
