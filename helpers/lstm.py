"""LSTM and GRU: recurrent networks whose memory has valves.

Shapes throughout: B sequences in a batch, T steps, d_x numbers a step in the input, d_h units. Both are called like
`helpers.rnn.RNN`: `states, last = lstm(x, state, lengths)`.
"""

import torch
from torch import nn

from helpers.rnn import cut
from helpers.validation import require_finite, require_shape


class Recurrent(nn.Module):
    """What LSTM and GRU share: fused parameters, the projection of all inputs at once, the loop, padding.

    W_x (k·d_h, d_x), W_h (k·d_h, d_h), b (k·d_h,) hold k blocks of rows, one a gate, in the order of `GATES`.
    Drawn from the uniform distribution on ±1/√d_h, as torch.nn does it.
    """

    GATES: tuple[str, ...]

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if size < 1:
                raise ValueError(f"{name}: got {size}, expected at least 1")
        self.input_size, self.hidden_size = input_size, hidden_size
        rows = len(self.GATES) * hidden_size
        self.W_x = nn.Parameter(torch.empty(rows, input_size))
        self.W_h = nn.Parameter(torch.empty(rows, hidden_size))
        self.b = nn.Parameter(torch.empty(rows))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def rows(self, gate: str) -> slice:
        """The rows of W_x, W_h and b that belong to `gate`."""
        start = self.GATES.index(gate) * self.hidden_size
        return slice(start, start + self.hidden_size)

    def _project(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, T, d_x) → W_x x_t + b for all steps in one product, time first: (T, B, k·d_h)."""
        require_shape("x", x, ("B", "T", self.input_size))
        require_finite("x", x)
        return nn.functional.linear(x.transpose(0, 1), self.W_x, self.b)

    def _state(self, name: str, state: torch.Tensor | None, x: torch.Tensor):
        """The given first state, checked, or zeros (B, d_h)."""
        if state is None:
            return x.new_zeros(len(x), self.hidden_size)
        require_shape(name, state, (len(x), self.hidden_size))
        return state


class LSTM(Recurrent):
    """Long short-term memory.

    f_t, i_t, u_t = σ(W_x x_t + W_h h_{t−1} + b)    forget, input, output gate
    g_t = tanh(W_x x_t + W_h h_{t−1} + b)           new content
    c_t = f_t ⊙ c_{t−1} + i_t ⊙ g_t                 cell
    h_t = u_t ⊙ tanh(c_t)                           output

    forget_bias: the first value of the forget gate's b.
    Source: Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000; its bias of 1:
    Jozefowicz et al. 2015.
    """

    GATES = ("f", "i", "u", "g")

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0):
        super().__init__(input_size, hidden_size)
        nn.init.constant_(self.b[self.rows("f")], forget_bias)

    def forward(self, x, state=None, lengths=None):
        """x (B, T, d_x), state (h, c) each (B, d_h), lengths (B,) whole numbers
        → states h (B, T, d_h), 0 beyond a sequence's length,
        and (h, c) at each sequence's end, (B, d_h).

        Raises ValueError for other shapes, NaN or infinite x, lengths outside 1 … T.
        """
        h, c = state if state is not None else (None, None)
        h, c = self._state("state[0]", h, x), self._state("state[1]", c, x)
        outputs, cells = [], []
        for projected in self._project(x):
            h, c, _ = self.step(projected, h, c)
            outputs.append(h)
            cells.append(c)
        states = torch.stack(outputs, dim=1)
        if lengths is None:
            return states, (h, c)
        states, h = cut(states, lengths)
        return states, (h, cut(torch.stack(cells, dim=1), lengths)[1])

    def step(self, projected, h, c):
        """W_x x_t + b (B, 4·d_h), h and c of step t−1 → h, c, and the gates of step t."""
        energies = torch.addmm(projected, h, self.W_h.T)
        d = self.hidden_size
        f, i, u = torch.sigmoid(energies[:, : 3 * d]).split(d, dim=1)
        g = torch.tanh(energies[:, 3 * d :])
        c = torch.addcmul(f * c, i, g)
        return u * torch.tanh(c), c, (f, i, u, g)

    @torch.no_grad()
    def trace(self, x) -> dict[str, torch.Tensor]:
        """Everything that happens inside: {"f", "i", "u", "g", "c", "h": (B, T, d_h)}."""
        h, c = self._state("h", None, x), self._state("c", None, x)
        steps = []
        for projected in self._project(x):
            h, c, gates = self.step(projected, h, c)
            steps.append((*gates, c, h))
        names = (*self.GATES, "c", "h")
        columns = zip(*steps, strict=True)
        return {
            n: torch.stack(each, dim=1) for n, each in zip(names, columns, strict=True)
        }


class GRU(Recurrent):
    """Gated recurrent unit: one valve does the work of the LSTM's forget and input gate.

    r_t, f_t = σ(W_x x_t + W_h h_{t−1} + b)                  reset and update gate
    g_t = tanh(W_x x_t + b + r_t ⊙ (W_h h_{t−1} + b_n))      new content
    h_t = f_t ⊙ h_{t−1} + (1 − f_t) ⊙ g_t

    As torch.nn.GRU does it: the reset gate comes after the product with W_h, and with a bias b_n
    of its own inside. Cho et al. 2014 reset first: W_h (r_t ⊙ h_{t−1}).
    """

    GATES = ("r", "f", "g")

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.b_n = nn.Parameter(torch.empty(hidden_size))
        nn.init.uniform_(self.b_n, -(hidden_size**-0.5), hidden_size**-0.5)

    def forward(self, x, state=None, lengths=None):
        """x (B, T, d_x), state (B, d_h), lengths (B,) whole numbers
        → states h (B, T, d_h), 0 beyond a sequence's length,
        and h at each sequence's end, (B, d_h).

        Raises ValueError for other shapes, NaN or infinite x, lengths outside 1 … T.
        """
        h = self._state("state", state, x)
        outputs = []
        for projected in self._project(x):
            h = self.step(projected, h)
            outputs.append(h)
        states = torch.stack(outputs, dim=1)
        return (states, h) if lengths is None else cut(states, lengths)

    def step(self, projected, h):
        """W_x x_t + b (B, 3·d_h) and h of step t−1 → h of step t, (B, d_h)."""
        d = self.hidden_size
        W, W_g = self.W_h[: 2 * d], self.W_h[2 * d :]
        r, f = torch.sigmoid(torch.addmm(projected[:, : 2 * d], h, W.T)).split(d, dim=1)
        memory = torch.addmm(self.b_n, h, W_g.T)
        g = torch.tanh(torch.addcmul(projected[:, 2 * d :], r, memory))
        return torch.lerp(g, h, f)
