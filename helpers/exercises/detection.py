"""The exercises of chapter 08c on looking closer and on detection."""

import torch

from helpers.exercises import Exercise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


# ---- threshold and box ----------------------------------------------------------------------------------------------


def cut_out(heat, threshold):
    """heat (H, W) → (top, left, bottom, right), (4,): the box around what is above"""
    # the solution begins
    rows, columns = (heat > threshold).nonzero().T  # (n,), (n,)
    box = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    return torch.stack(box)  # (4,)
    # the solution ends


def _box(mask, end=1):
    rows, columns = mask.nonzero().T
    sides = [rows.min(), columns.min(), rows.max() + end, columns.max() + end]
    return torch.stack(sides)


def _swapped(box):
    return box[[1, 0, 3, 2]]


CUT_OUT = Exercise(
    title="from a heatmap to a box",
    difficulty=1,
    minutes=6,
    task=(
        "Give the smallest box that holds every place whose heat is above $\\tau$, as `(top, left, bottom, right)`. As "
        "in Python's slices, the last two are the first row and column *outside*. (The network takes the largest "
        "connected region only; here all of it is wanted.)"
    ),
    hint="nonzero of the mask gives the rows and the columns of its places. Which are the least, which the greatest?",
    solution=cut_out,
    cases=[
        (_random(6, 9), 0.8),
        (_random(5, 4, seed=1), 0.7),
        (torch.tensor([[0.1, 0.2, 0.1], [0.1, 0.9, 0.5]], dtype=torch.float64), 0.5),
    ],
    mistakes={
        lambda heat, t: _box(heat > t, end=0): (
            "bottom and right are the last row and column inside. They should be the first outside, one more: then "
            "heat[top:bottom, left:right] is the box."
        ),
        lambda heat, t: _swapped(_box(heat > t)): (
            "Rows and columns have changed places. The order is (top, left, bottom, right), and the first axis of a "
            "picture runs down."
        ),
        lambda heat, t: _box(heat >= t): (
            "A place whose heat equals the threshold is in your box. Only what is above it counts."
        ),
        lambda heat, t: _box(heat < t): (
            "This is the box around the cold places: the comparison is the wrong way round."
        ),
    },
)


# ---- overlap --------------------------------------------------------------------------------------------------------


def overlap(box, boxes):
    """box (4,), boxes (n, 4), all (left, top, right, bottom) → IoU with each, (n,)"""
    # the solution begins
    start = torch.maximum(box[:2], boxes[:, :2])  # (n, 2)
    stop = torch.minimum(box[2:], boxes[:, 2:])
    shared = (stop - start).clamp(min=0).prod(dim=-1)  # (n,)
    area = (box[2:] - box[:2]).prod()
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=-1)
    return shared / (area + areas - shared)
    # the solution ends


def _sides(box, boxes):
    start = torch.maximum(box[:2], boxes[:, :2])
    return torch.minimum(box[2:], boxes[:, 2:]) - start


def _areas(box, boxes):
    sizes = (box[2:] - box[:2]).prod(), (boxes[:, 2:] - boxes[:, :2]).prod(dim=-1)
    return sizes[0] + sizes[1]


def _unclamped(box, boxes):
    shared = _sides(box, boxes).prod(dim=-1)
    return shared / (_areas(box, boxes) - shared)


def _shared(box, boxes):
    return _sides(box, boxes).clamp(min=0).prod(dim=-1)


def _corner_boxes(*rows):
    return torch.tensor(rows, dtype=torch.float64)


