"""The explorers of detector and attention-guided network: what they store and refuse, and the browser's sums."""

import zlib

import numpy as np
import pytest
import torch

from helpers.detection import box_iou
from helpers.explorers import (
    DetectedScene,
    DetectionExplorer,
    GuidedExplorer,
    GuidedScene,
)
from helpers.guided import fit_of

RANDOM = np.random.default_rng(0)


def soft(*shape):
    grown = np.exp(3 * RANDOM.normal(size=shape))
    return grown / grown.sum(axis=-1, keepdims=True)


def seen(**more):
    given = {
        "image": RANDOM.uniform(size=(16, 16, 3)),
        "labels": [1],
        "boxes": np.array([(0.5, 0.5, 0.25, 0.5)]),
        "scores": np.array([(0.1, 0.8), (0.3, 0.05), (0.5, 0.2)]),
        "found": RANDOM.uniform(0.2, 0.8, size=(3, 4)),
        "weights": soft(2, 4, 3, 6),
    }
    return DetectedScene(**(given | more))


def detector(scenes=None, **more):
    given = {"scenes": scenes or {"one": seen(), "two": seen()}}
    return DetectionExplorer(
        **(given | {"classes": ["cat", "dog"], "grid": (2, 3)} | more)
    )


def looked(**more):
    given = {
        "image": RANDOM.uniform(size=(8, 8, 3)),
        "label": 2,
        "box": (1, 2, 5, 6),
        "heat": RANDOM.uniform(size=(8, 8)),
        "boxes": np.array([(0, 0, 8, 8), (2, 2, 4, 5)]),
        "probabilities": soft(2, 3, 4),
    }
    return GuidedScene(**(given | more))


def guide(scenes=None, **more):
    given = {
        "scenes": scenes or {"one": looked(), "two": looked()},
        "classes": list("abcd"),
        "thresholds": [0.3, 0.7],
    }
    return GuidedExplorer(**(given | more))


@pytest.fixture
def browser_says(in_node):
    """Calls an exported function of one of the explorers' sources with each list of arguments."""
    program = """
        const { [given.name]: call } = await import(`./${given.module}.js`);
        answer(given.calls.map((each) => call(...each)));"""

    def run(module, name, calls):
        return in_node(program, {"module": module, "name": name, "calls": calls})

    return run


def test_the_browsers_overlap_is_pythons(browser_says):
    a, b = (torch.rand(20, 4, dtype=torch.float64) for _ in range(2))
    shown = browser_says(
        "detection", "iou", list(zip(a.tolist(), b.tolist(), strict=True))
    )
    expected = box_iou(a, b).diagonal()
    assert (expected == 0).any() and (expected > 0.1).any()
    assert np.allclose(shown, expected, atol=1e-12)
    assert browser_says("detection", "iou", [([0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0])]) == [
        0
    ]


def test_the_browsers_weight_inside_a_box(browser_says):
    """A grid of 2 × 3 places of one weight each: the share of the area; one place: its own."""
    box = [0.5, 0.25, 1 / 3, 0.25]  # a half of the place in the middle of the top row
    weights = [0.1, 0.4, 0.2, 0.1, 0.1, 0.1]
    calls = [(weights, box, 2, 3), (weights, [0.5, 0.5, 1, 1], 2, 3)]
    assert np.allclose(browser_says("detection", "inside", calls), [0.2, 1], atol=1e-12)


def test_the_browsers_weights_are_pythons(browser_says):
    scene = seen()
    stored = detector({"one": scene})
    levels = np.frombuffer(zlib.decompress(stored._data), np.uint8)[16 * 16 * 3 :]
    levels = levels.reshape(scene.weights.shape)
    one, mean = browser_says(
        "detection",
        "fromLevels",
        [[[levels[1, 2, 0].tolist()]], [levels[1, :, 0].tolist()]],
    )
    assert np.abs(one - scene.weights[1, 2, 0]).max() < 0.01
    assert np.abs(mean - scene.weights[1, :, 0].mean(axis=0)).max() < 0.005
    assert sum(mean) == pytest.approx(1)


def test_the_browsers_fit_is_pythons(browser_says):
    found, true = [4, 4, 12, 10], [6, 2, 14, 8]
    shown = browser_says("guided", "fits", [(found, true), (found, [20, 20, 30, 30])])
    for got, other in zip(shown, (true, [20, 20, 30, 30]), strict=True):
        expected = fit_of(torch.tensor([found]), torch.tensor([other]))
        assert got == pytest.approx(expected)
    assert shown[0] == pytest.approx([24 / 48, 24 / 72])


