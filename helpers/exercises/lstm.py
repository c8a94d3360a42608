"""The exercises of chapter 04."""

import torch

from helpers.exercises import Exercise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def _gate(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.sigmoid(_random(*shape, seed=seed))


# ---- the cell -------------------------------------------------------------------------------------------------------


def next_cell(c, f, i, g):
    """cell c, gates f and i, new content g, each (d_h,) → the next cell (d_h,)"""
    # the solution begins
    return f * c + i * g
    # the solution ends


NEXT_CELL = Exercise(
    title="two valves",
    difficulty=1,
    minutes=3,
    task="Write one step of the cell: the forget gate lets the old content through, the input gate the new.",
    hint="A gate multiplies element by element.",
    solution=next_cell,
    cases=[
        (
            _random(4),
            _gate(4, seed=1),
            _gate(4, seed=2),
            torch.tanh(_random(4, seed=3)),
        ),
        (
            _random(2, seed=4),
            _gate(2, seed=5),
            _gate(2),
            torch.tanh(_random(2, seed=6)),
        ),
    ],
    mistakes={
        lambda c, f, i, g: (1 - f) * c + i * g: (
            "The old content comes through 1 − f. In spite of its name the forget gate says what is kept: f = 1 keeps "
            "all."
        ),
        lambda c, f, i, g: f * c + (1 - f) * g: (
            "The new content comes through 1 − f, and i is not used. That is how a GRU does it; in an LSTM the two "
            "valves are free of each other."
        ),
        lambda c, f, i, g: f * (c + i * g): (
            "The forget gate also closes on the new content. It belongs to the old cell alone."
        ),
        lambda c, f, i, g: torch.tanh(f * c + i * g): (
            "There is a tanh around the cell. It comes later, on the way to the output; the cell itself stays linear, "
            "or the carousel would brake."
        ),
    },
)


# ---- one LSTM step --------------------------------------------------------------------------------------------------


def lstm_step(x, h, c, W_x, W_h, b):
    """x (d_x,), h, c (d_h,), W_x (4 d_h, d_x), W_h (4 d_h, d_h), b (4 d_h,) → next h"""
    # the solution begins
    f, i, u, g = (W_x @ x + W_h @ h + b).chunk(4)  # four times (d_h,)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(u) * torch.tanh(c)
    # the solution ends


def _blocks(x, h, W_x, W_h, b, k):
    return (W_x @ x + W_h @ h + b).chunk(k)


def _lstm(c, f, i, u, g):
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(u) * torch.tanh(c)


def _torch_order(x, h, c, W_x, W_h, b):
    i, f, g, u = _blocks(x, h, W_x, W_h, b, 4)
    return _lstm(c, f, i, u, g)


def _no_last_tanh(x, h, c, W_x, W_h, b):
    f, i, u, g = _blocks(x, h, W_x, W_h, b, 4)
    return torch.sigmoid(u) * (torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g))


