"""Chapter 07c: a decoder-only Transformer against an LSTM, on the text of chapter 02, at equal parameters; the cache.

    python experiments/generation.py                trains everything, and times the cache
    python experiments/generation.py cache          times the cache alone
    python experiments/generation.py Transformer    trains these models alone (several names are fine)

Batches of 32 times 64 characters, Adam, early stopping by the validation part, as for the RNN of chapter 02, whose
recorded runs (experiments/char_rnn.py) are the third in the comparison. All RATES are tried with seed 0: the LSTM gets
the one that reaches the least validation loss, the Transformer keeps the one of KEPT, with which the chapter trains.
The LSTM reads the text as 32 parallel streams, as in chapter 04. float32, one thread, one run after the other; about
ten minutes on one core.
Seconds are those of the processor, without validation; the RNN's come from its steps and the cost of a step, measured
side by side. Writes helpers/recorded/generation.json and the weights of the Transformer of seed 0 beside it.
"""

import json
import math
import platform
import statistics
import sys
import time
from importlib import metadata

import torch
from safetensors.torch import save_file

from helpers import characters, generation
from helpers.cells import TokenLSTM, streams_loss
from helpers.characters import RECORDED, alice, batch_loss, character_model
from helpers.generation import DecoderOnly, generate, writer
from helpers.training import fit

SEEDS = (0, 1, 2)
RATES = {"LSTM": (0.01, 0.02, 0.04), "Transformer": (0.003, 0.006, 0.012)}
KEPT = {"Transformer": 0.006}
EVERY, PATIENCE, STEPS = 200, 3, 4000
LSTM_SIZE = 58  # as many parameters as the RNN's 128 units and the Transformer have
CACHE_LENGTHS, CACHE_REPEATS = (64, 128, 256, 512, 1024), 3


def made(name: str, seed: int):
    """The model, its loss for `fit`, and the function that gives its mean loss on a text."""
    vocabulary, parts = alice()
    torch.manual_seed(seed)
    if name == "LSTM":
        model = TokenLSTM(len(vocabulary), LSTM_SIZE)
        return model, streams_loss(model, parts["train"]), characters.mean_loss
    if name == "RNN":
        model = character_model(vocabulary, characters.HIDDEN_SIZE, seed)
        return model, batch_loss(model, parts["train"]), characters.mean_loss
    model = writer(vocabulary, seed)
    return model, batch_loss(model, parts["train"]), generation.mean_loss


def run(name: str, rate: float, seed: int) -> tuple[dict, dict]:
    """Train one model and score it: → result, weights."""
    _, parts = alice()
    model, loss, mean_loss = made(name, seed)
    seconds, since = [], time.process_time()

    def validate() -> float:
        nonlocal since
        spent = time.process_time() - since
        seconds.append(spent + (seconds[-1] if seconds else 0))
        value = mean_loss(model, parts["validation"])
        since = time.process_time()
        return value

    history = fit(model, loss, STEPS, rate, seed, name, validate, EVERY, PATIENCE)
    at = list(history.validation)
    trained = [history.loss[a:b] for a, b in zip([0, *at], at, strict=False)]
    result = {
        "model": name,
        "learning_rate": rate,
        "seed": seed,
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": at,
        "cpu_seconds": [round(each, 2) for each in seconds],
        "train_loss": [round(statistics.fmean(each), 4) for each in trained],
        "validation_loss": [round(each, 4) for each in history.validation.values()],
        "best_step": min(history.validation, key=history.validation.get),
        "perplexity": {
            part: math.exp(mean_loss(model, parts[part]))
            for part in ("validation", "test")
        },
    }
    print(result, flush=True)
    return result, model.state_dict()


def step_seconds(names, steps: int = 20, rounds: int = 7) -> dict[str, float]:
    """The processor's seconds for one training step of each model: medians over rounds, the models taking turns."""
    losses = {}
    for name in names:
        model, loss, _ = made(name, 0)
        losses[name] = model, loss
    spent = {name: [] for name in names}
    for _ in range(rounds):
        for name, (model, loss) in losses.items():
            start = time.process_time()
            fit(model, loss, steps, 0.001)
            spent[name].append((time.process_time() - start) / steps)
    return {name: round(statistics.median(each[1:]), 5) for name, each in spent.items()}


def cache() -> dict:
    """What it costs to write so many tokens with the cache and without: the processor's seconds, medians."""
    torch.manual_seed(0)
    model = DecoderOnly(72, 128, 4, 512, 2, context=max(CACHE_LENGTHS) + 1).eval()
    generate(model, [1], 10)  # the first calls are slow
    rows = []
    for length in CACHE_LENGTHS:
        spent, written = {True: [], False: []}, {}
        for _ in range(CACHE_REPEATS):
            for cached in (True, False):
                start = time.process_time()
                written[cached] = generate(model, [1], length, cached=cached)
                spent[cached].append(time.process_time() - start)
        rows.append(
            {
                "tokens": length,
                "with": round(statistics.median(spent[True]), 4),
                "without": round(statistics.median(spent[False]), 4),
                "same_tokens": written[True] == written[False],
            }
        )
        print(rows[-1], flush=True)
    size = sum(p.numel() for p in model.parameters())
    return {"parameters": size, "layers": 2, "d_model": 128, "rows": rows}


def main() -> None:
    torch.set_num_threads(1)
    path = RECORDED / "generation.json"
    record = json.loads(path.read_text()) if path.is_file() else {"models": {}}
    record |= {
        "what": "next character of Alice's Adventures in Wonderland, batches of 32 times 64 characters, Adam, early "
        "stopping, float32; seconds of the processor",
        "every": EVERY,
        "patience": PATIENCE,
        "versions": {
            "python": platform.python_version(),
            "torch": metadata.version("torch"),
        },
    }
    asked = sys.argv[1:] or ["cache", *RATES]
    for name in asked:
        if name == "cache":
            record["cache"] = cache()
            record["step_seconds"] = step_seconds(("RNN", *RATES))
        else:
            done = {rate: run(name, rate, SEEDS[0]) for rate in RATES[name]}
            tried = {rate: r["validation_loss"] for rate, (r, _) in done.items()}
            best = KEPT.get(name) or min(tried, key=lambda rate: min(tried[rate]))
            others = [run(name, best, seed)[0] for seed in SEEDS[1:]]
            record["models"][name] = {"tried": tried, "runs": [done[best][0], *others]}
            if name == "Transformer":
                save_file(done[best][1], RECORDED / "generation.safetensors")
        path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
