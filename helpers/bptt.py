"""Backpropagation through time by hand, and the product of Jacobians behind vanishing and exploding gradients.

Shapes throughout: T steps, d_x numbers a step in the input, d_h units, d_y classes. One sequence at a time, no
batches, so that each line here is a line of the derivation. Network and symbols are those of `helpers.rnn`.
"""

from typing import NamedTuple

import torch
from torch.nn import functional as F

from helpers.validation import require_choice, require_finite, require_shape

# ---------------------------------------------------------------------------------------------------------------------
# Forward and backward, by hand
# ---------------------------------------------------------------------------------------------------------------------


class Parameters(NamedTuple):
    """What the network learns; a gradient has the same parts.

    W (d_h, d_h), U (d_h, d_x), V (d_y, d_h), b (d_h,), c (d_y,), h_0 (d_h,)
    """

    W: torch.Tensor
    U: torch.Tensor
    V: torch.Tensor
    b: torch.Tensor
    c: torch.Tensor
    h_0: torch.Tensor


def forward(x: torch.Tensor, y: torch.Tensor, p: Parameters):
    """x (T, d_x), y (T,) class numbers
    → loss, states h_0 … h_T (T + 1, d_h), probabilities (T, d_y).

    a_t = b + W h_{t−1} + U x_t,  h_t = tanh(a_t),  o_t = c + V h_t,
    loss = −Σ_t log softmax(o_t)[y_t], summed over time.
    Raises ValueError for shapes that do not fit, NaN or infinite x, and a y that is no
    class.
    """
    _check(x, y, p)
    states = [p.h_0]
    for x_t in x:
        states.append(torch.tanh(p.b + p.W @ states[-1] + p.U @ x_t))
    states = torch.stack(states)  # (T + 1, d_h)
    log_probabilities = torch.log_softmax(p.c + states[1:] @ p.V.T, dim=-1)
    loss = -log_probabilities[torch.arange(len(y)), y].sum()
    return loss, states, log_probabilities.exp()


def backward(x, y, p: Parameters, states, probabilities) -> Parameters:
    """Backpropagation through time: the gradient of the summed loss.

    states and probabilities as `forward` returned them. Time and memory grow like T.
    Source: Werbos 1990.
    """
    errors = probabilities - F.one_hot(y, len(p.c))  # (T, d_y): ∂L/∂o_t
    dW, dU, db = (torch.zeros_like(part) for part in (p.W, p.U, p.b))
    delta = torch.zeros_like(p.h_0)
    for t in reversed(range(len(x))):
        delta = delta + p.V.T @ errors[t]  # ∂L/∂h_t: its own loss and all later ones
        epsilon = (1 - states[t + 1] ** 2) * delta  # ∂L/∂a_t: through the tanh
        dW += torch.outer(epsilon, states[t])
        dU += torch.outer(epsilon, x[t])
        db += epsilon
        delta = p.W.T @ epsilon  # one step back in time
    return Parameters(dW, dU, errors.T @ states[1:], db, errors.sum(dim=0), delta)


def limited_backward(
    x, y, p: Parameters, states, probabilities, limit: int
) -> Parameters:
    """The same, but each loss L_t goes back through `limit` steps only: t, t − 1, …, t − limit + 1.

    limit = 1 stays inside step t; from limit = T on this is `backward`. Row j of `deltas` is ∂L_{t+j}/∂h_t, and the
    oldest row is dropped. Time grows like T · limit.
    Source: the lecture's "error-bounded BPTT"; truncated BPTT in Williams and Peng 1990.
    """
    if limit < 1:
        raise ValueError(f"limit: got {limit}, expected at least 1 step")
    errors = probabilities - F.one_hot(y, len(p.c))  # (T, d_y)
    dW, dU, db = (torch.zeros_like(part) for part in (p.W, p.U, p.b))
    deltas = p.h_0.new_zeros(0, len(p.h_0))
    for t in reversed(range(len(x))):
        deltas = torch.cat([(errors[t] @ p.V).unsqueeze(0), deltas])[:limit]
        epsilons = (1 - states[t + 1] ** 2) * deltas  # (≤ limit, d_h)
        epsilon = epsilons.sum(dim=0)
        dW += torch.outer(epsilon, states[t])
        dU += torch.outer(epsilon, x[t])
        db += epsilon
        deltas = epsilons @ p.W
    dh_0 = deltas.sum(dim=0)
    return Parameters(dW, dU, errors.T @ states[1:], db, errors.sum(dim=0), dh_0)


