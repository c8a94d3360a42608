"""The small DETR: boxes, matching, loss and average precision against answers known beforehand."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from helpers.detection import (
    DETR,
    MODELS,
    Detections,
    GridDetector,
    Objects,
    Prediction,
    as_targets,
    average_precision,
    box_iou,
    corners,
    detect,
    digit_scenes,
    generalised_iou,
    grid_positions,
    match,
    mean_average_precision,
    precision_recall,
    recorded,
    recorded_model,
    recorded_weights,
    set_loss,
    suppress,
    total_loss,
)
from helpers.transformer import sinusoidal_positions

pytestmark = pytest.mark.usefixtures("double_precision")
EXACT = {"rtol": 0, "atol": 1e-12}


def boxes(*rows):
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 4)


def objects(labels, *rows):
    return Objects(torch.tensor(labels, dtype=torch.int64), boxes(*rows))


def found(labels, scores, *rows):
    scores = torch.tensor(scores, dtype=torch.float64)
    return Detections(*objects(labels, *rows)[:1], scores, boxes(*rows))


# ---- boxes ----------------------------------------------------------------------------------------------------------

LEFT = (0.25, 0.5, 0.5, 1.0)  # the left half
RIGHT = (0.75, 0.5, 0.5, 1.0)
WHOLE = (0.5, 0.5, 1.0, 1.0)
MIDDLE = (0.5, 0.5, 0.5, 1.0)
TOP_LEFT = (0.125, 0.125, 0.25, 0.25)  # a sixteenth, in the corner
BOTTOM_RIGHT = (0.875, 0.875, 0.25, 0.25)
POINT = (0.5, 0.5, 0.0, 0.0)


def test_corners():
    expected = boxes((0, 0, 0.5, 1), (0.75, 0.75, 1, 1))
    assert torch.equal(corners(boxes(LEFT, BOTTOM_RIGHT)), expected)


@pytest.mark.parametrize(
    ("a", "b", "iou", "giou"),
    [
        (LEFT, LEFT, 1, 1),
        (LEFT, WHOLE, 1 / 2, 1 / 2),
        (LEFT, MIDDLE, 1 / 3, 1 / 3),
        (LEFT, RIGHT, 0, 0),  # they touch and fill the box around both
        (TOP_LEFT, BOTTOM_RIGHT, 0, -14 / 16),
        (LEFT, BOTTOM_RIGHT, 0, 9 / 16 - 1),
        (POINT, WHOLE, 0, 0),
        (POINT, POINT, 0, 0),
    ],
)
def test_overlap_by_hand(a, b, iou, giou):
    for one, other in ((a, b), (b, a)):
        one, other = boxes(one), boxes(other)
        assert box_iou(one, other).item() == pytest.approx(iou, abs=1e-12)
        assert generalised_iou(one, other).item() == pytest.approx(giou, abs=1e-12)


def test_overlap_equals_counting_pixels():
    """Boxes on a grid of 20 × 20, painted."""
    start = torch.randint(0, 15, (12, 2))
    stop = start + torch.randint(1, 6, (12, 2))
    painted = torch.zeros(12, 20, 20, dtype=torch.bool)
    for image, (x0, y0), (x1, y1) in zip(painted, start, stop, strict=True):
        image[y0:y1, x0:x1] = True
    both = (painted[:, None] & painted).sum((2, 3))
    either = (painted[:, None] | painted).sum((2, 3))
    b = torch.cat([(start + stop) / 2, stop - start], dim=-1) / 20
    assert (both == 0).any() and (both > 0).sum() > 12
    torch.testing.assert_close(box_iou(b, b), both / either, **EXACT)
    low = torch.minimum(start[:, None], start)
    high = torch.maximum(stop[:, None], stop)
    around = (high - low).prod(-1)
    expected = both / either - (around - either) / around
    torch.testing.assert_close(generalised_iou(b, b), expected, **EXACT)
    assert box_iou(b[:3], b[:5]).shape == (3, 5)


def test_boxes_apart_are_drawn_together():
    """The gradient of GIoU moves the left box to the right; IoU has none."""
    for measure, pull in ((generalised_iou, True), (box_iou, False)):
        box = boxes(TOP_LEFT).requires_grad_()
        measure(box, boxes(BOTTOM_RIGHT)).sum().backward()
        assert (box.grad[0, :2] > 0).all() == pull


# ---- matching and loss ----------------------------------------------------------------------------------------------


def prediction(*shape):
    logits, place = torch.randn(*shape, 4), torch.rand(*shape, 4)
    return Prediction(logits, place * 0.5 + 0.2, None)


def random_objects(n):
    return Objects(torch.randint(0, 3, (n,)), torch.rand(n, 4) * 0.5 + 0.2)


def pair_cost(logits, box, label, true):
    giou = generalised_iou(box[None], true[None]).item()
    return -logits.softmax(-1)[label] + 5 * (box - true).abs().sum() - 2 * giou


def test_the_matching_is_the_cheapest_of_all():
    """Every way to give four objects one of six queries each is tried."""
    contested = 0
    for seed in range(20):
        torch.manual_seed(seed)
        p, target = prediction(1, 6), random_objects(4)
        cost = torch.tensor(
            [
                [
                    pair_cost(p.logits[0, q], p.boxes[0, q], label, true)
                    for label, true in zip(*target, strict=True)
                ]
                for q in range(6)
            ]
        )
        ways = list(itertools.permutations(range(6), 4))
        sums = [sum(cost[q, o].item() for o, q in enumerate(way)) for way in ways]
        best = ways[min(range(len(ways)), key=sums.__getitem__)]
        queries, which = match(p, [target])[0]
        assert dict(zip(which.tolist(), queries.tolist(), strict=True)) == dict(
            enumerate(best)
        )
        greedy = cost.argmin(0).tolist()
        contested += len(set(greedy)) < 4
    assert contested  # two objects want the same query


def test_each_image_is_matched_by_itself():
    p, targets = prediction(3, 6), [random_objects(n) for n in (3, 0, 4)]
    together = match(p, targets)
    for i, target in enumerate(targets):
        alone = Prediction(p.logits[i : i + 1], p.boxes[i : i + 1], None)
        for a, b in zip(together[i], match(alone, [target])[0], strict=True):
            assert torch.equal(a, b)


def test_a_perfect_answer_costs_nothing():
    target = objects([2, 0], LEFT, TOP_LEFT)
    logits = torch.full((1, 4, 4), -50.0)
    for query, label in enumerate((3, 0, 3, 2)):
        logits[0, query, label] = 50.0
    places = boxes(WHOLE, TOP_LEFT, MIDDLE, LEFT)[None]
    parts = set_loss(Prediction(logits, places, None), [target])
    assert set(parts) == {"label", "distance", "overlap"}
    assert sum(parts.values()).item() == pytest.approx(0, abs=1e-12)


def test_the_loss_by_hand():
    """One object, two queries: the better one is matched, the other should say nothing."""
    logits = torch.tensor([[[1.0, 0.0, 0.5], [0.2, 0.1, 2.0]]])
    p = Prediction(logits, boxes(MIDDLE, TOP_LEFT)[None], None)
    parts = set_loss(p, [objects([0], LEFT)], no_object=0.25)
    log_p = torch.log_softmax(logits[0], -1)
    label = -(log_p[0, 0] + 0.25 * log_p[1, 2]) / 1.25
    assert parts["label"].item() == pytest.approx(label.item(), abs=1e-12)
    assert parts["distance"].item() == pytest.approx(5 * 0.25, abs=1e-12)
    assert parts["overlap"].item() == pytest.approx(2 * (1 - 1 / 3), abs=1e-12)


def test_order_does_not_matter():
    p, targets = prediction(2, 7), [random_objects(4), random_objects(3)]
    expected = set_loss(p, targets)
    queries, order = torch.randperm(7), torch.randperm(4)
    shuffled = Prediction(p.logits[:, queries], p.boxes[:, queries], None)
    first = Objects(*(x[order] for x in targets[0]))
    got = set_loss(shuffled, [first, targets[1]])
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, **EXACT)


def test_an_image_without_objects():
    p = prediction(2, 3)
    nothing = objects([])
    assert [len(q) for q, _ in match(p, [nothing, random_objects(2)])] == [0, 2]
    parts = set_loss(p, [nothing, nothing])
    expected = F.cross_entropy(p.logits.flatten(0, 1), torch.full((6,), 3))
    torch.testing.assert_close(parts["label"], expected, **EXACT)
    assert parts["distance"] == parts["overlap"] == 0


# ---- the network ----------------------------------------------------------------------------------------------------


def test_positions_are_rows_then_columns():
    p = grid_positions(3, 5, 8)
    assert p.shape == (15, 8)
    row, column = sinusoidal_positions(3, 4), sinusoidal_positions(5, 4)
    for y in range(3):
        for x in range(5):
            expected = torch.cat([row[y], column[x]])
            torch.testing.assert_close(p[5 * y + x], expected, **EXACT)


def test_shapes_and_maps():
    model = DETR(3, 1, 16, 2, num_layers=2, num_queries=5)
    images = torch.rand(2, 1, 24, 32)
    predictions = model(images, need_weights=True)
    assert len(predictions) == 2
    for logits, place, weights in predictions:
        assert logits.shape == (2, 5, 4) and place.shape == (2, 5, 4)
        assert (place > 0).all() and (place < 1).all()
        assert weights.shape == (2, 2, 5, 3 * 4)
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 5), **EXACT)
    for fused, mapped in zip(model(images), predictions, strict=True):
        assert fused.weights is None
        torch.testing.assert_close(fused.logits, mapped.logits, **EXACT)


def test_the_last_prediction_is_that_of_the_whole_decoder():
    model = DETR(3, 1, 16, 2, num_layers=3, num_queries=5)
    images = torch.rand(2, 1, 16, 16)
    memory, maps = model.encode(images, need_weights=True)
    assert memory.shape == (2, 4, 16) and maps[0].shape == (2, 2, 4, 4)
    x, _ = model.decoder(model.queries.expand(2, -1, -1), memory)
    torch.testing.assert_close(model.label(x), model(images)[-1].logits, **EXACT)


def test_position_matters():
    model = DETR(3, 1, 16, 2)
    image = torch.zeros(1, 1, 32, 32)
    image[..., 4:12, 4:12] = 1
    moved = image.roll((8, 16), (2, 3))
    assert (model(image)[-1].boxes - model(moved)[-1].boxes).abs().max() > 1e-6


def test_every_parameter_trains():
    model = DETR(3, 1, 16, 2, num_queries=5)
    loss = total_loss(model(torch.rand(2, 1, 16, 16)), [random_objects(2)] * 2)
    loss.backward()
    for name, p in model.named_parameters():
        assert p.grad.isfinite().all(), name
        if not name.endswith("key.bias"):  # the softmax does not see it
            assert p.grad.abs().sum() > 1e-9, name


def test_total_loss_is_the_sum_over_layers_and_parts():
    layers, targets = [prediction(1, 5), prediction(1, 5)], [random_objects(2)]
    parts = [value for p in layers for value in set_loss(p, targets).values()]
    torch.testing.assert_close(total_loss(layers, targets), sum(parts), **EXACT)


def test_one_image_is_learned():
    """A few steps on one scene: the loss falls, the boxes are found, average precision is 1."""
    torch.manual_seed(0)
    model = DETR(2, 1, 16, 2, num_layers=1, num_queries=4)
    image = torch.zeros(1, 1, 16, 16)
    image[..., 2:8, 2:8] = 1
    image[..., 9:15, 8:14] = 0.5
    target = objects([0, 1], (5 / 16, 5 / 16, 6 / 16, 6 / 16), (11 / 16, 0.75, 6 / 16, 6 / 16))  # fmt: skip
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(120):
        optimiser.zero_grad()
        total_loss(model(image), [target]).backward()
        optimiser.step()
    results = detect(model, image)
    assert sorted(results[0].labels.tolist()) == [0, 1]
    assert mean_average_precision(results, [target], iou=0.5) == 1


def test_detect_sorts_and_cuts():
    model = DETR(3, 1, 16, 2, num_queries=6)
    images = torch.rand(2, 1, 16, 16)
    everything = detect(model, images, threshold=0)
    logits, place, _ = model(images)[-1]
    probability = logits.softmax(-1)[..., :3]
    for image, result in enumerate(everything):
        assert len(result.labels) == 6
        assert (result.scores.diff() <= 0).all()
        scores, order = probability[image].max(-1).values.sort(descending=True)
        torch.testing.assert_close(result.scores, scores, **EXACT)
        assert torch.equal(result.boxes, place[image, order])
        assert torch.equal(result.labels, probability[image].argmax(-1)[order])
    cut = everything[0].scores[2].item()
    assert len(detect(model, images, threshold=cut)[0].labels) == 2


# ---- the grid detector, and suppression ------------------------------------------------------------------------------


def test_a_box_of_the_grid_has_its_centre_in_its_place():
    model = GridDetector(3, 1, 16)
    (prediction,) = model(torch.rand(2, 1, 24, 32))
    assert prediction.logits.shape == (2, 12, 4) and prediction.weights is None
    x, y = prediction.boxes[..., 0] * 4, prediction.boxes[..., 1] * 3
    for place in range(12):
        assert (x[:, place].long() == place % 4).all()
        assert (y[:, place].long() == place // 4).all()


def test_the_place_of_the_centre_is_responsible():
    model, images = GridDetector(3, 1, 16), torch.rand(2, 1, 24, 32)
    edge = (1.0, 1.0, 0.0, 0.0)  # a centre on the border belongs to the last place
    targets = [objects([2, 0, 1], (0.3, 0.4, 0.1, 0.1), TOP_LEFT, edge), objects([])]
    (places, which), (none, _) = model.responsible(images, targets)
    assert places.tolist() == [5, 0, 11] and which.tolist() == [0, 1, 2]
    assert len(none) == 0


def test_the_loss_of_given_pairs():
    """Not the pairs that `match` would choose."""
    p, target = prediction(1, 6), random_objects(2)
    (queries, which) = match(p, [target])[0]
    other = torch.tensor([i for i in range(6) if i not in queries.tolist()][:2])
    wanted = torch.full((1, 6), 3)
    wanted[0, other] = target.labels[which]
    parts = set_loss(p, [target], no_object=1.0, pairs=[(other, which)])
    expected = F.cross_entropy(p.logits.flatten(0, 1), wanted.flatten())
    torch.testing.assert_close(parts["label"], expected, **EXACT)
    apart = (p.boxes[0, other] - target.boxes[which]).abs().sum() / 2
    torch.testing.assert_close(parts["distance"], 5 * apart, **EXACT)
    assert sum(parts.values()) > sum(set_loss(p, [target], no_object=1.0).values())


def test_both_models_learn_from_the_same_backbone():
    torch.manual_seed(0)
    one, other = (str(MODELS[name]().backbone) for name in ("DETR", "grid"))
    assert one == other


def test_suppression_by_hand():
    """A rival of the same class goes, another class stays, and who lost suppresses nobody."""
    rows = [(0.3 + 0.06 * i, 0.5, 0.2, 0.2) for i in range(4)]  # neighbours: IoU 0.54
    mixed = found(
        [0, 0, 0, 1], [0.6, 0.9, 0.8, 0.7], rows[0], rows[1], rows[2], rows[1]
    )
    kept = suppress(mixed)
    assert list(zip(kept.labels.tolist(), kept.scores.tolist(), strict=True)) == [
        (0, 0.9),
        (1, 0.7),
    ]
    chain = found([0] * 3, [0.9, 0.8, 0.7], *rows[:3])
    assert suppress(chain).scores.tolist() == [0.9, 0.7]
    assert suppress(chain, 0.55).scores.tolist() == [0.9, 0.8, 0.7]
    assert suppress(chain, 0.1).scores.tolist() == [0.9]
    assert len(suppress(found([], [])).labels) == 0


# ---- average precision ----------------------------------------------------------------------------------------------

A, B, C = TOP_LEFT, BOTTOM_RIGHT, (0.5, 0.5, 0.2, 0.2)
NEAR_A = (0.125, 0.13, 0.25, 0.25)  # IoU with A: 0.245 / 0.255


@pytest.mark.parametrize(
    ("detections", "targets", "expected"),
    [
        # all right
        ([found([0, 0], [0.9, 0.8], A, B)], [objects([0, 0], A, B)], 1),
        # nothing found; everything wrong
        ([found([], [])], [objects([0], A)], 0),
        ([found([0], [0.9], C)], [objects([0], A)], 0),
        # one of two, and no mistake: the area ends at half the recall
        ([found([0], [0.9], A)], [objects([0, 0], A, B)], 1 / 2),
        # right, wrong, right: ½ · 1 + ½ · ⅔
        ([found([0] * 3, [0.9, 0.8, 0.7], A, C, B)], [objects([0, 0], A, B)], 5 / 6),
        # the same, in another order
        ([found([0] * 3, [0.7, 0.9, 0.8], B, A, C)], [objects([0, 0], A, B)], 5 / 6),
        # wrong, right, right: ⅔ at the end counts from the start
        ([found([0] * 3, [0.9, 0.8, 0.7], C, A, B)], [objects([0, 0], A, B)], 2 / 3),
        # a mistake after the last object costs nothing
        ([found([0] * 3, [0.9, 0.8, 0.7], A, B, C)], [objects([0, 0], A, B)], 1),
        # twice on one object: the second is a mistake
        ([found([0] * 3, [0.9, 0.8, 0.7], A, NEAR_A, B)], [objects([0, 0], A, B)], 5 / 6),
        # another class: neither right nor wrong
        ([found([0, 1], [0.8, 0.9], A, C)], [objects([0], A)], 1),
        ([found([1], [0.9], A)], [objects([0], A)], 0),
        # the right place in the wrong image, with the higher score: ½ · ½ + ½ · ⅔ → ⅔
        (
            [found([0, 0], [0.9, 0.8], B, A), found([0], [0.7], B)],
            [objects([0], A), objects([0], B)],
            2 / 3,
        ),
        # an image without objects has a mistake, in the middle
        (
            [found([0], [0.9], A), found([0], [0.8], A), found([0], [0.7], A)],
            [objects([0], A), objects([]), objects([0], A)],
            5 / 6,
        ),
    ],
)  # fmt: skip
def test_average_precision_by_hand(detections, targets, expected):
    got = average_precision(detections, targets, label=0)
    assert got == pytest.approx(expected, abs=1e-12)


def test_precision_and_recall_after_each_detection():
    precision, recall = precision_recall(
        [found([0] * 3, [0.9, 0.8, 0.7], A, C, B)], [objects([0, 0], A, B)], label=0
    )
    assert precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3])
    assert recall.tolist() == pytest.approx([1 / 2, 1 / 2, 1])


def test_the_threshold_decides_what_is_right():
    detections, targets = [found([0], [0.9], NEAR_A)], [objects([0], A)]
    overlap = 0.245 / 0.255
    assert average_precision(detections, targets, 0, iou=overlap - 1e-6) == 1
    assert average_precision(detections, targets, 0, iou=overlap + 1e-6) == 0


def test_each_detection_takes_the_object_it_covers_best():
    """Two objects side by side: the first detection must not take the other's."""
    near, far = (0.40, 0.5, 0.2, 0.2), (0.42, 0.5, 0.2, 0.2)
    detections = [found([0, 0], [0.9, 0.8], far, near)]
    assert average_precision(detections, [objects([0, 0], near, far)], 0, iou=0.95) == 1


