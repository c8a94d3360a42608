"""The exercises of chapter 01."""

import torch

from helpers.exercises import Exercise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(
        shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


# ---- partial derivatives --------------------------------------------------------------------------------------------


def partials(x, y):
    """x, y: scalar tensors → (2,): ∂f/∂x and ∂f/∂y of f(x, y) = x³y − 2xy² + 4y"""
    # the solution begins
    by_x = 3 * x**2 * y - 2 * y**2  # y is a constant here, and so is 4y
    by_y = x**3 - 4 * x * y + 4  # x is a constant here
    return torch.stack([by_x, by_y])
    # the solution ends


PARTIALS = Exercise(
    title="two partial derivatives",
    difficulty=1,
    minutes=5,
    task="Derive $f(x, y) = x^3 y - 2xy^2 + 4y$ by hand, once by $x$ and once by $y$, and write both down.",
    hint="For ∂f/∂x call y a constant: what is the derivative of 5x³, of 2x·25, of 20? Then turn the roles round.",
    solution=partials,
    cases=[
        (_random(), _random(seed=1)),
        (torch.tensor(2.0).double(), torch.tensor(-1.0).double()),
    ],
    mistakes={
        lambda x, y: torch.stack([x**3 - 4 * x * y + 4, 3 * x**2 * y - 2 * y**2]): (
            "The two are right but in the other order: ∂f/∂x comes first."
        ),
        lambda x, y: torch.stack([3 * x**2 * y - 2 * y**2, x**3 - 4 * x * y]): (
            "In ∂f/∂y the term 4y is missing: by y its derivative is 4."
        ),
        lambda x, y: torch.stack([3 * x**2 * y - 2 * y**2 + 4, x**3 - 4 * x * y + 4]): (
            "In ∂f/∂x there is a 4 too many: 4y does not depend on x, so its derivative by x is 0."
        ),
        lambda x, y: torch.stack([3 * x**2 * y - 2 * y**2, x**3 + 4 * x * y + 4]): (
            "In ∂f/∂y the sign of 4xy is lost: −2xy² becomes −4xy. It is the slip of the lecture's slide."
        ),
        lambda x, y: torch.stack([3 * x**2 - 2 * y**2, x**3 - 4 * x * y + 4]): (
            "In ∂f/∂x the factor y of x³y is lost. A constant factor stays: 3x²y."
        ),
    },
)


# ---- slope by differences -------------------------------------------------------------------------------------------


def slope(f, x, h):
    """f: a function of one number, x: a scalar tensor, h > 0 → the slope of f at x by a central difference"""
    # the solution begins
    return (f(x + h) - f(x - h)) / (2 * h)
    # the solution ends


SLOPE = Exercise(
    title="a derivative without calculus",
    difficulty=1,
    minutes=5,
    task=(
        "Estimate the slope of $f$ at $x$ from two values of $f$, one to the right and one to the left, both at the "
        "distance $h$ from $x$."
    ),
    hint="Slope is rise over run. How far apart are the two places?",
    solution=slope,
    cases=[(torch.exp, _random(seed=3), 0.1), (torch.sin, _random(seed=4), 0.2)],
    mistakes={
        lambda f, x, h: (f(x + h) - f(x)) / h: (
            "This looks to the right only. It works, but its error is of order h; with one value on each side it is h²."
        ),
        lambda f, x, h: (f(x + h) - f(x - h)) / h: (
            "Twice too large: from x − h to x + h it is 2h, not h."
        ),
        lambda f, x, h: f(x + h) - f(x - h): (
            "That is the rise. Divide it by the run, 2h."
        ),
        lambda f, x, h: (f(x - h) - f(x + h)) / (2 * h): (
            "The sign is turned round: right value minus left value."
        ),
    },
)


# ---- momentum -------------------------------------------------------------------------------------------------------


def momentum_step(p, u, g, learning_rate, momentum):
    """p, u, g (n,): point, velocity, gradient → (2, n): the new point and the new velocity"""
    # the solution begins
    velocity = momentum * u + g  # (n,): what is left of the old one, and the new push
    return torch.stack([p - learning_rate * velocity, velocity])
    # the solution ends


MOMENTUM_STEP = Exercise(
    title="one step with momentum",
    difficulty=2,
    minutes=10,
    task=(
        "Write one step: first $\\mathbf{u} \\leftarrow \\mu\\mathbf{u} + \\nabla f$, then "
        "$\\boldsymbol\\theta \\leftarrow \\boldsymbol\\theta - \\eta\\mathbf{u}$; in the code `p` is the point "
        "$\\boldsymbol\\theta$ and `g` the gradient there. Return both, the point first, with `torch.stack`."
    ),
    hint="The point moves with the *new* velocity.",
    solution=momentum_step,
    cases=[
        (_random(3), _random(3, seed=1), _random(3, seed=2), 0.1, 0.9),
        (_random(2), _random(2, seed=5), _random(2, seed=6), 0.5, 0.5),
    ],
    mistakes={
        lambda p, u, g, rate, mu: torch.stack([p - rate * u, mu * u + g]): (
            "The point moves with the old velocity: update u first, then use it."
        ),
        lambda p, u, g, rate, mu: torch.stack(
            [p + rate * (mu * u + g), mu * u + g]
        ): "This goes uphill: subtract the step.",
        lambda p, u, g, rate, mu: torch.stack([p - rate * g, mu * u + g]): (
            "The point moves with the gradient alone, so the velocity is computed and never used."
        ),
        lambda p, u, g, rate, mu: torch.stack(
            [p - rate * (mu * u + (1 - mu) * g), mu * u + (1 - mu) * g]
        ): (
            "This is a running mean, as in Adam: (1 − μ) g. Momentum adds the whole gradient."
        ),
    },
)


# ---- softmax and cross-entropy --------------------------------------------------------------------------------------


def logits_gradient(logits, y):
    """logits (B, classes), y (B,) true classes → (B, classes): gradient of the mean cross-entropy by the logits"""
    # the solution begins
    truth = torch.nn.functional.one_hot(y, logits.shape[1])  # (B, classes)
    return (torch.softmax(logits, dim=1) - truth) / len(y)
    # the solution ends


LOGITS_GRADIENT = Exercise(
    title="where backpropagation begins",
    difficulty=3,
    minutes=15,
    task=(
        "For one example the cross-entropy is $-\\log \\hat y_{\\text{true}}$ with "
        "$\\hat{\\mathbf{y}} = \\operatorname{softmax}(\\mathbf{o})$. Derive it by the logits $\\mathbf{o}$, "
        "and write the gradient of the *mean* over a batch, without autograd."
    ),
    hint=(
        "−log ŷ = log Σ exp(o) − o, both of the true class. Derive the two terms one after the other: "
        "the first gives the softmax itself."
    ),
    solution=logits_gradient,
    cases=[
        (_random(4, 3), torch.tensor([0, 2, 1, 1])),
        (3 * _random(2, 5, seed=1), torch.tensor([4, 0])),
    ],
    mistakes={
        lambda o, y: (
            torch.softmax(o, dim=1) - torch.nn.functional.one_hot(y, o.shape[1])
        ): (
            "This is the gradient of the sum over the batch. For the mean divide by B."
        ),
        lambda o, y: (
            (torch.nn.functional.one_hot(y, o.shape[1]) - torch.softmax(o, dim=1))
            / len(y)
        ): (
            "The sign is turned. The true class's logit should grow, and descent subtracts: there the gradient "
            "is negative."
        ),
        lambda o, y: torch.softmax(o, dim=1) / len(y): (
            "This is the first term alone, log Σ exp(o). Subtract 1 at the true class for −o_y."
        ),
        lambda o, y: (
            (torch.softmax(o, dim=0) - torch.nn.functional.one_hot(y, o.shape[1]))
            / len(y)
        ): (
            "The softmax runs over the batch. Each example has its own: dim=1, over the classes."
        ),
    },
)


EXERCISES = [PARTIALS, SLOPE, MOMENTUM_STEP, LOGITS_GRADIENT]
