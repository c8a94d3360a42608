"""Checks of what a reader passes in: a `ValueError` that names the argument, what was got and what was expected."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch


def require_shape(
    name: str, array: torch.Tensor | np.ndarray, expected: Sequence[int | str]
) -> None:
    """Raise ValueError unless `array` has the shape `expected`: an int is that size, a string any size ≥ 1."""
    got = tuple(array.shape)
    fits = len(got) == len(expected) and all(
        size == want if isinstance(want, int) else size >= 1
        for size, want in zip(got, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join(map(str, expected))
        raise ValueError(
            f"{name}: got shape {got}, expected ({wanted}), each at least 1"
        )


def require_finite(name: str, array: torch.Tensor | np.ndarray) -> None:
    """Raise ValueError if `array` holds NaN or an infinity."""
    if isinstance(array, np.ndarray):
        bad = int((~np.isfinite(array)).sum())
    elif torch.isfinite(array.sum()):  # the fast way out: one bad value spoils the sum
        return
    else:
        bad = int((~torch.isfinite(array)).sum())
    if bad:
        shape = tuple(array.shape)
        raise ValueError(
            f"{name}: got {bad} NaN or infinite values in shape {shape}, expected none"
        )


def require_choice(name: str, got: object, choices: Iterable[object]) -> None:
    """Raise ValueError unless `got` is one of `choices`."""
    choices = list(choices)
    if got not in choices:
        raise ValueError(
            f"{name}: got {got!r}, expected one of {', '.join(map(repr, choices))}"
        )
