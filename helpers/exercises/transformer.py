"""The exercises of chapter 07."""

import torch
from torch.nn import functional as F

from helpers.exercises import Exercise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


# ---- heads ----------------------------------------------------------------------------------------------------------


def split_heads(x, num_heads):
    """x (T, d), num_heads h that divides d → (h, T, d/h): head 0 gets the first d/h numbers of each token"""
    # the solution begins
    parts = x.reshape(len(x), num_heads, -1)  # (T, h, d/h)
    return parts.transpose(0, 1)  # (h, T, d/h)
    # the solution ends


SPLIT_HEADS = Exercise(
    title="cut into heads",
    difficulty=1,
    minutes=5,
    task="Cut each token's $d$ numbers into $h$ parts, and put the heads first: $(T, d) \\to (h, T, d/h)$.",
    hint="Cut the last axis in two first, (T, h, d/h). Which two axes then change places?",
    solution=split_heads,
    cases=[(_random(3, 8), 2), (_random(5, 12, seed=1), 4), (_random(4, 6, seed=2), 6)],
    mistakes={
        lambda x, h: x.reshape(h, len(x), -1): (
            "The shape is right, but reshape reads the numbers row by row: a head now holds all of some tokens and "
            "nothing of the others. Cut the last axis alone, then transpose."
        ),
        lambda x, h: x.reshape(len(x), -1, h).permute(2, 0, 1): (
            "Head 0 gets every h-th number of a token. It should get the first d/h in a row: (T, h, d/h), "
            "not (T, d/h, h)."
        ),
        lambda x, h: x[:, : x.shape[1] // h].expand(h, -1, -1): (
            "All heads get the same first d/h numbers. Each has a part of its own."
        ),
    },
)


# ---- masks ----------------------------------------------------------------------------------------------------------


def decoder_mask(tokens):
    """tokens (B, T) integers, 0 = padding at the end → (B, T, T) boolean, True = may attend: not later, not padding"""
    # the solution begins
    length = tokens.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()  # (T, T)
    not_padding = (tokens != 0).unsqueeze(1)  # (B, 1, T)
    return causal & not_padding  # (B, T, T)
    # the solution ends


def _parts(tokens):
    length = tokens.shape[1]
    return torch.ones(length, length, dtype=torch.bool).tril(), tokens != 0


DECODER_MASK = Exercise(
    title="two masks in one",
    difficulty=1,
    minutes=8,
    task="In a padded batch, a decoder's query may attend to a key that is neither later nor padding. Make the mask.",
    hint="Rows are queries, columns are keys. One mask has the shape (T, T), the other (B, 1, T): let them broadcast.",
    solution=decoder_mask,
    cases=[
        (torch.tensor([[5, 6, 7, 2], [5, 2, 0, 0]]),),
        (torch.tensor([[3, 4, 0], [3, 0, 0], [3, 3, 3]]),),
    ],
    mistakes={
        lambda tokens: _parts(tokens)[0] | _parts(tokens)[1].unsqueeze(1): (
            "A key is allowed if it is not later OR not padding. Both must hold: join the masks with &."
        ),
        lambda tokens: _parts(tokens)[0].T & _parts(tokens)[1].unsqueeze(1): (
            "The causal part is turned round: the queries see what comes later. Keep the lower triangle, tril."
        ),
        lambda tokens: _parts(tokens)[0] & _parts(tokens)[1].unsqueeze(2): (
            "The padding masks rows, which are queries. It is as keys, in the columns, that padding must not be seen: "
            "unsqueeze(1)."
        ),
        lambda tokens: ~(_parts(tokens)[0] & _parts(tokens)[1].unsqueeze(1)): (
            "True stands for 'ignore' here, as in nn.MultiheadAttention. In this book True means 'may attend'."
        ),
        lambda tokens: _parts(tokens)[0].expand(len(tokens), -1, -1): (
            "The future is hidden, the padding is not: keys whose token is 0 must be False in every row."
        ),
    },
)


# ---- layer normalisation --------------------------------------------------------------------------------------------


def layer_norm(x, gain, shift, eps):
    """x (T, d), gain and shift (d,), eps a small number → (T, d)"""
    # the solution begins
    centred = x - x.mean(dim=-1, keepdim=True)  # (T, d)
    variance = centred.square().mean(dim=-1, keepdim=True)  # (T, 1)
    return gain * centred / (variance + eps).sqrt() + shift
    # the solution ends


def _norm(x, gain, shift, mean, variance, eps):
    return gain * (x - mean) / (variance + eps).sqrt() + shift


