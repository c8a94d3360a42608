"""The exercises of chapter 08c on attention between pixels."""

import torch

from helpers.exercises import Exercise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


# ---- every pixel asks every pixel -----------------------------------------------------------------------------------


def map_attention(x, W_q, W_k, W_v):
    """x (C, H, W), matrices (d, C) → (d, H, W): each pixel a mean of all values, weights by softmax of q·k"""
    # the solution begins
    pixels = x.flatten(1).T  # (H·W, C): a row for each pixel
    q, k, v = pixels @ W_q.T, pixels @ W_k.T, pixels @ W_v.T  # (H·W, d)
    weights = torch.softmax(q @ k.T, dim=-1)  # (H·W, H·W)
    return (weights @ v).T.unflatten(1, x.shape[1:])
    # the solution ends


def _map_attention(x, W_q, W_k, W_v, dim=-1, scale=1.0, back=None):
    pixels = x.flatten(1).T
    q, k, v = pixels @ W_q.T, pixels @ W_k.T, pixels @ W_v.T
    z = torch.softmax(scale * q @ k.T, dim=dim) @ v
    return back(z, x) if back else z.T.unflatten(1, x.shape[1:])


_MATRICES = [_random(4, 3, seed=seed) for seed in (1, 2, 3)]

MAP_ATTENTION = Exercise(
    title="a map of pixels is a list of tokens",
    difficulty=1,
    minutes=10,
    task="Let every pixel of a feature map attend to every pixel, as the embedded Gaussian non-local operation does "
    "before $W_z$: no $1/\\sqrt{d}$, no bias. Out comes a map again.",
    hint="`x.flatten(1).T` has a row for each pixel. At the end transpose first, then `unflatten(1, (H, W))`.",
    solution=map_attention,
    cases=[(_random(3, 2, 4), *_MATRICES), (_random(3, 3, 3, seed=5), *_MATRICES)],
    mistakes={
        lambda *a: _map_attention(*a, scale=0.5): (
            "The energies were divided by √d. The non-local block leaves that out; with few channels it may."
        ),
        lambda *a: _map_attention(*a, dim=0): (
            "The columns sum to 1, not the rows: each pixel that asks shares out its own attention, dim=-1."
        ),
        lambda *a: _map_attention(
            *a, back=lambda z, x: z.reshape(z.shape[1], *x.shape[1:])
        ): (
            "The numbers are right and in the wrong places: a reshape of (H·W, d) to (d, H, W) tears the pixels "
            "apart. Transpose first."
        ),
        lambda x, W_q, W_k, W_v: _map_attention(x, W_k, W_q, W_v): (
            "Queries and keys are swapped: row i of the energies must be q of pixel i with the keys of all."
        ),
    },
)


# ---- a window -------------------------------------------------------------------------------------------------------


def window_weights(q, keys, offsets, inside):
    """q (d,), keys and offsets (k², d), inside (k²,) boolean → weights (k²,); outside the picture exactly 0"""
    # the solution begins
    energy = (keys + offsets) @ q  # (k²,): content and place, summed over channels
    energy = energy.masked_fill(~inside, -torch.inf)
    return torch.softmax(energy, dim=-1)
    # the solution ends


_INSIDE = torch.tensor([False, False, False, False, True, True, False, True, True])
_NINE = [_random(9, 4, seed=seed) for seed in (6, 7)]

WINDOW_WEIGHTS = Exercise(
    title="a pixel at the corner",
    difficulty=2,
    minutes=10,
    task="Compute one pixel's weights on its neighbourhood, $\\operatorname{softmax}_j(\\mathbf{q}^\\top \\mathbf{k}_j "
    "+ \\mathbf{q}^\\top \\mathbf{r}_j)$, where `inside` says which neighbours are in the picture. The keys of those "
    "outside are zeros, from the padding.",
    hint="A key of zeros has the energy $\\mathbf{q}^\\top \\mathbf{r}_j$, not $-\\infty$. Mask before the softmax.",
    solution=window_weights,
    cases=[
        (_random(4, seed=8), _NINE[0] * _INSIDE[:, None], _NINE[1], _INSIDE),
        (_random(4, seed=9), *_NINE, torch.ones(9, dtype=torch.bool)),
    ],
    mistakes={
        lambda q, k, r, m: torch.softmax((k + r) @ q, -1): (
            "Pixels that do not exist get weight: a key of zeros still has an energy. Fill it with −∞."
        ),
        lambda q, k, r, m: torch.softmax((k + r) @ q, -1) * m: (
            "The weights were set to 0 after the softmax, so they no longer sum to 1. Mask the energies before it."
        ),
        lambda q, k, r, m: torch.softmax((k @ q).masked_fill(~m, -torch.inf), -1): (
            "The offsets are missing: without q·r a neighbour above and one below are the same to the pixel."
        ),
        lambda q, k, r, m: torch.softmax(
            (k @ q + r.sum(-1)).masked_fill(~m, -torch.inf), -1
        ): (
            "The offset was added without the query. In q·r the pixel itself decides which directions matter."
        ),
    },
)


# ---- one weight for all channels ------------------------------------------------------------------------------------


def window_output(q, keys, values, heads):
    """q (C,), keys and values (k², C); consecutive channels form a head → output (C,)"""
    # the solution begins
    q, keys, values = (each.unflatten(-1, (heads, -1)) for each in (q, keys, values))
    energy = (q * keys).sum(-1)  # (k², h): one number for each neighbour and head
    weights = torch.softmax(energy, dim=0)
    return (weights[..., None] * values).sum(0).flatten()
    # the solution ends


def _grouped(q, k, v, heads):
    q, k, v = (each.unflatten(-1, (-1, heads)) for each in (q, k, v))
    weights = torch.softmax((q * k).sum(-2), dim=0)
    return (weights[:, None] * v).sum(0).flatten()


_WINDOW = (_random(6, seed=10), _random(9, 6, seed=11), _random(9, 6, seed=12))

WINDOW_OUTPUT = Exercise(
    title="one weight a head, not one a channel",
    difficulty=3,
    minutes=15,
    task="Compute the output for one pixel whose channels are divided among heads: channels $0 … d-1$ are the first "
    "head, and so on. No offsets, all neighbours inside. A widely copied implementation multiplies query and key and "
    "forgets a sum; it runs, and it trains.",
    hint="`unflatten(-1, (heads, -1))` gives each head its channels. The sum over them comes before the softmax over "
    "the neighbours.",
    solution=window_output,
    cases=[(*_WINDOW, 2), (*_WINDOW, 1)],
    mistakes={
        lambda q, k, v, h: (torch.softmax(q * k, dim=0) * v).sum(0): (
            "Each channel got weights of its own: q·k is a dot product, so sum over the channels of a head before the "
            "softmax. This is the mistake of that implementation."
        ),
        lambda q, k, v, h: torch.softmax(k @ q, dim=0) @ v: (
            "All channels share one weight, as if there were one head. Sum over the channels of each head by itself."
        ),
        _grouped: (
            "The heads took every second channel: unflatten(-1, (heads, -1)), heads first, keeps neighbours together."
        ),
        lambda q, k, v, h: (
            (
                torch.softmax(
                    (q.unflatten(-1, (h, -1)) * k.unflatten(-1, (h, -1))).sum(-1), -1
                )[..., None]
                * v.unflatten(-1, (h, -1))
            )
            .sum(0)
            .flatten()
        ): (
            "The softmax ran over the heads. Its weights must sum to 1 over the neighbours, the first dimension here."
        ),
    },
)

EXERCISES = [MAP_ATTENTION, WINDOW_WEIGHTS, WINDOW_OUTPUT]
