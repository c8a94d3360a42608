"""The sensor series of chapter 04: a simulated water heater with known faults, and scores that should find them.

Simulated, not measured: four sensors, one reading every ten seconds, of a tank whose heater a thermostat switches.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from helpers.lstm import LSTM
from helpers.training import RECORDED, load_part

SENSORS = ("flow, l/min", "pressure, bar", "heater, A", "temperature, °C")
NORMAL, RECOVERING = 0, -1
FAULTS = ("leak", "stuck", "lazy thermostat", "slow pump")  # kinds 1, 2, 3, 4


@dataclass(frozen=True)
class Recording:
    """values (T, 4): the readings of SENSORS.

    kind (T,): 0 where all is well, the number of the fault where there is one, and −1 in the 30 steps after it, in
    which the tank recovers: these count neither as well nor as wrong.
    """

    values: np.ndarray
    kind: np.ndarray


def simulate(steps: int, seed: int, faults: bool) -> Recording:
    """A tank of hot water: the demand swings, cold water follows, a thermostat holds 55 to 65 °C.

    The heater goes on below 55 °C and off above 65 °C, so between the two it depends on the past whether it is on.
    With `faults`, one of FAULTS comes 80 to 140 steps after the last recovery and lasts 15 to 30 steps: water leaks
    behind the flow sensor; the temperature sensor repeats its last reading; the thermostat keeps the heater as it is;
    the pump takes long to follow the demand. Raises ValueError for steps < 1.
    """
    if steps < 1:
        raise ValueError(f"steps: got {steps}, expected at least 1")
    random = np.random.default_rng(seed)
    kind = _schedule(steps, random) if faults else np.zeros(steps, dtype=int)
    noise = random.normal(size=(steps, 4)) * [0.1, 0.02, 0.15, 0.15]
    values = np.empty((steps, 4))
    temperature, pressure, heating, drift = 60.0, 2.8, False, 0.0
    for t in range(steps):
        fault = FAULTS[kind[t] - 1] if kind[t] > 0 else ""
        drift = 0.95 * drift + 0.15 * random.normal()
        flow = max(0.0, 3 + 2 * np.sin(2 * np.pi * t / 60) + drift)
        drawn = flow + (1.0 if fault == "leak" else 0.0)
        speed = 0.1 if fault == "slow pump" else 0.7
        pressure += speed * (3.0 - 0.03 * drawn**2 - pressure)
        if fault != "lazy thermostat":
            heating = temperature < 55 or (heating and temperature < 65)
        temperature += 0.9 * heating - drawn * (temperature - 12) / 400
        temperature -= 0.002 * (temperature - 20)
        values[t] = [flow, pressure, 10.0 * heating, temperature]
        values[t] += noise[t]
        if fault == "stuck" and t:
            values[t, 3] = values[t - 1, 3]
    return Recording(values, kind)


def _schedule(steps: int, random: np.random.Generator) -> np.ndarray:
    kind, t = np.zeros(steps, dtype=int), 0
    while (t := t + int(random.integers(80, 141))) < steps:
        length = int(random.integers(15, 31))
        kind[t : t + length] = random.integers(1, len(FAULTS) + 1)
        kind[t + length : t + length + 30] = RECOVERING
        t += length + 30
    return kind


def recordings(seed: int) -> list[Recording]:
    """Four recordings, in units of the first one's spread: to train on (6,000 steps, no faults), to learn what errors
    are usual (2,000, no faults), to test on (6,000, faults), and with labels to learn from (6,000, faults).
    """
    parts = [(6000, False), (2000, False), (6000, True), (6000, True)]
    raw = [simulate(n, 10 * seed + i, faults) for i, (n, faults) in enumerate(parts)]
    mean, spread = raw[0].values.mean(axis=0), raw[0].values.std(axis=0)
    return [Recording((r.values - mean) / spread, r.kind) for r in raw]


# ---------------------------------------------------------------------------------------------------------------------
# Predictors: what should come next, given all before. The surprise is the score.
# ---------------------------------------------------------------------------------------------------------------------


class Predictor(nn.Module):
    """An LSTM, and a linear layer that adds to the last reading what will change: x̂_{t+1} = x_t + V h_t + c."""

    def __init__(self, sensors: int = 4, hidden_size: int = 32):
        super().__init__()
        self.lstm = LSTM(sensors, hidden_size)
        self.readout = nn.Linear(hidden_size, sensors)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, T, sensors) → what is expected one step later, (B, T, sensors)."""
        states, _ = self.lstm(x)
        return x + self.readout(states)


