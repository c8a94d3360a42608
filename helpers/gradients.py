"""Gradients: surfaces to descend, optimizers, a perceptron with its backward pass by hand, and its loss landscape.

Nothing here uses autograd, torch.nn or torch.optim: those are what the chapter compares with.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from tqdm import tqdm

from helpers.validation import require_choice, require_finite, require_shape

# ---------------------------------------------------------------------------------------------------------------------
# Functions of two variables, with their gradients by hand
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Surface:
    """A function f(x, y), for numbers or tensors, and its gradient (∂f/∂x, ∂f/∂y)."""

    formula: str
    value: Callable
    gradient: Callable


def _beale_terms(x, y):
    return 1.5 - x + x * y, 2.25 - x + x * y**2, 2.625 - x + x * y**3


def _beale_gradient(x, y):
    a, b, c = _beale_terms(x, y)
    return (
        2 * (a * (y - 1) + b * (y**2 - 1) + c * (y**3 - 1)),
        2 * x * (a + 2 * b * y + 3 * c * y**2),
    )


SURFACES = {
    "lecture": Surface(
        "x² + x − xy³ + y²",
        lambda x, y: x**2 + x - x * y**3 + y**2,
        lambda x, y: (2 * x + 1 - y**3, -3 * x * y**2 + 2 * y),
    ),
    "valley": Surface(
        "(x² + 25y²) / 2",
        lambda x, y: (x**2 + 25 * y**2) / 2,
        lambda x, y: (x, 25 * y),
    ),
    "rosenbrock": Surface(
        "(1 − x)² + 100(y − x²)²",
        lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
        lambda x, y: (
            -2 * (1 - x) - 400 * x * (y - x**2),
            200 * (y - x**2),
        ),
    ),
    "saddle": Surface(
        "x² − y² + y⁴/4",
        lambda x, y: x**2 - y**2 + y**4 / 4,
        lambda x, y: (2 * x, -2 * y + y**3),
    ),
    "beale": Surface(
        "(1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²",
        lambda x, y: sum(term**2 for term in _beale_terms(x, y)),
        _beale_gradient,
    ),
}


def numerical_gradient(
    f: Callable[[torch.Tensor], torch.Tensor], point: torch.Tensor, step: float = 1e-5
) -> torch.Tensor:
    """Central differences: (f(p + h eᵢ) − f(p − h eᵢ)) / 2h for each coordinate i.

    f: (n,) → scalar, point (n,) → (n,). The error is of order h², plus rounding of order 1e-16 / h.
    Raises ValueError for a step that is not positive, and for another shape.
    """
    require_shape("point", point, ("n",))
    if not step > 0:
        raise ValueError(f"step: got {step}, expected a positive number")
    around = step * torch.eye(len(point), dtype=point.dtype)  # (n, n): h eᵢ in row i
    return torch.stack([(f(point + h) - f(point - h)) / (2 * step) for h in around])


# ---------------------------------------------------------------------------------------------------------------------
# Optimizers. Each says in which direction to go; the step is the same for all.
# ---------------------------------------------------------------------------------------------------------------------


class Optimizer:
    """p ← p − η · direction, for each parameter tensor p with gradient p.grad.

    learning_rate: η. Raises ValueError if it is not positive, if there are no parameters, and at a step without
    gradients.
    """

    def __init__(self, parameters: Iterable[torch.Tensor], learning_rate: float):
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError("parameters: got none, expected at least one tensor")
        if not learning_rate > 0:
            raise ValueError(
                f"learning_rate: got {learning_rate}, expected a positive number"
            )
        self.learning_rate = learning_rate
        self.steps = 0
        self.memory = [{} for _ in self.parameters]  # what each keeps between steps

    def direction(self, p: torch.Tensor, memory: dict) -> torch.Tensor:
        raise NotImplementedError

    @torch.no_grad()
    def step(self) -> None:
        self.steps += 1
        for i, (p, memory) in enumerate(zip(self.parameters, self.memory, strict=True)):
            if p.grad is None:
                raise ValueError(f"parameters[{i}]: got no gradient, expected p.grad")
            p -= self.learning_rate * self.direction(p, memory)


class SGD(Optimizer):
    """Straight down: the gradient itself. Source: Robbins and Monro 1951."""

    def direction(self, p, memory):
        return p.grad


class Momentum(Optimizer):
    """A ball that keeps rolling: u ← μ u + g. Source: Polyak 1964, in the form of torch.optim.SGD."""

    def __init__(self, parameters, learning_rate: float, momentum: float = 0.9):
        super().__init__(parameters, learning_rate)
        self.momentum = _fraction("momentum", momentum)

    def direction(self, p, memory):
        memory["u"] = self.momentum * memory.get("u", 0) + p.grad
        return memory["u"]


class Adam(Optimizer):
    """The mean of the last gradients, divided by their typical size: m̂ / (√r̂ + ε).

    m ← β₁ m + (1 − β₁) g and r ← β₂ r + (1 − β₂) g², both begun at 0 and corrected for that:
    m̂ = m / (1 − β₁ᵗ), r̂ = r / (1 − β₂ᵗ). Source: Kingma and Ba 2015, algorithm 1.
    """

    def __init__(
        self, parameters, learning_rate: float, beta1: float = 0.9, beta2: float = 0.999
    ):
        super().__init__(parameters, learning_rate)
        self.beta1 = _fraction("beta1", beta1)
        self.beta2 = _fraction("beta2", beta2)

    def direction(self, p, memory):
        b1, b2, g = self.beta1, self.beta2, p.grad
        memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
        memory["r"] = b2 * memory.get("r", 0) + (1 - b2) * g**2
        mean = memory["m"] / (1 - b1**self.steps)
        size = (memory["r"] / (1 - b2**self.steps)).sqrt()
        return mean / (size + 1e-8)


class AdamW(Adam):
    """Adam, and each step also shrinks the weights by η λ. Source: Loshchilov and Hutter 2019, algorithm 2."""

    def __init__(
        self, parameters, learning_rate: float, weight_decay: float = 0.01, **betas
    ):
        super().__init__(parameters, learning_rate, **betas)
        if not weight_decay >= 0:
            raise ValueError(f"weight_decay: got {weight_decay}, expected at least 0")
        self.weight_decay = weight_decay

    def direction(self, p, memory):
        return super().direction(p, memory) + self.weight_decay * p


OPTIMIZERS = {"SGD": SGD, "momentum": Momentum, "Adam": Adam, "AdamW": AdamW}


def _fraction(name: str, value: float) -> float:
    if not 0 <= value < 1:
        raise ValueError(f"{name}: got {value}, expected at least 0 and less than 1")
    return value


def descend(
    surface: str, start: Sequence[float], optimizer: str, steps: int, **options
) -> torch.Tensor:
    """The path of an optimizer on one of SURFACES: (steps + 1, 2), the start first.

    options: what the optimizer takes, learning_rate among them. Raises ValueError for an unknown name.
    """
    require_choice("surface", surface, SURFACES)
    require_choice("optimizer", optimizer, OPTIMIZERS)
    point = torch.tensor(start, dtype=torch.float64)
    require_shape("start", point, (2,))
    chosen = OPTIMIZERS[optimizer]([point], **options)
    path = [point.clone()]
    for _ in range(steps):
        gradient = SURFACES[surface].gradient(*point)
        point.grad = torch.stack(gradient)
        chosen.step()
        path.append(point.clone())
    return torch.stack(path)


# ---------------------------------------------------------------------------------------------------------------------
# A multi-layer perceptron, forward and backward by hand
# ---------------------------------------------------------------------------------------------------------------------


class MLP:
    """Layers h ← tanh(W h + b), the last one without tanh: its numbers are the logits of the classes.

    sizes: the width of each layer, from the input to the classes. First weights are normal with variance
    1 / (inputs of the unit), biases 0. Source: Rumelhart, Hinton and Williams 1986; first weights: LeCun et al. 1998.
    """

    def __init__(self, sizes: Sequence[int], seed: int = 0):
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(
                f"sizes: got {list(sizes)}, expected at least 2 positive widths"
            )
        self.sizes = tuple(sizes)
        generator = torch.Generator().manual_seed(seed)
        self.weights, self.biases = [], []
        for n, m in pairwise(sizes):
            self.weights.append(torch.randn(m, n, generator=generator) / math.sqrt(n))
            self.biases.append(torch.zeros(m))

    @property
    def parameters(self) -> list[torch.Tensor]:
        """All tensors that are learned: the weights (m, n), then the biases (m,)."""
        return self.weights + self.biases

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, n) → logits (B, classes). Keeps what the backward pass needs."""
        require_shape("x", x, ("B", self.sizes[0]))
        self.inputs = [x]  # of each layer
        for W, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            self.inputs.append(torch.tanh(self.inputs[-1] @ W.T + b))
        self.logits = self.inputs[-1] @ self.weights[-1].T + self.biases[-1]
        return self.logits

    def backward(self, y: torch.Tensor) -> None:
        """Put the gradient of the mean cross-entropy of the last forward pass into each parameter's .grad.

        y (B,): the true classes.
        """
        error = torch.softmax(self.logits, dim=-1)  # (B, classes)
        error[torch.arange(len(y)), y] -= 1  # ∂loss/∂logits, of each example
        error = error / len(y)
        for i in reversed(range(len(self.weights))):
            h = self.inputs[i]  # (B, n)
            self.weights[i].grad = error.T @ h  # (m, n)
            self.biases[i].grad = error.sum(dim=0)  # (m,)
            error = (error @ self.weights[i]) * (1 - h**2)  # tanh′ = 1 − tanh²

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> float:
        """The mean cross-entropy: −log of the probability that the true class gets."""
        logits = self.forward(x)
        true = logits[torch.arange(len(y)), y]
        return float((logits.logsumexp(dim=-1) - true).mean())

    def accuracy(self, x: torch.Tensor, y: torch.Tensor) -> float:
        """The share of examples whose greatest logit is the true class's."""
        return float((self.forward(x).argmax(dim=-1) == y).double().mean())


