"""The checks of arguments themselves."""

import pytest
import torch

from helpers.validation import require_choice, require_finite, require_shape


def test_shape():
    require_shape("x", torch.zeros(2, 3), (2, "T"))
    for shape in ((3, 3), (2,), (2, 0), (2, 3, 1)):
        with pytest.raises(
            ValueError,
            match=rf"x: got shape \({str(shape)[1:-1]}\), expected \(2, T\), each at least 1",
        ):
            require_shape("x", torch.zeros(shape), (2, "T"))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_finite(bad):
    with pytest.raises(
        ValueError,
        match=r"x: got 2 NaN or infinite values in shape \(2, 3\), expected none",
    ):
        require_finite("x", torch.tensor([[0.0, bad, 1.0], [2.0, 3.0, bad]]))


def test_infinities_that_cancel_are_found_and_large_numbers_pass():
    with pytest.raises(ValueError, match="got 2 NaN or infinite"):
        require_finite("x", torch.tensor([torch.inf, -torch.inf]))
    require_finite("x", torch.full((10,), 3e38))  # their sum overflows, they do not


def test_choice():
    require_choice("x", "a", ["a", "b"])
    with pytest.raises(ValueError, match="x: got 'c', expected one of 'a', 'b'"):
        require_choice("x", "c", ["a", "b"])
