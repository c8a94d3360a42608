"""The exercises of chapter 09a."""

import torch

from helpers.exercises import Exercise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


# ---- augmentation ---------------------------------------------------------------------------------------------------


def shifted(photo, down, right):
    """photo (H, W), integers of either sign → the photo moved down and to the right, 0 where nothing came from"""
    # the solution begins
    height, width = photo.shape
    moved = torch.zeros_like(photo)
    moved[max(down, 0) : height + down, max(right, 0) : width + right] = photo[
        max(-down, 0) : height - down, max(-right, 0) : width - right
    ]
    return moved
    # the solution ends


def _rolled(photo, down, right):
    return torch.roll(photo, (down, right), (0, 1))


SHIFTED = Exercise(
    title="one photo, many photos",
    difficulty=2,
    minutes=10,
    task="Augmentation by hand: move a photo by `down` and `right` pixels; a negative number moves it up or left. What "
    "leaves the picture is lost, and 0 comes in. Do not change the photo that was given.",
    hint="Begin with zeros, and copy one rectangle. For `down = 2` rows 0 to H − 3 go to rows 2 to H − 1; "
    "`max(down, 0)` helps with the sign.",
    solution=shifted,
    cases=[
        (_random(4, 5), 1, 2),
        (_random(5, 4, seed=1), -2, 1),
        (_random(3, 3, seed=2), 0, -1),
        (_random(3, 4, seed=3), 0, 0),
    ],
    mistakes={
        _rolled: "What left on one side came back on the other, as `torch.roll` does. Let 0 come in.",
        lambda x, down, right: shifted(x, -down, -right): (
            "It moves the other way: a positive `down` makes the top row empty."
        ),
        lambda x, down, right: shifted(x, right, down): (
            "Rows and columns have changed places: `down` belongs to the first axis."
        ),
        lambda x, down, right: shifted(x, abs(down), abs(right)): (
            "The signs are lost: −1 must move the photo up, or to the left."
        ),
    },
)


# ---- area under a curve ---------------------------------------------------------------------------------------------


def area_under(probabilities):
    """probabilities (B, K), K points evenly spaced from share 0 to share 1 → area under each curve (B,)"""
    # the solution begins
    steps = probabilities.shape[-1] - 1
    middles = (probabilities[:, 1:] + probabilities[:, :-1]) / 2  # (B, K − 1)
    return middles.sum(dim=1) / steps
    # the solution ends


AREA_UNDER = Exercise(
    title="the area under a deletion curve",
    difficulty=1,
    minutes=5,
    task="A curve says how sure the model is after each share of the patches is gone. Sum it up: the area under the "
    "straight lines between its points. A curve that stays at 1 has area 1.",
    hint="Between two neighbours lies a trapezoid: the mean of their heights times the width, 1/(K − 1).",
    solution=area_under,
    cases=[(_random(3, 5),), (_random(2, 8, seed=1),), (torch.ones(1, 4),)],
    mistakes={
        lambda p: p.mean(dim=1): (
            "That is the mean of the points. The first and the last have a trapezoid on one side only: they count half."
        ),
        lambda p: (p[:, 1:] + p[:, :-1]).sum(dim=1) / 2: (
            "The width is missing: K points have K − 1 gaps, each 1/(K − 1) wide."
        ),
        lambda p: ((p[:, 1:] + p[:, :-1]) / 2).sum(dim=1) / p.shape[-1]: (
            "K points have K − 1 gaps between them, not K."
        ),
        lambda p: p[:, :-1].mean(dim=1): (
            "Each gap got the height of its left end. Take the mean of both ends."
        ),
    },
)


# ---- a fair verdict -------------------------------------------------------------------------------------------------


def told_apart(ours, theirs, t):
    """ours, theirs (S,), paired by seed, t: Student's quantile → 1 if the difference is none of chance, else 0; ()"""
    # the solution begins
    gaps = ours - theirs
    error = gaps.std() / len(gaps) ** 0.5  # of the mean
    return (gaps.mean().abs() > t * error).double()
    # the solution ends


def _pair(gaps, seed=0):
    theirs = _random(len(gaps), seed=seed)
    return theirs + torch.tensor(gaps, dtype=torch.float64), theirs


TOLD_APART = Exercise(
    title="can they be told apart?",
    difficulty=2,
    minutes=10,
    task="Two networks, the same seeds. Can their accuracies be told apart? Take the differences seed by seed, their "
    "mean, and its standard error $s/\\sqrt{S}$ ($s$ with $S - 1$ below). Return 1 if the mean lies further from 0 "
    "than $t$ standard errors, else 0. For three seeds and 95 %, $t = 4.303$.",
    hint="`gaps.std()` divides by S − 1 by itself. The difference may be negative: compare its absolute value.",
    solution=told_apart,
    cases=[
        (*_pair([0.02, 0.021, 0.019]), 4.303),
        (*_pair([0.03, 0.0, 0.01], seed=1), 4.303),
        (*_pair([-0.05, -0.06, -0.055], seed=2), 4.303),
        (*_pair([0.01, 0.03, 0.02], seed=4), 4.303),
        (*_pair([0.010, 0.030, 0.021, 0.019], seed=5), 3.182),
    ],
    mistakes={
        lambda a, b, t: ((a - b).mean().abs() > t * (a - b).std()).double(): (
            "That is the spread of one seed's difference. The mean of S seeds is surer, by a factor √S."
        ),
        lambda a, b, t: (
            (a - b).mean() > t * (a - b).std() / len(a) ** 0.5
        ).double(): "A difference below 0 is a difference too: compare the absolute value.",
        lambda a, b, t: (
            (a.mean() - b.mean()).abs() > t * ((a.var() + b.var()) / len(a)) ** 0.5
        ).double(): (
            "The pairs are lost: what a seed does to both networks is no reason to doubt their difference. "
            "Subtract first."
        ),
        lambda a, b, t: ((a - b) > 0).all().double() + ((a - b) < 0).all().double(): (
            "That asks whether one is ahead with every seed. Three coins fall alike one time in four."
        ),
    },
)


EXERCISES = [SHIFTED, AREA_UNDER, TOLD_APART]