LAYER_NORM = Exercise(
    title="layer normalisation",
    difficulty=2,
    minutes=10,
    task=(
        "Give each token's vector mean 0 and variance 1, then a gain and a shift for each number: "
        "$\\mathbf{g} \\odot (\\mathbf{x} - \\mu) / \\sqrt{\\sigma^2 + \\epsilon} + \\mathbf{s}$, "
        "with $\\sigma^2$ the mean of the squared deviations. No `F.layer_norm`."
    ),
    hint="Mean and variance are each token's own: dim=-1, and keepdim=True so that they broadcast.",
    solution=layer_norm,
    cases=[
        (3 * _random(4, 6) + 1, _random(6, seed=1), _random(6, seed=2), 1e-5),
        (0.01 * _random(2, 5, seed=3), _random(5, seed=4), _random(5, seed=5), 1e-3),
    ],
    mistakes={
        lambda x, g, s, eps: _norm(x, g, s, x.mean(0), x.var(0, correction=0), eps): (
            "Mean and variance are taken over the tokens: that is batch normalisation's way. Take them over the d "
            "numbers of each token, dim=-1."
        ),
        lambda x, g, s, eps: _norm(
            x, g, s, x.mean(-1, keepdim=True), x.var(-1, keepdim=True), eps
        ): (
            "The variance is divided by d − 1, as torch.var does unless told otherwise. Layer normalisation divides "
            "by d: correction=0."
        ),
        lambda x, g, s, eps: (
            g
            * (x - x.mean(-1, keepdim=True))
            / (x.std(-1, correction=0, keepdim=True) + eps)
            + s
        ): "ε is added to the standard deviation. It belongs under the root, beside the variance.",
        lambda x, g, s, eps: F.layer_norm(x, x.shape[-1:], eps=eps): (
            "Gain and shift are missing: without them every token would have mean 0 and variance 1 for good."
        ),
        lambda x, g, s, eps: _norm(
            x, g, s, 0, x.square().mean(-1, keepdim=True), eps
        ): (
            "The mean is not subtracted. (That is RMSNorm, which many later models use, but not this one.)"
        ),
    },
)


# ---- positions ------------------------------------------------------------------------------------------------------


def shift_position(p, k, base):
    """p (d,), the sinusoidal vector of an unknown position t: sin, cos, sin, cos …; → the vector of position t + k"""
    # the solution begins
    frequency = base ** (-torch.arange(0, len(p), 2, dtype=p.dtype) / len(p))  # (d/2,)
    angle = k * frequency
    sine, cosine = p[0::2], p[1::2]
    turned = (
        sine * angle.cos() + cosine * angle.sin(),
        cosine * angle.cos() - sine * angle.sin(),
    )
    return torch.stack(turned, dim=-1).flatten()  # (d,)
    # the solution ends


def _position(t, d, base):
    angle = t * base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten()


def _turn(p, angle):
    s, c = p[0::2], p[1::2]
    turned = s * angle.cos() + c * angle.sin(), c * angle.cos() - s * angle.sin()
    return torch.stack(turned, dim=-1).flatten()


def _angles(p, k, base, power=1.0):
    return k * base ** (-power * torch.arange(0, len(p), 2, dtype=p.dtype) / len(p))


SHIFT_POSITION = Exercise(
    title="walk without knowing where you are",
    difficulty=3,
    minutes=15,
    task=(
        "You get the sinusoidal vector of some position $t$, and nobody tells you $t$. Give the vector of position "
        "$t + k$. The frequencies are $\\omega_i = \\text{base}^{-2i/d}$."
    ),
    hint=(
        "sin(a + b) = sin a cos b + cos a sin b, and cos(a + b) = cos a cos b − sin a sin b. Each pair (sin, cos) of p "
        "has an angle of its own to turn by: b = ω_i k."
    ),
    solution=shift_position,
    cases=[
        (_position(5, 8, 10000.0), 3, 10000.0),
        (_position(40, 6, 100.0), -7, 100.0),
        (_position(0, 4, 10000.0), 11, 10000.0),
    ],
    mistakes={
        lambda p, k, base: _turn(p, -_angles(p, k, base)): (
            "Turned the wrong way: this is position t − k. Check the signs of the sines."
        ),
        lambda p, k, base: p + _position(k, len(p), base): (
            "The vector of k is added. Positions do not add up like that: sin(a + b) is not sin a + sin b."
        ),
        lambda p, k, base: _turn(p, _angles(p, k, base, 0.0)): (
            "Every pair is turned by the same angle k. Pair i turns by ω_i k, more slowly from pair to pair."
        ),
        lambda p, k, base: _turn(p, _angles(p, k, base, 0.5)): (
            "The frequencies fall too slowly: ω_i = base^(−2i/d), and there are d/2 pairs, so the exponent goes from "
            "0 nearly to −1."
        ),
    },
)

EXERCISES = [SPLIT_HEADS, DECODER_MASK, LAYER_NORM, SHIFT_POSITION]
