"""Chapter 09: a small ViT against a small CNN at equal parameters and time, with augmentation and a convolutional stem.

    python experiments/vit.py

Trained on all photos, as in experiments/data_hunger.py, which ran the CNN and the ViT without augmentation and chose
their learning rates; run that first. The stem's rate is chosen here in the same way, but with all photos. Also trained
are the ViTs with small patches whose maps experiments/faithfulness.py examines: they are compared with nothing. What is
recorded already is not run again. float32, one thread. Seconds are of processor time, on a machine with other work.
Writes helpers/recorded/vit.json and, of the ViTs with small patches, the weights beside it.
"""

import json
import time

import torch
from safetensors.torch import load_file, save_file

from helpers.data import fashion
from helpers.data_hunger import BATCH_SIZE, build, recorded, train
from helpers.resnet import count_flops, count_parameters
from helpers.small_cnn import accuracy
from helpers.training import RECORDED, versions

SEEDS = [0, 1, 2]
STEM, PATCHES = "ViT, convolutional stem", "ViT, small patches"
STEPS = {"CNN": 380, "ViT": 300, STEM: 270, PATCHES: 700}
RATES = (0.001, 0.003, 0.01, 0.03)
TESTED = 5000  # photos
FILE, WEIGHTS = RECORDED / "vit.json", RECORDED / "vit.safetensors"


def main() -> None:
    torch.set_num_threads(1)
    parts = fashion()
    record = json.loads(FILE.read_text()) if FILE.exists() else {"runs": []}
    weights = load_file(WEIGHTS) if WEIGHTS.exists() else {}
    record |= {
        "what": f"{len(parts[0][0]):,} photos of Fashion-MNIST; steps of {BATCH_SIZE} photos; Adam, one-cycle learning "
        f"rate, gradients clipped to 1; float32; accuracy on {TESTED:,} test photos",
        "versions": versions(),
        "networks": {
            name: {
                "parameters": count_parameters(build(name, 0)),
                "flops": sum(count_flops(build(name, 0), (28, 28)).values()),
                "steps": STEPS[name],
            }
            for name in STEPS
        },
    }

    def run(name: str, seed: int, augmented: bool, rate: float) -> float:
        """The accuracy on validation photos, of a run that is recorded or done now."""
        wanted = {"network": name, "seed": seed, "augmented": augmented}
        wanted["learning_rate"] = rate
        known = (r for r in record["runs"] if wanted.items() <= r.items())
        if found := next(known, None):
            return found["validation"]
        start = time.process_time()
        model = train(name, *parts[0], STEPS[name], rate, seed, augmented)
        found = wanted | {
            "cpu_seconds": round(time.process_time() - start, 1),
            "validation": accuracy(model, *parts[1]),
            "test": accuracy(model, *(part[:TESTED] for part in parts[2])),
        }
        print(json.dumps(found), flush=True)
        record["runs"].append(found)
        FILE.write_text(json.dumps(record, indent=1) + "\n")
        if name == PATCHES:
            for key, weight in model.state_dict().items():
                weights[f"{name}/{seed}/{key}"] = weight
            save_file(weights, WEIGHTS)
        return found["validation"]

    tried = {rate: run(STEM, 0, False, rate) for rate in RATES}
    rates = {STEM: max(tried, key=tried.get)}
    for name, said in recorded()["networks"].items():
        rates[name] = said["learning_rate"]
    rates[PATCHES] = RATES[1]  # not tuned: nothing is compared with it
    for name, rate in rates.items():
        record["networks"][name]["learning_rate"] = rate
    for seed in SEEDS:
        run(STEM, seed, False, rates[STEM])
        for name in (STEM, "ViT", "CNN"):
            run(name, seed, True, rates[name])
    for seed in SEEDS:
        run(PATCHES, seed, False, rates[PATCHES])


if __name__ == "__main__":
    main()
