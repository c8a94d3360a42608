"""The exercises of chapter 08a."""

import torch
from torch.nn import functional as F

from helpers.exercises import Exercise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


# ---- squeeze and excitation -----------------------------------------------------------------------------------------


def channel_weights(x, W_1, W_2):
    """x (C, H, W), W_1 (C/r, C), W_2 (C, C/r) → scaled maps (C, H, W)"""
    # the solution begins
    z = x.mean(dim=(1, 2))  # (C,)
    s = torch.sigmoid(W_2 @ torch.relu(W_1 @ z))  # (C,)
    return x * s[:, None, None]
    # the solution ends


CHANNEL_WEIGHTS = Exercise(
    title="squeeze, excite, scale",
    difficulty=1,
    minutes=5,
    task="Write squeeze-and-excitation for the maps of one image, without biases and without a loop: "
    "$\\mathbf{s} = \\sigma(W_2 \\operatorname{ReLU}(W_1 \\mathbf{z}))$, then every channel times its weight.",
    hint="`s` has shape (C,). To multiply whole maps it needs two more axes of size 1, at the end.",
    solution=channel_weights,
    cases=[
        (_random(4, 3, 5), _random(2, 4, seed=1), _random(4, 2, seed=2)),
        (_random(6, 6, 6, seed=3), _random(3, 6, seed=4), _random(6, 3, seed=5)),
    ],
    mistakes={
        lambda x, A, B: (
            x * torch.sigmoid(B @ A @ x.mean(dim=(1, 2)))[:, None, None]
        ): "The ReLU is missing. Without it the two matrices are one, of low rank.",
        lambda x, A, B: (
            x
            * torch.softmax(B @ torch.relu(A @ x.mean(dim=(1, 2))), dim=0)[
                :, None, None
            ]
        ): "That is a softmax: the channels would fight for one share. Each has a sigmoid of its own.",
        lambda x, A, B: (
            x + torch.sigmoid(B @ torch.relu(A @ x.mean(dim=(1, 2))))[:, None, None]
        ): "The weights were added. A weight of 0 must switch a channel off: multiply.",
        lambda x, A, B: (
            x * torch.sigmoid(B @ torch.relu(A @ x.sum(dim=(1, 2))))[:, None, None]
        ): "The squeeze is the mean over the places, not the sum: a larger image must not count for more.",
    },
)


# ---- counting -------------------------------------------------------------------------------------------------------


