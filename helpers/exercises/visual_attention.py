"""The exercises of chapter 08."""

import torch

from helpers.exercises import Exercise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


# ---- receptive field ------------------------------------------------------------------------------------------------


def field_widths(kernel_sizes, strides):
    """kernel_sizes (L,), strides (L,), integers → widths (L,): the pixels that a unit of each layer can see"""
    # the solution begins
    width, step, widths = 1, 1, []  # step: pixels from one unit to the next
    for size, stride in zip(kernel_sizes.tolist(), strides.tolist(), strict=True):
        width += (size - 1) * step
        step *= stride
        widths.append(width)
    return torch.tensor(widths)
    # the solution ends


def _widths(grow, step_on, late=True):
    def wrong(kernel_sizes, strides):
        width, step, widths = 1, 1, []
        for size, stride in zip(kernel_sizes.tolist(), strides.tolist(), strict=True):
            if not late:
                step = step_on(step, stride)
            width += grow(size, step)
            if late:
                step = step_on(step, stride)
            widths.append(width)
        return torch.tensor(widths)

    return wrong


FIELD_WIDTHS = Exercise(
    title="how far a unit can see",
    difficulty=1,
    minutes=10,
    task=(
        "Write $1 + \\sum_l (k_l - 1) \\prod_{i<l} s_i$ for every layer of a stack: first the width after one layer, "
        "then after two, and so on."
    ),
    hint="Keep two numbers: the width so far, and how many pixels lie between two neighbouring units. Which of them "
    "does a layer change first?",
    solution=field_widths,
    cases=[
        (torch.tensor([3, 3, 3, 3]), torch.tensor([1, 1, 1, 1])),
        (torch.tensor([7, 3, 3, 5]), torch.tensor([2, 2, 1, 2])),
    ],
    mistakes={
        _widths(lambda k, step: k - 1, lambda step, s: 1): (
            "The strides are not used. After a stride of 2 neighbouring units lie 2 pixels apart, and a kernel reaches "
            "twice as far."
        ),
        _widths(lambda k, step: k * step, lambda step, s: step * s): (
            "Each layer adds k pixels. A kernel of 3 reaches one unit to each side, so it adds k − 1 = 2."
        ),
        _widths(lambda k, step: (k - 1) * step, lambda step, s: step + s - 1): (
            "The strides are added. Two strides of 2 put neighbouring units 4 pixels apart: multiply them."
        ),
        _widths(lambda k, step: (k - 1) * step, lambda step, s: step * s, late=False): (
            "A layer's own stride is used too early. Its kernel still walks over the units of the layer below: the "
            "product runs over i < l."
        ),
    },
)


# ---- class activation map -------------------------------------------------------------------------------------------


def activation_map(maps, weight, k):
    """maps (C, h, w), weight (K, C) of the last layer, class k → (h, w)"""
    # the solution begins
    return torch.einsum("c,cyx->yx", weight[k], maps)
    # the solution ends


ACTIVATION_MAP = Exercise(
    title="a class activation map",
    difficulty=1,
    minutes=5,
    task="Write $\\sum_c W_{kc} A_c$: how much each place speaks for class $k$, with its sign.",
    hint="`weight[k]` has one number a channel. `torch.einsum` sums over what is not on the right of the arrow.",
    solution=activation_map,
    cases=[
        (_random(3, 4, 5), _random(6, 3, seed=1), 2),
        (_random(5, 2, 2, seed=2), _random(5, 5, seed=3), 0),
    ],
    mistakes={
        lambda a, w, k: torch.einsum("c,cyx->yx", w[k], a).relu(): (
            "What speaks against the class is cut off. That is Grad-CAM's habit; here the sign belongs to the map."
        ),
        lambda a, w, k: torch.einsum("c,cyx->yx", w[k], a) / len(a): (
            "The map is divided by the number of channels. The score is a sum over channels, not a mean."
        ),
        lambda a, w, k: a.mean(0): (
            "The weights are not used: this map would be the same for every class."
        ),
        lambda a, w, k: torch.einsum("c,cyx->yx", w.softmax(0)[k], a): (
            "The weights went through a softmax. They may be negative, and must be: that is how a place speaks against "
            "a class."
        ),
    },
)


