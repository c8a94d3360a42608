"""The exercises of chapter 03."""

import torch

from helpers.exercises import Exercise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


# ---- one step back --------------------------------------------------------------------------------------------------


def step_back(delta, h, W):
    """delta (d_h,) = ∂L/∂h_t, h (d_h,) = h_t, W (d_h, d_h) → ∂L/∂h_{t−1} (d_h,)"""
    # the solution begins
    epsilon = (1 - h**2) * delta  # ∂L/∂a_t: through the tanh
    return W.T @ epsilon  # through a_t = b + W h_{t−1} + U x_t
    # the solution ends


STEP_BACK = Exercise(
    title="one step back",
    difficulty=1,
    minutes=5,
    task=(
        "Carry $\\boldsymbol\\delta_t = \\partial L / \\partial \\mathbf{h}_t$ to the step before, "
        "through $\\mathbf{h}_t = \\tanh(\\mathbf{a}_t)$ and "
        "$\\mathbf{a}_t = \\mathbf{b} + W \\mathbf{h}_{t-1} + U \\mathbf{x}_t$."
    ),
    hint="First the tanh, whose derivative is known from $h_t$ alone. Then $W$, which sends errors back transposed.",
    solution=step_back,
    cases=[
        (_random(4), torch.tanh(_random(4, seed=1)), _random(4, 4, seed=2)),
        (_random(3, seed=3), torch.tanh(_random(3, seed=4)), _random(3, 3, seed=5)),
    ],
    mistakes={
        lambda delta, h, W: W @ ((1 - h**2) * delta): (
            "W is not transposed. Forward, unit j feeds unit i through W[i, j]; back, the error of i "
            "returns to j through the same number, so it is Wᵀ that multiplies."
        ),
        lambda delta, h, W: (1 - h**2) * (W.T @ delta): (
            "The order is turned round: the tanh came last on the way forward, so it comes first on the way back. "
            "Matrices do not commute."
        ),
        lambda delta, h, W: W.T @ delta: (
            "The tanh is missing: multiply delta by its derivative, 1 − h², before W."
        ),
        lambda delta, h, W: W.T @ ((1 - torch.tanh(h) ** 2) * delta): (
            "h is already the tanh of a, so its derivative is 1 − h². You took the tanh twice."
        ),
    },
)


# ---- the gradient of W ----------------------------------------------------------------------------------------------


def weight_gradient(epsilons, states):
    """epsilons ε_1 … ε_T (T, d_h), states h_0 … h_T (T + 1, d_h) → ∂L/∂W (d_h, d_h)"""
    # the solution begins
    return epsilons.T @ states[:-1]  # the sum over t of the outer products
    # the solution ends


WEIGHT_GRADIENT = Exercise(
    title="the gradient of the shared matrix",
    difficulty=2,
    minutes=10,
    task=(
        "The same $W$ is used at every step, so its gradient is a sum: $\\partial L / \\partial W = "
        "\\sum_{t=1}^{T} \\boldsymbol\\epsilon_t \\mathbf{h}_{t-1}^\\top$ with "
        "$\\boldsymbol\\epsilon_t = \\partial L / \\partial \\mathbf{a}_t$. Write it without a loop."
    ),
    hint="A sum of outer products is a product of two matrices. Which of the T + 1 states does step t multiply W with?",
    solution=weight_gradient,
    cases=[
        (_random(5, 3), _random(6, 3, seed=1)),
        (_random(1, 4, seed=2), _random(2, 4, seed=3)),
    ],
    mistakes={
        lambda epsilons, states: epsilons.T @ states[1:]: (
            "Each step is paired with the state that it makes. W multiplies the state before it, h_{t−1}: states[:-1]."
        ),
        lambda epsilons, states: states[:-1].T @ epsilons: (
            "This is the transpose. Row i of W makes unit i, so row i of the gradient belongs to epsilon's unit i."
        ),
        lambda epsilons, states: torch.outer(epsilons[-1], states[-2]): (
            "Only the last step is counted. W is used at every step: sum over all of them."
        ),
        lambda epsilons, states: epsilons.T @ states[:-1] / len(epsilons): (
            "The sum became a mean. The loss is summed over time, and so is its gradient."
        ),
    },
)


# ---- clipping -------------------------------------------------------------------------------------------------------


def clip_together(dW, dU, bound):
    """dW (d_h, d_h), dU (d_h, d_x), bound > 0 → side by side (d_h, d_h + d_x)"""
    # the solution begins
    gradient = torch.cat([dW, dU], dim=1)  # all parameters make one long vector
    norm = gradient.norm()
    return gradient * (bound / norm) if norm > bound else gradient
    # the solution ends


