"""The exercises of chapter 07c."""

import torch

from helpers.exercises import Exercise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


# ---- top-k ----------------------------------------------------------------------------------------------------------


def keep_top_k(logits, k):
    """logits (V,), k from 1 to V → probabilities (V,), all but k of them exactly 0"""
    # the solution begins
    best = torch.topk(logits, k).indices  # (k,)
    kept = torch.full_like(logits, -torch.inf)
    kept[best] = logits[best]
    return torch.softmax(kept, dim=0)
    # the solution ends


def _top(values, k):
    there = torch.zeros_like(values, dtype=torch.bool)
    there[torch.topk(values, k).indices] = True
    return there


KEEP_TOP_K = Exercise(
    title="top-k",
    difficulty=1,
    minutes=5,
    task="Only the `k` likeliest tokens may be drawn. The others get probability 0 exactly, and what stays sums to 1.",
    hint="`torch.topk` finds them. A logit of $-\\infty$ becomes a probability of 0, as under a mask.",
    solution=keep_top_k,
    cases=[
        (torch.tensor([0.5, 2.0, -1.0, 1.5, 0.0], dtype=torch.float64), 2),
        (_random(7), 4),
    ],
    mistakes={
        lambda o, k: torch.softmax(o, 0) * _top(o, k): (
            "What stays does not sum to 1: divide it by its sum, or mask the logits before the softmax."
        ),
        lambda o, k: torch.softmax(o * _top(o, k), 0): (
            "The others got the logit 0, which is not the probability 0: exp(0) = 1. Use −∞."
        ),
        lambda o, k: torch.softmax(torch.where(_top(-o, k), o, -torch.inf), 0): (
            "These are the k least likely tokens."
        ),
        lambda o, k: torch.softmax(
            o, 0
        ): "All tokens may still be drawn: k is not used.",
        lambda o, k: _top(o, k).to(o) / k: (
            "All k tokens have the same probability. They must keep their proportions: the softmax of their logits."
        ),
    },
)


# ---- top-p ----------------------------------------------------------------------------------------------------------


def nucleus(p, share):
    """p (V,) probabilities, share from 0 to 1 → (V,): the nucleus, with sum 1"""
    # the solution begins
    ordered, order = p.sort(descending=True)
    before = ordered.cumsum(dim=0) - ordered  # (V,): what all likelier ones hold
    kept = torch.where(before < share, ordered, 0)
    result = torch.zeros_like(p)
    result[order] = kept / kept.sum()
    return result
    # the solution ends


def _cut(p, keep):
    """Scale what `keep(ordered, cumulated)` lets stay."""
    ordered, order = p.sort(descending=True)
    kept = torch.where(keep(ordered, ordered.cumsum(0)), ordered, 0)
    result = torch.zeros_like(p)
    result[order] = kept
    return result


def _scaled(q):
    return q / q.sum()


def _unsorted(p, share):
    return _scaled(torch.where(p.cumsum(0) - p < share, p, 0))


def _sorted_output(p, share):
    ordered, _ = p.sort(descending=True)
    return _scaled(torch.where(ordered.cumsum(0) - ordered < share, ordered, 0))


_P = torch.tensor([0.10, 0.05, 0.45, 0.15, 0.25], dtype=torch.float64)