# ---- Grad-CAM -------------------------------------------------------------------------------------------------------


def gradient_map(maps, gradient):
    """maps (C, h, w), gradient (C, h, w) of the class's score by them → (h, w), none below 0"""
    # the solution begins
    alpha = gradient.mean(dim=(1, 2))  # (C,)
    return torch.relu(torch.einsum("c,cyx->yx", alpha, maps))
    # the solution ends


GRADIENT_MAP = Exercise(
    title="Grad-CAM from a gradient",
    difficulty=2,
    minutes=10,
    task=(
        "Write $\\mathrm{ReLU}(\\sum_c \\alpha_c A_c)$, where $\\alpha_c$ is the mean over the map of the gradient "
        "of the score by $A_c$."
    ),
    hint="Three steps: a mean over two axes, a weighted sum over channels, a ReLU. In which order?",
    solution=gradient_map,
    cases=[
        (_random(3, 4, 5), _random(3, 4, 5, seed=1)),
        (_random(6, 3, 3, seed=2), _random(6, 3, 3, seed=3)),
    ],
    mistakes={
        lambda a, g: torch.einsum("c,cyx->yx", g.mean((1, 2)), a): (
            "The ReLU is missing. Grad-CAM keeps only what speaks for the class."
        ),
        lambda a, g: torch.einsum("c,cyx->yx", g.mean((1, 2)), a.relu()): (
            "The ReLU is taken of each map, before the sum. A channel may then no longer speak against the class."
        ),
        lambda a, g: (g * a).sum(0).relu(): (
            "The gradient is multiplied place by place. Grad-CAM takes its mean over the map first: one number a "
            "channel."
        ),
        lambda a, g: torch.einsum("c,cyx->yx", g.sum((1, 2)), a).relu(): (
            "α is the sum of the gradient, not its mean: the map is h·w times too large."
        ),
    },
)


# ---- the pointing game ----------------------------------------------------------------------------------------------


def hits(maps, regions):
    """maps (B, h, w), regions (B, h, w), boolean → (B,): share of each map's greatest places that lie inside"""
    # the solution begins
    top = maps == maps.amax(dim=(1, 2), keepdim=True)  # (B, h, w)
    inside = (top & regions).sum(dim=(1, 2))
    return inside / top.sum(dim=(1, 2))
    # the solution ends


def _first_place(maps, regions):
    place = maps.flatten(1).argmax(dim=1, keepdim=True)
    return regions.flatten(1).gather(1, place)[:, 0].double()


_REGIONS = torch.zeros(3, 4, 4, dtype=torch.bool)
_REGIONS[:, :2, :2] = True
_FLAT = torch.stack([torch.zeros(4, 4), torch.eye(4), -torch.eye(4)]).double()

HITS = Exercise(
    title="the pointing game, fairly",
    difficulty=3,
    minutes=15,
    task=(
        "A map hits if its greatest value lies in the region. If several places share the greatest value, the map "
        "counts for the share of them that lie inside: a map of zeros then scores what pointing blindly would."
    ),
    hint="Compare the maps with their own maximum, kept as (B, 1, 1): that marks all places that share it.",
    solution=hits,
    cases=[
        (_random(3, 4, 4), _REGIONS),
        (_FLAT, _REGIONS),
        (_FLAT.flip(2), _REGIONS.flip(1)),
    ],
    mistakes={
        _first_place: (
            "Only the first of several greatest places counts. A map of only zeros then points at the top left corner, "
            "and is right whenever the object lies there."
        ),
        lambda m, r: (m * r).sum((1, 2)) / m.sum((1, 2)): (
            "This is the share of the map inside the region, not of its greatest places; and a map of zeros gives 0/0."
        ),
        lambda m, r: ((m == m.max()) & r).sum((1, 2)) / (m == m.max()).sum((1, 2)): (
            "The maximum is taken over the whole batch. Each map has its own."
        ),
        lambda m, r: ((m == m.amax((1, 2), True)) & r).any(2).any(1).double(): (
            "A map that is the same everywhere always hits. Divide by the number of places that share the greatest "
            "value."
        ),
    },
)

EXERCISES = [FIELD_WIDTHS, ACTIVATION_MAP, GRADIENT_MAP, HITS]
