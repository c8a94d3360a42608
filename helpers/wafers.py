"""Wafer maps: which chips of a silicon wafer failed. Generated, not measured, so that the true place is known.

A wafer is a round slice on which some hundred chips, the dies, are made and then tested one by one. What goes wrong in
the factory leaves its mark in where they fail. The families of marks have the names of the public collection WM-811K
(Wu et al. 2015); how they are drawn here is our own, simple model, and says nothing of how often they occur.

A die at distance r from the middle (1 is the edge) fails with the wafer's background rate, drawn from 1 to 6 %, and in
the region of a pattern with the pattern's rate, drawn from 55 to 90 %. Drawn evenly for each region:

    centre      a disc of radius 0.2 to 0.4, whose middle is at most 0.1 from the wafer's
    donut       a ring around such a middle, from 0.25 … 0.4 outwards, 0.2 to 0.3 wide
    edge ring   all beyond 0.82 … 0.92, around the whole edge or at least two thirds of it
    local       an ellipse with half-axes of 0.12 to 0.25, whose middle is at 0.35 to 0.75
    scratch     a curve, 0.7 to 1.4 long that reaches 0.03 to 0.05 (at least half a die) to each side and bends
                by at most 1 radian; its middle is within 0.5
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from helpers.validation import require_choice

KINDS = ("centre", "donut", "edge ring", "local", "scratch")
NO_DIE, GOOD, FAILED = 0, 1, 2


@dataclass(frozen=True)
class Wafers:
    """maps (N, H, H) in uint8: NO_DIE, GOOD or FAILED. kinds (N,): numbers in KINDS.

    regions (N, H, H), boolean: the dies of the pattern, those among them that did not fail included.
    """

    maps: np.ndarray
    kinds: np.ndarray
    regions: np.ndarray


def wafers(count: int, seed: int, size: int = 40) -> Wafers:
    """`count` maps of `size` by `size` places with one pattern each, the families as even as can be, in random order.

    The same seed gives the same maps. Raises ValueError for count < 1 and size < 20.
    """
    if count < 1:
        raise ValueError(f"count: got {count}, expected at least 1")
    random = np.random.default_rng(seed)
    kinds = random.permutation(np.arange(count) % len(KINDS))
    drawn = [draw_wafer([KINDS[kind]], random, size) for kind in kinds]
    return Wafers(
        np.stack([map_ for map_, _ in drawn]),
        kinds,
        np.concatenate([regions for _, regions in drawn]),
    )


def draw_wafer(kinds: Sequence[str], random: np.random.Generator, size: int = 40):
    """One wafer with a pattern of each of `kinds`, or none: → map (size, size) in uint8, regions (kinds, size, size).

    Raises ValueError for other kinds and size < 20, on which a local pattern may be a die or two.
    """
    if isinstance(kinds, str):
        raise ValueError(f"kinds: got {kinds!r}, expected a list, such as [{kinds!r}]")
    for kind in kinds:
        require_choice("kinds", kind, KINDS)
    if size < 20:
        raise ValueError(f"size: got {size}, expected at least 20")
    place = (np.arange(size) + 0.5) * 2 / size - 1  # from −1 to 1
    y, x = np.meshgrid(place, place, indexing="ij")
    wafer = x**2 + y**2 <= 1
    rate = np.full((size, size), random.uniform(0.01, 0.06))
    regions = np.zeros((len(kinds), size, size), dtype=bool)
    for region, kind in zip(regions, kinds, strict=True):
        region[:] = wafer & _DRAW[kind](x, y, random)
        rate[region] = np.maximum(rate[region], random.uniform(0.55, 0.9))
    fails = random.random((size, size)) < rate
    return np.where(wafer, np.where(fails, FAILED, GOOD), NO_DIE).astype("u1"), regions


def _polar(length: float, angle: float) -> np.ndarray:
    return length * np.array([np.cos(angle), np.sin(angle)])


def _from_near_middle(x, y, random) -> np.ndarray:
    cx, cy = _polar(random.uniform(0, 0.1), random.uniform(0, 2 * np.pi))
    return np.hypot(x - cx, y - cy)


def _centre(x, y, random):
    return _from_near_middle(x, y, random) <= random.uniform(0.2, 0.4)


def _donut(x, y, random):
    r, inner = _from_near_middle(x, y, random), random.uniform(0.25, 0.4)
    return (r >= inner) & (r <= inner + random.uniform(0.2, 0.3))


def _edge_ring(x, y, random):
    start, turn = random.uniform(0, 2 * np.pi), random.uniform(2 / 3, 4 / 3)
    angle = (np.arctan2(y, x) - start) % (2 * np.pi)
    beyond = np.hypot(x, y) >= random.uniform(0.82, 0.92)
    return beyond & (angle <= turn * 2 * np.pi)


def _local(x, y, random):
    cx, cy = _polar(random.uniform(0.35, 0.75), random.uniform(0, 2 * np.pi))
    a, b = random.uniform(0.12, 0.25, 2)
    ux, uy = _polar(1, random.uniform(0, np.pi))  # along the first axis
    along = ((x - cx) * ux + (y - cy) * uy) / a
    across = ((y - cy) * ux - (x - cx) * uy) / b
    return along**2 + across**2 <= 1


def _scratch(x, y, random):
    """Many points along an arc whose middle lies within 0.5, and all that is near one of them."""
    length, bend = random.uniform(0.7, 1.4), random.uniform(-1, 1)
    t = np.linspace(-0.5, 0.5, 200)
    heading = random.uniform(0, 2 * np.pi) + bend * t
    steps = length / len(t) * np.stack([np.cos(heading), np.sin(heading)])
    path = steps.cumsum(axis=1)  # (2, points)
    middle = _polar(random.uniform(0, 0.5), random.uniform(0, 2 * np.pi))
    path = path - path[:, len(t) // 2, None] + middle[:, None]
    near = np.hypot(x[..., None] - path[0], y[..., None] - path[1]).min(axis=-1)
    half_a_die = 1.01 / len(x)  # else the line has gaps
    return near <= max(random.uniform(0.03, 0.05), half_a_die)


_DRAW = {
    "centre": _centre,
    "donut": _donut,
    "edge ring": _edge_ring,
    "local": _local,
    "scratch": _scratch,
}


def as_images(maps: np.ndarray) -> torch.Tensor:
    """maps (N, H, W) of NO_DIE, GOOD and FAILED → images (N, 2, H, W): where a die is, and where one failed, 0 or 1.

    Raises ValueError for other shapes, other types than whole numbers, and other numbers.
    """
    if maps.ndim != 3 or not maps.size:
        raise ValueError(f"maps: got shape {maps.shape}, expected (N, H, W)")
    if not np.issubdtype(maps.dtype, np.integer):
        raise ValueError(f"maps: got {maps.dtype}, expected whole numbers")
    if maps.min() < NO_DIE or maps.max() > FAILED:
        raise ValueError(
            f"maps: got numbers from {maps.min()} to {maps.max()}, expected {NO_DIE} to {FAILED}"
        )
    images = np.stack([maps != NO_DIE, maps == FAILED], axis=1)
    return torch.tensor(images, dtype=torch.get_default_dtype())
