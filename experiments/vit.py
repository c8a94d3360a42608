"""Chapter 09: a small ViT against a small CNN at equal parameters and time, with augmentation and a convolutional stem.

    python experiments/vit.py [SEED ...]

All photos of the training part, patches of 4 × 4 pixels. Numbers of steps that take equally long; each network has the
learning rate, one of three, that does best with seed 0 on photos held out for that, without augmentation. What is
recorded already is not run again. float32, one thread: another CPU ends elsewhere, about as far as another seed would.
Seconds are of processor time, for training alone, on a machine with other work: they vary. Writes
helpers/recorded/vit.json and the weights of the networks without augmentation beside it.
"""

import json
import platform
import sys
import time
from importlib import metadata

import torch
from safetensors.torch import load_file, save_file

from helpers.data import fashion
from helpers.data_hunger import BATCH_SIZE, build, train
from helpers.resnet import count_flops, count_parameters
from helpers.small_cnn import accuracy
from helpers.training import RECORDED

SEEDS = [0, 1, 2]
STEPS = {"CNN, small": 1250, "ViT, small patches": 420, "ViT, convolutional stem": 380}
RATES = dict.fromkeys(STEPS, (0.001, 0.003, 0.01))
RATES["CNN, small"] = (0.003, 0.01, 0.03)
TESTED = 5000  # photos
FILE, WEIGHTS = RECORDED / "vit.json", RECORDED / "vit.safetensors"


def run(name, seed, rate, augmented, parts):
    start = time.process_time()
    model = train(name, *parts[0], STEPS[name], rate, seed, augmented)
    seconds = time.process_time() - start
    found = {
        "network": name,
        "seed": seed,
        "augmented": augmented,
        "learning_rate": rate,
        "cpu_seconds": round(seconds, 1),
        "validation": accuracy(model, *parts[1]),
        "test": accuracy(model, *(part[:TESTED] for part in parts[2])),
    }
    print(json.dumps(found), flush=True)
    return model, found


def main(seeds: list[int]) -> None:
    torch.set_num_threads(1)
    parts = fashion()
    record = json.loads(FILE.read_text()) if FILE.exists() else {"runs": []}
    weights = load_file(WEIGHTS) if WEIGHTS.exists() else {}
    networks = {
        name: {
            "parameters": count_parameters(build(name, 0)),
            "flops": sum(count_flops(build(name, 0), (28, 28)).values()),
            "steps": STEPS[name],
        }
        for name in STEPS
    }

    def score(name, seed, rate, augmented):
        """The run with these settings, done now if it is not recorded."""
        wanted = {"network": name, "seed": seed, "augmented": augmented}
        wanted["learning_rate"] = rate
        known = (r for r in record["runs"] if wanted.items() <= r.items())
        if found := next(known, None):
            return found["validation"]
        model, found = run(name, seed, rate, augmented, parts)
        record["runs"].append(found)
        record.update(
            what=f"{len(parts[0][0]):,} photos of Fashion-MNIST; steps of {BATCH_SIZE} photos; Adam, one-cycle "
            f"learning rate, gradients clipped to 1; float32; accuracy on {TESTED:,} test photos",
            versions={
                "python": platform.python_version(),
                "torch": metadata.version("torch"),
            },
            networks=networks,
        )
        if not augmented:
            best = max(
                (r for r in record["runs"] if r["network"] == name and r["seed"] == 0),
                key=lambda r: r["validation"] if not r["augmented"] else 0,
            )
            if seed or found is best:
                for key, weight in model.state_dict().items():
                    weights[f"{name}/{seed}/{key}"] = weight
        FILE.write_text(json.dumps(record, indent=1) + "\n")
        save_file(weights, WEIGHTS)
        return found["validation"]

    for name, rates in RATES.items():
        tried = {rate: score(name, 0, rate, False) for rate in rates}
        networks[name]["learning_rate"] = max(tried, key=tried.get)
    for seed in seeds:
        for augmented in (False, True):
            for name, network in networks.items():
                score(name, seed, network["learning_rate"], augmented)


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or SEEDS)