CLIP_TOGETHER = Exercise(
    title="clip a gradient by its norm",
    difficulty=2,
    minutes=10,
    task=(
        "If the norm of the whole gradient, all parameters together, exceeds the bound, shorten it to the bound "
        "and keep its direction. Otherwise leave it as it is."
    ),
    hint="`torch.cat([dW, dU], dim=1)` puts both side by side; `.norm()` is the root of the sum of all squares.",
    solution=clip_together,
    cases=[
        (3 * _random(3, 3), 3 * _random(3, 2, seed=1), 1.0),
        (0.1 * _random(2, 2, seed=2), 0.1 * _random(2, 4, seed=3), 1.0),
        (_random(2, 2, seed=4), 9 * _random(2, 3, seed=5), 2.5),
    ],
    mistakes={
        lambda dW, dU, bound: torch.cat([dW, dU], dim=1).clamp(-bound, bound): (
            "Each entry is clipped by itself, which turns the gradient's direction. Shorten the vector as a whole."
        ),
        lambda dW, dU, bound: (
            torch.cat([dW, dU], dim=1) * bound / torch.cat([dW, dU], dim=1).norm()
        ): (
            "A gradient that is short enough was stretched to the bound. Clip only if the norm exceeds it."
        ),
        lambda dW, dU, bound: torch.cat(
            [g * min(1.0, bound / float(g.norm())) for g in (dW, dU)], dim=1
        ): (
            "W and U are clipped apart, so the direction changes and the whole may still be too long. "
            "Take one norm of both."
        ),
        lambda dW, dU, bound: (
            torch.cat([dW, dU], dim=1)
            / max(1.0, float(torch.cat([dW, dU], dim=1).norm()))
        ): (
            "The gradient is brought to norm 1, whatever the bound: multiply by bound / norm, "
            "and only beyond the bound."
        ),
    },
)


# ---- gradient against lag -------------------------------------------------------------------------------------------


def gradient_sizes(delta, states, W):
    """delta (d_h,), states h_0 … h_T (T + 1, d_h), W (d_h, d_h) → sizes (T + 1,)"""
    # the solution begins
    sizes = [delta.norm()]
    for h in states[1:].flip(0):  # h_T first; h_0 is where it ends
        delta = W.T @ ((1 - h**2) * delta)
        sizes.append(delta.norm())
    return torch.stack(sizes)
    # the solution ends


def _sizes(delta, states, step, normalise=False):
    sizes = [delta.norm()]
    for h in states:
        delta = step(delta, h)
        sizes.append(delta.norm())
    sizes = torch.stack(sizes)
    return sizes / sizes[0] if normalise else sizes


GRADIENT_SIZES = Exercise(
    title="watch it vanish",
    difficulty=3,
    minutes=15,
    task=(
        "Only the last step has a loss, and delta is $\\partial L_T / \\partial \\mathbf{h}_T$. "
        "How large is the gradient at each state, "
        "$\\lVert \\partial L_T / \\partial \\mathbf{h}_{T-k} \\rVert$ for $k = 0, \\dots, T$?"
    ),
    hint="Exercise 1 in a loop over the states, the last one first. One step back goes through one of h_T, …, h_1.",
    solution=gradient_sizes,
    cases=[
        (_random(4), torch.tanh(_random(6, 4, seed=1)), _random(4, 4, seed=2)),
        (
            _random(3, seed=3),
            torch.tanh(_random(9, 3, seed=4)),
            0.3 * _random(3, 3, seed=5),
        ),
    ],
    mistakes={
        lambda delta, states, W: _sizes(
            delta, states[1:], lambda d, h: W.T @ ((1 - h**2) * d)
        ): (
            "The states are walked through forwards. The gradient meets h_T first, then h_{T−1}: flip them."
        ),
        lambda delta, states, W: _sizes(
            delta, states[:-1].flip(0), lambda d, h: W.T @ ((1 - h**2) * d)
        ): (
            "Each step uses the state before instead of its own: the way from h_t to h_{t−1} goes through 1 − h_t²."
        ),
        lambda delta, states, W: _sizes(
            delta, states[1:].flip(0), lambda d, h: W.T @ d
        ): (
            "These are the powers of W alone. The tanh takes its part at every step: multiply by 1 − h²."
        ),
        lambda delta, states, W: _sizes(
            delta, states[1:].flip(0), lambda d, h: W.T @ ((1 - h**2) * d), True
        ): ("The sizes are divided by the first one. Return them as they are."),
    },
)

EXERCISES = [STEP_BACK, WEIGHT_GRADIENT, CLIP_TOGETHER, GRADIENT_SIZES]
