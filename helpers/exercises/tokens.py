"""The exercises of chapter 05a."""

import torch

from helpers.exercises import Exercise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


# ---- pairs ----------------------------------------------------------------------------------------------------------


def pair_counts(pieces, size):
    """pieces (T,) integers below size → counts (size, size): how often j follows i"""
    # the solution begins
    counts = torch.zeros(size, size, dtype=torch.long)
    for t in range(len(pieces) - 1):
        counts[pieces[t], pieces[t + 1]] += 1
    return counts
    # the solution ends


PAIR_COUNTS = Exercise(
    title="count the pairs",
    difficulty=1,
    minutes=5,
    task=(
        "Each round of byte-pair encoding counts which piece directly follows which. Pieces have numbers here; "
        "`counts[i, j]` says how often `j` stands right after `i`. In 0 0 0 the pair (0, 0) occurs twice."
    ),
    hint="Let `t` run to the last piece but one, and add 1 at `pieces[t]`, `pieces[t + 1]`.",
    solution=pair_counts,
    cases=[
        (torch.tensor([0, 1, 2, 0, 1, 0, 1, 1, 1]), 3),
        (torch.tensor([3, 3, 3, 0, 2, 0]), 4),
    ],
    mistakes={
        lambda p, n: pair_counts(p, n).T: (
            "The axes have changed places: the row is the left piece, the column the right one."
        ),
        lambda p, n: pair_counts(p, n) + pair_counts(p, n).T: (
            "Each pair is counted both ways. Order matters: t h is not h t."
        ),
        lambda p, n: (pair_counts(p, n) > 0).long(): (
            "Each pair is counted once at most. Add 1 each time it occurs."
        ),
        lambda p, n: pair_counts(torch.cat([p, p[:1]]), n): (
            "The last piece is paired with the first. A text does not go round: nothing follows its last piece."
        ),
    },
)


# ---- negative sampling ----------------------------------------------------------------------------------------------


def skip_gram_loss(centre, context, negatives):
    """centre (d,), context (d,), negatives (m, d) → the loss, a scalar"""
    # the solution begins
    true = torch.sigmoid(context @ centre)
    noise = torch.sigmoid(-(negatives @ centre))  # (m,)
    return -(true.log() + noise.log().sum())
    # the solution ends


SKIP_GRAM_LOSS = Exercise(
    title="negative sampling, by hand",
    difficulty=2,
    minutes=10,
    task=(
        "Write the loss of one word: $-\\log\\sigma(E'_j \\cdot E_i) - \\sum_r \\log\\sigma(-E'_{j_r} \\cdot E_i)$, "
        "where `centre` is the word's row $E_i$, `context` its neighbour's $E'_j$, and the rows of `negatives` are the "
        "$E'_{j_r}$ of the random words."
    ),
    hint="`negatives @ centre` gives all dot products at once. The sum runs over the logarithms.",
    solution=skip_gram_loss,
    cases=[
        (_random(4), _random(4, seed=1), _random(3, 4, seed=2)),
        (_random(2, seed=3), _random(2, seed=4), _random(5, 2, seed=5)),
    ],
    mistakes={
        lambda v, u, n: (
            -(torch.sigmoid(u @ v).log() + torch.sigmoid(n @ v).log().sum())
        ): (
            "The random words are drawn nearer: their dot products need a minus inside σ."
        ),
        lambda v, u, n: (
            -(torch.sigmoid(u @ v).log() + torch.sigmoid(-(n @ v)).log().mean())
        ): ("The logarithms of the random words are averaged. The loss is their sum."),
        lambda v, u, n: (
            torch.sigmoid(u @ v).log() + torch.sigmoid(-(n @ v)).log().sum()
        ): (
            "The sign is turned round: this is the log-likelihood, which grows as the model gets better. A loss falls."
        ),
        lambda v, u, n: -torch.sigmoid(u @ v).log(): (
            "The random words are missing. Without them all vectors could simply grow in one direction."
        ),
    },
)


# ---- analogies ------------------------------------------------------------------------------------------------------


def solve_analogy(vectors, a, b, c):
    """vectors (V, d), a row a word; a, b, c: numbers of words → the answer's number"""
    # the solution begins
    unit = vectors / vectors.norm(dim=1, keepdim=True)  # (V, d)
    cosines = unit @ (unit[a] + unit[b] - unit[c])  # (V,), up to a common factor
    cosines[[a, b, c]] = -torch.inf
    return cosines.argmax()
    # the solution ends


def _analogy(vectors, a, b, c, unit=True, exclude=True, signs=(1, 1, -1)):
    rows = vectors / vectors.norm(dim=1, keepdim=True) if unit else vectors
    scores = rows @ (signs[0] * rows[a] + signs[1] * rows[b] + signs[2] * rows[c])
    if exclude:
        scores[[a, b, c]] = -torch.inf
    return scores.argmax()


SOLVE_ANALOGY = Exercise(
    title="king + woman − man",
    difficulty=3,
    minutes=15,
    task=(
        "Find the word whose vector has the greatest cosine to the vector of `a` plus that of `b` minus that of `c`, "
        "each first scaled to length 1. The three words themselves do not count."
    ),
    hint="Scale all rows to length 1 first; then a dot product is a cosine. `argmax` returns a tensor without axes.",
    solution=solve_analogy,
    cases=[(_random(8, 3, seed=seed), 0, 1, 2) for seed in (2, 36, 54)],
    mistakes={
        lambda v, a, b, c: _analogy(v, a, b, c, exclude=False): (
            "One of the three words wins. Leave them out: set their scores to −∞ before the argmax."
        ),
        lambda v, a, b, c: _analogy(v, a, b, c, unit=False): (
            "The dot product of vectors of any length favours long ones. Scale each row to length 1."
        ),
        lambda v, a, b, c: _analogy(v, a, b, c, signs=(1, -1, 1)): (
            "b and c have changed places: b is added, c is taken away."
        ),
    },
)

EXERCISES = [PAIR_COUNTS, SKIP_GRAM_LOSS, SOLVE_ANALOGY]