def test_the_mean_is_over_the_classes_that_occur():
    detections = [found([0, 1, 2], [0.9, 0.8, 0.7], A, C, C)]
    targets = [objects([0, 1, 1], A, B, C)]
    assert mean_average_precision(detections, targets) == pytest.approx(3 / 4)


def another_average_precision(detections, targets, label, iou):
    """Cut at each score in turn; then, for every share of objects found, the best precision of a cut that finds it."""
    scores = sorted({s for d in detections for s in d.scores.tolist()})
    total, cuts = sum((t.labels == label).sum().item() for t in targets), []
    for cut in scores:
        right = said = 0
        for d, t in zip(detections, targets, strict=True):
            true = t.boxes[t.labels == label].tolist()
            mine = [
                (score, box)
                for score, kind, box in zip(*(x.tolist() for x in (d.scores, d.labels, d.boxes)), strict=True)
                if kind == label and score >= cut
            ]  # fmt: skip
            said += len(mine)
            for _, box in sorted(mine, reverse=True):
                if not true:
                    break
                overlaps = [box_iou(boxes(box), boxes(b)).item() for b in true]
                best = overlaps.index(max(overlaps))
                if overlaps[best] >= iou:
                    right += 1
                    del true[best]
        if said:
            cuts.append((right, right / said))
    best = [max((p for r, p in cuts if r >= k), default=0) for k in range(1, total + 1)]
    return sum(best) / total


