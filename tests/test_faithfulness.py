"""Deletion and insertion: a model that needs one patch, and known orders of patches."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from helpers.data import fashion
from helpers.data_hunger import build, load_small_patches
from helpers.faithfulness import (
    ERASURES,
    MAPS,
    area,
    blur,
    brightness,
    class_rollout,
    curve,
    enlarge,
    last_attention,
    occlusion,
    probability,
    ranks,
    token_grad_cam,
)
from helpers.training import RECORDED
from helpers.vit import attention_maps


class Reader(nn.Module):
    """Says class 1 as surely as the pixels of patch 9 (row 1, column 2) are bright, and looks at nothing else."""

    patch = 4

    def grid(self, photos):
        return photos.shape[-2] // 4, photos.shape[-1] // 4

    def forward(self, photos):
        seen = photos[:, 4:8, 8:12].mean(dim=(1, 2))
        return torch.stack([torch.zeros_like(seen), 20 * seen - 10], dim=1)


def photos(n=3):
    x = torch.zeros(n, 28, 28)
    x[:, 4:8, 8:12] = 1  # patch 9
    return x


ONE = torch.ones(3, dtype=torch.long)


def draw():
    return torch.Generator().manual_seed(0)


def test_a_patch_is_where_its_number_says():
    mask = torch.zeros(3, 49)
    mask[:, 9] = 1
    assert torch.equal(enlarge(Reader(), mask, photos()), photos())
    assert torch.equal(brightness(Reader(), photos(), ONE), mask)


@pytest.mark.parametrize("erasure", ERASURES)
def test_the_curve_falls_with_the_patch_that_is_needed(erasure):
    first = torch.zeros(3, 49)
    first[:, 9] = 1
    deleted, inserted = (
        curve(Reader(), photos(), ONE, first, draw(), erasure, insert, 50)
        for insert in (False, True)
    )
    assert deleted.shape == (3, 50)
    assert (deleted[:, 0] > 0.99).all() and (deleted[:, 1:] < 0.01).all()
    assert (inserted[:, 0] < 0.01).all() and (inserted[:, 1:] > 0.99).all()


def test_last_in_the_order_is_last_to_go():
    last = torch.ones(3, 49)
    last[:, 9] = 0
    deleted = curve(Reader(), photos(), ONE, last, draw(), points=50)
    assert (deleted[:, :-1] > 0.99).all() and (deleted[:, -1] < 0.01).all()


def test_occlusion_finds_the_patch_and_grades_the_loss():
    lost = occlusion(Reader(), photos(), ONE)
    assert (lost.argmax(dim=1) == 9).all()
    assert (lost[:, 9] > 0.9).all() and (
        lost.sum(dim=1) - lost[:, 9]
    ).abs().max() < 1e-6


def test_equals_are_ordered_by_lot_and_others_are_not():
    scores = torch.tensor([[0.0, 2, 0, 1, 0, 0]]).expand(400, -1)
    found = ranks(scores, draw())
    assert (found[:, 1] == 0).all() and (found[:, 3] == 1).all()
    assert (found.sort(dim=1).values == torch.arange(6)).all()
    means = found[:, [0, 2, 4, 5]].double().mean(dim=0)
    assert (means - 3.5).abs().max() < 0.3


def test_area_is_that_of_trapezoids():
    curves = torch.tensor([[1.0, 1, 1], [1, 0, 0], [0, 0.5, 1]])
    assert torch.allclose(area(curves), torch.tensor([1.0, 0.25, 0.5]))


def test_blur_keeps_a_flat_photo_and_spreads_a_dot():
    assert torch.allclose(blur(torch.full((1, 28, 28), 0.3)), torch.tensor(0.3))
    dot = torch.zeros(1, 28, 28)
    dot[0, 14, 14] = 1
    spread = blur(dot)[0]
    assert spread.sum() == pytest.approx(1, abs=1e-3)
    rows = torch.arange(28) - 14.0
    assert (spread.sum(dim=1) * rows**2).sum() == pytest.approx(16, abs=0.6)


# ---- maps of a ViT --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vit():
    return build("ViT, small patches", 0).eval()


def random_photos(n=3):
    return torch.rand(n, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", MAPS)
def test_every_map_has_a_score_for_each_patch(vit, name):
    scores = MAPS[name](vit, random_photos(), ONE)
    assert scores.shape == (3, 49) and torch.isfinite(scores).all()


def test_rollout_and_attention_by_hand(vit):
    maps = attention_maps(vit, random_photos()[:, None]).mean(dim=2)  # (3, N, T, T)
    passed = torch.eye(50)
    for layer in maps.unbind(1):
        passed = (layer + torch.eye(50)) / 2 @ passed
    rolled = class_rollout(vit, random_photos(), ONE)
    assert torch.allclose(rolled, passed[:, 0, 1:], atol=1e-6)
    assert torch.allclose(last_attention(vit, random_photos(), ONE), maps[:, -1, 0, 1:])


def test_grad_cam_on_tokens_is_the_slope_of_the_score(vit):
    """Move one number of a token that enters the last layer: the score moves by the gradient, which α averages."""
    model, x = build("ViT, small patches", 1).double().eval(), random_photos(1).double()
    given = []
    hook = model.encoder.layers[-1].register_forward_pre_hook(
        lambda layer, inputs: given.append(inputs[0])
    )
    with torch.no_grad():
        model(x)
    hook.remove()
    tokens, slopes, step = given[0], torch.zeros(32, dtype=torch.float64), 1e-5
    with torch.no_grad():
        for channel in range(32):
            ends = []
            for sign in (1, -1):
                moved = tokens.clone()
                moved[:, 1:, channel] += sign * step
                out, _ = model.encoder.layers[-1](moved)
                ends.append(model.classify(model.encoder.norm(out)[:, 0])[0, 4])
            slopes[channel] = (ends[0] - ends[1]) / (2 * step) / 49
    expected = (tokens[0, 1:] @ slopes).relu()
    found = token_grad_cam(model, x, torch.tensor([4]))[0]
    assert expected.max() > 0 and torch.allclose(found, expected, atol=1e-7)


def test_probability_is_that_of_the_class(vit):
    with torch.no_grad():
        all_classes = vit(random_photos()).softmax(dim=1)
    found = probability(vit, random_photos(), torch.tensor([1, 0, 9]))
    assert torch.allclose(found, all_classes[[0, 1, 2], [1, 0, 9]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda m: curve(m, photos(), ONE, torch.ones(3, 49), draw(), "black"),
            "erasure: got 'black', expected one of 'mean'",
        ),
        (
            lambda m: curve(m, photos(), ONE, torch.ones(3, 16), draw()),
            r"scores: got shape \(3, 16\), expected \(3, 49\)",
        ),
        (
            lambda m: curve(m, photos(), ONE, torch.ones(3, 49), draw(), points=1),
            "points: got 1, expected at least 2",
        ),
    ],
)
def test_bad_input(vit, make, message):
    with pytest.raises(ValueError, match=message):
        make(vit)


# ---- what was recorded ----------------------------------------------------------------------------------------------


def test_the_record_fits_together():
    record = json.loads((RECORDED / "faithfulness.json").read_text())
    areas = load_file(RECORDED / "faithfulness.safetensors")["areas"]
    sizes = [len(record[k]) for k in ("seeds", "maps", "erasures", "directions")]
    assert areas.shape == (*sizes, record["photos"])
    assert record["maps"] == list(MAPS) and record["erasures"] == list(ERASURES)
    curves = torch.tensor(record["curves"]).unflatten(0, sizes)
    assert torch.allclose(area(curves), areas.float().mean(dim=-1), atol=2e-3)


@pytest.mark.slow
def test_recorded_areas_come_out_again():
    record = json.loads((RECORDED / "faithfulness.json").read_text())
    areas = load_file(RECORDED / "faithfulness.safetensors")["areas"].float()
    model, x = load_small_patches(1), fashion()[2][0][:60]
    with torch.no_grad():
        classes = model(x).argmax(dim=1)
    for name in ("rollout", "attention"):  # Grad-CAM is often 0, and equals are drawn
        for erasure, insert in ((0, False), (1, True)):
            scores = MAPS[name](model, x, classes)
            how = record["erasures"][erasure]
            found = area(curve(model, x, classes, scores, draw(), how, insert))
            said = areas[1, record["maps"].index(name), erasure, int(insert), :60]
            assert (found - said).abs().median() < 0.002
