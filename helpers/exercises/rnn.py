"""The exercises of chapter 02."""

import torch

from helpers.exercises import Exercise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


# ---- one step -------------------------------------------------------------------------------------------------------


def rnn_step(h, x, W, U, b):
    """h_{t−1} (d_h,), x_t (d_x,), W (d_h, d_h), U (d_h, d_x), b (d_h,) → h_t (d_h,)"""
    # the solution begins
    return torch.tanh(b + W @ h + U @ x)
    # the solution ends


RNN_STEP = Exercise(
    title="one step",
    difficulty=1,
    minutes=5,
    task="From the state before and the input to the state after: $\\mathbf{h}_t = \\tanh(\\mathbf{b} + "
    "W\\mathbf{h}_{t-1} + U\\mathbf{x}_t)$.",
    hint="Which matrix fits which vector? `W` is square; `U` has as many columns as the input has numbers.",
    solution=rnn_step,
    cases=[
        (
            _random(3),
            _random(2, seed=1),
            _random(3, 3, seed=2),
            _random(3, 2, seed=3),
            _random(3, seed=4),
        ),
        (
            _random(2, seed=5),
            _random(4, seed=6),
            _random(2, 2, seed=7),
            _random(2, 4, seed=8),
            _random(2, seed=9),
        ),
    ],
    mistakes={
        lambda h, x, W, U, b: b + W @ h + U @ x: (
            "This is a_t. The state is its tanh; without it the network is linear, and a state may grow without bound."
        ),
        lambda h, x, W, U, b: torch.tanh(b + U @ x): (
            "The state before is not used, so nothing is remembered: add W h_{t−1}."
        ),
        lambda h, x, W, U, b: torch.tanh(W @ h + U @ x): "The bias b is missing.",
        lambda h, x, W, U, b: torch.tanh(b + h @ W + U @ x): (
            "`h @ W` multiplies by the transpose of W. In W h each row of W meets h: `W @ h`."
        ),
        lambda h, x, W, U, b: b + torch.tanh(W @ h + U @ x): (
            "The bias is added after the tanh, so the state may leave (−1, 1). It belongs inside."
        ),
    },
)


# ---- the loss of a sequence -----------------------------------------------------------------------------------------


def perplexity_of(logits, targets):
    """logits (T, K), targets (T,) whole numbers → perplexity (), a number from 1"""
    # the solution begins
    log_p = torch.log_softmax(logits, dim=-1)  # (T, K)
    chosen = log_p[torch.arange(len(targets)), targets]  # (T,): log p of what came
    return torch.exp(-chosen.mean())
    # the solution ends


def _chosen(logits, targets):
    return torch.log_softmax(logits, dim=-1)[torch.arange(len(targets)), targets]


PERPLEXITY = Exercise(
    title="perplexity",
    difficulty=2,
    minutes=10,
    task="The exponential of the mean negative log-likelihood of the targets. A model that is equally unsure among $K$ "
    "tokens has perplexity $K$.",
    hint="`torch.log_softmax`, then pick entry `targets[t]` from row `t`: index with two vectors at once.",
    solution=perplexity_of,
    cases=[
        (_random(6, 4), torch.tensor([0, 3, 1, 1, 2, 0])),
        (3 * _random(3, 5, seed=1), torch.tensor([4, 0, 2])),
    ],
    mistakes={
        lambda o, y: -_chosen(o, y).mean(): (
            "This is the mean loss, in nats. The perplexity is its exponential."
        ),
        lambda o, y: torch.exp(_chosen(o, y).mean()): (
            "The sign is wrong: this is the typical probability, below 1. The perplexity is one over it."
        ),
        lambda o, y: torch.exp(-_chosen(o, y).sum()): (
            "The losses are summed, so the number grows with the length of the text. Take their mean."
        ),
        lambda o, y: torch.exp(-_chosen(o, y)).mean(): (
            "The mean is taken after the exponential: one surprising token dominates. Average the logarithms first."
        ),
        lambda o, y: 2 ** (-_chosen(o, y).mean()): (
            "The logarithm is natural and the power is of 2. Use one base for both: exp with log, or 2 with log₂."
        ),
    },
)


# ---- the loop -------------------------------------------------------------------------------------------------------


def unroll(x, W, U, b, lengths):
    """x (B, T, d_x), W (d_h, d_h), U (d_h, d_x), b (d_h,), lengths (B,) → last states (B, d_h), each at its own end"""
    # the solution begins
    h = x.new_zeros(len(x), len(b))
    for t in range(x.shape[1]):
        new = torch.tanh(b + h @ W.T + x[:, t] @ U.T)  # (B, d_h)
        reading = (t < lengths).unsqueeze(1)  # (B, 1): not yet at its end
        h = torch.where(reading, new, h)
    return h
    # the solution ends


def _loop(x, W, U, b, steps):
    h, states = x.new_zeros(len(x), len(b)), []
    for t in range(steps):
        h = torch.tanh(b + h @ W.T + x[:, t] @ U.T)
        states.append(h)
    return torch.stack(states, dim=1)


def _ignores_lengths(x, W, U, b, lengths):
    return _loop(x, W, U, b, x.shape[1])[:, -1]


def _one_too_early(x, W, U, b, lengths):
    states = _loop(x, W, U, b, x.shape[1])
    states = torch.cat([torch.zeros_like(states[:, :1]), states], dim=1)
    return states[torch.arange(len(x)), lengths - 1]


def _transposed(x, W, U, b, lengths):
    return _loop(x, W.T, U, b, x.shape[1])[torch.arange(len(x)), lengths - 1]


def _zeroed(x, W, U, b, lengths):
    there = torch.arange(x.shape[1]) < lengths.unsqueeze(1)
    return _ignores_lengths(x * there.unsqueeze(2), W, U, b, lengths)


_WEIGHTS = (_random(4, 4, seed=1), _random(4, 2, seed=2), _random(4, seed=3))

UNROLL = Exercise(
    title="a batch of unequal lengths",
    difficulty=3,
    minutes=15,
    task="Read a padded batch and return the state of each sequence at its own end. What stands in the padding must "
    "not matter. $\\mathbf{h}_0 = 0$.",
    hint="Compute the new state for all rows, then keep the old one where `t >= lengths`: `torch.where`. For rows, "
    "$W\\mathbf{h}$ is `h @ W.T`.",
    solution=unroll,
    cases=[
        (_random(3, 5, 2), *_WEIGHTS, torch.tensor([5, 2, 3])),
        (_random(2, 4, 2, seed=4), *_WEIGHTS, torch.tensor([1, 3])),
    ],
    mistakes={
        _ignores_lengths: "All rows run to the end of the padding. Keep a row's state once t has reached its length.",
        _zeroed: (
            "The padding is set to zero, but the network goes on: b and W h still change the state. Stop instead."
        ),
        _one_too_early: "One step too few: a sequence of length L has read x at t = 0 … L − 1, L inputs.",
        _transposed: "For states in rows, W h is `h @ W.T`; `h @ W` multiplies by the transpose.",
    },
)

EXERCISES = [RNN_STEP, PERPLEXITY, UNROLL]