def test_average_precision_in_another_way():
    seen = []
    for seed in range(6):
        torch.manual_seed(seed)
        targets = [random_objects(3) for _ in range(6)]
        detections = []
        for target in targets:
            boxes_near = target.boxes.repeat(2, 1) + 0.04 * torch.randn(6, 4)
            labels = torch.where(torch.rand(6) < 0.7, target.labels.repeat(2), 0)
            detections.append(
                Detections(labels, torch.rand(6), boxes_near.clamp(min=0))
            )
        for label in (0, 1, 2):
            expected = another_average_precision(detections, targets, label, 0.5)
            got = average_precision(detections, targets, label, 0.5)
            assert got == pytest.approx(expected, abs=1e-12)
            seen.append(got)
    assert len(set(seen)) > 12 and 0.1 < sum(seen) / len(seen) < 0.9


# ---- the task, and what was recorded ---------------------------------------------------------------------------------


def test_targets_are_the_scenes_boxes_as_shares():
    scenes = digit_scenes("test", 5, seed=3)
    images, targets = as_targets(scenes)
    assert images.shape == (5, 3, 64, 64)
    assert {
        thing.label for s in digit_scenes("test", 60, 0) for thing in s.objects
    } == {*range(5)}
    for scene, target in zip(scenes, targets, strict=True):
        assert target.labels.tolist() == [thing.label for thing in scene.objects]
        sides = (64 * corners(target.boxes)).round().long().tolist()
        assert [tuple(box) for box in sides] == [thing.box for thing in scene.objects]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_recorded_weights_score_what_is_recorded(name):
    (run,) = (r for r in recorded()["runs"] if r["model"] == name and r["seed"] == 0)
    model = recorded_model(name)
    assert sum(p.numel() for p in model.parameters()) == run["parameters"]
    images, targets = as_targets(digit_scenes("test", 500, 1))
    targets = [Objects(t.labels, t.boxes.double()) for t in targets]
    found = [
        one for part in images.double().split(100) for one in detect(model, part, 0)
    ]
    assert mean_average_precision(found, targets) == pytest.approx(run["AP"], abs=2e-3)
    alone = list(map(suppress, found))
    got = mean_average_precision(alone, targets)
    assert got == pytest.approx(run["AP suppressed"], abs=2e-3)