OVERLAP = Exercise(
    title="intersection over union",
    difficulty=1,
    minutes=8,
    task=(
        "How well do two boxes agree? Divide the area that they share by the area that they cover together. Boxes are "
        "given by their corners `(left, top, right, bottom)`; boxes that do not touch have 0."
    ),
    hint=(
        "The shared part starts at the greater of the two left sides and ends at the lesser of the two right ones. "
        "What if the end comes before the start?"
    ),
    solution=overlap,
    cases=[
        (
            _corner_boxes((0, 0, 4, 2))[0],
            _corner_boxes((0, 0, 4, 2), (2, 0, 6, 2), (5, 3, 7, 6), (1, 0, 2, 1)),
        ),
        (
            _corner_boxes((1, 1, 3, 5))[0],
            _corner_boxes((2, 2, 4, 4), (0, 0, 9, 9), (4, 6, 5, 9)),
        ),
    ],
    mistakes={
        _unclamped: (
            "Boxes that lie apart both ways get a positive overlap: two negative sides give a positive area. Clamp "
            "each side at 0 before multiplying."
        ),
        lambda box, boxes: _shared(box, boxes) / _areas(box, boxes): (
            "The shared part is counted twice below: the union is the sum of the areas minus what is shared."
        ),
        lambda box, boxes: _shared(box, boxes): (
            "This is the shared area alone. Divide by the area that the two cover together."
        ),
        lambda box, boxes: (
            _shared(box, boxes) / (boxes[:, 2:] - boxes[:, :2]).prod(dim=-1)
        ): (
            "Divided by the other box's area alone: a box that covers the whole picture would then be perfect."
        ),
    },
)


# ---- matching -------------------------------------------------------------------------------------------------------


def cheapest_matching(cost):
    """cost (N, n) of query i for object j, n ≤ N → the query of each object, (n,)"""
    # the solution begins
    from itertools import permutations

    queries, objects = cost.shape
    ways = torch.tensor(list(permutations(range(queries), objects)))  # (ways, n)
    sums = cost[ways, torch.arange(objects)].sum(dim=-1)  # (ways,)
    return ways[sums.argmin()]
    # the solution ends


def _in_turn(cost):
    """Objects in order, each takes the cheapest query that is left."""
    left, taken = cost.clone(), []
    for column in range(cost.shape[1]):
        taken.append(left[:, column].argmin())
        left[taken[-1]] = torch.inf
    return torch.stack(taken)


def _cheapest_pair_first(cost):
    left, taken = cost.clone(), torch.zeros(cost.shape[1], dtype=torch.int64)
    for _ in range(cost.shape[1]):
        row, column = divmod(int(left.argmin()), cost.shape[1])
        taken[column] = row
        left[row], left[:, column] = torch.inf, torch.inf
    return taken


def _costs(*rows):
    return torch.tensor(rows, dtype=torch.float64)


CHEAPEST_MATCHING = Exercise(
    title="who is whose",
    difficulty=3,
    minutes=12,
    task=(
        "Give every object a query of its own so that the sum of the costs is least. With a few queries you may try "
        "all ways (`itertools.permutations`); the Hungarian algorithm finds the same without trying. Return "
        "the query of each object."
    ),
    hint=(
        "permutations(range(N), n) lists all ways to give n objects different queries. Look up each way's costs with "
        "one index, cost[ways, objects]."
    ),
    solution=cheapest_matching,
    cases=[
        (_costs((1, 2, 7), (2, 9, 7), (8, 8, 4), (9, 9, 9)),),
        (_costs((5, 3), (4, 1), (9, 2), (9, 8)),),
        (_costs((-2, -3, 0), (-1, -3, 4), (2, 0, 1)),),
    ],
    mistakes={
        lambda cost: cost.argmin(dim=0): (
            "Each object takes its cheapest query, and two may take the same. Every query may have one object only."
        ),
        _in_turn: (
            "The objects choose one after the other, and what the first takes may cost a later one dearly. Compare the "
            "sums of whole matchings."
        ),
        _cheapest_pair_first: (
            "The cheapest pair first, then the next: a bargain now can make the rest expensive. It is the sum that "
            "should be least."
        ),
        lambda cost: cheapest_matching(-cost): (
            "This is the dearest matching. The cost is to be small."
        ),
    },
)

EXERCISES = [CUT_OUT, OVERLAP, CHEAPEST_MATCHING]
