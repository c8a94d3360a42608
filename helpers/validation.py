"""Checks of what a reader passes in: a `ValueError` that names the argument, what was got and what was expected."""

import torch


def require_shape(
    name: str, tensor: torch.Tensor, expected: tuple[int | str, ...]
) -> None:
    """Raise ValueError unless `tensor` has the shape `expected`: an int is that size, a string any size ≥ 1."""
    got = tuple(tensor.shape)
    fits = len(got) == len(expected) and all(
        size == want if isinstance(want, int) else size >= 1
        for size, want in zip(got, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join(str(want) for want in expected)
        raise ValueError(
            f"{name}: got shape {got}, expected ({wanted}), each at least 1"
        )


def require_finite(name: str, tensor: torch.Tensor) -> None:
    """Raise ValueError if `tensor` holds NaN or an infinity."""
    if torch.isfinite(tensor.sum()):  # the fast way out: one bad value spoils the sum
        return
    if bad := int((~torch.isfinite(tensor)).sum()):
        raise ValueError(
            f"{name}: got {bad} NaN or infinite values in shape {tuple(tensor.shape)}, expected none"
        )


def require_choice(name: str, got: object, choices: list[str]) -> None:
    """Raise ValueError unless `got` is one of `choices`."""
    if got not in choices:
        raise ValueError(
            f"{name}: got {got!r}, expected one of {', '.join(map(repr, choices))}"
        )
