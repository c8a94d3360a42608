"""Chapter 04: how far back RNN, GRU and LSTM remember, over seeds, at equal parameters and equal budget.

    python experiments/long_memory.py [SETTING ...]

The tasks are those of helpers/memory.py. Each training batch draws its lag from 1 to 200, evenly on a log scale; the
test has 500 sequences for each lag of LAGS, the same ones for all models. A model's learning rate is the best of three,
chosen with a seed and test sequences that are not used again. float64, one thread a run, as many runs at a time as
there are cores (JOBS=1: one). About half an hour on two cores. Writes helpers/recorded/long_memory.json, and the
weights of seed 0 beside it; the results of settings that are not run again stay as they are.
"""

import json
import multiprocessing
import os
import platform
import sys
from importlib import metadata

import torch
from safetensors.torch import load_file, save_file

from helpers.memory import MODELS, RECORDED, accuracy_by_lag, batch_loss, memory_model
from helpers.training import fit

LAGS = [1, 2, 5, 10, 20, 50, 100, 150, 200, 400]  # 400 is longer than any in training
LONGEST = 200
RATES = [0.001, 0.003, 0.01]
TUNING_SEED, TEST_SEED = 100, 1000
SETTINGS = {
    "adding": {"task": "adding", "steps": 2500, "seeds": [0, 1, 2, 3, 4]},
    "recall": {
        "task": "recall",
        "steps": 1500,
        "seeds": [0, 1, 2],
        "models": ["RNN", "GRU", "LSTM, bias 1"],
    },
    "adding, four times the steps": {
        "task": "adding",
        "steps": 10_000,
        "seeds": [0, 1, 2],
        "models": ["RNN, orthogonal"],
        "rates": [0.003],
    },
}


def run(task: str, name: str, steps: int, rate: float, seed: int, test_seed: int):
    """Train one model and measure its accuracy at every lag: → result, weights."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    model = memory_model(task, name, seed)
    history = fit(model, batch_loss(task, model, LONGEST), steps, rate, seed, name)
    result = {
        "model": name,
        "learning_rate": rate,
        "seed": seed,
        "parameters": sum(p.numel() for p in model.parameters()),
        "accuracy": accuracy_by_lag(task, model, LAGS, test_seed),
        "seconds": round(history.seconds, 1),
    }
    print(task, steps, result, flush=True)
    return result, {key: value.float() for key, value in model.state_dict().items()}


def compare(pool, task, steps, seeds, models=tuple(MODELS), rates=tuple(RATES)):
    """Choose each model's learning rate among `rates`, then train it with every seed."""
    jobs = [
        (task, name, steps, rate, TUNING_SEED, TEST_SEED + 1)
        for name in models
        for rate in rates
    ]
    tuning = [result for result, _ in pool.starmap(run, jobs, chunksize=1)]
    best = {}
    for result in sorted(tuning, key=lambda result: sum(result["accuracy"])):
        best[result["model"]] = result["learning_rate"]
    jobs = [
        (task, name, steps, best[name], seed, TEST_SEED)
        for name in models
        for seed in seeds
    ]
    return tuning, pool.starmap(run, jobs, chunksize=1)


def main(names: list[str]) -> None:
    path, weights_path = (
        RECORDED / f"long_memory.{ending}" for ending in ("json", "safetensors")
    )
    settings = json.loads(path.read_text())["settings"] if path.exists() else {}
    weights = load_file(weights_path) if weights_path.exists() else {}
    with multiprocessing.Pool(int(os.environ.get("JOBS", os.cpu_count()))) as pool:
        for name in names:
            tuning, runs = compare(pool, **SETTINGS[name])
            settings[name] = {
                **SETTINGS[name],
                "tuning": tuning,
                "runs": [result for result, _ in runs],
            }
            for result, state in runs:
                if result["seed"] == 0 and name in ("adding", "recall"):
                    prefix = f"{name}/{result['model']}/"
                    weights |= {prefix + key: value for key, value in state.items()}
            record = {
                "what": f"accuracy at each lag; lags from 1 to {LONGEST} in training, batches of "
                "32 sequences, Adam with a one-cycle rate, gradients clipped to 1, float64",
                "lags": LAGS,
                "test_seed": TEST_SEED,
                "versions": {
                    "python": platform.python_version(),
                    "torch": metadata.version("torch"),
                },
                "settings": {key: settings[key] for key in SETTINGS if key in settings},
            }
            path.write_text(json.dumps(record, indent=1) + "\n")
            save_file(weights, weights_path)


if __name__ == "__main__":
    main(sys.argv[1:] or list(SETTINGS))