def test_what_is_stored():
    scene = seen()
    widget = detector({"only": scene})
    data = np.frombuffer(zlib.decompress(widget._data), np.uint8)
    assert np.array_equal(data[:768].reshape(16, 16, 3), scene.image)
    assert len(data) == 768 + 2 * 4 * 3 * 6
    found = widget._scenes[0]["found"]
    assert [row[:2] for row in found] == [[1, 0.8], [0, 0.3], [0, 0.5]]
    assert widget._scenes[0]["truth"] == [[1, 0.5, 0.5, 0.25, 0.5]]
    assert repr(widget) == "DetectionExplorer(1 scenes, 3 queries, 2 layers × 4 heads)"

    scene = looked()
    widget = guide({"only": scene})
    data = np.frombuffer(zlib.decompress(widget._data), np.uint8)
    assert np.array_equal(data[:192].reshape(8, 8, 3), scene.image)
    assert np.array_equal(data[192:].reshape(8, 8), np.rint(255 * scene.heat))
    assert repr(widget) == "GuidedExplorer(1 scenes × 2 thresholds)"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DetectionExplorer({}, ["a"], (1, 1)), "scenes: got none"),
        (lambda: detector(grid=(2, 2)), "grid: got 2 × 2, expected 6 places"),
        (lambda: detector(classes=["cat"]), "classes: got 1 strings, expected 2"),
        (lambda: detector(query=3), "query: got 3, expected 0 to 2"),
        (lambda: detector(layer=2), "layer: got 2, expected 0 to 1"),
        (lambda: detector(head=-2), "head: got -2, expected -1 to 3"),
        (lambda: detector(head=4), "head: got 4, expected -1 to 3"),
        (lambda: detector(threshold=1.0), "threshold: got 1.0, expected 0 to 0.99"),
        (lambda: detector({"a": seen(), "b": seen(weights=soft(1, 4, 3, 6))}), "scenes: got different sizes"),
        (lambda: seen(image=np.zeros((16, 8, 3))), r"image: got shape \(16, 8, 3\), expected \(16, 16, 3\)"),
        (lambda: seen(image=np.full((4, 4, 3), 255)), "image: got 255"),
        (lambda: seen(labels=[2]), "labels: got 2, expected 0 to 1"),
        (lambda: seen(labels=[0, 1]), r"boxes: got shape \(1, 4\), expected \(2, 4\)"),
        (lambda: seen(scores=np.full((3, 2), 2.0)), "scores: got 2.0, expected 0 to 1"),
        (lambda: seen(found=np.zeros((2, 4))), r"found: got shape \(2, 4\), expected \(3, 4\)"),
        (lambda: seen(found=np.full((3, 4), np.nan)), "found: got 12 NaN"),
        (lambda: seen(weights=np.ones((2, 4, 3, 6))), "weights: got row 0"),
        (lambda: GuidedExplorer({}, ["a"], [0.5]), "scenes: got none"),
        (lambda: guide(thresholds=[0.5]), "scenes: got .* expected one with 1 thresholds"),
        (lambda: guide(classes=["a"]), "classes: got 1 strings, expected 4"),
        (lambda: guide(threshold=2), "threshold: got 2, expected 0 to 1"),
        (lambda: guide(shade=1.5), "shade: got 1.5, expected 0 to 1"),
        (lambda: looked(image=np.zeros((8, 8))), r"image: got shape \(8, 8\)"),
        (lambda: looked(heat=np.full((8, 8), 1.5)), "heat: got 1.5, expected 0 to 1"),
        (lambda: looked(boxes=np.array([(0, 0, 9, 8)] * 2)), "boxes: got 9, expected 0 to 8"),
        (lambda: looked(box=(0, 0, 9, 8)), "box: got 9, expected 0 to 8"),
        (lambda: looked(label=4), "label: got 4, expected 0 to 3"),
        (lambda: looked(probabilities=np.ones((2, 3, 4)) / 2), "probabilities: got 2.0, expected 0.999"),
        (lambda: looked(probabilities=soft(1, 3, 4)), r"probabilities: got shape \(1, 3, 4\)"),
    ],
)  # fmt: skip
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_unknown_picture_is_refused():
    for widget in (detector(), guide()):
        with pytest.raises(ValueError, match="scene: got 'three', expected one of"):
            widget.scene = "three"


def test_scenes_of_other_sizes_are_refused():
    other = looked(probabilities=soft(2, 3, 3), label=1)
    with pytest.raises(ValueError, match=r"scenes: got .*8, 2, 3.*8, 2, 4"):
        guide({"one": looked(), "two": other})