def _sigmoid_content(x, h, c, W_x, W_h, b):
    f, i, u, g = _blocks(x, h, W_x, W_h, b, 4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.sigmoid(g)
    return torch.sigmoid(u) * torch.tanh(c)


def _old_cell(x, h, c, W_x, W_h, b):
    _, _, u, _ = _blocks(x, h, W_x, W_h, b, 4)
    return torch.sigmoid(u) * torch.tanh(c)


_LSTM_CASES = [
    (
        _random(d_x, seed=s),
        torch.tanh(_random(d_h, seed=s + 1)),
        _random(d_h, seed=s + 2),
        _random(4 * d_h, d_x, seed=s + 3),
        _random(4 * d_h, d_h, seed=s + 4),
        _random(4 * d_h, seed=s + 5),
    )
    for d_x, d_h, s in ((3, 4, 0), (5, 2, 10))
]

LSTM_STEP = Exercise(
    title="one step of an LSTM",
    difficulty=2,
    minutes=10,
    task=(
        "From $\\mathbf{x}_t$, $\\mathbf{h}_{t-1}$ and $\\mathbf{c}_{t-1}$ compute $\\mathbf{h}_t$. The four blocks of "
        "rows stand in the order of this chapter: forget, input, output gate, new content."
    ),
    hint="`.chunk(4)` cuts a vector into four. Three of the four pieces get a sigmoid, one a tanh.",
    solution=lstm_step,
    cases=_LSTM_CASES,
    mistakes={
        _torch_order: (
            "The blocks are read in PyTorch's order: input, forget, content, output. Here they stand as f, i, u, g."
        ),
        _no_last_tanh: "The cell goes out as it is. Before the output gate it passes through a tanh.",
        _sigmoid_content: (
            "The new content has a sigmoid, so it could only ever add. It needs a tanh: from −1 to 1."
        ),
        _old_cell: (
            "The output shows the old cell. First forget and write, then show: use the new c."
        ),
    },
)


# ---- one GRU step ---------------------------------------------------------------------------------------------------


def gru_step(x, h, W_x, W_h, b, b_n):
    """x (d_x,), h, b_n (d_h,), W_x (3 d_h, d_x), W_h (3 d_h, d_h), b (3 d_h,) → h"""
    # the solution begins
    r_x, f_x, g_x = (W_x @ x + b).chunk(3)
    r_h, f_h, g_h = (W_h @ h).chunk(3)
    r, f = torch.sigmoid(r_x + r_h), torch.sigmoid(f_x + f_h)
    g = torch.tanh(g_x + r * (g_h + b_n))
    return f * h + (1 - f) * g
    # the solution ends


def _gru(x, h, W_x, W_h, b, b_n, reset="after", turned=False):
    r_x, f_x, g_x = (W_x @ x + b).chunk(3)
    r_h, f_h, g_h = (W_h @ h).chunk(3)
    r, f = torch.sigmoid(r_x + r_h), torch.sigmoid(f_x + f_h)
    memory = {
        "after": r * (g_h + b_n),
        "before": W_h[2 * len(h) :] @ (r * h) + b_n,
        "bias outside": r * g_h + b_n,
        "none": g_h + b_n,
    }[reset]
    f = 1 - f if turned else f
    return f * h + (1 - f) * torch.tanh(g_x + memory)


_GRU_CASES = [
    (
        _random(d_x, seed=s),
        torch.tanh(_random(d_h, seed=s + 1)),
        _random(3 * d_h, d_x, seed=s + 3),
        _random(3 * d_h, d_h, seed=s + 4),
        _random(3 * d_h, seed=s + 5),
        _random(d_h, seed=s + 6),
    )
    for d_x, d_h, s in ((3, 4, 0), (5, 2, 10))
]

GRU_STEP = Exercise(
    title="one step of a GRU",
    difficulty=2,
    minutes=10,
    task=(
        "From $\\mathbf{x}_t$ and $\\mathbf{h}_{t-1}$ compute $\\mathbf{h}_t$ as PyTorch does. The blocks of "
        "rows are reset gate, update gate, new content; the reset gate comes after the product with $W_h$, with a bias "
        "$\\mathbf{b}_n$ of its own inside."
    ),
    hint="Keep $W_x\\mathbf{x}$ and $W_h\\mathbf{h}$ apart: in the content they meet only after the reset gate.",
    solution=gru_step,
    cases=_GRU_CASES,
    mistakes={
        lambda *a: _gru(*a, reset="before"): (
            "The reset gate acts on h before the product with W_h. That is the GRU of Cho et al. 2014, and a fine one, "
            "but its weights do not fit PyTorch's."
        ),
        lambda *a: _gru(*a, turned=True): (
            "Old and new are exchanged: f says how much of the old state is kept, 1 − f how much new content comes in."
        ),
        lambda *a: _gru(*a, reset="none"): (
            "The reset gate is not used: it multiplies what the old state adds to the content."
        ),
        lambda *a: _gru(*a, reset="bias outside"): (
            "The bias b_n stands outside the reset gate. There it would be one with b; it belongs inside, "
            "r ⊙ (W_h h + b_n)."
        ),
    },
)


# ---- how long a gate holds ------------------------------------------------------------------------------------------


def holding_bias(steps):
    """steps (n,) → biases (n,) with which σ(b) leaves 1/e after so many steps"""
    # the solution begins
    gate = torch.exp(-1 / steps)  # gate ** steps = 1/e
    return torch.log(gate / (1 - gate))
    # the solution ends


HOLDING_BIAS = Exercise(
    title="how far must a forget gate be open?",
    difficulty=3,
    minutes=15,
    task=(
        "A forget gate stands at $\\sigma(b)$, whatever it reads, and nothing is written. Which bias $b$ leaves $1/e$ "
        "of the cell's content after a given number of steps?"
    ),
    hint=(
        "What must $f$ be so that $f^n = 1/e$? Then turn the sigmoid round: $b = \\log \\frac{f}{1 - f}$."
    ),
    solution=holding_bias,
    cases=[
        (torch.tensor([2.0, 10.0, 200.0], dtype=torch.float64),),
        (torch.tensor([3.7], dtype=torch.float64),),
    ],
    mistakes={
        lambda n: torch.exp(-1 / n): (
            "That is the gate, not its bias: undo the sigmoid with log(f / (1 − f))."
        ),
        lambda n: torch.log(n - 1): (
            "With log(n − 1) the gate is 1 − 1/n, a good approximation for large n. Here f to the power of n is to be "
            "1/e exactly."
        ),
        lambda n: -torch.log(torch.exp(-1 / n) / (1 - torch.exp(-1 / n))): (
            "The sign is turned round: this gate closes where it should be open."
        ),
    },
)


EXERCISES = [NEXT_CELL, LSTM_STEP, GRU_STEP, HOLDING_BIAS]
