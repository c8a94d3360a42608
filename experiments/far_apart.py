"""Chapter 08c: what lets a network compare two digits far apart, over seeds.

    python experiments/far_apart.py [SEED ...]

A network that reads tiles is trained first, for each seed one. Then each of `helpers.far_apart.WAYS` is put into a copy
of it and trained for the same steps on the same pictures. Float32, one thread. Writes
helpers/recorded/far_apart.json and, of seed 0, the weights to far_apart.safetensors beside it.
"""

import json
import sys

import torch
from safetensors.torch import save_file
from torch import nn

from helpers import far_apart
from helpers.resnet import count_parameters
from helpers.training import fit, versions

SEEDS = [0, 1, 2]
READING = {"steps": 300, "learning_rate": 1e-2}
COMPARING = {"steps": 400, "learning_rate": 5e-3}
KEPT = ("non-local", "hidden layer")


def main(seeds: list[int]) -> None:
    torch.set_num_threads(1)
    runs, weights = [], {}
    for seed in seeds:
        reader = far_apart.tile_reader(seed)
        classify = nn.Linear(far_apart.CHANNELS, 10)
        loss = far_apart.reading_loss(reader, classify)
        fit(nn.Sequential(reader, classify), loss, **READING, seed=seed)
        kept = {"reader": reader}
        for way in far_apart.WAYS:
            model = far_apart.Comparer(way, reader, seed)
            loss = far_apart.comparing_loss(model)
            history = fit(model, loss, **COMPARING, seed=seed, description=way)
            runs.append(
                {
                    "way": way,
                    "seed": seed,
                    "accuracy": far_apart.accuracy(model),
                    "parameters": count_parameters(model),
                    "seconds": round(history.seconds, 1),
                }
            )
            print(runs[-1], flush=True)
            if way in KEPT:
                kept[way] = model
        if seed == 0:
            for name, model in kept.items():
                weights |= {
                    f"{name}/{k}": w.float() for k, w in model.state_dict().items()
                }
    record = {
        "what": "is it the same digit twice: accuracy on 2,000 pictures of digits not trained on; Adam with a "
        "one-cycle rate, gradients clipped to 1, batches of 64, float32, one thread",
        "versions": versions(),
        "reading": READING,
        "comparing": COMPARING,
        "runs": runs,
    }
    folder = far_apart.RECORDED
    (folder / "far_apart.json").write_text(json.dumps(record, indent=1) + "\n")
    if weights:
        save_file(weights, folder / "far_apart.safetensors")


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or SEEDS)