def gradients_by_lag(p: Parameters, states, errors, lags: int) -> torch.Tensor:
    """∂L_t/∂h_{t−k} for k = 0 … lags and every t from lags + 1 on → (lags + 1, T − lags, d_h).

    states h_0 … h_T (T + 1, d_h) from `forward`, errors ∂L_t/∂o_t (T, d_y): the probabilities minus the one-hot y.
    Raises ValueError unless 0 ≤ lags < T.
    """
    require_shape("states", states, (len(errors) + 1, len(p.b)))
    if not 0 <= lags < len(errors):
        raise ValueError(
            f"lags: got {lags}, expected 0 to {len(errors) - 1}, as the sequence has {len(errors)} steps"
        )
    last = torch.arange(lags + 1, len(errors) + 1)  # these t
    deltas = [errors[last - 1] @ p.V]
    for k in range(lags):
        deltas.append(((1 - states[last - k] ** 2) * deltas[-1]) @ p.W)
    return torch.stack(deltas)


def _check(x: torch.Tensor, y: torch.Tensor, p: Parameters) -> None:
    d_h, d_y = len(p.b), len(p.c)
    require_shape("x", x, ("T", "d_x"))
    require_shape("y", y, (len(x),))
    require_finite("x", x)
    shapes = {"W": (d_h, d_h), "U": (d_h, x.shape[1]), "V": (d_y, d_h), "h_0": (d_h,)}
    for name, shape in shapes.items():
        require_shape(name, getattr(p, name), shape)
    if y.dtype.is_floating_point or y.min() < 0 or y.max() >= d_y:
        raise ValueError(
            f"y: got {y.tolist()}, expected whole numbers from 0 to {d_y - 1}"
        )


# ---------------------------------------------------------------------------------------------------------------------
# The product of Jacobians
# ---------------------------------------------------------------------------------------------------------------------


def jacobians(W: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """∂h_t/∂h_{t−1} = diag(1 − h_t²) W for each of the states h_1 … h_T (T, d_h) → (T, d_h, d_h)."""
    require_shape("states", states, ("T", "d_h"))
    require_shape("W", W, (states.shape[1], states.shape[1]))
    return (1 - states**2).unsqueeze(2) * W


def log_gains(factors: torch.Tensor, norm: str = "typical") -> torch.Tensor:
    """How much a gradient grows on its way back: ln ‖J_T J_{T−1} ⋯ J_{T−k+1}‖ for k = 1 … T, (T,).

    factors: J_1 … J_T (T, d_h, d_h). norm: "typical", the root mean square over gradients of all directions, which is
    the Frobenius norm / √d_h; or "worst", the spectral norm. The product is rescaled at every step, so that it neither
    overflows nor underflows; −inf where it is exactly 0. Raises ValueError for another norm or other shapes.
    """
    require_choice("norm", norm, ("typical", "worst"))
    require_shape("factors", factors, ("T", "d_h", factors.shape[-2]))
    size = factors.shape[-1]
    product = torch.eye(size, dtype=factors.dtype)
    scale, gains = torch.zeros((), dtype=factors.dtype), []
    for factor in factors.flip(0):
        product = product @ factor
        length = torch.linalg.matrix_norm(product) / size**0.5
        measured = length
        if norm == "worst":
            measured = torch.linalg.matrix_norm(product, ord=2)
        gains.append(scale + measured.log())
        if length > 0:
            product = product / length
            scale = scale + length.log()
    return torch.stack(gains)


def predicted_log_gains(W: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """What the mean-field argument expects for `log_gains` of the typical gradient, (T,).

    One step back multiplies its squared length by σ² · mean(1 − h_t²)², where σ² = ‖W‖²_F / d_h, if the gradient's
    direction has nothing to do with W and h. Source: Poole et al. 2016; Schoenholz et al. 2017.
    """
    slopes = (1 - states**2).flip(0)  # (T, d_h), the last step first
    step = W.square().sum() / len(W) * slopes.square().mean(dim=1)
    return step.log().cumsum(dim=0) / 2


def spectral_radius(W: torch.Tensor) -> torch.Tensor:
    """The greatest absolute value of an eigenvalue of W (d_h, d_h)."""
    require_shape("W", W, ("d_h", len(W)))
    return torch.linalg.eigvals(W).abs().max()


INITIALISATIONS = ("uniform", "xavier", "orthogonal", "gaussian")


def initial_matrix(
    name: str, size: int, generator: torch.Generator, gain: float = 1.0
) -> torch.Tensor:
    """A random first W (size, size), times `gain`.

    uniform: ±1/√size, as torch.nn does it; spectral radius about 0.58
    xavier: ±√(3/size) (Glorot and Bengio 2010); about 1
    gaussian: variance 1/size; about 1
    orthogonal: every singular value is 1 (Saxe et al. 2014); exactly 1
    Raises ValueError for another name or a size < 1.
    """
    require_choice("name", name, INITIALISATIONS)
    if size < 1:
        raise ValueError(f"size: got {size}, expected at least 1")
    if name in ("uniform", "xavier"):
        bound = (1 if name == "uniform" else 3) ** 0.5 / size**0.5
        return gain * bound * (2 * torch.rand(size, size, generator=generator) - 1)
    drawn = torch.randn(size, size, generator=generator)
    if name == "gaussian":
        return gain * drawn / size**0.5
    q, r = torch.linalg.qr(drawn)
    return gain * q * r.diagonal().sign()  # the signs make all rotations equally likely
