"""From a stack of attention maps to one: fusion of the heads, discard, rollout, and the patches that hold most of it.

Shapes: weights (N, h, T, T) of N layers with h heads and T tokens; row t is where token t looks. Each row sums to 1,
and does so again after every step here.
"""

import torch
from torch import Tensor

from helpers.validation import require_choice

FUSIONS = {
    "mean": lambda heads: heads.mean(dim=-3),
    "max": lambda heads: heads.amax(dim=-3),
    "min": lambda heads: heads.amin(dim=-3),
}


def to_one(weights: Tensor) -> Tensor:
    """Rows (…, T) of no negative weights → the same, each divided by its sum. Raises ValueError for a sum of 0."""
    sums = weights.sum(dim=-1, keepdim=True)
    if not (sums > 0).all():
        got = f"{int((sums <= 0).sum())} of {sums.numel()} rows"
        raise ValueError(f"weights: got {got} with sum 0, expected a sum above 0")
    return weights / sums


def fuse(weights: Tensor, fusion: str = "mean") -> Tensor:
    """The heads of a layer as one: (…, h, T, T) → (…, T, T), by "mean", "max" or "min", each row to sum 1 again.

    Raises ValueError for another fusion, weights of another shape, below 0 or NaN, and rows without a sum.
    """
    require_choice("fusion", fusion, FUSIONS)
    require_weights(weights, 3)
    return to_one(FUSIONS[fusion](weights))


def discard(weights: Tensor, ratio: float) -> Tensor:
    """Each row (…, T) without its smallest ⌊ratio · T⌋ weights, brought back to sum 1.

    Of equal weights, those of earlier tokens are kept. 0 ≤ ratio < 1, or ValueError.
    Source: Gildenblat 2020, who drops the smallest of the whole map: there a row may
    lose all or nothing.
    """
    if not 0 <= ratio < 1:
        raise ValueError(f"ratio: got {ratio}, expected at least 0 and less than 1")
    kept = weights.shape[-1] - int(ratio * weights.shape[-1])
    order = weights.argsort(dim=-1, descending=True, stable=True)[..., :kept]
    mask = torch.zeros_like(weights).scatter(-1, order, 1)
    return to_one(weights * mask)


def rollout(weights: Tensor, fusion: str = "mean", ratio: float = 0.0) -> Tensor:
    """Where each token's state comes from: weights (N, h, T, T) → (N, T, T), entry n
    after layers 0 to n.

    A layer is A = (fused heads + identity) / 2, for what the residual connection passes
    on; R = A · R of the layers below. Each row sums to 1.
    Raises ValueError as `fuse` and `discard` do. Source: Abnar and Zuidema 2020, 3.
    """
    require_weights(weights, 4)
    stay = torch.eye(weights.shape[-1], dtype=weights.dtype)
    steps = (discard(fuse(weights, fusion), ratio) + stay) / 2
    passed = [steps[0]]
    for step in steps[1:]:
        passed.append(step @ passed[-1])
    return torch.stack(passed)


def keep_mass(weights: Tensor, share: float) -> Tensor:
    """The fewest patches that hold `share` of the weight of all: (…, P) → booleans (…, P); 0 < share ≤ 1.

    Raises ValueError for another share. Source: Caron et al. 2021, section 4.2.2, who keep 60 %.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share: got {share}, expected more than 0 and at most 1")
    ordered, order = weights.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(dim=-1) - ordered  # what the greater ones hold
    wanted = (share - 1e-9) * weights.sum(dim=-1, keepdim=True)
    kept = (before < wanted) & (ordered > 0)
    return torch.zeros_like(kept).scatter(-1, order, kept)


def require_weights(weights: Tensor, dimensions: int) -> None:
    """Raise ValueError for fewer dimensions, maps (…, T, T) that are not square, and weights below 0 or NaN."""
    shape = tuple(weights.shape)
    if len(shape) < dimensions or shape[-1] != shape[-2]:
        wanted = "(N, h, T, T)" if dimensions == 4 else "(…, h, T, T)"
        raise ValueError(f"weights: got shape {shape}, expected {wanted}")
    if not (weights >= 0).all():  # NaN is not
        raise ValueError("weights: got some below 0 or NaN, expected none")
