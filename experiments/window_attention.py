"""Chapter 08c: a convolution or attention to a neighbourhood, the rest of a small network being equal, over seeds.

    python experiments/window_attention.py [SEED ...]

Photos of clothes (Fashion-MNIST), a mean over 2 × 2 pixels, so 14 × 14. The same photos, steps and batches for each of
`helpers.vision_self_attention.SMALL`. Float32, one thread. Writes helpers/recorded/window_attention.json and, of seed
0, the weights to window_attention.safetensors beside it. Seeds that are not run again stay. Milliseconds are of
processor time, for a photo, forward: the least of five passes over 200.
"""

import json
import sys
import time

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from helpers.data import CLOTHES, fashion
from helpers.resnet import count_flops, count_parameters
from helpers.training import fit, versions
from helpers.vision_self_attention import RECORDED, SMALL, small_resnet

SEEDS = [0, 1, 2]
PHOTOS = {"train": 6000, "test": 2000}
TRAINING = {"steps": 300, "learning_rate": 1e-2}
BATCH_SIZE = 32
SHOWN = ("boot", "trousers", "bag", "shirt")  # of each the first held-out photo


def small_photos(part, count):
    """The first photos of a part: images (count, 1, 14, 14), classes (count,)."""
    images, classes = part
    return F.avg_pool2d(images[:count, None], 2), classes[:count]


@torch.no_grad()
def score(model, images, classes) -> dict:
    """Accuracy, and milliseconds for one photo."""
    right = torch.cat([model(batch).argmax(1) for batch in images.split(200)])
    passes = []
    for _ in range(5):
        start = time.process_time()
        model(images[:200])
        passes.append(time.process_time() - start)
    return {
        "accuracy": float((right == classes).double().mean()),
        "milliseconds": round(1000 * min(passes) / 200, 4),
    }


def run(name, seed, train, test):
    images, classes = train

    def loss(generator):
        rows = torch.randint(len(images), (BATCH_SIZE,), generator=generator)
        return F.cross_entropy(model(images[rows]), classes[rows])

    model = small_resnet(name, seed)
    start = time.process_time()
    fit(model, loss, **TRAINING, seed=seed, description=name)
    found = {
        "model": name,
        "seed": seed,
        "parameters": count_parameters(model),
        "flops": sum(count_flops(model, images.shape[1:]).values()),
        "training_seconds": round(time.process_time() - start, 1),
        **score(model, *test),
    }
    print(found, flush=True)
    return model, found


def main(seeds: list[int]) -> None:
    torch.set_num_threads(1)
    train_part, _, test_part = fashion()
    train = small_photos(train_part, PHOTOS["train"])
    test = small_photos(test_part, PHOTOS["test"])
    path, kept = (
        RECORDED / "window_attention.json",
        RECORDED / "window_attention.safetensors",
    )
    runs = json.loads(path.read_text())["runs"] if path.exists() else []
    weights = load_file(kept) if kept.exists() else {}
    for name in SHOWN:
        first = (test[1] == CLOTHES.index(name)).nonzero()[0, 0]
        weights[f"photo/{name}"] = test[0][first, 0].contiguous()
    for seed in seeds:
        for name in SMALL:
            model, found = run(name, seed, train, test)
            runs = [r for r in runs if (r["model"], r["seed"]) != (name, seed)]
            runs.append(found)
            if seed == 0:
                weights |= {f"{name}/{k}": w for k, w in model.state_dict().items()}
        record = {
            "what": "ten kinds of clothes, 14 × 14 pixels, accuracy on photos not trained on; Adam with a one-cycle "
            "rate, gradients clipped to 1, float32, one thread",
            "versions": versions(),
            "photos": PHOTOS,
            "training": {**TRAINING, "batch_size": BATCH_SIZE},
            "runs": runs,
        }
        path.write_text(json.dumps(record, indent=1) + "\n")
        save_file(weights, kept)


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or SEEDS)