class Labeller(nn.Module):
    """An LSTM that labels each step: the logit that something is wrong now."""

    def __init__(self, sensors: int = 4, hidden_size: int = 32):
        super().__init__()
        self.lstm = LSTM(sensors, hidden_size)
        self.readout = nn.Linear(hidden_size, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, T, sensors) → logits (B, T)."""
        states, _ = self.lstm(x)
        return self.readout(states).squeeze(-1)


def windows_loss(
    model: nn.Module, series: np.ndarray, kind: np.ndarray | None = None
) -> Callable[[torch.Generator], torch.Tensor]:
    """For `helpers.training.fit`: 32 random windows of 100 steps of series (T, sensors).

    The loss is the mean squared error one step ahead; with kind (T,), the cross-entropy of "is there a fault?", steps
    of recovery left out.
    """
    x = torch.as_tensor(series)

    def loss(generator: torch.Generator) -> torch.Tensor:
        starts = torch.randint(len(x) - 100, (32, 1), generator=generator)
        rows = starts + torch.arange(101)
        if kind is None:
            return nn.functional.mse_loss(model(x[rows[:, :-1]]), x[rows[:, 1:]])
        kinds = torch.as_tensor(kind)[rows]
        counted = kinds != RECOVERING
        wrong = (kinds > 0).to(x.dtype)
        return nn.functional.binary_cross_entropy_with_logits(
            model(x[rows])[counted], wrong[counted]
        )

    return loss


def recorded_models() -> tuple[Predictor, Labeller]:
    """The two models that experiments/anomalies.py trained with seed 0."""
    file = RECORDED / "anomalies.safetensors"
    return load_part(Predictor(), file, "predictor"), load_part(
        Labeller(), file, "labeller"
    )


@torch.no_grad()
def prediction_errors(model: Predictor, series: np.ndarray) -> np.ndarray:
    """series (T, sensors) → readings less predictions, (T, sensors); 0 for the first step, which nothing predicts."""
    expected = model(torch.as_tensor(series).unsqueeze(0))[0].numpy()
    errors = np.zeros_like(series)
    errors[1:] = series[1:] - expected[:-1]
    return errors


@torch.no_grad()
def label_logits(model: Labeller, series: np.ndarray) -> np.ndarray:
    """series (T, sensors) → the logit of a fault at each step, (T,)."""
    return model(torch.as_tensor(series).unsqueeze(0))[0].numpy()


def autoregression(series: np.ndarray, order: int = 16, ridge: float = 1.0):
    """The linear predictor of series (T, d) from its last `order` readings: weights (order·d + 1, d)."""
    X = _past(series, order)
    return np.linalg.solve(X.T @ X + ridge * np.eye(X.shape[1]), X.T @ series[order:])


def autoregression_errors(weights: np.ndarray, series: np.ndarray, order: int = 16):
    """Readings less predictions, (T, d); 0 for the first `order` steps."""
    errors = np.zeros_like(series)
    errors[order:] = series[order:] - _past(series, order) @ weights
    return errors


def _past(series: np.ndarray, order: int) -> np.ndarray:
    """(T − order, order·d + 1): a row holds the `order` readings before a step, and a 1."""
    columns = [series[i : len(series) - order + i] for i in range(order)]
    return np.hstack([*columns, np.ones((len(series) - order, 1))])


# ---------------------------------------------------------------------------------------------------------------------
# Scores
# ---------------------------------------------------------------------------------------------------------------------


def surprise(errors: np.ndarray, usual: np.ndarray, window: int = 9) -> np.ndarray:
    """errors (T, d), usual (T', d) errors when all is well → score (T,).

    The errors are divided by their usual spread, squared, summed over the sensors, and averaged over the last `window`
    steps: no score looks ahead.
    """
    score = (((errors - usual.mean(axis=0)) / usual.std(axis=0)) ** 2).sum(axis=1)
    padded = np.concatenate([np.full(window - 1, score[0]), score])
    return np.convolve(padded, np.full(window, 1 / window), mode="valid")


def precision_recall(score: np.ndarray, wrong: np.ndarray):
    """score (T,), wrong (T,) boolean → precision and recall for every threshold, from the greatest score down.

    Raises ValueError if no step is wrong.
    """
    if not wrong.any():
        raise ValueError("wrong: got no step with a fault, expected at least one")
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(wrong[order])
    last = np.append(np.diff(score[order]) != 0, True)  # ties count together
    return (hits / np.arange(1, len(hits) + 1))[last], (hits / hits[-1])[last]


def average_precision(score: np.ndarray, wrong: np.ndarray) -> float:
    """The area under the precision–recall curve, as a sum of steps; that of a random score is the share of `wrong`."""
    precision, recall = precision_recall(score, wrong)
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def precision_by_kind(score: np.ndarray, kind: np.ndarray) -> dict[str, float]:
    """The average precision of all faults, and of each kind that occurs, among the steps where all is well."""
    faulty = {"all": kind > 0} | {f: kind == n for n, f in enumerate(FAULTS, 1)}
    result = {}
    for name, wrong in faulty.items():
        counted = wrong | (kind == NORMAL)
        if wrong.any():
            result[name] = average_precision(score[counted], wrong[counted])
    return result
