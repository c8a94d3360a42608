"""Scenes and wafers are asked after what is in them, and the recorded networks score what is recorded."""

import json

import numpy as np
import pytest
import torch

from helpers.localisation import (
    RECORDED,
    TASKS,
    Questions,
    absent,
    answers_right,
    batch_loss,
    centre_point,
    digit_scenes,
    failure_density,
    maps_of,
    recorded_network,
    small_network,
    wafer_maps,
)
from helpers.visual_attention import class_activation_map, grad_cam, pointing_accuracy
from helpers.wafers import KINDS

pytestmark = pytest.mark.usefixtures("double_precision")


@pytest.fixture
def scenes():
    return digit_scenes("test", 20, seed=5)


def test_each_digit_of_a_scene_is_asked_for_once_and_has_ink_in_its_region(scenes):
    assert scenes.images.shape == (20, 3, 56, 56)
    asked = list(zip(scenes.rows.tolist(), scenes.classes.tolist(), strict=True))
    there = {(i, k) for i in range(20) for k in range(10) if scenes.present[i, k]}
    assert len(asked) == len(set(asked)) and set(asked) == there
    for row, region in zip(scenes.rows, scenes.regions, strict=True):
        ink = scenes.images[row].amax(dim=0)
        assert 0 < region.double().mean() < 0.6
        assert ink[region].mean() > 2 * ink[~region].mean()


def test_two_patterns_are_of_two_families_in_their_own_regions():
    two = wafer_maps(12, seed=3, patterns=2)
    assert two.images.shape == (12, 2, 40, 40) and len(two.rows) == 24
    assert two.rows.tolist() == [i // 2 for i in range(24)]
    assert (two.present.sum(dim=1) == 2).all()
    assert two.present[two.rows, two.classes].all()
    assert (two.classes[::2] != two.classes[1::2]).all()
    failed = two.images[two.rows, 1]
    inside = (failed * two.regions).sum((1, 2)) / two.regions.sum((1, 2))
    assert inside.min() > 0.3


def test_one_pattern():
    one = wafer_maps(10, seed=3)
    assert one.present.sum(dim=0).tolist() == [2] * len(KINDS)
    assert torch.equal(one.present.long().argmax(dim=1), one.classes)


def test_absent_classes_are_all_others_and_their_region_is_all_that_is_there(scenes):
    missing = absent(scenes)
    assert len(missing.rows) + len(scenes.rows) == 200
    assert not scenes.present[missing.rows, missing.classes].any()
    for i in (0, 7):
        union = scenes.regions[scenes.rows == i].any(dim=0)
        for region in missing.regions[missing.rows == i]:
            assert torch.equal(region, union)


def fixed(*scores):
    return lambda images: torch.tensor(scores).double().expand(len(images), -1)


def toy(present):
    present = torch.tensor(present)
    rows, classes = present.nonzero(as_tuple=True)
    regions = torch.ones(len(rows), 4, 4, dtype=torch.bool)
    return Questions(torch.zeros(len(present), 1, 4, 4), present, rows, classes, regions)  # fmt: skip


def test_answers_by_hand():
    alone = toy([[True, False], [False, True], [True, False]])
    assert answers_right(fixed(0.1, -0.2), alone) == pytest.approx(2 / 3)
    several = toy([[True, True], [True, False], [False, True], [False, False]])
    assert answers_right(fixed(0.1, -0.2), several) == 0.25


def test_one_class_has_a_softmax_and_several_a_yes_or_no_each():
    generator = torch.Generator().manual_seed(0)
    alone, several = toy([[True, False]]), toy([[True, True]])
    loss = batch_loss(fixed(0.0, 1.0), alone, 4)(generator)
    assert loss.item() == pytest.approx(np.log(1 + np.e))
    loss = batch_loss(fixed(0.0, 1.0), several, 4)(generator)
    assert loss.item() == pytest.approx((np.log(2) + np.log(1 + np.exp(-1))) / 2)


@pytest.mark.parametrize("size", [(4, 4), (5, 5), (4, 7)])
def test_the_middle(size):
    (point,) = centre_point(torch.zeros(1, *size))
    assert torch.equal(point, point.flip(0)) and torch.equal(point, point.flip(1))
    assert point.sum() == (2 - size[0] % 2) * (2 - size[1] % 2)


def test_failure_density_by_hand():
    images = torch.zeros(1, 2, 5, 5)
    images[0, 0] = 1
    images[0, 1, 2, 2] = images[0, 1, 0, 0] = 1
    density = failure_density(images)
    assert density[0, 1, 1].item() == pytest.approx(2 / 9)
    assert density[0, 0, 0].item() == pytest.approx(1 / 9)
    assert density[0, 4, 4] == 0


def test_attention_sums_to_1_and_pools_with_its_weights():
    model = small_network("wafers with attention", seed=1).eval()
    images = wafer_maps(3, seed=1).images
    weights = model.attention_map(images)
    assert weights.shape == (3, 10, 10)
    assert torch.allclose(weights.sum((1, 2)), torch.ones(3))
    features = model.features(images)
    pooled = (features * weights[:, None]).sum((2, 3))
    assert torch.allclose(model(images), model.head(pooled), atol=1e-12)


def test_maps_are_those_of_the_asked_class_or_the_attention(scenes):
    network = small_network("scenes").eval()
    maps = maps_of(network, scenes)
    m = len(scenes.rows) - 1
    image, k = scenes.images[scenes.rows[m]][None], scenes.classes[m]
    alone = class_activation_map(network, image, "features", "head", k)
    assert torch.allclose(maps[m], alone[0], atol=1e-12)
    middle = maps_of(network, scenes, "features.12")
    assert torch.allclose(middle[m], grad_cam(network, image, "features.12", k)[0])
    attending = small_network("wafers with attention").eval()
    two = wafer_maps(4, seed=1, patterns=2)
    maps = maps_of(attending, two)
    assert torch.allclose(maps[0], maps[1]) and not torch.allclose(maps[0], maps[2])


RECORD = json.loads((RECORDED / "localisation.json").read_text())["tasks"]


def test_all_tasks_and_seeds_are_recorded():
    assert list(RECORD) == list(TASKS)
    for task in RECORD.values():
        assert [run["seed"] for run in task["runs"]] == task["seeds"]


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_recorded_networks_score_what_is_recorded(task):
    run = RECORD[task]["runs"][0]
    test = digit_scenes("test", 300, 1) if task == "scenes" else wafer_maps(500, 1)
    model = recorded_network(task)
    assert answers_right(model, test) == pytest.approx(run["right"], abs=0.004)
    pointing = pointing_accuracy(maps_of(model, test), test.regions)
    assert pointing == pytest.approx(run["pointing"], abs=0.004)
    blind = pointing_accuracy(torch.ones(len(test.rows), 1, 1), test.regions)
    assert blind == pytest.approx(RECORD[task]["baselines"]["random"], abs=1e-5)
    if task == "wafers":
        density = pointing_accuracy(failure_density(test.images), test.regions)
        assert density == pytest.approx(RECORD[task]["baselines"]["density_3"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wafer_maps(3, 0, patterns=3), "patterns: got 3, expected one of 1, 2"),
        (lambda: digit_scenes("all", 3, 0), "part: got 'all', expected one of"),
        (lambda: small_network("faces"), "task: got 'faces', expected one of 'scenes'"),
        (lambda: recorded_network("faces"), "task: got 'faces', expected one of"),
        (lambda: failure_density(torch.ones(1, 3, 4, 4)), r"images: got shape \(1, 3,"),
        (lambda: failure_density(torch.ones(1, 2, 4, 4), 2), "width: got 2, expected"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
