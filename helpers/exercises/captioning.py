"""The exercises of chapter 08b."""

import torch

from helpers.exercises import Exercise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def _soft(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.softmax(2 * _random(*shape, seed=seed), dim=-1)


# ---- two_contexts ---------------------------------------------------------------------------------------------------


def two_contexts(annotations, weights, places):
    """annotations (L, D), weights (T, L), places (T,) integers → the soft and the hard contexts (2, T, D)"""
    # the solution begins
    soft = weights @ annotations  # (T, D): the mean by the weights
    hard = annotations[places]  # (T, D): what is there, and nothing else
    return torch.stack([soft, hard])
    # the solution ends


TWO_CONTEXTS = Exercise(
    title="what a word gets to see",
    difficulty=1,
    minutes=5,
    task="For each of $T$ words: the context of a soft look, $\\sum_i \\alpha_{ti} \\mathbf{a}_i$, and that of a hard "
    "look at the place `places[t]`. Put the soft ones first.",
    hint="A matrix product does the soft looks of all words at once. Indexing with a tensor does the hard ones.",
    solution=two_contexts,
    cases=[
        (_random(5, 3), _soft(4, 5), torch.tensor([0, 3, 3, 4])),
        (_random(6, 2, seed=1), _soft(3, 6, seed=1), torch.tensor([5, 1, 0])),
    ],
    mistakes={
        lambda a, w, s: torch.stack([a[s], w @ a]): (
            "Both are right, in the other order: the soft contexts come first."
        ),
        lambda a, w, s: torch.stack([w @ a, a[w.argmax(dim=-1)]]): (
            "The hard look went to the place of the greatest weight. It goes where it was drawn to: `places`."
        ),
        lambda a, w, s: torch.stack(
            [w @ a, w.gather(1, s[:, None]) * a[s]]
        ): "The hard context was multiplied by its weight. The weight is the chance to look there; "
        "whoever looks sees all of it.",
        lambda a, w, s: torch.stack([a.mean(dim=0).expand(len(w), -1), a[s]]): (
            "This is the plain mean of the places, the blind look. Weigh them."
        ),
    },
)


# ---- doubly_stochastic ----------------------------------------------------------------------------------------------


def doubly_stochastic(weights, length):
    """weights (T, L), rows sum to 1; length: how many of the T rows are words, the rest is padding → a number, ()"""
    # the solution begins
    looked = weights[:length].sum(dim=0)  # (L,): what each place got in all
    return (1 - looked).square().sum()
    # the solution ends


DOUBLY_STOCHASTIC = Exercise(
    title="look everywhere once",
    difficulty=2,
    minutes=10,
    task="The penalty of a caption, $\\sum_i \\bigl(1 - \\sum_t \\alpha_{ti}\\bigr)^2$. Only the first `length` rows "
    "are words; looks of the padding must not count.",
    hint="Which sum is inside, over the words or over the places? The rows sum to 1 anyway.",
    solution=doubly_stochastic,
    cases=[(_soft(5, 4), 3), (_soft(4, 6, seed=1), 4), (_soft(6, 3, seed=2), 2)],
    mistakes={
        lambda w, n: (1 - w.sum(dim=0)).square().sum(): (
            "The padding is counted too: take the first `length` rows."
        ),
        lambda w, n: (1 - w[:n].sum(dim=1)).square().sum(): (
            "This sums over the places. Each row sums to 1, so it is 0 for every look there is; sum over the words."
        ),
        lambda w, n: (1 - w[:n]).square().sum(): (
            "Here each single weight should be 1. Sum a place's weights over the words first, then compare with 1."
        ),
        lambda w, n: (1 - w[:n].sum(dim=0)).sum().square(): (
            "The square is outside of the sum. What is inside then is L − T, whatever the looks are."
        ),
    },
)


# ---- reinforce ------------------------------------------------------------------------------------------------------


def reinforce(weights, places, rewards, baseline):
    """weights (B, T, L), places (B, T), rewards (B,), baseline: a number → gradient by the weights (B, T, L)"""
    # the solution begins
    chosen = weights.gather(-1, places[..., None])[..., 0]  # (B, T)
    score = chosen.log().sum(dim=1)  # (B,): log p(s)
    loss = -((rewards - baseline) * score).mean()
    return torch.autograd.grad(loss, weights)[0]
    # the solution ends


def _by(weights, loss):
    return torch.autograd.grad(loss, weights)[0]


def _chosen(weights, places):
    return weights.gather(-1, places[..., None])[..., 0]


REINFORCE = Exercise(
    title="the gradient through a throw of dice",
    difficulty=3,
    minutes=15,
    task="The places $s$ were drawn, and no gradient goes through a draw. Build the loss whose gradient is REINFORCE's "
    "estimate, $-\\frac{1}{B}\\sum_n \\bigl(R_n - b\\bigr) \\log p(s_n)$, and return its gradient by the weights. "
    "The rewards $R_n = \\log p(y_n \\mid s_n)$ are numbers here, without a gradient.",
    hint="$\\log p(s) = \\sum_t \\log \\alpha_{t, s_t}$: `gather` picks the weights of the places drawn. "
    "`torch.autograd.grad(loss, weights)` returns a tuple of one.",
    solution=reinforce,
    cases=[
        (
            _soft(2, 3, 4).requires_grad_(),
            torch.tensor([[0, 1, 3], [2, 2, 0]]),
            torch.tensor([-3.0, -5.0], dtype=torch.float64),
            -3.5,
        ),
        (
            _soft(3, 2, 5, seed=1).requires_grad_(),
            torch.tensor([[4, 4], [1, 0], [2, 3]]),
            torch.tensor([-1.0, -2.0, -6.0], dtype=torch.float64),
            -2.5,
        ),
    ],
    mistakes={
        lambda w, s, r, b: _by(w, ((r - b) * _chosen(w, s).log().sum(dim=1)).mean()): (
            "The sign is turned: a loss is made smaller, and good places should become likelier."
        ),
        lambda w, s, r, b: _by(w, -(r * _chosen(w, s).log().sum(dim=1)).mean()): (
            "The baseline is not subtracted. The mean over all draws is the same, but it is noisier."
        ),
        lambda w, s, r, b: _by(w, -((r - b) * _chosen(w, s).sum(dim=1)).mean()): (
            "The logarithm is missing: the score is log p(s), the sum of the logarithms."
        ),
        lambda w, s, r, b: _by(w, -((r - b) * _chosen(w, s).log().sum(dim=1)).sum()): (
            "This is the sum over the captions. Take the mean, as the other losses do."
        ),
        lambda w, s, r, b: _by(
            w, -((r - b) * w.amax(dim=-1).log().sum(dim=1)).mean()
        ): (
            "These are the greatest weights. What counts is the places that were drawn."
        ),
    },
)


# ---- on_the_box -----------------------------------------------------------------------------------------------------


def on_the_box(maps, box, stride):
    """maps (T, h, w), box (left, top, right, bottom) in pixels, stride: of a cell → weight on the box (T,)"""
    # the solution begins
    left, top, right, bottom = box
    rows = slice(top // stride, -(-bottom // stride))  # rounded down, rounded up
    columns = slice(left // stride, -(-right // stride))
    return maps[:, rows, columns].sum(dim=(1, 2))
    # the solution ends


def _on(maps, rows, columns):
    return maps[:, slice(*rows), slice(*columns)].sum(dim=(1, 2))


def _maps(count, h, w, seed=0):
    return _soft(count, h * w, seed=seed).view(count, h, w)


ON_THE_BOX = Exercise(
    title="does it point?",
    difficulty=2,
    minutes=10,
    task="A word speaks of what is in a box of pixels, its map has a cell for every `stride` × `stride` pixels. "
    "Which share of the weight lies on cells that share a pixel with the box? Right and bottom are the first "
    "pixels outside of it.",
    hint="The first row is `top // stride`. The last one contains the pixel `bottom - 1`. `-(-a // b)` rounds up.",
    solution=on_the_box,
    cases=[
        (_maps(3, 4, 4), (9, 0, 16, 17), 8),
        (_maps(2, 4, 6, seed=1), (3, 5, 20, 12), 4),
    ],
    mistakes={
        lambda m, b, s: _on(m, (b[1] // s, b[3] // s), (b[0] // s, b[2] // s)): (
            "The last row or column that the box reaches is missing: round the lower right corner up."
        ),
        lambda m, b, s: _on(
            m, (b[0] // s, -(-b[2] // s)), (b[1] // s, -(-b[3] // s))
        ): "Rows and columns are swapped: a map is (rows, columns), a box (x, y, x, y).",
        lambda m, b, s: _on(
            m, (b[1] // s, b[3] // s + 1), (b[0] // s, b[2] // s + 1)
        ): "One row or column too many where the box ends at the edge of a cell: right and bottom are exclusive.",
        lambda m, b, s: (
            _on(m, (b[1] // s, -(-b[3] // s)), (b[0] // s, -(-b[2] // s)))
            / m[0].numel()
        ): "The weight is divided by the number of cells. A map sums to 1: the sum over the cells is the share.",
    },
)


EXERCISES = [TWO_CONTEXTS, DOUBLY_STOCHASTIC, ON_THE_BOX, REINFORCE]
