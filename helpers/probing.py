"""What can be read from a context vector? A linear probe for each decimal place of the number that was encoded.

A probe is trained on vectors of a model that is not changed any more; what it reads, the vector holds in a form that a
single linear layer can use. Source: Alain and Bengio 2017; on what a probe's baseline must be, Hewitt and Liang 2019.
"""

from collections.abc import Sequence

import torch
from torch import nn

from helpers.validation import require_finite, require_shape

PLACES = 9  # units, tens, …, hundred millions
ABSENT = (
    -100
)  # the place of a number that does not have it; `cross_entropy` leaves it out


def digit_targets(numbers: Sequence[int]) -> torch.Tensor:
    """(N, 9) integers: the digit of each number at each place, units first; `ABSENT` beyond its first digit.

    Raises ValueError for a number that is not from 1 to 999,999,999.
    """
    for number in numbers:
        if not 1 <= number < 10**PLACES:
            raise ValueError(
                f"numbers: got {number}, expected 1 to {10**PLACES - 1:,} in each"
            )
    place = 10 ** torch.arange(PLACES)
    column = torch.tensor(list(numbers)).unsqueeze(1)
    return (column // place % 10).masked_fill(column < place, ABSENT)


class DigitProbe(nn.Module):
    """Nine softmaxes on one vector: logits = W z + b, ten for each place."""

    def __init__(self, size: int):
        super().__init__()
        self.linear = nn.Linear(size, PLACES * 10)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """z (N, Z) → logits (N, 9, 10)."""
        return self.linear(z).unflatten(-1, (PLACES, 10))

    def right(self, z: torch.Tensor, numbers: Sequence[int]) -> torch.Tensor:
        """(N, 9): 1.0 where the greatest logit is the digit, 0.0 where not, NaN where the number has no such place."""
        targets = digit_targets(numbers)
        right = (self(z).argmax(dim=-1) == targets).to(z.dtype)
        return right.masked_fill(targets == ABSENT, torch.nan)


@torch.no_grad()
def fit_probe(
    z: torch.Tensor, numbers: Sequence[int], penalty: float = 1e-4, rounds: int = 60
) -> DigitProbe:
    """The probe that minimises the mean cross-entropy plus `penalty` times the squared weights, by L-BFGS.

    z (N, Z), on which it works standardised; the result takes z as it is. The problem is convex: no seed, no luck.
    Raises ValueError for a shape that does not fit, for NaN or infinity.
    """
    require_shape("z", z, (len(numbers), "Z"))
    require_finite("z", z)
    targets = digit_targets(numbers).flatten()
    mean, spread = z.mean(dim=0), z.std(dim=0).clamp_min(1e-6)
    standard = (z - mean) / spread
    probe = DigitProbe(z.shape[1]).to(z.dtype)
    weight, bias = probe.linear.weight, probe.linear.bias
    weight.zero_(), bias.zero_()
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=rounds, line_search_fn="strong_wolfe"
    )

    @torch.enable_grad()
    def loss():
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(
            probe(standard).flatten(0, 1), targets, ignore_index=ABSENT
        )
        value = value + penalty * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    weight /= spread  # W (z − mean) / spread + b, written as W z + b
    bias -= weight @ mean
    return probe.requires_grad_(False)
