"""The exercises of chapter 07b."""

import torch

from helpers.exercises import Exercise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


# ---- a window -------------------------------------------------------------------------------------------------------


def window_mask(length, left, right):
    """How many positions, how far back, how far ahead → mask (T, T) boolean, True = may attend"""
    # the solution begins
    position = torch.arange(length)
    offset = position - position[:, None]  # (T, T): key − query
    return (offset >= -left) & (offset <= right)
    # the solution ends


def _offset(length):
    return torch.arange(length) - torch.arange(length)[:, None]


WINDOW_MASK = Exercise(
    title="a window",
    difficulty=1,
    minutes=5,
    task="Query $t$ may look at the keys from $t - \\text{left}$ to $t + \\text{right}$, both included.",
    hint="`torch.arange(length)` against itself as a column gives all differences key − query at once.",
    solution=window_mask,
    cases=[(7, 3, 1), (5, 0, 2)],
    mistakes={
        lambda n, left, right: (_offset(n) >= -right) & (_offset(n) <= left): (
            "Left and right are swapped: rows are queries and columns are keys, so the past lies below the diagonal."
        ),
        lambda n, left, right: (_offset(n) > -left) & (_offset(n) < right): (
            "The ends of the window are missing: both t − left and t + right belong to it."
        ),
        lambda n, left, right: ~((_offset(n) >= -left) & (_offset(n) <= right)): (
            "The mask is turned round: True means that the query may attend."
        ),
        lambda n, left, right: _offset(n).abs() <= left: (
            "The window is as wide to the right as to the left: `right` was not used."
        ),
    },
)


# ---- one step of the recurrent form ---------------------------------------------------------------------------------


def linear_step(M, n, q, k, v):
    """M (d, d_v), n (d,) after t − 1 steps; φ already applied to q (d,), k (d,); v (d_v,) → z (d_v,) of step t"""
    # the solution begins
    M = M + k[:, None] * v
    n = n + k
    return q @ M / (q @ n)
    # the solution ends


_POSITIVE = [_random(4, 3, seed=1).abs(), _random(4, seed=2).abs() + 1]
_STEP = (*_POSITIVE, *(_random(4, seed=s).abs() for s in (3, 4)), _random(3, seed=5))

LINEAR_STEP = Exercise(
    title="a Transformer takes one step",
    difficulty=2,
    minutes=10,
    task="Write one step of causal linear attention in its recurrent form: take in the new key and value, then answer.",
    hint="The state $M$ gains the outer product of $\\mathbf{k}$ and $\\mathbf{v}$, a matrix $(d, d_v)$: "
    "`k[:, None] * v`. And $\\mathbf{n}$ gains $\\mathbf{k}$.",
    solution=linear_step,
    cases=[
        _STEP,
        (
            torch.zeros(2, 2).double(),
            torch.zeros(2).double(),
            *(_random(2, seed=s).abs() for s in (6, 7)),
            _random(2, seed=8),
        ),
    ],
    mistakes={
        lambda M, n, q, k, v: q @ M / (q @ n): (
            "The answer comes from the old state: step t may look at itself, so take in k and v first."
        ),
        lambda M, n, q, k, v: q @ (M + k[:, None] * v): (
            "The weights do not sum to 1: divide by q·n, with the new n."
        ),
        lambda M, n, q, k, v: q @ (M + k[:, None] * v) / (q @ (n + 1)): (
            "The normaliser n gains the key, φ(k), not 1 for each step."
        ),
        lambda M, n, q, k, v: q @ (M + q[:, None] * v) / (q @ (n + q)): (
            "The query was stored instead of the key. The state holds what is offered; the query only asks."
        ),
    },
)


# ---- a graph --------------------------------------------------------------------------------------------------------