def train(
    model: MLP,
    optimizer: Optimizer,
    x: torch.Tensor,
    y: torch.Tensor,
    epochs: int,
    batch_size: int = 32,
    seed: int = 0,
    description: str = "training",
) -> tuple[list[float], torch.Tensor]:
    """Train on mini-batches, each epoch in a new random order (drawn with `seed`).

    Returns the loss on all of x, y before the first epoch and after each, and the parameters at these moments,
    (epochs + 1, number of parameters). Interrupting the cell stops the training: the model stays as trained so far, and
    the epochs that were finished are returned. Raises ValueError if the loss is not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    losses = [model.loss(x, y)]
    path = [parameters_to_vector(model.parameters)]
    try:
        for _ in tqdm(range(epochs), desc=description, leave=False):
            for rows in torch.randperm(len(x), generator=generator).split(batch_size):
                model.forward(x[rows])
                model.backward(y[rows])
                optimizer.step()
            losses.append(model.loss(x, y))
            path.append(parameters_to_vector(model.parameters))
            if not math.isfinite(losses[-1]):
                raise ValueError(
                    f"loss: got {losses[-1]} after {len(losses) - 1} epochs, expected a finite number; "
                    "lower learning_rate"
                )
    except KeyboardInterrupt:
        done = len(losses) - 1
        print(
            f"{description}: stopped after {done} of {epochs} epochs; the model is as trained so far"
        )
    return losses[: len(path)], torch.stack(path)


# ---------------------------------------------------------------------------------------------------------------------
# The loss landscape: the loss on a plane through the space of all parameters
# ---------------------------------------------------------------------------------------------------------------------


def filter_normalised_direction(model: MLP, seed: int) -> torch.Tensor:
    """A random direction in which each unit's weights change in proportion to their own length.

    For each row of each weight matrix a normal random row, scaled to the same norm; 0 for the biases.
    Returns (number of parameters,). Source: Li et al. 2018, section 4.
    """
    generator = torch.Generator().manual_seed(seed)
    direction = []
    for W in model.weights:
        d = torch.randn(W.shape, generator=generator)
        norms = [rows.norm(dim=1, keepdim=True) for rows in (W, d)]  # (m, 1) each
        direction.append(d * norms[0] / norms[1])
    return parameters_to_vector(direction + [torch.zeros_like(b) for b in model.biases])


def principal_directions(path: torch.Tensor) -> tuple[torch.Tensor, float]:
    """The two directions in which a path moves most, and the share of its movement that they hold.

    path (moments, P), differences from the last moment → directions (2, P), orthonormal, and the share, 0 to 1.
    Source: Li et al. 2018, section 7.
    """
    require_shape("path", path, ("moments", "P"))
    require_finite("path", path)
    _, sizes, directions = torch.linalg.svd(path - path[-1], full_matrices=False)
    return directions[:2], float((sizes[:2] ** 2).sum() / (sizes**2).sum())


def loss_on_plane(
    model: MLP,
    x: torch.Tensor,
    y: torch.Tensor,
    directions: torch.Tensor,
    along: Sequence[float],
    across: Sequence[float],
) -> torch.Tensor:
    """The loss at θ + a d₁ + b d₂ for a in `along`, b in `across`: (len(across), len(along)).

    θ: the model's parameters, which are the same again afterwards. directions (2, number of parameters).
    """
    centre = parameters_to_vector(model.parameters)
    require_shape("directions", directions, (2, len(centre)))
    rows = []
    for b in across:
        row = []
        for a in along:
            moved = centre + a * directions[0] + b * directions[1]
            vector_to_parameters(moved, model.parameters)
            row.append(model.loss(x, y))
        rows.append(row)
    vector_to_parameters(centre, model.parameters)
    return torch.tensor(rows)
