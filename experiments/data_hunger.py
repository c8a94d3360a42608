"""Chapter 09a: accuracy of a CNN and a ViT against the number of photos they are trained on.

    python experiments/data_hunger.py [SEED ...]

Equally many parameters, and numbers of steps that take equally long; each network has the learning rate, one of four,
that does best with 4,000 photos and seed 0 on photos held out for that. A seed draws the photos, the first weights and
the batches. What is recorded already is not run again. Beside them the nearest neighbour: the class of the training
photo with the least squared distance, pixel by pixel, nothing learned. At the end both networks once more with 1,000
photos and augmentation, and with each number of photos and eight times the steps, at the same learning rates; the four
rates are tried with these steps too, for the record. float32, one thread: another CPU ends elsewhere, about as far as
another seed would. Seconds are of processor time, for training alone, on a machine with other work: they vary, and
those of the more steps are of a faster one. Writes helpers/recorded/data_hunger.json and, of CNN and ViT with seed 0
and the fewer steps, the weights beside it.
"""

import json
import sys
import time

import torch
from safetensors.torch import load_file, save_file

from helpers.data import fashion
from helpers.data_hunger import BATCH_SIZE, SIZES, build, draw_photos, train
from helpers.resnet import count_flops, count_parameters
from helpers.small_cnn import accuracy
from helpers.training import RECORDED, versions

SEEDS = [0, 1, 2]
STEPS = {"CNN": 380, "ViT": 300}
RATES = {"CNN": (0.003, 0.01, 0.03, 0.1), "ViT": (0.001, 0.003, 0.01, 0.03)}
RATED_WITH = 4000  # photos
AUGMENTED = 1000  # photos, once more with augmentation
LONGER = 8  # times the steps, once more with each number of photos
TESTED = 5000  # photos
FILE = RECORDED / "data_hunger.json"
WEIGHTS = RECORDED / "data_hunger.safetensors"


class Record:
    """What there is so far, written after each run."""

    def __init__(self):
        parts = "rates", "runs", "nearest", "augmented", "longer", "longer_rates"
        self.what = {"networks": {}} | {part: [] for part in parts}
        if FILE.exists():
            self.what |= json.loads(FILE.read_text())
        self.weights = load_file(WEIGHTS) if WEIGHTS.exists() else {}

    def find(self, part: str, **wanted) -> dict | None:
        same = (r for r in self.what[part] if wanted.items() <= r.items())
        return next(same, None)

    def add(self, part: str, found: dict) -> None:
        print(part, json.dumps(found), flush=True)
        self.what[part].append(found)
        self.what |= {
            "what": f"photos of Fashion-MNIST; steps of {BATCH_SIZE} photos; Adam, one-cycle learning rate, gradients "
            f"clipped to 1; float32; accuracy on {TESTED:,} test photos and on the first 1,000 trained on",
            "versions": versions(),
        }
        FILE.write_text(json.dumps(self.what, indent=1) + "\n")
        save_file(self.weights, WEIGHTS)


def trained(parts, name, size, seed, rate, times=1, augmented=False):
    photos, classes = draw_photos(parts[0], size, seed)
    start = time.process_time()
    model = train(name, photos, classes, times * STEPS[name], rate, seed, augmented)
    return model, {
        "network": name,
        "photos": size,
        "seed": seed,
        "cpu_seconds": round(time.process_time() - start, 1),
        "train": accuracy(model, photos[:1000], classes[:1000]),
    }


def best_rates(record: Record, parts, part: str, times: int = 1) -> dict[str, float]:
    """Of each network, by the validation photos; a part of the record keeps all that were tried."""
    best = {}
    for name, rates in RATES.items():
        for rate in rates:
            if not record.find(part, network=name, rate=rate):
                model, _ = trained(parts, name, RATED_WITH, 0, rate, times)
                score = accuracy(model, *parts[1])
                record.add(part, {"network": name, "rate": rate, "validation": score})
        tried = [r for r in record.what[part] if r["network"] == name]
        best[name] = max(tried, key=lambda r: r["validation"])["rate"]
    return best


def nearest(train_part, test_part) -> float:
    """Share of the test photos whose nearest training photo has their class."""
    photos, classes = train_part[0].flatten(1), train_part[1]
    squares = photos.square().sum(dim=1)
    right = 0
    for some, their in zip(test_part[0].split(500), test_part[1].split(500)):  # noqa: B905
        distance = squares - 2 * some.flatten(1) @ photos.T
        right += (classes[distance.argmin(dim=1)] == their).sum().item()
    return right / len(test_part[1])


def main(seeds: list[int]) -> None:
    torch.set_num_threads(1)
    parts, record = fashion(), Record()
    test = tuple(part[:TESTED] for part in parts[2])
    rates = best_rates(record, parts, "rates")
    for name, rate in rates.items():
        record.what["networks"][name] = {
            "parameters": count_parameters(build(name, 0)),
            "flops": sum(count_flops(build(name, 0), (28, 28)).values()),
            "steps": STEPS[name],
            "learning_rate": rate,
        }
    for seed in seeds:
        for size in SIZES:
            for name, rate in rates.items():
                if record.find("runs", network=name, photos=size, seed=seed):
                    continue
                model, found = trained(parts, name, size, seed, rate)
                if seed == 0:
                    record.weights |= {
                        f"{name}/{size}/{seed}/{k}": w
                        for k, w in model.state_dict().items()
                    }
                record.add("runs", found | {"test": accuracy(model, *test)})
    for seed in seeds:
        for size in SIZES:
            if not record.find("nearest", photos=size, seed=seed):
                score = nearest(draw_photos(parts[0], size, seed), test)
                record.add("nearest", {"photos": size, "seed": seed, "test": score})
    for seed in seeds:
        for name, rate in rates.items():
            if not record.find("augmented", network=name, seed=seed):
                model, found = trained(
                    parts, name, AUGMENTED, seed, rate, augmented=True
                )
                record.add("augmented", found | {"test": accuracy(model, *test)})
    for seed in seeds:
        for size in SIZES:
            for name, rate in rates.items():
                if not record.find("longer", network=name, photos=size, seed=seed):
                    model, found = trained(parts, name, size, seed, rate, LONGER)
                    record.add("longer", found | {"test": accuracy(model, *test)})
    best_rates(record, parts, "longer_rates", LONGER)  # would others have done better?


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or SEEDS)
