"""The book's one training loop: seeded, with a progress bar, safe to interrupt."""

import platform
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from tqdm import tqdm

RECORDED = Path(__file__).parent / "recorded"  # what the scripts in experiments/ wrote


def versions() -> dict[str, str]:
    """Of Python and PyTorch, for a record of results."""
    return {"python": platform.python_version(), "torch": metadata.version("torch")}


@dataclass
class History:
    """What `fit` saw: the loss of every step, the validation losses by step if any, and the seconds it took."""

    loss: list[float] = field(default_factory=list)
    validation: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0


def fit(
    model: nn.Module,
    batch_loss: Callable[[torch.Generator], torch.Tensor],
    steps: int,
    learning_rate: float,
    seed: int = 0,
    description: str = "training",
    validate: Callable[[], float] | None = None,
    every: int = 100,
    patience: int = 5,
) -> History:
    """Train `model` with Adam, a one-cycle learning rate (Smith 2018) and gradients clipped to norm 1.

    batch_loss(generator): draws a batch with `generator` and returns its scalar loss.
    learning_rate: the greatest one, reached after a tenth of the steps.
    validate(): the loss on data held out, for early stopping (Prechelt 1998). It is called `every` so many steps;
    training ends when it did not fall `patience` times in a row, and the model gets the weights of its least value.
    The learning rate then stays as it is: to lower it towards the end, one must know the end.
    Interrupting the cell stops the training: the model stays as trained so far (with `validate`, it gets the weights of
    the least loss so far), and the history holds those steps.
    Raises ValueError for steps < 1, and if the loss is not finite.
    """
    if steps < 1:
        raise ValueError(f"steps: got {steps}, expected at least 1")
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    if validate:
        schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    else:
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, learning_rate, total_steps=steps, pct_start=0.1
        )
    history, start, best = History(), time.perf_counter(), None
    model.train()
    try:
        for step in (bar := tqdm(range(steps), desc=description, leave=False)):
            loss = batch_loss(generator)
            if not torch.isfinite(loss):
                raise ValueError(
                    f"loss: got {loss.item()} at step {step}, expected a finite number; lower learning_rate"
                )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            history.loss.append(loss.item())
            # To draw at every step would outrun those who read what the kernel prints.
            bar.set_postfix(loss=f"{history.loss[-1]:.3f}", refresh=False)
            if validate and (step + 1) % every == 0:
                model.eval()
                history.validation[step + 1] = validate()
                model.train()
                least = min(history.validation, key=history.validation.get)
                if least == step + 1:
                    best = deepcopy(model.state_dict())
                elif step + 1 - least >= patience * every:
                    break
    except KeyboardInterrupt:
        kept = "at its least validation loss" if best else "as trained so far"
        print(
            f"{description}: stopped after {len(history.loss)} of {steps} steps; the model is {kept}"
        )
    if best:
        model.load_state_dict(best)
    history.seconds = time.perf_counter() - start
    model.eval()
    return history


def read_part(file, begin: str) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file whose names begin so, by the rest of their names."""
    weights = load_file(file)
    return {k.removeprefix(begin): w for k, w in weights.items() if k.startswith(begin)}


def load_part(model: nn.Module, file, part: str) -> nn.Module:
    """The model with the weights that a safetensors file holds under "part/", ready to be evaluated.

    For files with several models. Raises RuntimeError, as torch does, if they are not the model's.
    """
    model.load_state_dict(read_part(file, f"{part}/"))
    return model.eval()
