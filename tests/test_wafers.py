"""Wafer maps: the patterns are where they are said to be, and fail as often as they are said to."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from helpers.wafers import FAILED, GOOD, KINDS, NO_DIE, as_images, draw_wafer, wafers


@pytest.fixture(scope="module")
def sample():
    return wafers(300, seed=1)


def distance(size):
    place = (np.arange(size) + 0.5) * 2 / size - 1
    return np.hypot(place, place[:, None])


def test_a_wafer_is_round_and_its_maps_hold_three_numbers(sample):
    assert sample.maps.shape == sample.regions.shape == (300, 40, 40)
    assert sample.maps.dtype == np.uint8 and sample.regions.dtype == bool
    for map_ in sample.maps:
        assert np.array_equal(map_ != NO_DIE, distance(40) <= 1)
    assert set(np.unique(sample.maps)) == {NO_DIE, GOOD, FAILED}


def test_families_are_even_and_every_region_has_dies(sample):
    assert np.bincount(sample.kinds).tolist() == [60] * 5
    assert (np.diff(sample.kinds) < 0).any()  # mixed
    assert not (sample.regions & (sample.maps == NO_DIE)).any()
    assert sample.regions.sum(axis=(1, 2)).min() >= 10


def test_dies_fail_at_the_rate_of_where_they_are(sample):
    failed, good = sample.maps == FAILED, sample.maps == GOOD
    for map_failed, map_good, region in zip(failed, good, sample.regions, strict=True):
        inside = map_failed[region].mean()
        outside = map_failed[~region].sum() / (map_failed | map_good)[~region].sum()
        assert inside > 0.3 > 0.12 > outside
    inside, outside = sample.regions & failed, ~sample.regions & failed
    dies = (failed | good) & ~sample.regions
    assert inside.sum() / sample.regions.sum() == pytest.approx(0.725, abs=0.03)
    assert outside.sum() / dies.sum() == pytest.approx(0.035, abs=0.005)


def test_each_family_has_its_place(sample):
    r = distance(40)
    middle = {
        kind: [
            ndimage.center_of_mass(region)
            for region in sample.regions[sample.kinds == number]
        ]
        for number, kind in enumerate(KINDS)
    }
    off = {kind: np.hypot(*(np.array(at).T - 19.5)) / 20 for kind, at in middle.items()}
    assert off["centre"].max() < 0.12 and off["donut"].max() < 0.12
    assert off["local"].min() > 0.3
    for kind, region in zip(sample.kinds, sample.regions, strict=True):
        holes = ndimage.binary_fill_holes(region) & ~region
        match KINDS[kind]:
            case "centre":
                assert r[region].max() <= 0.5 + 1e-9 and not holes.any()
            case "donut":
                assert holes.any() and r[region].min() > 0.14 and r[region].max() < 0.81
            case "edge ring":
                assert r[region].min() > 0.82 and region.sum() > 100
            case "local":
                assert not holes.any() and region.sum() < 100
            case "scratch":
                assert 10 <= region.sum() < 100


@pytest.mark.parametrize("size", [20, 33, 40, 64])
def test_a_pattern_is_in_one_piece_whatever_the_size(size):
    random = np.random.default_rng(3)
    for kind in KINDS:
        for _ in range(10):
            _, (region,) = draw_wafer([kind], random, size)
            _, pieces = ndimage.label(region, structure=np.ones((3, 3)))
            assert pieces == 1, kind


def test_scratches_are_thin_and_long():
    random = np.random.default_rng(4)
    for _ in range(30):
        _, (region,) = draw_wafer(["scratch"], random, 60)
        span = np.ptp(np.argwhere(region), axis=0)
        assert np.hypot(*span) * 2 / 60 > 0.5
        assert not ndimage.binary_erosion(region, np.ones((5, 5))).any()


def test_several_patterns_on_one_wafer_and_none():
    random = np.random.default_rng(5)
    map_, regions = draw_wafer(["centre", "edge ring"], random)
    assert regions.shape == (2, 40, 40) and not regions.all(axis=0).any()
    assert all((map_[region] == FAILED).mean() > 0.3 for region in regions)
    clean, none = draw_wafer([], random)
    assert none.shape == (0, 40, 40) and (clean == FAILED).sum() < 0.12 * 1256


def test_wafers_depend_on_the_seed_alone():
    one, same, other = wafers(10, 7), wafers(10, 7), wafers(10, 8)
    assert np.array_equal(one.maps, same.maps)
    assert np.array_equal(one.kinds, same.kinds)
    assert not np.array_equal(one.maps, other.maps)


def test_images(sample):
    images = as_images(sample.maps[:4])
    assert images.shape == (4, 2, 40, 40) and images.dtype == torch.float32
    assert images[:, 1].sum() == (sample.maps[:4] == FAILED).sum()
    assert images[:, 0].sum() == (sample.maps[:4] != NO_DIE).sum()


RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wafers(0, 0), "count: got 0, expected at least 1"),
        (lambda: wafers(1, 0, size=19), "size: got 19, expected at least 20"),
        (lambda: draw_wafer(["moon"], RANDOM), "kinds: got 'moon', expected one of"),
        (lambda: draw_wafer("donut", RANDOM), r"kinds: got 'donut', expected a list"),
        (lambda: as_images(np.zeros((4, 4), "u1")), r"maps: got shape \(4, 4\), exp"),
        (lambda: as_images(np.zeros((0, 4, 4), "u1")), r"maps: got shape \(0, 4, 4\)"),
        (lambda: as_images(np.zeros((1, 4, 4))), "maps: got float64, expected whole"),
        (lambda: as_images(np.full((1, 4, 4), 3)), "maps: got numbers from 3 to 3"),
        (lambda: as_images(np.full((1, 4, 4), -1)), "maps: got numbers from -1 to -1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
