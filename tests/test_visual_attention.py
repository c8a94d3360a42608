"""CAM and Grad-CAM agree where they must and with a library, and pointing is counted right."""

from functools import partial

import pytest
import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F
from torchcam import methods

from helpers.visual_attention import (
    PooledClassifier,
    SmallCNN,
    class_activation_map,
    enlarge,
    grad_cam,
    pointing_accuracy,
    share_inside,
)

pytestmark = pytest.mark.usefixtures("double_precision")

# ---- class activation maps ------------------------------------------------------------------------------------------


class ReusingReLU(nn.Module):
    """A network that changes its maps in place and uses one ReLU twice."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3)
        self.relu = nn.ReLU(inplace=True)
        self.unused = nn.Conv2d(3, 3, 1)
        self.head = nn.Linear(6 * 4 * 4, 5)

    def forward(self, images):
        maps = self.relu(self.second(self.relu(self.first(images))))
        return self.head(rearrange(maps, "b c y x -> b (c y x)"))


IMAGES = torch.rand(4, 3, 16, 12, generator=torch.Generator().manual_seed(0)).double()


def small():
    """A network whose BatchNorm has seen something, so that its two modes differ."""
    network = SmallCNN(3, 5, width=4)
    for module in network.modules():
        module.momentum = 1.0  # of BatchNorm: the last batch is all it knows
    network(torch.rand(16, 3, 16, 12))
    return network.eval()


@pytest.mark.parametrize("classes", [None, 3, torch.tensor([0, 4, 2, 2])])
def test_grad_cam_is_cam_where_theory_says_so(classes):
    network = small()
    cam = class_activation_map(network, IMAGES, "features", "head", classes)
    grad = grad_cam(network, IMAGES, "features", classes)
    assert cam.shape == grad.shape == (4, 4, 3) and (cam < 0).any() and cam.any()
    assert (grad * 12 - F.relu(cam)).abs().max() < 1e-12


def test_the_mean_of_a_map_is_the_score():
    network = small()
    scores = network(IMAGES)
    for k in range(5):
        cam = class_activation_map(network, IMAGES, "features", "head", k)
        mean = cam.mean(dim=(1, 2)) + network.head.bias[k]
        assert torch.allclose(mean, scores[:, k], atol=1e-12)
    best = class_activation_map(network, IMAGES, "features", "head")
    by_hand = class_activation_map(network, IMAGES, "features", "head", scores.argmax(1))  # fmt: skip
    assert torch.equal(best, by_hand)


def test_grad_cam_by_the_definition_on_a_network_without_pooling():
    network = ReusingReLU()
    images = torch.rand(2, 3, 8, 8)
    maps = network.second(F.relu(network.first(images))).detach().requires_grad_()
    scores = network.head(rearrange(F.relu(maps), "b c y x -> b (c y x)"))
    expected = []
    for b, k in enumerate((1, 4)):
        (gradient,) = torch.autograd.grad(scores[b, k], maps, retain_graph=True)
        alpha = gradient[b].mean(dim=(1, 2))  # (6,)
        expected.append(F.relu((alpha[:, None, None] * maps[b]).sum(0)))
    ours = grad_cam(network, images, "second", torch.tensor([1, 4]))
    assert torch.allclose(ours, torch.stack(expected), atol=1e-14) and ours.any()


@pytest.mark.parametrize("layer", ["features", "features.9", "features.4"])
def test_grad_cam_equals_the_librarys(layer):
    """TorchCAM divides by the greatest value; so do we here. It needs a network in eval mode."""
    network = small()
    image = IMAGES[:1]
    for k in range(5):
        with methods.GradCAM(network, target_layer=layer) as extractor:
            scores = network(image)
            (theirs,) = extractor(k, scores, normalized=False)
        ours = grad_cam(network, image, layer, k)
        assert torch.allclose(ours, theirs, atol=1e-12)


def test_cam_equals_the_librarys():
    """Sign included."""
    network = small()
    image = IMAGES[:1]
    for k in range(5):
        with methods.CAM(
            network, target_layer="features", fc_layer="head"
        ) as extractor:
            (theirs,) = extractor(k, network(image), normalized=False)
        ours = class_activation_map(network, image, "features", "head", k)
        assert torch.allclose(ours, theirs, atol=1e-12) and (theirs < 0).any()


@pytest.mark.parametrize("training", [False, True])
def test_the_network_is_left_as_it_was(training):
    network = small().train(training)
    network.features[1].eval()  # one part frozen
    modes = [module.training for module in network.modules()]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        grad = grad_cam(network, IMAGES, "features")
        class_activation_map(network, IMAGES, "features", "head")
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(t, before[n]) for n, t in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())
    assert torch.equal(grad, grad_cam(network.eval(), IMAGES, "features"))


def test_frozen_networks_and_errors_leave_no_hook():
    network = small().requires_grad_(False)
    assert grad_cam(network, IMAGES, "features").any()
    with pytest.raises(ValueError, match="classes: got 9"):
        grad_cam(network, IMAGES, "features", 9)
    with pytest.raises(ValueError, match="images: got"):
        grad_cam(network, IMAGES[:, :1], "features")
    assert not any(module._forward_hooks for module in network.modules())


def test_images_of_a_batch_do_not_touch_each_other():
    network = small()
    together = grad_cam(network, IMAGES, "features.4", 2)
    alone = torch.cat([grad_cam(network, image[None], "features.4", 2) for image in IMAGES])  # fmt: skip
    assert torch.allclose(together, alone, atol=1e-13)


# ---- pointing -------------------------------------------------------------------------------------------------------


def test_pointing_by_hand():
    maps, regions = torch.zeros(3, 8, 8), torch.zeros(3, 8, 8, dtype=torch.bool)
    regions[:, 2:4, 2:4] = True
    maps[0, 3, 3], maps[1, 3, 4], maps[2, 3, 6] = 1, 1, 1
    assert pointing_accuracy(maps, regions) == pytest.approx(1 / 3)
    assert pointing_accuracy(maps, regions, tolerance=1) == pytest.approx(2 / 3)
    assert pointing_accuracy(maps, regions, tolerance=3) == 1
    assert pointing_accuracy(maps - 5, regions) == pytest.approx(1 / 3)


@pytest.mark.parametrize("value", [0.0, 0.1, -0.7])
def test_a_constant_map_scores_what_pointing_blindly_would(value):
    regions = torch.zeros(2, 12, 12, dtype=torch.bool)
    regions[0, :3], regions[1, :, :6] = True, True
    maps = torch.full((2, 5, 7), value)
    assert pointing_accuracy(maps, regions) == pytest.approx((1 / 4 + 1 / 2) / 2)
    assert pointing_accuracy(maps.float(), regions) == pytest.approx(3 / 8)


def test_share_inside():
    regions = torch.zeros(3, 4, 4, dtype=torch.bool)
    regions[:, :2] = True
    maps = torch.full((3, 4, 4), -1.0)
    maps[0, 0, 0], maps[0, 3, 3], maps[1, 1] = 3, 1, 2
    assert share_inside(maps, regions).tolist() == [0.75, 1, 0]


def test_enlarging_keeps_places():
    maps = torch.zeros(1, 4, 4)
    maps[0, 1, 2] = 1
    large = enlarge(maps, (32, 16))
    assert large.shape == (1, 32, 16)
    y, x = divmod(int(large.argmax()), 16)
    assert 8 <= y < 16 and 8 <= x < 12
    steps = enlarge(torch.tensor([[[0.0, 1.0]]]), (1, 4))  # straight lines between
    assert steps.flatten().tolist() == [0, 0.25, 0.75, 1]
    down = (torch.arange(32.0) * large[0].sum(1)).sum() / large.sum()
    across = (torch.arange(16.0) * large[0].sum(0)).sum() / large.sum()
    assert (down, across) == (pytest.approx(11.5), pytest.approx(9.5))


# ---- bad input ------------------------------------------------------------------------------------------------------

FIELD, MAPS = torch.ones(4, 4), torch.ones(2, 4, 4)
REGIONS = torch.ones(2, 8, 8, dtype=torch.bool)
NETWORK, FLAT = SmallCNN(3, 5).double(), ReusingReLU().double()
CAM = partial(class_activation_map, NETWORK, IMAGES, "features")
GRAD = partial(grad_cam, NETWORK)
POOLED = PooledClassifier(nn.Conv2d(3, 6, 1), 6, 5).double()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: GRAD(IMAGES.byte(), "features"),
            "images: got torch.uint8, expected f",
        ),
        (lambda: GRAD(IMAGES / 0, "features"), "images: got .* NaN or infinite values"),
        (lambda: GRAD(255 * IMAGES, "features"), "images: got a value of size 25"),
        (
            lambda: GRAD(IMAGES[:, :2], "features"),
            r"images: got shape \(4, 2, 16, 12\)",
        ),
        (
            lambda: GRAD(IMAGES[..., :3], "features"),
            r"images: got \(16, 3\) pixels, exp",
        ),
        (
            lambda: GRAD(IMAGES, "feature"),
            "layer: got 'feature', .* such as 'features'",
        ),
        (lambda: GRAD(IMAGES, "head"), r"layer: got 'head', whose output is one of sh"),
        (lambda: GRAD(IMAGES, "features", 5), "classes: got 5, expected 0 to 4"),
        (lambda: GRAD(IMAGES, "features", -1), "classes: got -1, expected 0 to 4"),
        (lambda: GRAD(IMAGES, "features", 1.0), "classes: got torch.float64, expected"),
        (
            lambda: GRAD(IMAGES, "features", [1, 2]),
            r"classes: got shape \(2,\), expect",
        ),
        (
            lambda: grad_cam(NETWORK.features, IMAGES, "0"),
            "scores of the net",
        ),
        (
            lambda: grad_cam(FLAT, IMAGES[..., :8, :8], "relu"),
            "'relu', which ran 2 times",
        ),
        (
            lambda: grad_cam(FLAT, IMAGES[..., :8, :8], "unused"),
            "which ran 0 times, exp",
        ),
        (
            lambda: grad_cam(FLAT, IMAGES, "second"),
            "images: got torch.float64 of shape",
        ),
        (
            lambda: grad_cam(POOLED, IMAGES[:, :1], "features"),
            "expected what the network",
        ),
        (
            lambda: grad_cam(POOLED, IMAGES.float(), "features"),
            "got torch.float32 of sh",
        ),
        (lambda: CAM("tail"), "head: got 'tail', expected a name in network.named_mod"),
        (
            lambda: CAM("features.0"),
            "head: got 'features.0', a Conv2d, expected the na",
        ),
        (
            lambda: class_activation_map(NETWORK, IMAGES, "features.4", "head"),
            "network: got scores that are not 'head' of the mean of 'features.4'",
        ),
        (
            lambda: class_activation_map(NETWORK, IMAGES, "features.12", "head"),
            "network: got scores that are not 'head' of the mean of 'features.12'",
        ),
        (lambda: pointing_accuracy(MAPS[0], REGIONS), r"maps: got shape \(4, 4\), exp"),
        (lambda: pointing_accuracy(MAPS, REGIONS[:1]), r"regions: got shape \(1, 8, 8"),
        (
            lambda: pointing_accuracy(MAPS, REGIONS.int()),
            "regions: got torch.int32, ex",
        ),
        (lambda: pointing_accuracy(MAPS, ~REGIONS), "regions: got none for image 0"),
        (
            lambda: pointing_accuracy(MAPS, REGIONS, -1),
            "tolerance: got -1, expected at",
        ),
        (lambda: share_inside(MAPS / 0, REGIONS), "maps: got 32 NaN or infinite val"),
        (
            lambda: enlarge(FIELD, (8, 8)),
            r"maps: got shape \(4, 4\), expected \(B, h, w",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
