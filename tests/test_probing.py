"""Probes: they find what is there linearly, and nothing where nothing is; bad input."""

import pytest
import torch

from helpers.probing import ABSENT, DigitProbe, digit_targets, fit_probe

GENERATOR = torch.Generator().manual_seed(0)
NUMBERS = torch.randint(1, 10**9, (600,), generator=GENERATOR).tolist()


def test_digits_by_hand():
    assert digit_targets([304]).tolist() == [[4, 0, 3] + 6 * [ABSENT]]
    assert digit_targets([100]).tolist() == [[0, 0, 1] + 6 * [ABSENT]]
    assert digit_targets([999_999_999]).tolist() == [9 * [9]]


def one_hot(numbers):
    """A vector that holds every digit in a direction of its own, turned and shifted."""
    targets = digit_targets(numbers).clamp_min(0)
    z = torch.nn.functional.one_hot(targets, 10).flatten(1).double()  # (N, 90)
    turn = torch.linalg.qr(
        torch.randn(90, 90, generator=torch.Generator().manual_seed(1)).double()
    )[0]
    return 3 * z @ turn + 5


def test_it_reads_what_is_there_on_numbers_that_it_has_not_seen():
    probe = fit_probe(one_hot(NUMBERS[:400]), NUMBERS[:400])
    assert probe.right(one_hot(NUMBERS[400:]), NUMBERS[400:]).nanmean() > 0.99


def test_it_reads_nothing_from_noise():
    noise = torch.randn(600, 20, generator=torch.Generator().manual_seed(2)).double()
    probe = fit_probe(noise[:400], NUMBERS[:400])
    assert 0.05 < probe.right(noise[400:], NUMBERS[400:]).nanmean() < 0.16


def test_the_result_takes_z_as_it_is_and_is_a_minimum():
    """Same optimum for shifted and stretched vectors, and a zero gradient there."""
    z = one_hot(NUMBERS)[:, :5]
    first, second = (
        fit_probe(z, NUMBERS, rounds=300),
        fit_probe(7 * z - 3, NUMBERS, rounds=300),
    )
    torch.testing.assert_close(first(z), second(7 * z - 3), rtol=0, atol=1e-3)


def test_the_penalty_keeps_the_weights_small():
    z = one_hot(NUMBERS)[:, :5]
    free, held = (fit_probe(z, NUMBERS, penalty=penalty) for penalty in (0.0, 1.0))
    assert held.linear.weight.norm() < 0.1 * free.linear.weight.norm()


def test_a_coordinate_that_never_changes_does_no_harm():
    z = one_hot(NUMBERS)[:, :5]
    more = torch.cat([z, torch.full((600, 1), 3.0).double()], dim=1)
    torch.testing.assert_close(
        fit_probe(more, NUMBERS)(more), fit_probe(z, NUMBERS)(z), rtol=0, atol=1e-6
    )


def test_absent_places_are_neither_right_nor_wrong():
    right = DigitProbe(3).double().right(torch.zeros(1, 3).double(), [42])
    assert right[0, 2:].isnan().all() and not right[0, :2].isnan().any()


def test_bad_input():
    with pytest.raises(ValueError, match="numbers: got 0, expected 1 to 999,999,999"):
        digit_targets([0])
    with pytest.raises(ValueError, match=r"z: got shape \(3, 2\), expected \(2, Z\)"):
        fit_probe(torch.zeros(3, 2), [1, 2])
    with pytest.raises(ValueError, match="z: got 1 NaN or infinite"):
        fit_probe(torch.tensor([[1.0], [torch.nan]]), [1, 2])
