"""Chapter 01: one perceptron on handwritten digits under four optimizers, each at its own best learning rate.

    python experiments/optimizers.py

Every run has the same network (64, 32, 10), batches of 32 and 30 epochs; a seed sets the first weights and the order
of the batches. The learning rate of each optimizer is that of its grid with the least mean validation loss, over seeds
that are not used again; then it trains on training and validation part together and is scored on the test part. Beside
them, on the same parts: softmax regression, which is the network without its hidden layer, and the nearest neighbour.
float64 on one thread, about two minutes. Writes helpers/recorded/optimizers.json, and beside it the parameters of
momentum's seed 0 at the start and after each epoch.
"""

import json
import platform
import time
from importlib import metadata

import torch
from safetensors.torch import save_file

from helpers.data import digits
from helpers.gradients import MLP, OPTIMIZERS, train
from helpers.training import RECORDED

SIZES, EPOCHS = [64, 32, 10], 30
GRIDS = {
    "SGD": [0.05, 0.1, 0.2, 0.5, 1, 2, 5],
    "momentum": [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2],
    "Adam": [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05],
    "AdamW": [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05],
}
GRID_SEEDS, SEEDS = range(100, 103), range(10)


def run(name: str, rate: float, sizes: list[int], seed: int, part, scored) -> dict:
    """Train one network on `part` and score it on `scored`."""
    start = time.perf_counter()
    model = MLP(sizes, seed)
    optimizer = OPTIMIZERS[name](model.parameters, rate)
    try:
        losses, path = train(
            model, optimizer, *part, EPOCHS, seed=seed, description=name
        )
    except ValueError:  # the loss was not finite
        return {"seed": seed, "diverged": True}
    if sizes == SIZES and name == "momentum" and scored is PARTS[2] and seed == 0:
        save_file({"path": path.float()}, RECORDED / "optimizers.safetensors")
    return {
        "seed": seed,
        "train_loss": [round(loss, 5) for loss in losses],
        "scored_loss": round(model.loss(*scored), 5),
        "accuracy": model.accuracy(*scored),
        "seconds": round(time.perf_counter() - start, 2),
    }


def compare(name: str, sizes: list[int]) -> dict:
    """Choose the learning rate on the validation part, then run all seeds at it."""
    training, validation, test = PARTS
    grid = {}
    for rate in GRIDS[name]:
        runs = [run(name, rate, sizes, s, training, validation) for s in GRID_SEEDS]
        if not any("diverged" in one for one in runs):
            grid[rate] = [one["scored_loss"] for one in runs]
    best = min(grid, key=lambda rate: sum(grid[rate]))
    both = [torch.cat(pair) for pair in zip(training, validation, strict=True)]
    runs = [run(name, best, sizes, seed, both, test) for seed in SEEDS]
    accuracies = [one["accuracy"] for one in runs]
    print(sizes, name, best, min(accuracies), sum(accuracies) / 10, max(accuracies))
    print("   ", {rate: round(sum(x) / 3, 4) for rate, x in grid.items()}, flush=True)
    return {"learning_rate": best, "validation_loss": grid, "runs": runs}


def main() -> None:
    (x, y), (more_x, more_y), (test_x, test_y) = PARTS
    nearest = torch.cdist(test_x, torch.cat([x, more_x])).argmin(dim=1)
    right = torch.cat([y, more_y])[nearest] == test_y
    record = {
        "what": "scikit-learn's digits, 1,197 + 200 to train, 400 to test; batches of 32, 30 epochs, float64",
        "versions": {
            "python": platform.python_version(),
            "torch": metadata.version("torch"),
            "scikit-learn": metadata.version("scikit-learn"),
        },
        "sizes": SIZES,
        "optimizers": {name: compare(name, SIZES) for name in OPTIMIZERS},
        "softmax regression": compare("momentum", [SIZES[0], SIZES[-1]]),
        "nearest neighbour": float(right.double().mean()),
    }
    (RECORDED / "optimizers.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    PARTS = digits()
    main()