def se_parameters(channels, blocks, reduction):
    """channels, blocks: tensors, a number per stage → how many weights SE adds, ()"""
    # the solution begins
    return (blocks * 2 * channels * (channels // reduction)).sum()
    # the solution ends


_RESNET_50 = (torch.tensor([256, 512, 1024, 2048]), torch.tensor([3, 4, 6, 3]))

SE_PARAMETERS = Exercise(
    title="what it costs",
    difficulty=2,
    minutes=10,
    task="A network has `blocks[i]` blocks in stage i, whose outputs have `channels[i]` channels. How many weights "
    "does squeeze-and-excitation add to it, with two matrices and no biases in each block?",
    hint="One block: C · C/r for the way down and as many for the way up.",
    solution=se_parameters,
    cases=[
        (*_RESNET_50, 16),
        (*_RESNET_50, 8),
        (torch.tensor([16, 32]), torch.tensor([1, 2]), 4),
    ],
    mistakes={
        lambda c, n, r: (n * c * (c // r)).sum(): (
            "Only one of the two matrices was counted: there is a way down and a way up."
        ),
        lambda c, n, r: (2 * c * (c // r)).sum(): (
            "Each block has its own attention. Multiply by the number of blocks."
        ),
        lambda c, n, r: (n * (2 * c * (c // r) + c + c // r)).sum(): (
            "That counts biases, c + c/r a block. The models that were released have none."
        ),
        lambda c, n, r: (n * 2 * c * c).sum(): (
            "Without the reduction by r. The hidden layer has C/r numbers, not C."
        ),
    },
)


# ---- ECA ------------------------------------------------------------------------------------------------------------


def neighbour_weights(z, kernel):
    """z (C,) means of the channels, kernel (k,), k odd → weights (C,)"""
    # the solution begins
    zeros = z.new_zeros(len(kernel) // 2)
    windows = torch.cat([zeros, z, zeros]).unfold(0, len(kernel), 1)  # (C, k)
    return torch.sigmoid(windows @ kernel)  # (C,)
    # the solution ends


def _wrapped(z, kernel):
    half = len(kernel) // 2
    shifted = [torch.roll(z, half - i) for i in range(len(kernel))]
    return torch.sigmoid(torch.stack(shifted, dim=1) @ kernel)


NEIGHBOUR_WEIGHTS = Exercise(
    title="ECA, a kernel along the channels",
    difficulty=2,
    minutes=10,
    task="ECA slides one small kernel along the line of the channels' means: weight c is the sigmoid of "
    "$\\sum_i \\text{kernel}_i \\, z_{c + i - (k-1)/2}$. Beyond the first and the last channel stand zeros.",
    hint="Pad `z` with (k − 1)/2 zeros on both sides; then window c begins at place c.",
    solution=neighbour_weights,
    cases=[
        (_random(6), _random(3, seed=1)),
        (_random(9, seed=2), _random(5, seed=3)),
        (_random(4, seed=4), _random(1, seed=5)),
    ],
    mistakes={
        lambda z, k: torch.sigmoid(
            F.pad(z, (len(k) // 2, len(k) // 2)).unfold(0, len(k), 1) @ k.flip(0)
        ): (
            "The kernel lies the wrong way round: its first number belongs to the channel furthest to the left. "
            "(What deep learning calls a convolution does not flip.)"
        ),
        _wrapped: "The ends were joined to a ring. Beyond the first and the last channel stand zeros.",
        lambda z, k: F.pad(z, (len(k) // 2, len(k) // 2)).unfold(0, len(k), 1) @ k: (
            "The sigmoid is missing: these weights may be negative or large."
        ),
        lambda z, k: torch.sigmoid(
            F.pad(z, (0, len(k) - 1)).unfold(0, len(k), 1) @ k
        ): ("The window begins at channel c instead of having it in its middle."),
    },
)


# ---- CBAM -----------------------------------------------------------------------------------------------------------


def place_weights(x, kernel):
    """x (C, H, W), kernel (2, k, k): maximum, mean → weights of the places (H, W)"""
    # the solution begins
    both = torch.stack([x.amax(dim=0), x.mean(dim=0)])  # (2, H, W)
    energy = torch.conv2d(both[None], kernel[None], padding="same")[0, 0]  # (H, W)
    return torch.sigmoid(energy)
    # the solution ends


PLACE_WEIGHTS = Exercise(
    title="CBAM's second half",
    difficulty=3,
    minutes=15,
    task="The weights of the places: the maximum and the mean *over the channels*, stacked in this order, one "
    "convolution that keeps height and width, a sigmoid. (The BatchNorm of the authors' code is left out.)",
    hint="`torch.conv2d` wants a batch of maps (1, 2, H, W) and a batch of kernels (1, 2, k, k).",
    solution=place_weights,
    cases=[
        (_random(3, 5, 4), _random(2, 3, 3, seed=1)),
        (_random(4, 6, 6, seed=2), _random(2, 5, 5, seed=3)),
    ],
    mistakes={
        lambda x, k: torch.sigmoid(
            F.conv2d(
                torch.stack([x.mean(dim=0), x.amax(dim=0)])[None],
                k[None],
                padding="same",
            )[0, 0]
        ): "Maximum and mean have changed places: the first kernel is for the maximum.",
        lambda x, k: torch.sigmoid(
            F.conv2d(
                torch.stack([x.amin(dim=0), x.mean(dim=0)])[None],
                k[None],
                padding="same",
            )[0, 0]
        ): "That takes the minimum over the channels; CBAM takes the maximum.",
        lambda x, k: F.conv2d(
            torch.stack([x.amax(dim=0), x.mean(dim=0)])[None], k[None], padding="same"
        )[0, 0]: "The sigmoid is missing.",
        lambda x, k: torch.softmax(
            F.conv2d(
                torch.stack([x.amax(dim=0), x.mean(dim=0)])[None],
                k[None],
                padding="same",
            ).flatten(),
            dim=0,
        ).view(x.shape[1:]): (
            "A softmax over the places makes them share one weight of 1. Here each has its own sigmoid."
        ),
    },
)


EXERCISES = [CHANNEL_WEIGHTS, SE_PARAMETERS, NEIGHBOUR_WEIGHTS, PLACE_WEIGHTS]
