"""The exercises of chapter 09."""

import torch

from helpers.exercises import Exercise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _weights(tokens: int, seed: int = 0) -> torch.Tensor:
    return (2 * _random(tokens, tokens, seed=seed)).softmax(dim=-1)


# ---- patches --------------------------------------------------------------------------------------------------------


def cut_up(image, patch):
    """image (C, H, W), side of a patch p → its patches row by row (N, C·p²), the channels outermost in each"""
    # the solution begins
    channels, height, width = image.shape
    pieces = image.reshape(channels, height // patch, patch, width // patch, patch)
    return pieces.permute(1, 3, 0, 2, 4).flatten(0, 1).flatten(1)
    # the solution ends


def _cut(order):
    def wrong(image, patch):
        c, h, w = image.shape
        pieces = image.reshape(c, h // patch, patch, w // patch, patch)
        return pieces.permute(*order).reshape(-1, c * patch**2)

    return wrong


CUT_UP = Exercise(
    title="cut an image up",
    difficulty=1,
    minutes=10,
    task=(
        "Make a row of numbers of every patch: patches from left to right and from top to bottom, and within a patch "
        "all of the first channel, row by row, then the next. No loops, please."
    ),
    hint="Split both sides in two with `reshape`: H is rows of patches times rows within one. Which axes come first?",
    solution=cut_up,
    cases=[(_random(3, 4, 6), 2), (_random(2, 9, 3, seed=1), 3)],
    mistakes={
        lambda image, p: image.reshape(-1, len(image) * p**2): (
            "The numbers are taken as they lie in memory: the first rows of the image, not the first patch. Split H "
            "and W first, then move the axes."
        ),
        _cut((3, 1, 0, 2, 4)): (
            "The patches come column by column. Sentences are read row by row, and so are images here."
        ),
        _cut((1, 3, 2, 4, 0)): (
            "The channels are innermost: red, green, blue of the first pixel, then of the next. A convolution's "
            "weights (d, C, p, p) have the channel outermost."
        ),
        _cut((2, 4, 0, 1, 3)): (
            "The axes within a patch and those between patches are exchanged: each row holds one pixel of every patch."
        ),
    },
)


# ---- the sequence ---------------------------------------------------------------------------------------------------


def token_sequence(patches, class_token, registers, positions):
    """patches (N, d), class_token (d,), registers (R, d), positions (1 + N, d) → (1 + R + N, d)"""
    # the solution begins
    first = class_token + positions[0]
    return torch.cat([first.unsqueeze(0), registers, patches + positions[1:]])
    # the solution ends


TOKEN_SEQUENCE = Exercise(
    title="what the encoder reads",
    difficulty=1,
    minutes=5,
    task=(
        "Put class token, registers and patches into one sequence, in this order. The class token and the patches get "
        "a position, the registers do not: they stand nowhere."
    ),
    hint="Which row of `positions` belongs to the class token? `torch.cat` wants two axes of each part.",
    solution=token_sequence,
    cases=[
        (
            _random(4, 3),
            _random(3, seed=1),
            _random(2, 3, seed=2),
            _random(5, 3, seed=3),
        ),
        (_random(6, 2, seed=4), _random(2), torch.zeros(0, 2).double(), _random(7, 2)),
        (_random(4, 2, seed=4), _random(2), _random(4, 2, seed=6), _random(5, 2)),
    ],
    mistakes={
        lambda x, c, r, p: torch.cat([c[None], r, x]): (
            "The positions are missing. Without them the encoder cannot tell an image from its patches in a bag."
        ),
        lambda x, c, r, p: torch.cat([c[None], r, x + p[1:]]): (
            "The class token has no position. It has a row of its own, the first."
        ),
        lambda x, c, r, p: torch.cat([(c + p[0])[None], x + p[1:], r]): (
            "The registers come last. Then patch n is no longer token 1 + R + n."
        ),
        lambda x, c, r, p: torch.cat([(c + p[-1])[None], r, x + p[:-1]]): (
            "The positions are off by one: row 0 is the class token's, row 1 the first patch's."
        ),
    },
)


# ---- attention distance ---------------------------------------------------------------------------------------------


def mean_distance(weights, columns):
    """weights (N, N) of patches, row by row in `columns` columns → (): mean distance, in patches, that they look"""
    # the solution begins
    n = torch.arange(len(weights))
    places = torch.stack([n // columns, n % columns], dim=1).to(weights)  # (N, 2)
    distance = torch.cdist(places, places)  # (N, N)
    return (weights * distance).sum(dim=1).mean()
    # the solution ends


def _distance(places, measure, mean=lambda w, d: (w * d).sum(1).mean()):
    def wrong(weights, columns):
        n = torch.arange(len(weights))
        xy = torch.stack(places(n, columns), dim=1).to(weights)
        return mean(weights, measure(xy[:, None] - xy))

    return wrong


def _rows_first(n, c):
    return [n // c, n % c]


MEAN_DISTANCE = Exercise(
    title="how far a head looks",
    difficulty=2,
    minutes=10,
    task=(
        "Each row of weights sums to 1. Take the distance from the asking patch to every other as the crow flies, "
        "weigh it with the weights, and take the mean over the patches that ask."
    ),
    hint="Patch n stands in row `n // columns` and column `n % columns`. `torch.cdist` gives all distances at once.",
    solution=mean_distance,
    cases=[(_weights(6), 3), (_weights(8, seed=1), 2), (torch.eye(6).double(), 2)],
    mistakes={
        _distance(lambda n, c: [n, 0 * n], lambda d: d.norm(dim=-1)): (
            "The distance is that in the sequence. The first patches of two rows are far apart there, and neighbours "
            "in the image."
        ),
        _distance(_rows_first, lambda d: d.abs().sum(-1)): (
            "These are steps along rows and columns. As the crow flies it is shorter: the root of the sum of squares."
        ),
        _distance(_rows_first, lambda d: d.norm(dim=-1), lambda w, d: (w * d).mean()): (
            "Weights of one row sum to 1 already: weigh by summing along the row, and take the mean over rows alone."
        ),
        _distance(
            _rows_first, lambda d: d.norm(dim=-1), lambda w, d: d.mean() + 0 * w.sum()
        ): "The weights are not used: this is how far apart two patches are, wherever one looks.",
    },
)


# ---- the most of the mass -------------------------------------------------------------------------------------------


def fewest_patches(weights, share):
    """weights (N,), none below 0, and 0 < share ≤ 1 → how many of the greatest hold that share of their sum: ()"""
    # the solution begins
    greatest = weights.sort(descending=True).values
    held = greatest.cumsum(dim=0) / weights.sum()  # by the first, the first two, …
    return (held < share - 1e-9).sum() + 1
    # the solution ends


FEWEST_PATCHES = Exercise(
    title="keep most of it",
    difficulty=2,
    minutes=10,
    task=(
        "The explorer's threshold: how many patches must be kept, beginning with the greatest weight, until they hold "
        "at least `share` of all the weight? A share that is reached exactly, up to rounding, is reached."
    ),
    hint="Sort, then `cumsum`. Count those places at which the sum is still too small; one more patch is needed.",
    solution=fewest_patches,
    cases=[
        (torch.tensor([0.1, 0.4, 0.2, 0.3], dtype=torch.float64), 0.8),
        (torch.tensor([2.0, 1.0, 1.0, 4.0], dtype=torch.float64), 0.75),
        (torch.tensor([0.25, 0.25, 0.25, 0.25], dtype=torch.float64), 0.5),
        (_random(9).exp(), 0.5),
    ],
    mistakes={
        lambda w, s: (w.sort(descending=True).values.cumsum(0) < s - 1e-9).sum() + 1: (
            "The weights need not sum to 1: patches share with the class token and the registers. Divide by the sum."
        ),
        lambda w, s: ((w / w.sum()).cumsum(0) < s - 1e-9).sum() + 1: (
            "The patches are taken as they stand. Begin with the greatest weight: sort first."
        ),
        lambda w, s: (
            (w.sort(descending=True).values.cumsum(0) / w.sum()) < s - 1e-9
        ).sum(): (
            "One too few: at these places the sum is still too small, and the next patch reaches the share."
        ),
        lambda w, s: (w > (1 - s) * w.max()).sum(): (
            "This compares each weight with the greatest one. The share is one of the sum, whatever the greatest is."
        ),
    },
)

EXERCISES = [CUT_UP, TOKEN_SEQUENCE, MEAN_DISTANCE, FEWEST_PATCHES]
