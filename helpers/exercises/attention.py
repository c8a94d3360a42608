"""The exercises of chapter 06."""

import torch

from helpers.exercises import Exercise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


# ---- one query ------------------------------------------------------------------------------------------------------


def attend(query, keys, values):
    """query (d_k,), keys (S, d_k), values (S, d_v) → output (d_v,)"""
    # the solution begins
    energy = keys @ query / len(query) ** 0.5  # (S,)
    weights = torch.softmax(energy, dim=0)  # (S,)
    return weights @ values  # (d_v,)
    # the solution ends


ATTEND = Exercise(
    title="one query, by hand",
    difficulty=1,
    minutes=5,
    task="Write scaled dot-product attention for one query, without batches: energies, softmax, mixture.",
    hint="`keys @ query` gives all dot products. What belongs under the root: how many keys, or how wide they are?",
    solution=attend,
    cases=[
        (_random(4), _random(6, 4, seed=1), _random(6, 3, seed=2)),
        (_random(9), _random(2, 9, seed=3), _random(2, 5)),
    ],
    mistakes={
        lambda q, k, v: torch.softmax(k @ q, dim=0) @ v: (
            "The energies are not scaled: divide the dot products by √d_k before the softmax."
        ),
        lambda q, k, v: torch.softmax(k @ q / len(k) ** 0.5, dim=0) @ v: (
            "The dot products are divided by √S, the number of keys. It is the width of a key that makes them spread: "
            "divide by √d_k."
        ),
        lambda q, k, v: torch.softmax(k @ q / len(q), dim=0) @ v: (
            "The dot products are divided by d_k. Their variance grows like d_k, their spread like its root: "
            "divide by √d_k."
        ),
        lambda q, k, v: k @ q / len(q) ** 0.5 @ v: (
            "The mixture uses the energies themselves. Pass them through a softmax first, so that the weights sum to 1."
        ),
    },
)


# ---- masks ----------------------------------------------------------------------------------------------------------


def masked_softmax(energy, mask):
    """energy (T, S), mask (T, S) boolean, True = may attend → weights (T, S)"""
    # the solution begins
    return torch.softmax(energy.masked_fill(~mask, -torch.inf), dim=-1)
    # the solution ends


_MASK = torch.tensor(
    [[True, True, False, False], [True, False, True, True], [False, True, True, False]]
)

MASKED_SOFTMAX = Exercise(
    title="a softmax that respects a mask",
    difficulty=1,
    minutes=5,
    task="A masked key must get weight 0 exactly, and every row must still sum to 1.",
    hint="What must the energy be so that its exponential is exactly 0?",
    solution=masked_softmax,
    cases=[(_random(3, 4), _MASK), (3 * _random(3, 4, seed=1), _MASK.flip(0))],
    mistakes={
        lambda e, m: torch.softmax(e, dim=-1) * m: (
            "The mask is applied after the softmax, so the rows no longer sum to 1. Mask the energies, before it."
        ),
        lambda e, m: torch.softmax(e * m, dim=-1): (
            "A masked energy is set to 0, but exp(0) = 1: the key still gets weight. Fill it with −∞."
        ),
        lambda e, m: torch.softmax(e.masked_fill(m, -torch.inf), dim=-1): (
            "The mask is turned round: True means that the query may attend. Fill where it is False, with ~mask."
        ),
        lambda e, m: torch.softmax(e.masked_fill(~m, -torch.inf), dim=0): (
            "The columns sum to 1, not the rows: take the softmax over the keys, dim=-1."
        ),
    },
)


# ---- additive energy ------------------------------------------------------------------------------------------------


def additive_energy(query, keys, W_q, W_k, v):
    """query (d_q,), keys (S, d_k), W_q (h, d_q), W_k (h, d_k), v (h,) → energy (S,)"""
    # the solution begins
    hidden = torch.tanh(
        W_q @ query + keys @ W_k.T
    )  # (S, h): the query's part is added to every row
    return hidden @ v  # (S,)
    # the solution ends


ADDITIVE_ENERGY = Exercise(
    title="Bahdanau's energy",
    difficulty=2,
    minutes=10,
    task="Write $e_i = \\mathbf{v}^\\top \\tanh(W_q\\mathbf{q} + W_k\\mathbf{k}_i)$ for all keys at once, no loop.",
    hint="`keys @ W_k.T` has shape (S, h), one row a key. `W_q @ query` has shape (h,): `+` adds it to each row.",
    solution=additive_energy,
    cases=[
        (
            _random(3),
            _random(5, 4, seed=1),
            _random(2, 3, seed=2),
            _random(2, 4, seed=3),
            _random(2, seed=4),
        ),
        (
            _random(2, seed=5),
            _random(3, 2, seed=6),
            _random(4, 2),
            _random(4, 2, seed=7),
            _random(4, seed=8),
        ),
    ],
    mistakes={
        lambda q, k, W_q, W_k, v: (W_q @ q + k @ W_k.T) @ v: (
            "The tanh is missing. Without it the query adds the same number to every energy, and the softmax "
            "cancels it: the weights would not depend on the query at all."
        ),
        lambda q, k, W_q, W_k, v: torch.tanh((W_q @ q + k @ W_k.T) @ v): (
            "The tanh is taken last, of the whole sum, so no energy leaves (−1, 1). Take it of each hidden unit, "
            "before v."
        ),
        lambda q, k, W_q, W_k, v: torch.tanh(W_q @ q * (k @ W_k.T)) @ v: (
            "The query's part multiplies the key's. In additive attention the two are added."
        ),
        lambda q, k, W_q, W_k, v: torch.tanh(k @ W_k.T) @ v: (
            "The query is not used: every query would get the same weights."
        ),
    },
)


# ---- temperature ----------------------------------------------------------------------------------------------------


def temper(weights, temperature):
    """weights (T, S), rows sum to 1, made at temperature 1; temperature > 0 → weights (T, S) at that temperature"""
    # the solution begins
    return torch.softmax(weights.log() / temperature, dim=-1)
    # the solution ends


TEMPER = Exercise(
    title="what the temperature slider does",
    difficulty=3,
    minutes=15,
    task=(
        "The explorer holds the weights $\\alpha$, not the energies, and still shows them at any temperature: "
        "$\\mathrm{softmax}(\\mathbf{e}/\\tau)$. Find how. A weight that is 0 must stay 0."
    ),
    hint="Up to a constant that the softmax cancels, $e_i = \\log \\alpha_i$.",
    solution=temper,
    cases=[
        (torch.softmax(2 * _random(3, 5), dim=-1), 0.5),
        (torch.softmax(_random(2, 4, seed=1), dim=-1), 3.0),
        (torch.tensor([[0.5, 0.25, 0.25, 0.0]], dtype=torch.float64), 2.0),
    ],
    mistakes={
        lambda w, t: (
            w / t
        ): "The weights are divided by τ, so the rows no longer sum to 1. It is the energies that τ divides.",
        lambda w, t: torch.softmax(w / t, dim=-1): (
            "The softmax is taken of the weights, as if they were energies, and a weight of 0 becomes positive. "
            "Go back to the energies first: log α."
        ),
        lambda w, t: (
            w ** (1 / t)
        ): "The powers are right, but the rows no longer sum to 1: divide each row by its sum.",
        lambda w, t: w**t / (w**t).sum(-1, keepdim=True): (
            "The temperature acts the wrong way round: a high τ must flatten the weights. The exponent is 1/τ, not τ."
        ),
    },
)

EXERCISES = [ATTEND, MASKED_SOFTMAX, ADDITIVE_ENERGY, TEMPER]
