"""Chapter 03: a character model on a real book: its gradients by lag, and what truncation makes of them; the cost.

    python experiments/reading_back.py [text] [cost] [chunks]

text: two first weights times five seeds, 64 units, trained on four fifths of "Alice's Adventures in Wonderland";
before and after training, on 1,500 held-out characters: the size of ∂L_t/∂h_{t−k}, the mean-field prediction of it,
and the gradient of truncated BPTT against the full one. About three minutes.
cost: processor seconds of a forward and a backward pass of helpers.rnn.RNN against the length, repeated; the exponent
by a straight line through the logarithms, its interval by bootstrap over the repetitions; the bytes that autograd
keeps. About one minute, better on an idle machine.
chunks: the same for one stretch of 1,024 steps, cut into chunks whose gradients stop at their first step.
Writes helpers/recorded/reading_back.json and the trained weights of seed 0 beside it. float64, one thread.
"""

import json
import platform
import sys
import time
from importlib import metadata, resources

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from helpers.bptt import (
    Parameters,
    backward,
    forward,
    gradients_by_lag,
    initial_matrix,
    limited_backward,
    predicted_log_gains,
    spectral_radius,
)
from helpers.data import book_text
from helpers.rnn import RNN
from helpers.training import fit

FOLDER = resources.files("helpers") / "recorded"
UNITS, LAGS, READ = 64, 64, 1500
LIMITS = [1, 2, 4, 8, 16, 32, 64]
LENGTHS = [64, 128, 256, 512, 1024, 2048]
CHUNKS = [1, 8, 64, 1024]
REPEATS = 15


def characters() -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Training and held-out part of the book as character numbers, and the characters: small letters, space, .,!?'"""
    text = " ".join(book_text("carroll-alice").lower().split())
    symbols = sorted(set("abcdefghijklmnopqrstuvwxyz .,!?'"))
    number = {symbol: i for i, symbol in enumerate(symbols)}
    numbers = torch.tensor([number[symbol] for symbol in text if symbol in number])
    border = len(numbers) * 4 // 5
    return numbers[:border], numbers[border:], symbols


def model_parameters(rnn: RNN, output: nn.Linear) -> Parameters:
    values = rnn.W, rnn.U, output.weight, rnn.b, output.bias, torch.zeros(UNITS)
    return Parameters(*(value.detach().clone() for value in values))


def measured(p: Parameters, numbers: torch.Tensor) -> dict:
    """Loss a character, gradient and prediction by lag, truncated against full gradient."""
    x, y = F.one_hot(numbers[:-1], len(p.c)).to(p.W.dtype), numbers[1:]
    loss, states, probabilities = forward(x, y, p)
    errors = probabilities - F.one_hot(y, len(p.c))
    norms = gradients_by_lag(p, states, errors, LAGS).norm(dim=2)  # (LAGS + 1, T')
    gains = (norms / norms[0]).log().mean(dim=1)  # geometric mean over the losses
    windows = states[1:].unfold(0, LAGS, 50)  # (windows, d_h, LAGS)
    predicted = [predicted_log_gains(p.W, window.T) for window in windows]
    full = torch.cat(
        [part.flatten() for part in backward(x, y, p, states, probabilities)[:2]]
    )
    bias = {}
    for limit in LIMITS:
        parts = limited_backward(x, y, p, states, probabilities, limit)[:2]
        truncated = torch.cat([part.flatten() for part in parts])  # of W and U
        bias[str(limit)] = {
            "cosine": round(float(F.cosine_similarity(truncated, full, dim=0)), 5),
            "norm": round(float(truncated.norm() / full.norm()), 5),
            "error": round(float((truncated - full).norm() / full.norm()), 6),
        }
    return {
        "loss": round(float(loss) / len(y), 4),
        "radius": round(float(spectral_radius(p.W)), 3),
        "gain": [round(float(v), 3) for v in gains],
        "predicted": [
            0.0,
            *(round(float(v), 3) for v in torch.stack(predicted).mean(dim=0)),
        ],
        "bias": bias,
    }


