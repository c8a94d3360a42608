"""MobileNetV2 is the paper's, torchvision's weights fit it, and it knows a cat and a cup."""

import numpy as np
import pytest
import torch
from torch import nn

from helpers.mobilenet import MobileNetV2, photo_tensor, pretrained
from helpers.visual_attention import class_activation_map, grad_cam


def small_photo():
    y, x = np.mgrid[:60, :90]
    return np.stack([4 * y, 2 * x, 0 * x], axis=-1).astype(np.uint8)


def test_parameters_and_maps_are_those_of_the_paper():
    """3.4 million in table 4; exactly, with BatchNorm's two numbers a channel, 3,504,872."""
    with torch.device("meta"):
        model = MobileNetV2()
        sizes = []
        for layer in model.features:
            layer.register_forward_hook(lambda _, __, o: sizes.append(o.shape[1:]))
        scores = model(torch.zeros(2, 3, 224, 224))
    assert sum(p.numel() for p in model.parameters()) == 3_504_872
    assert scores.shape == (2, 1000) and len(sizes) == 19
    expected = [(32, 112), (16, 112), *2 * [(24, 56)], *3 * [(32, 28)]]
    expected += [*4 * [(64, 14)], *3 * [(96, 14)], *3 * [(160, 7)], (320, 7), (1280, 7)]
    assert sizes == [(channels, side, side) for channels, side in expected]


def test_where_the_shapes_allow_it_the_input_is_added():
    model = MobileNetV2().eval()
    for layer in model.features[1:-1]:
        nn.init.zeros_(layer.conv[-1].weight)  # the last BatchNorm: nothing is computed
        inputs = layer.conv[0][0].in_channels
        x = torch.rand(1, inputs, 4, 4)
        assert torch.equal(layer(x), x) if layer.adds else not layer(x).any()
    assert sum(layer.adds for layer in model.features[1:-1]) == 10


def test_images_are_scaled_by_channel():
    model = MobileNetV2().eval()
    seen = []
    model.features.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 32, 32))
    model(torch.ones(1, 3, 32, 32))
    assert not seen[0].any()
    ones = [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert seen[1][0, :, 3, 5].tolist() == pytest.approx(ones)


def test_the_middle_of_a_photo():
    image = photo_tensor(small_photo(), 70)  # 60 × 90 becomes 80 × 120
    assert image.shape == (1, 3, 70, 70) and image.dtype == torch.float32
    assert image[0, 0, 35, 35].item() == pytest.approx(4 * 29.75 / 255, abs=0.01)
    assert image[0, 1, 35, 35].item() == pytest.approx(2 * 44.9 / 255, abs=0.01)
    step = image[0, 1, 10, 31] - image[0, 1, 10, 30]
    assert step.item() * 255 == pytest.approx(2 * 0.75, rel=0.01)
    plain = photo_tensor(np.full((50, 64, 3), 255, np.uint8), 224)
    assert plain.shape == (1, 3, 224, 224)
    assert plain.max() <= 1 and plain.min() > 0.9999


@pytest.mark.slow
def test_pretrained():
    """Needs the registry, or the cache of an earlier run."""
    from skimage import data

    model, names = pretrained()
    assert len(names) == 1000 and not model.training
    known = {0: "tench", 281: "tabby", 504: "coffee mug", 999: "toilet tissue"}
    assert {k: names[k] for k in known} == known
    for photo, expected in (
        (data.chelsea(), {"tabby", "tiger cat", "Egyptian cat"}),
        (data.coffee(), {"espresso", "cup", "coffee mug"}),
    ):
        image = photo_tensor(photo)
        best = int(model(image).argmax())
        assert names[best] in expected
        cam = class_activation_map(model, image, "features", "classifier.1")
        grad = grad_cam(model, image, "features")
        assert cam.shape == (1, 7, 7)
        assert (49 * grad - cam.relu()).abs().max() < 1e-5 * cam.max()


MODEL = MobileNetV2()
IMAGE = torch.zeros(1, 3, 32, 32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: MODEL(IMAGE[0]),
            r"images: got shape \(3, 32, 32\), expected \(B, 3, H",
        ),
        (lambda: MODEL(IMAGE[:, :1]), r"images: got shape \(1, 1, 32, 32\), expected"),
        (lambda: MODEL(IMAGE.byte()), "images: got torch.uint8, expected floating"),
        (lambda: MODEL(IMAGE / 0), "images: got 3072 NaN or infinite values"),
        (lambda: MODEL(IMAGE - 1), "images: got values from -1 to -1, expected 0 to 1"),
        (lambda: MODEL(IMAGE + 2), "images: got values from 2 to 2, expected 0 to 1"),
        (lambda: MODEL(IMAGE[..., :31]), r"images: got \(32, 31\) pixels, expected at"),
        (
            lambda: photo_tensor(small_photo()[..., 0]),
            r"photo: got shape \(60, 90\), ex",
        ),
        (
            lambda: photo_tensor(small_photo()[..., :2]),
            r"photo: got shape \(60, 90, 2\)",
        ),
        (
            lambda: photo_tensor(small_photo() / 255),
            "photo: got float64, expected uint8",
        ),
        (
            lambda: photo_tensor(small_photo()[:20]),
            r"photo, size: got \(20, 90\) pixels",
        ),
        (
            lambda: photo_tensor(small_photo(), 16),
            "pixels and 16, expected at least 32",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
