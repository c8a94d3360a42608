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