def text() -> dict:
    train, held_out, symbols = characters()
    count, runs = len(symbols), []
    for first in ("uniform", "orthogonal"):
        for seed in range(5):
            torch.manual_seed(seed)
            rnn, output = RNN(count, UNITS), nn.Linear(UNITS, count)
            with torch.no_grad():
                generator = torch.Generator().manual_seed(seed)
                rnn.W.copy_(initial_matrix(first, UNITS, generator))
            before = measured(model_parameters(rnn, output), held_out[: READ + 1])

            def batch_loss(generator, rnn=rnn, output=output):
                starts = torch.randint(len(train) - 65, (32, 1), generator=generator)
                chosen = train[starts + torch.arange(65)]  # (32, 65)
                states, _ = rnn(F.one_hot(chosen[:, :-1], count).to(rnn.W.dtype))
                return F.cross_entropy(
                    output(states).flatten(0, 1), chosen[:, 1:].flatten()
                )

            history = fit(
                nn.ModuleList([rnn, output]), batch_loss, 1000, 0.005, seed, first
            )
            p = model_parameters(rnn, output)
            p = Parameters(*(part.float().double() for part in p))  # as stored
            if seed == 0:
                single = {k: v.float() for k, v in p._asdict().items()}
                save_file(single, FOLDER / f"reading_back_{first}.safetensors")
            runs.append(
                {
                    "first": first,
                    "seed": seed,
                    "seconds": round(history.seconds, 1),
                    "before": before,
                    "after": measured(p, held_out[: READ + 1]),
                }
            )
            print(
                first,
                seed,
                runs[-1]["before"]["loss"],
                runs[-1]["after"]["loss"],
                flush=True,
            )
    return {"symbols": "".join(symbols), "units": UNITS, "read": READ, "runs": runs}


def timed(length: int) -> tuple[float, float]:
    """Processor seconds of one forward and one backward pass; one sequence at a time, 64 units."""
    rnn, x = RNN(32, UNITS), torch.randn(1, length, 32)
    start = time.process_time()
    states, _ = rnn(x)
    loss = states.sum()
    middle = time.process_time()
    loss.backward()
    return middle - start, time.process_time() - middle


def timed_in_chunks(chunk: int, length: int = 1024) -> float:
    """Processor seconds of reading `length` steps, with a backward pass after each chunk and the state carried on."""
    rnn, x, state = RNN(32, UNITS), torch.randn(1, length, 32), None
    start = time.process_time()
    for part in x.split(chunk, dim=1):
        states, state = rnn(part, state)
        states.sum().backward()
        state = state.detach()
    return time.process_time() - start


def saved_bytes(length: int) -> int:
    """Bytes that autograd keeps for the backward pass, each storage once, parameters and input apart."""
    rnn, x = RNN(32, UNITS), torch.randn(1, length, 32)
    known = {t.untyped_storage().data_ptr() for t in (*rnn.parameters(), x)}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        rnn(x)
    return sum(size for size, _ in kept.values())


def exponent(seconds: np.ndarray) -> dict:
    """seconds (repeats, lengths) → slope of log seconds against log length, with a 95 % bootstrap interval."""
    x, random = np.log(LENGTHS), np.random.default_rng(0)

    def slope(rows):
        return np.polyfit(x, np.log(np.median(rows, axis=0)), 1)[0]

    drawn = [
        slope(seconds[random.integers(0, len(seconds), len(seconds))])
        for _ in range(2000)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {
        "exponent": round(slope(seconds), 3),
        "low": round(low, 3),
        "high": round(high, 3),
    }


def cost() -> dict:
    torch.manual_seed(0)
    timed(64)
    seconds = np.array([[timed(length) for length in LENGTHS] for _ in range(REPEATS)])
    kept = [saved_bytes(length) for length in LENGTHS]
    return {
        "lengths": LENGTHS,
        "repeats": REPEATS,
        "forward": {
            "seconds": np.median(seconds[..., 0], axis=0).round(5).tolist(),
            **exponent(seconds[..., 0]),
        },
        "backward": {
            "seconds": np.median(seconds[..., 1], axis=0).round(5).tolist(),
            **exponent(seconds[..., 1]),
        },
        "bytes": kept,
    }


def chunks() -> dict:
    torch.manual_seed(0)
    timed_in_chunks(64)
    seconds = [[timed_in_chunks(chunk) for chunk in CHUNKS] for _ in range(REPEATS)]
    return {
        "chunks": CHUNKS,
        "steps": 1024,
        "seconds": np.median(seconds, axis=0).round(4).tolist(),
        "least": np.min(seconds, axis=0).round(4).tolist(),
        "greatest": np.max(seconds, axis=0).round(4).tolist(),
        "bytes": [saved_bytes(chunk) for chunk in CHUNKS],
    }


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    path = FOLDER / "reading_back.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    for name in names:
        record[name] = {"text": text, "cost": cost, "chunks": chunks}[name]()
        record["versions"] = {
            "python": platform.python_version(),
            "torch": metadata.version("torch"),
        }
        path.write_text(json.dumps(record, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or ["text", "cost", "chunks"])
