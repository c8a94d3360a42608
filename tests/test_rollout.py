"""From many attention maps to one: every row sums to 1 after each step, and rollout is the product by hand."""

import numpy as np
import pytest
import torch

from helpers.rollout import FUSIONS, discard, fuse, keep_mass, rollout

pytestmark = pytest.mark.usefixtures("double_precision")


def maps(layers=3, heads=4, tokens=9):
    return (3 * torch.randn(layers, heads, tokens, tokens)).softmax(dim=-1)


def sums_to_one(weights):
    return torch.allclose(weights.sum(dim=-1), torch.ones(()), atol=1e-12)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("ratio", [0, 0.3, 0.5, 0.9, 0.99])
def test_rows_sum_to_one_after_every_step(fusion, ratio):
    weights = maps()
    fused = fuse(weights, fusion)
    dropped = discard(fused, ratio)
    for result in (fused, dropped, rollout(weights, fusion, ratio)):
        assert result.shape == (3, 9, 9) and sums_to_one(result)
        assert (result >= 0).all()


def test_fusions_by_hand():
    heads = torch.tensor([[[0.2, 0.8], [0.5, 0.5]], [[0.6, 0.4], [0.5, 0.5]]])
    assert torch.allclose(fuse(heads)[0], torch.tensor([0.4, 0.6]))
    assert torch.allclose(fuse(heads, "max")[0], torch.tensor([0.6, 0.8]) / 1.4)
    assert torch.allclose(fuse(heads, "min")[0], torch.tensor([0.2, 0.4]) / 0.6)


def test_discard_drops_the_smallest_of_each_row():
    row = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.25, 0.25, 0.25, 0.25]])
    assert torch.allclose(discard(row, 0), row)
    expected = torch.tensor([[0, 4 / 9, 2 / 9, 3 / 9], [1 / 3, 1 / 3, 1 / 3, 0]])
    assert torch.allclose(discard(row, 0.25), expected)
    assert torch.allclose(discard(row, 0.49), expected)  # ⌊0.49 · 4⌋ = 1
    assert torch.equal(discard(row, 0.75)[0], torch.tensor([0, 1.0, 0, 0]))


def test_rollout_is_the_product_of_the_layers():
    weights = maps().numpy()
    expected, through = np.eye(9), rollout(torch.from_numpy(weights))
    for layer in range(3):
        expected = (weights[layer].mean(axis=0) + np.eye(9)) / 2 @ expected
        assert np.allclose(through[layer], expected, atol=1e-12)


def test_rollout_discards_in_each_layer():
    weights = maps(layers=2)
    first, second = (discard(fuse(each, "max"), 0.5) for each in weights)
    stay = torch.eye(9)
    expected = (second + stay) @ (first + stay) / 4
    assert torch.allclose(rollout(weights, "max", 0.5)[1], expected, atol=1e-12)


def test_the_fewest_patches_that_hold_a_share():
    weights = torch.tensor([0.1, 0.4, 0.2, 0.3])
    for share, kept in ((0.3, [1]), (0.4, [1]), (0.41, [1, 3]), (1, [0, 1, 2, 3])):
        assert keep_mass(weights, share).nonzero().ravel().tolist() == kept
    assert keep_mass(weights / 7, 0.41).sum() == 2  # of their sum, whatever it is
    assert keep_mass(torch.tensor([0, 1.0, 0]), 1).tolist() == [False, True, False]


@pytest.mark.parametrize("share", [0.05, 0.35, 0.6, 0.95])
def test_one_patch_less_would_not_be_enough(share):
    weights = maps()[0, 0]
    kept = keep_mass(weights, share)
    held = (weights * kept).sum(dim=-1)
    assert (held >= share - 1e-9).all()
    least = torch.where(kept, weights, torch.inf).amin(dim=-1)
    assert (held - least < share).all()
    assert (torch.where(kept, 0, weights).amax(dim=-1) <= least).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fuse(maps(), "median"), "fusion: got 'median', expected one of"),
        (lambda: fuse(torch.rand(3, 3)), r"got shape \(3, 3\), expected \(…, h, T, T"),
        (lambda: fuse(torch.rand(2, 3, 4)), r"got shape \(2, 3, 4\)"),
        (lambda: rollout(torch.rand(2, 3, 3)), r"expected \(N, h, T, T\)"),
        (lambda: rollout(-maps()), "weights: got some below 0 or NaN"),
        (lambda: rollout(maps() * torch.nan), "weights: got some below 0 or NaN"),
        (lambda: fuse(torch.eye(2).repeat(2, 1, 1) * 0), "2 of 2 rows with sum 0"),
        (lambda: discard(maps(), 1), "ratio: got 1, expected at least 0 and less"),
        (lambda: discard(maps(), -0.1), "ratio: got -0.1"),
        (lambda: keep_mass(maps(), 0), "share: got 0, expected more than 0"),
        (lambda: keep_mass(maps(), 1.1), "share: got 1.1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_heads_that_share_no_token_have_no_least():
    heads = torch.eye(2).repeat(2, 1, 1)
    heads[1] = heads[1].flip(0)
    with pytest.raises(ValueError, match="2 of 2 rows with sum 0"):
        fuse(heads, "min")