def attend_to_friends(energy, edges):
    """energy (N, N), edges (N, N) boolean, none to oneself → weights (N, N); everybody listens to himself too"""
    # the solution begins
    allowed = edges | torch.eye(len(edges), dtype=torch.bool)
    return torch.softmax(energy.masked_fill(~allowed, -torch.inf), dim=-1)
    # the solution ends


def _edges(n, seed):
    drawn = torch.rand(n, n, generator=torch.Generator().manual_seed(seed)) > 0.5
    drawn[:, 0] = True  # so that nobody is alone, and a mistake has numbers to show
    drawn[0, 1] = True
    return drawn & ~torch.eye(n, dtype=torch.bool)


ATTEND_TO_FRIENDS = Exercise(
    title="friends, and oneself",
    difficulty=2,
    minutes=10,
    task="Turn energies into weights along the edges of a graph. A node that forgets itself would know its friends "
    "alone, so let everybody listen to himself as well. The graph need not be symmetric.",
    hint="An edge to oneself is `torch.eye(N, dtype=torch.bool)`; join two masks with `|`.",
    solution=attend_to_friends,
    cases=[(_random(5, 5), _edges(5, 1)), (_random(7, 7, seed=3), _edges(7, 2))],
    mistakes={
        lambda e, m: torch.softmax(e.masked_fill(~m, -torch.inf), dim=-1): (
            "Nobody listens to himself: allow the diagonal too."
        ),
        lambda e, m: torch.softmax(
            e.masked_fill(~(m | torch.eye(len(m)).bool()), -torch.inf), dim=0
        ): "The columns sum to 1, not the rows: each node shares out its own attention, dim=-1.",
        lambda e, m: torch.softmax(
            e.masked_fill(~(m | m.T | torch.eye(len(m)).bool()), -torch.inf), dim=-1
        ): "The edges were taken in both directions. Here i may look at j without j looking at i.",
        lambda e, m: torch.softmax(e * (m | torch.eye(len(m)).bool()), dim=-1): (
            "An energy of 0 still gets weight, since exp(0) = 1. Fill what is not allowed with −∞."
        ),
    },
)


# ---- a head that shifts ---------------------------------------------------------------------------------------------


def shifting_head(length, shift, alpha):
    """→ weights (T, T) of a head that looks `shift` to the right, the more surely the greater alpha"""
    # the solution begins
    position = torch.arange(length, dtype=torch.float64)
    delta = position - position[:, None]  # (T, T): key − query
    return torch.softmax(-alpha * (delta - shift) ** 2, dim=-1)
    # the solution ends


def _shifted(length, shift, alpha, power=2, dim=-1):
    delta = _offset(length).double()
    return torch.softmax(-alpha * (delta - shift).abs() ** power, dim=dim)


SHIFTING_HEAD = Exercise(
    title="a head that moves a signal",
    difficulty=3,
    minutes=15,
    task="In one dimension, a head whose energies are $-\\alpha(\\delta - \\Delta)^2$, with $\\delta$ = key − query, "
    "picks the value $\\Delta$ to the right. Three such heads make any convolution of width 3. Write its weights.",
    hint="No query and no key is needed, only positions: all differences, shifted, squared, times $-\\alpha$, softmax.",
    solution=shifting_head,
    cases=[(6, 1, 0.7), (5, -2, 0.3)],
    mistakes={
        lambda n, s, a: _shifted(n, -s, a): (
            "It looks to the wrong side: δ is key − query, rows are queries, columns keys."
        ),
        lambda n, s, a: _shifted(n, s, a, power=1): (
            "The energy falls with the distance, not with its square."
        ),
        lambda n, s, a: _shifted(n, s, -a): (
            "The sign of α is turned round: the farther from Δ, the lower the energy must be."
        ),
        lambda n, s, a: _shifted(n, s, a, dim=0): (
            "The columns sum to 1, not the rows: take the softmax over the keys, dim=-1."
        ),
    },
)

EXERCISES = [WINDOW_MASK, LINEAR_STEP, ATTEND_TO_FRIENDS, SHIFTING_HEAD]
