"""Chapter 04: does a unit of a character LSTM follow the quotations, the line, the capitals? Over seeds.

    python experiments/cells.py

Three LSTMs of 64 units learn the training part of "Alice's Adventures in Wonderland". For each feature the unit whose
tanh(c) goes with it best is chosen on the validation part and its correlation measured on the test part; beside it the
same of the untrained network, and what the best of 64 units reaches by chance, with the feature moved along the text.
float32, one thread a run, as many runs at a time as there are cores (JOBS=1: one); about four minutes on one core.
Writes helpers/recorded/cells.json, and the weights of seed 0 beside it.
"""

import json
import multiprocessing
import os
import platform
from importlib import metadata

import numpy as np
import torch
from safetensors.torch import save_file

from helpers.cells import (
    FEATURES,
    RECORDED,
    chance,
    correlations,
    features,
    streams_loss,
    token_lstm,
)
from helpers.characters import alice, mean_loss
from helpers.training import fit

SEEDS, STEPS, RATE = (0, 1, 2), 2000, 0.005


def associations(model, vocabulary, parts) -> dict:
    """For each feature: the unit that follows it best on the validation part, and what it does on the test part."""
    cells, wanted = {}, {}
    for name in ("validation", "test"):
        trace = model.lstm.trace(model.one_hot(parts[name][None]))
        cells[name] = torch.tanh(trace["c"][0]).numpy()  # as the output gate sees it
        wanted[name] = features("".join(vocabulary.tokens[i] for i in parts[name]))
    found = {}
    for feature in FEATURES:
        there = correlations(cells["validation"], wanted["validation"][feature])
        unit = int(np.abs(there).argmax())
        moved = chance(cells["test"], wanted["test"][feature])
        found[feature] = {
            "unit": unit,
            "validation": float(there[unit]),
            "test": float(correlations(cells["test"], wanted["test"][feature])[unit]),
            "chance_mean": float(moved.mean()),
            "chance_95": float(np.quantile(moved, 0.95)),
        }
    return found


def run(seed: int) -> tuple[dict, dict]:
    """Train one network and question its units, before and after: → result, weights."""
    torch.set_num_threads(1)
    vocabulary, parts = alice()
    model = token_lstm(vocabulary, seed)
    untrained = associations(model, vocabulary, parts)
    loss = streams_loss(model, parts["train"])
    history = fit(model, loss, STEPS, RATE, seed)
    result = {
        "seed": seed,
        "test_loss": mean_loss(model, parts["test"]),
        "seconds": round(history.seconds, 1),
        "untrained": untrained,
        "trained": associations(model, vocabulary, parts),
    }
    print(json.dumps(result), flush=True)
    return result, model.state_dict()


def main() -> None:
    with multiprocessing.Pool(int(os.environ.get("JOBS", os.cpu_count()))) as pool:
        done = pool.map(run, SEEDS, chunksize=1)
    save_file(done[0][1], RECORDED / "cells.safetensors")
    record = {
        "what": f"character LSTM of 64 units, {STEPS} steps of 64 characters in 32 streams, Adam, "
        f"one-cycle learning rate up to {RATE}, float32",
        "versions": {
            "python": platform.python_version(),
            "torch": metadata.version("torch"),
        },
        "runs": [result for result, _ in done],
    }
    path = RECORDED / "cells.json"
    path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
