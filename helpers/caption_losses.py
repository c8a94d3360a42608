"""What a captioner is trained on: the soft loss with its penalty, and the hard one, by REINFORCE (Xu et al. 2015).

Shapes: B captions of T words, L places. `mask` (B, T) is True where there is a word.
"""

from collections.abc import Callable, Sequence

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F

from helpers.captioning import Captioner
from helpers.data import Vocabulary
from helpers.validation import require_shape


def log_likelihood(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """logits (B, T, tokens), target (B, T), padded at the end → (B,): log p(y) of each caption."""
    terms = F.cross_entropy(
        rearrange(logits, "b t v -> b v t"),
        target,
        ignore_index=Vocabulary.PAD,
        reduction="none",
    )
    return -terms.sum(dim=1)


# ---------------------------------------------------------------------------------------------------------------------
# Soft
# ---------------------------------------------------------------------------------------------------------------------


def doubly_stochastic_penalty(
    weights: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """weights (B, T, L), mask (B, T) → (B,): Σ_i (1 − Σ_t α_ti)².

    It is 0 if every place was looked at as much as every other and once in all, which takes as many words as places.
    With T < L words it is at least L (1 − T/L)². As Σ_i Σ_t α_ti = T whatever the look, its gradient is that of
    Σ_i (Σ_t α_ti)²: it asks for looks that spread and do not return. Source: Xu et al. 2015, eq. 14.
    Raises ValueError for other shapes, and a mask that is not boolean.
    """
    require_shape("weights", weights, ("B", "T", "L"))
    require_shape("mask", mask, tuple(weights.shape[:2]))
    if mask.dtype != torch.bool:
        raise ValueError(
            f"mask: got {mask.dtype}, expected torch.bool with True where there is a word"
        )
    looked = (weights * mask[..., None]).sum(dim=1)  # (B, L)
    return (1 - looked).square().sum(dim=-1)


def soft_loss(
    model: Captioner,
    annotations: torch.Tensor,
    target: torch.Tensor,
    penalty: float = 0.0,
    look: str = "soft",
) -> torch.Tensor:
    """−log p(y) + λ Σ_i (1 − Σ_t α_ti)², the mean over the batch; λ = `penalty`.

    annotations (B, L, D), target (B, T), padded at the end. Source: Xu et al. 2015, eq. 14.
    """
    told = model(annotations, target, look)
    penalties = doubly_stochastic_penalty(told.weights, target != Vocabulary.PAD)
    return (penalty * penalties - log_likelihood(told.logits, target)).mean()


# ---------------------------------------------------------------------------------------------------------------------
# Hard
# ---------------------------------------------------------------------------------------------------------------------


class MovingBaseline:
    """b ← decay · b + (1 − decay) · mean log p(y | s): what a caption is worth on the average lately.

    Source: Xu et al. 2015, section 4.1, with a decay of 0.9.
    """

    def __init__(self, decay: float = 0.9):
        if not 0 <= decay < 1:
            raise ValueError(f"decay: got {decay}, expected 0 ≤ decay < 1")
        self.decay, self.value = decay, 0.0

    def update(self, rewards: torch.Tensor) -> None:
        mean = rewards.mean().item()
        self.value = self.decay * self.value + (1 - self.decay) * mean


def log_probability_of_places(
    weights: torch.Tensor, places: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """weights (B, T, L), places (B, T), mask (B, T) → (B,): Σ_t log α_{t, s_t} over the words."""
    chosen = weights.gather(-1, places[..., None])[..., 0]  # (B, T)
    return (chosen.log() * mask).sum(dim=1)


def entropy(weights: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """weights (B, T, L), mask (B, T) → (B,): Σ_t H[α_t] over the words, with H[α] = −Σ_i α_i log α_i."""
    terms = torch.special.entr(weights).sum(dim=-1)  # entr(0) = 0
    return (terms * mask).sum(dim=1)


def hard_loss(
    model: Captioner,
    annotations: torch.Tensor,
    target: torch.Tensor,
    baseline: MovingBaseline | None,
    score_weight: float = 1.0,
    entropy_weight: float = 0.01,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """A number whose gradient is REINFORCE's estimate; the number itself means nothing by itself.

    One path of places s is drawn for each caption. The gradient is that of
    −[log p(y | s) + λ_r (log p(y | s) − b) log p(s) + λ_e H[α]], with the bracket (log p(y | s) − b) held constant.
    For λ_r = 1 and λ_e = 0 its mean over the paths is the gradient of Σ_s p(s) log p(y | s) ≤ log p(y), for any b that
    does not hang on s; b only makes it less noisy. So the baseline moves on after it was used. Without one, b = 0.
    Source: Xu et al. 2015, section 4.1; Williams 1992.
    """
    told = model(annotations, target, "hard", generator=generator)
    mask = target != Vocabulary.PAD
    reward = log_likelihood(told.logits, target)
    advantage = reward.detach() - (baseline.value if baseline else 0.0)
    score = log_probability_of_places(told.weights, told.places, mask)
    spread = entropy(told.weights, mask)
    if baseline:
        baseline.update(reward.detach())
    return -(reward + score_weight * advantage * score + entropy_weight * spread).mean()


# ---------------------------------------------------------------------------------------------------------------------
# How noisy a gradient is
# ---------------------------------------------------------------------------------------------------------------------


def gradient_noise(
    loss: Callable[[], torch.Tensor],
    parameters: Sequence[nn.Parameter],
    draws: int,
) -> tuple[float, float]:
    """→ ‖mean gradient‖² and the total variance, Σ of all parameters' variances, of `loss`() over so many draws.

    The variance is the unbiased one. Raises ValueError for fewer than 2 draws.
    """
    if draws < 2:
        raise ValueError(f"draws: got {draws}, expected at least 2")
    total = squares = 0.0
    for _ in range(draws):
        flat = torch.cat(
            [g.flatten() for g in torch.autograd.grad(loss(), [*parameters])]
        ).double()
        total, squares = total + flat, squares + flat.square()
    mean = total / draws
    variance = (squares / draws - mean.square()).clamp(min=0) * draws / (draws - 1)
    return mean.square().sum().item(), variance.sum().item()
