"""Explorer of gradient descent: a start, an optimizer and a learning rate on a surface of two variables."""

import torch
import traitlets

from helpers.explorers.base import HERE, Explorer, finite_array, one_of, within
from helpers.gradients import OPTIMIZERS, SURFACES, descend


class DescentExplorer(Explorer):
    """Click a start, choose an optimizer, and watch the path, the loss at each step, and whether it diverges.

    surface        one of helpers.gradients.SURFACES: "lecture", "valley", "rosenbrock", "saddle", "beale"
    start          (x, y), each from −10 to 10
    optimizer      "SGD", "momentum", "Adam" or "AdamW"
    learning_rate  0.0001 to 4;  momentum: μ, or Adam's β₁, 0 to 0.99;  weight_decay: AdamW's λ, 0 to 1
    step           the step shown, 0 to 200

    Raises ValueError for NaN, unknown names, and numbers outside these ranges.
    """

    _esm = HERE / "static" / "descent.js"
    surface = traitlets.Unicode().tag(sync=True)
    start = traitlets.List().tag(sync=True)
    optimizer = traitlets.Unicode().tag(sync=True)
    learning_rate = traitlets.Float().tag(sync=True)
    momentum = traitlets.Float().tag(sync=True)
    weight_decay = traitlets.Float().tag(sync=True)
    step = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        surface: str = "lecture",
        start=(-1.4, 1.0),
        optimizer: str = "SGD",
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.1,
        step: int = 20,
        label: str = "Gradient descent on a surface",
    ):
        super().__init__(
            surface=surface,
            start=list(start),
            optimizer=optimizer,
            learning_rate=learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
            step=step,
            label=label,
        )

    def path(self) -> torch.Tensor:
        """The points from the start to the step shown: (step + 1, 2)."""
        options = {
            "SGD": {},
            "momentum": {"momentum": self.momentum},
            "Adam": {"beta1": self.momentum},
            "AdamW": {"beta1": self.momentum, "weight_decay": self.weight_decay},
        }[self.optimizer]
        return descend(
            self.surface,
            self.start,
            self.optimizer,
            self.step,
            learning_rate=self.learning_rate,
            **options,
        )

    @traitlets.validate("surface")
    def _check_surface(self, proposal) -> str:
        return one_of("surface", proposal.value, SURFACES)

    @traitlets.validate("start")
    def _check_start(self, proposal) -> list[float]:
        start = finite_array("start", proposal.value, (2,)).tolist()
        return [within("start", coordinate, -10, 10) for coordinate in start]

    @traitlets.validate("optimizer")
    def _check_optimizer(self, proposal) -> str:
        return one_of("optimizer", proposal.value, OPTIMIZERS)

    @traitlets.validate("learning_rate")
    def _check_learning_rate(self, proposal) -> float:
        return within("learning_rate", proposal.value, 0.0001, 4)

    @traitlets.validate("momentum")
    def _check_momentum(self, proposal) -> float:
        return within("momentum", proposal.value, 0, 0.99)

    @traitlets.validate("weight_decay")
    def _check_weight_decay(self, proposal) -> float:
        return within("weight_decay", proposal.value, 0, 1)

    @traitlets.validate("step")
    def _check_step(self, proposal) -> int:
        return within("step", proposal.value, 0, 200)

    def __repr__(self) -> str:
        return f"DescentExplorer({self.surface!r}, {self.optimizer!r})"