def test_recorded_weights_are_small():
    for name in MODELS:
        assert recorded_weights(name).stat().st_size < 1e6


# ---- bad input ------------------------------------------------------------------------------------------------------


def small():
    return DETR(3, 1, 16, 2)


P = Prediction(torch.zeros(1, 2, 4), torch.full((1, 2, 4), 0.5), None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: small()(torch.rand(1, 3, 16, 16)), r"images: got shape \(1, 3, 16"),
        (lambda: small()(torch.rand(1, 16, 16)), r"images: got shape \(1, 16, 16\)"),
        (lambda: small()(torch.rand(1, 1, 16, 20)), "images: got 16 × 20 pixels, exp"),
        (lambda: small()(torch.rand(1, 1, 20, 16)), "images: got 20 × 16 pixels, exp"),
        (lambda: small()(torch.ones(1, 1, 16, 16).byte()), "images: got torch.uint8"),
        (lambda: small()(torch.rand(1, 1, 16, 16) * 255), "images: got a value of size"),
        (lambda: small()(torch.rand(1, 1, 16, 16) / 0), "images: got 256 NaN or infin"),
        (lambda: detect(small(), torch.rand(1, 1, 16, 16), 1), "threshold: got 1, ex"),
        (lambda: detect(small(), torch.rand(1, 1, 16, 16), -1), "threshold: got -1, exp"),
        (lambda: DETR(0), "classes: got 0, expected at least 1"),
        (lambda: DETR(3, num_queries=0), "num_queries: got 0, expected at least 1"),
        (lambda: DETR(3, d_model=18), "d_model: got 18, expected a multiple of 4"),
        (lambda: DETR(3, d_model=20, num_heads=3), "d_model: got 20, expected a multi"),
        (lambda: GridDetector(0), "classes: got 0, expected at least 1"),
        (lambda: GridDetector(3, 1, 16)(torch.rand(1, 1, 16, 20)), "images: got 16 × 20 pixels"),
        (lambda: suppress(found([], []), 1.5), "iou: got 1.5, expected 0 to 1"),
        (lambda: recorded_model("YOLO"), "name: got 'YOLO', expected one of 'DETR', 'grid'"),
        (lambda: box_iou(boxes(A)[:, :3], boxes(A)), r"a: got torch.float64 of shape \(1, 3"),
        (lambda: box_iou(boxes(A), boxes(A).long()), "b: got torch.int64 of shape"),
        (lambda: box_iou(boxes((1, 1, -1, 1)), boxes(A)), "a: got a negative width"),
        (lambda: generalised_iou(boxes(A), boxes((0, 0, math.nan, 1))), "b: got 1 NaN"),
        (lambda: match(P, []), "targets: got 0, expected 1, one for each image"),
        (lambda: match(P, [objects([3], A)]), "labels: got 3 to 3, expected 0 to 2"),
        (lambda: match(P, [objects([-1], A)]), "labels: got -1 to -1, expected 0 to 2"),
        (lambda: match(P, [objects([0, 1], A)]), r"boxes: got shape \(1, 4\), expected \(2"),
        (lambda: match(P, [Objects(torch.ones(1), boxes(A))]), "labels: got torch.float"),
        (lambda: match(P, [objects([0] * 3, A, B, C)]), "targets: got 3 objects in an im"),
        (lambda: match(P._replace(boxes=P.boxes[:, :1]), []), r"boxes: got shape \(1, 1, 4"),
        (lambda: match(P._replace(logits=P.logits / 0), []), "logits: got 8 NaN or inf"),
        (lambda: set_loss(P, [objects([])], 0), "no_object: got 0, expected a positive"),
        (lambda: average_precision([], [objects([0], A)], 0), "detections: got 0, expect"),
        (lambda: average_precision([found([], [])], [objects([0], A)], 1), "label: got 1, exp"),
        (lambda: average_precision([found([], [])], [objects([0], A)], 0, 0), "iou: got 0, ex"),
        (lambda: average_precision([found([0], [math.nan], A)], [objects([0], A)], 0), "scores: got 1"),
        (lambda: mean_average_precision([found([], [])], [objects([])]), "targets: got no obj"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_heads_are_modules_whose_softmax_a_hook_sees():
    model, seen = small(), []
    softmax = [m for m in model.modules() if isinstance(m, nn.Softmax)]
    assert len(softmax) == 2 + 2 * 2  # encoder; decoder to itself and to the image
    for module in softmax:
        module.register_forward_hook(lambda m, i, o: seen.append(o))
    model(torch.rand(1, 1, 16, 16), need_weights=True)
    assert len(seen) == 4  # the encoder's maps are asked for with `encode`
