"""Chapter 08c: a small DETR and a grid detector find digits in scenes, over seeds.

    python experiments/detection.py [MODEL ...]

All see the same 6,000 scenes of one to three digits (0 to 4) among clutter for the same number of steps, and are
scored on the same 500 scenes, whose tiles no training scene has. A seed sets the first weights and the batches.
float32 on one thread, about eight minutes on an idle core. Writes helpers/recorded/detection.json, and the weights of
seed 0 beside it; the results of models that are not run again stay as they are.
"""

import json
import sys
import time

import torch
from safetensors.torch import save_file

from helpers.detection import (
    MODELS,
    RECORDED,
    Objects,
    as_targets,
    detect,
    digit_scenes,
    mean_average_precision,
    recorded_weights,
    set_loss,
    suppress,
    total_loss,
)
from helpers.training import fit, versions

SEEDS = (0, 1, 2)
STEPS, BATCH, RATE, TRAINING, TEST = 2000, 16, 1e-3, 6000, 500


def score(model, images, targets) -> dict:
    """Average precision with and without suppression of rivals, and wherever the class does not count."""
    found = [one for part in images.split(100) for one in detect(model, part, 0)]
    alone = [suppress(one) for one in found]
    bare = [one._replace(labels=torch.zeros_like(one.labels)) for one in found]
    places = [Objects(torch.zeros_like(one.labels), one.boxes) for one in targets]
    return {
        "AP": mean_average_precision(found, targets),
        "AP suppressed": mean_average_precision(alone, targets),
        "AP at 0.75": mean_average_precision(alone, targets, 0.75),
        "AP of places": mean_average_precision(list(map(suppress, bare)), places),
    }


def train(name: str, seed: int, steps: int = STEPS):
    torch.manual_seed(seed)
    model = MODELS[name]()
    images, targets = as_targets(digit_scenes("training", TRAINING, 0))
    tested = as_targets(digit_scenes("test", TEST, 1))

    def loss(generator):
        picked = torch.randint(len(images), (BATCH,), generator=generator).tolist()
        seen, true = images[picked], [targets[i] for i in picked]
        said = model(seen)
        if name == "DETR":
            return total_loss(said, true)
        pairs = model.responsible(seen, true)
        return sum(set_loss(said[-1], true, pairs=pairs).values())

    start = time.process_time()
    history = fit(model, loss, steps, RATE, seed, name)
    seconds = time.process_time() - start
    hundreds = [history.loss[at : at + 100] for at in range(0, steps, 100)]
    means = [round(sum(losses) / len(losses), 4) for losses in hundreds]
    return model, {
        "model": name,
        "seed": seed,
        "parameters": sum(p.numel() for p in model.parameters()),
        "CPU seconds": round(seconds),
        "loss": dict(zip(range(100, steps + 100, 100), means, strict=True)),
        **score(model, *tested),
    }


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    path = RECORDED / "detection.json"
    runs = json.loads(path.read_text())["runs"] if path.exists() else []
    for name, seed in [(each, seed) for each in names for seed in SEEDS]:
        model, result = train(name, seed)
        print(result, flush=True)
        runs = [r for r in runs if (r["model"], r["seed"]) != (name, seed)] + [result]
        runs.sort(key=lambda run: (run["model"], run["seed"]))
        if seed == 0:
            save_file(model.state_dict(), recorded_weights(name))
        record = {
            "what": f"digits 0 to 4 in scenes of 64 x 64 pixels: {TRAINING} to train on, {TEST} to test, "
            f"{STEPS} steps of {BATCH}, Adam, float32",
            "versions": versions(),
            "runs": runs,
        }
        path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or list(MODELS))