NUCLEUS = Exercise(
    title="top-p",
    difficulty=2,
    minutes=10,
    task="Keep the *nucleus*: the fewest of the likeliest tokens that together hold at least `share` of the "
    "probability. How many that are depends on the distribution. The likeliest always stays.",
    hint="Sort, then `cumsum`. A token stays if those *before* it hold less than the share. `result[order] = …` puts "
    "sorted numbers back in their places.",
    solution=nucleus,
    cases=[
        (_P, 0.6),
        (_P, 0.3),
        (torch.softmax(2 * _random(8), 0), 0.9),
    ],
    mistakes={
        lambda p, s: _scaled(_cut(p, lambda q, c: c <= s)): (
            "One token too few: the one with which the share is reached stays too. Where the likeliest alone holds "
            "more than the share, nothing was left, and 0/0 is NaN."
        ),
        lambda p, s: _cut(p, lambda q, c: c - q < s): (
            "What stays does not sum to 1: divide it by its sum."
        ),
        _unsorted: (
            "The probabilities were added up in the vocabulary's order. Sort them first, the likeliest in front."
        ),
        _sorted_output: (
            "The result is in sorted order, so each token has another's probability. Put it back: `result[order] = …`."
        ),
        lambda p, s: _scaled(p * _top(p, max(1, int(s * len(p))))): (
            "This keeps a share of the tokens. The share is of the probability that they hold."
        ),
    },
)


# ---- one step with a cache ------------------------------------------------------------------------------------------


def attend_with_cache(x, W_q, W_k, W_v, keys, values):
    """x (d,) new token; W_q, W_k, W_v (d, d); keys, values (S, d) kept → output (d,)"""
    # the solution begins
    query, key, value = W_q @ x, W_k @ x, W_v @ x  # (d,): of the new token alone
    keys = torch.cat([keys, key[None]])  # (S + 1, d)
    values = torch.cat([values, value[None]])
    weights = torch.softmax(keys @ query / len(query) ** 0.5, dim=0)  # (S + 1,)
    return weights @ values
    # the solution ends


def _attend(query, keys, values):
    return torch.softmax(keys @ query / len(query) ** 0.5, dim=0) @ values


def _without_itself(x, W_q, W_k, W_v, keys, values):
    return _attend(W_q @ x, keys, values)


def _projected_again(x, W_q, W_k, W_v, keys, values):
    keys, values = torch.cat([keys, x[None]]), torch.cat([values, x[None]])
    return _attend(W_q @ x, keys @ W_k.T, values @ W_v.T)


def _not_projected(x, W_q, W_k, W_v, keys, values):
    return _attend(W_q @ x, torch.cat([keys, x[None]]), torch.cat([values, x[None]]))


def _unscaled(x, W_q, W_k, W_v, keys, values):
    keys, values = (
        torch.cat([keys, (W_k @ x)[None]]),
        torch.cat([values, (W_v @ x)[None]]),
    )
    return torch.softmax(keys @ (W_q @ x), dim=0) @ values


def _key_as_query(x, W_q, W_k, W_v, keys, values):
    keys, values = (
        torch.cat([keys, (W_k @ x)[None]]),
        torch.cat([values, (W_v @ x)[None]]),
    )
    return _attend(W_k @ x, keys, values)


_MATRICES = (_random(4, 4, seed=1), _random(4, 4, seed=2), _random(4, 4, seed=3))

ATTEND_WITH_CACHE = Exercise(
    title="one step with a cache",
    difficulty=3,
    minutes=15,
    task="A new token arrives. The keys and values of the tokens before it were kept. Compute the output of attention "
    "for the new token: what it alone needs, and nothing twice. One head, no biases.",
    hint="The new token attends to itself too, so its key and value join the others. Must the kept ones be multiplied "
    "with anything?",
    solution=attend_with_cache,
    cases=[
        (_random(4), *_MATRICES, _random(3, 4, seed=4), _random(3, 4, seed=5)),
        (_random(4, seed=6), *_MATRICES, _random(1, 4, seed=7), _random(1, 4, seed=8)),
    ],
    mistakes={
        _without_itself: (
            "The new token does not see itself: append its key and its value to the kept ones."
        ),
        _projected_again: (
            "The kept keys and values are multiplied with W_k and W_v a second time. They were when they were made."
        ),
        _not_projected: (
            "The token itself was appended. Its key is W_k x and its value W_v x."
        ),
        _unscaled: "The energies are not divided by √d.",
        _key_as_query: "The new token's key asks here. Its query is W_q x.",
    },
)

EXERCISES = [KEEP_TOP_K, NUCLEUS, ATTEND_WITH_CACHE]
