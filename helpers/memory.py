"""The memory tests of chapter 04: something is shown once, and asked for much later. Two tasks, six memories."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from helpers.lstm import GRU, LSTM
from helpers.rnn import RNN
from helpers.training import RECORDED, load_part
from helpers.validation import require_choice

SYMBOLS = 8


def recall(
    batch_size: int, lag: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Name the marked symbol: → x (B, lag + 1, 10), y (B,), an index from 0 to 7.

    x holds a one-hot symbol (8 numbers), the mark (1 at step 0 alone) and the cue (1 at the last step alone, where
    there is no symbol). Always saying one symbol is right 1/8 of the time. Raises ValueError for lag < 1.
    Source: after Hochreiter and Schmidhuber 1997, experiment 2, with distractors between.
    """
    _require_lag(lag)
    symbols = torch.randint(SYMBOLS, (batch_size, lag), generator=generator)
    x = torch.zeros(batch_size, lag + 1, SYMBOLS + 2)
    x[:, :-1, :SYMBOLS] = nn.functional.one_hot(symbols, SYMBOLS).to(x.dtype)
    x[:, 0, SYMBOLS] = 1  # the mark
    x[:, -1, SYMBOLS + 1] = 1  # the cue
    return x, symbols[:, 0]


def adding(
    batch_size: int, lag: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add the two marked numbers: → x (B, lag + 1, 2), y (B,), their sum.

    x holds a number from 0 to 1 and the mark: 1 at step 0 and at one later step. Always saying 1 has the least mean
    squared error of all constants, 1/6, and is within 0.1 of the sum 19 times in a hundred.
    Raises ValueError for lag < 1.
    Source: Hochreiter and Schmidhuber 1997, experiment 4; here the first mark is always at step 0.
    """
    _require_lag(lag)
    x = torch.zeros(batch_size, lag + 1, 2)
    x[..., 0] = torch.rand(batch_size, lag + 1, generator=generator)
    second = torch.randint(1, lag + 1, (batch_size,), generator=generator)
    x[:, 0, 1] = 1
    x[torch.arange(batch_size), second, 1] = 1
    return x, (x[..., 0] * x[..., 1]).sum(dim=1)


def _require_lag(lag: int) -> None:
    if lag < 1:
        raise ValueError(f"lag: got {lag}, expected at least 1")


TASKS = {"recall": recall, "adding": adding}
CHANCE = {"recall": 1 / SYMBOLS, "adding": 0.19}  # 0.19 = 1 − 0.9²
INPUTS = {"recall": SYMBOLS + 2, "adding": 2}
OUTPUTS = {"recall": SYMBOLS, "adding": 1}
# Units, so that all models of a task have about as many parameters: recall 5,669 to 5,770, adding 4,993 to 5,067.
UNITS = {
    "recall": {RNN: 67, GRU: 37, LSTM: 32},
    "adding": {RNN: 69, GRU: 39, LSTM: 34},
}


def _orthogonal(rnn: RNN) -> RNN:
    nn.init.orthogonal_(rnn.W)
    nn.init.zeros_(rnn.b)
    return rnn


def _chrono(lstm: LSTM, longest: int = 200) -> LSTM:
    """Forget gates that at first hold for 1 to `longest` steps. Source: Tallec and Ollivier 2018, section 2."""
    bias = torch.empty(lstm.hidden_size).uniform_(1, longest - 1).log()
    with torch.no_grad():
        lstm.b[lstm.rows("f")] = bias
        lstm.b[lstm.rows("i")] = -bias
    return lstm


MODELS: dict[str, tuple[type, Callable[[int, int], nn.Module]]] = {
    "RNN": (RNN, RNN),
    "RNN, orthogonal": (RNN, lambda d_x, d_h: _orthogonal(RNN(d_x, d_h))),
    "GRU": (GRU, GRU),
    "LSTM, bias 0": (LSTM, lambda d_x, d_h: LSTM(d_x, d_h, forget_bias=0.0)),
    "LSTM, bias 1": (LSTM, LSTM),
    "LSTM, chrono": (LSTM, lambda d_x, d_h: _chrono(LSTM(d_x, d_h))),
}


class Reader(nn.Module):
    """A recurrent network, and a linear layer that reads its last state."""

    def __init__(self, recurrent: nn.Module, output_size: int):
        super().__init__()
        self.recurrent = recurrent
        self.readout = nn.Linear(recurrent.hidden_size, output_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, T, d_x) → (B, output_size)."""
        states, _ = self.recurrent(x)
        return self.readout(states[:, -1])


def memory_model(task: str, name: str, seed: int) -> Reader:
    """The model called `name` for this task, with fresh weights from `seed`. Raises ValueError for other names."""
    require_choice("task", task, TASKS)
    require_choice("name", name, MODELS)
    torch.manual_seed(seed)
    kind, make = MODELS[name]
    return Reader(make(INPUTS[task], UNITS[task][kind]), OUTPUTS[task])


def recorded_model(task: str, name: str) -> Reader:
    """The model that experiments/long_memory.py trained with seed 0. Raises ValueError for other names."""
    model = memory_model(task, name, seed=0)
    return load_part(model, RECORDED / "long_memory.safetensors", f"{task}/{name}")


def batch_loss(
    task: str, model: nn.Module, longest: int, batch_size: int = 32
) -> Callable[[torch.Generator], torch.Tensor]:
    """For `helpers.training.fit`: each batch draws its lag from 1 to `longest`, evenly on a log scale."""

    def loss(generator: torch.Generator) -> torch.Tensor:
        lag = int((longest + 1) ** torch.rand((), generator=generator))
        x, y = TASKS[task](batch_size, lag, generator)
        if task == "recall":
            return nn.functional.cross_entropy(model(x), y)
        return nn.functional.mse_loss(model(x).squeeze(1), y)

    return loss


@torch.no_grad()
def accuracy_by_lag(
    task: str, model: nn.Module, lags: Sequence[int], seed: int, sequences: int = 500
) -> list[float]:
    """The share of right answers for each lag: the symbol named, or the sum met within 0.1."""
    generator = torch.Generator().manual_seed(seed)
    shares = []
    for lag in lags:
        x, y = TASKS[task](sequences, lag, generator)
        answers = model(x)
        named, met = answers.argmax(dim=1) == y, (answers[:, 0] - y).abs() < 0.1
        right = named if task == "recall" else met
        shares.append(right.double().mean().item())
    return shares
