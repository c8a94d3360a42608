"""Chapter 04: does a unit of a character LSTM follow the quotations, the line, the capitals? Over seeds.

    python experiments/cells.py

Three LSTMs of 64 units learn the training part of "Alice's Adventures in Wonderland". For each feature the unit is
chosen on the validation part and its correlation measured on the test part; beside it the same of the untrained
network, and what the best of 64 units reaches by chance, with the feature moved along the text. float32 on one thread;
about four minutes. Writes helpers/recorded/cells.json, and the weights of seed 0 beside it.
"""

import json
import platform
from importlib import metadata

import numpy as np
import torch
from safetensors.torch import save_file

from helpers.cells import FEATURES, RECORDED, chance, correlations, features, token_lstm
from helpers.characters import alice, batch_loss, mean_loss
from helpers.training import fit

SEEDS, STEPS, RATE = (0, 1, 2), 3000, 0.005


def associations(model, vocabulary, parts) -> dict:
    """For each feature: the unit that follows it best on the validation part, and what it does on the test part."""
    cells, wanted = {}, {}
    for name in ("validation", "test"):
        cells[name] = model.lstm.trace(model.one_hot(parts[name][None]))["c"][0].numpy()
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


def main() -> None:
    torch.set_num_threads(1)
    vocabulary, parts = alice()
    runs = []
    for seed in SEEDS:
        model = token_lstm(vocabulary, seed)
        untrained = associations(model, vocabulary, parts)
        history = fit(model, batch_loss(model, parts["train"]), STEPS, RATE, seed)
        runs.append(
            {
                "seed": seed,
                "test_loss": mean_loss(model, parts["test"]),
                "seconds": round(history.seconds, 1),
                "untrained": untrained,
                "trained": associations(model, vocabulary, parts),
            }
        )
        print(json.dumps(runs[-1]), flush=True)
        if seed == 0:
            save_file(model.state_dict(), RECORDED / "cells.safetensors")
    record = {
        "what": f"character LSTM of 64 units, {STEPS} steps of 32 excerpts of 64 characters, Adam, "
        f"one-cycle learning rate up to {RATE}, float32",
        "versions": {
            "python": platform.python_version(),
            "torch": metadata.version("torch"),
        },
        "runs": runs,
    }
    path = RECORDED / "cells.json"
    path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
