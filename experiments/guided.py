"""Chapter 08c: an attention-guided network looks closer at a digit among clutter, over seeds.

    python experiments/guided.py

For each seed a global branch is trained, then local branches that see, for every picture: what the global one points
at ("guided"), the digit's true box ("true"), a box of that size anywhere ("random"), the whole picture once more
("whole"); then a fusion of the global branch with each. All branches make as many steps on the same 4,000 scenes and
are scored on the same 1,000, whose tiles no training scene has. float32 on one thread, about four minutes on an idle
core. Writes helpers/recorded/guided.json, and the weights of seed 0 beside it.
"""

import json

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from helpers.guided import (
    RECORDED,
    THRESHOLD,
    WEIGHTS,
    Branch,
    GuidedNetwork,
    Task,
    crop,
    fit_of,
    heatmap,
    one_digit,
    regions,
)
from helpers.training import fit, versions

SEEDS, STEPS, BATCH, RATE, TRAINING, TEST = (0, 1, 2), 500, 32, 3e-3, 4000, 1000
THRESHOLDS = [tenth / 10 for tenth in range(1, 10)]
LOOKS = ("guided", "true", "random", "whole")


def train_branch(branch: Branch, task: Task, boxes, seed: int, name: str) -> None:
    def loss(generator):
        picked = torch.randint(len(task.images), (BATCH,), generator=generator)
        seen = task.images[picked]
        if boxes is not None:
            seen = crop(seen, boxes[picked])
        return F.cross_entropy(branch(seen)[2], task.labels[picked])

    fit(branch, loss, STEPS, RATE, seed, name)


def train_fusion(fusion: nn.Linear, pooled, labels, seed: int) -> None:
    def loss(generator):
        picked = torch.randint(len(labels), (BATCH,), generator=generator)
        return F.cross_entropy(fusion(pooled[picked]), labels[picked])

    fit(fusion, loss, STEPS, RATE, seed, "fusion")


@torch.no_grad()
def outputs(branch: Branch, images, boxes=None):
    """Pooled features and logits of all images, in parts."""
    found = []
    for at in range(0, len(images), 250):
        part = images[at : at + 250]
        found.append(
            branch(part if boxes is None else crop(part, boxes[at : at + 250]))
        )
    return (torch.cat([each[i] for each in found]) for i in (1, 2))


@torch.no_grad()
def heat_of(branch: Branch, images):
    parts = images.split(250)
    return torch.cat(
        [heatmap(branch(part)[0], tuple(part.shape[2:])) for part in parts]
    )


def anywhere(boxes, size: int, seed: int):
    """Boxes of the same sizes at random places."""
    generator = torch.Generator().manual_seed(seed)
    sides = boxes[:, 2:] - boxes[:, :2]
    drawn = torch.rand(len(boxes), 2, generator=generator)
    start = (drawn * (size - sides + 1)).long()
    return torch.cat([start, start + sides], dim=1)


def right(logits, labels) -> float:
    return (logits.argmax(dim=1) == labels).double().mean().item()


def run(seed: int, task: Task, test: Task) -> tuple[dict, GuidedNetwork]:
    torch.manual_seed(seed)
    kept = GuidedNetwork(10, 3)
    train_branch(kept.whole, task, None, seed, "global")
    (pooled, _), (tested, logits) = (
        outputs(kept.whole, t.images) for t in (task, test)
    )
    heat, tested_heat = (heat_of(kept.whole, t.images) for t in (task, test))
    size = task.images.shape[-1]
    result = {"seed": seed, "global": right(logits, test.labels), "looks": {}}
    peak = tested_heat.flatten(1).argmax(dim=1)
    peak = torch.stack([peak // size, peak % size], dim=1)
    hit = (peak >= test.boxes[:, :2]) & (peak < test.boxes[:, 2:])
    result["pointing"] = hit.all(dim=1).double().mean().item()
    result["fit in training"] = [
        fit_of(regions(heat, t), task.boxes) for t in THRESHOLDS
    ]
    for look in LOOKS:
        boxes, tested_boxes = {
            "guided": lambda: (
                regions(heat, THRESHOLD),
                regions(tested_heat, THRESHOLD),
            ),
            "true": lambda: (task.boxes, test.boxes),
            "random": lambda: (
                anywhere(task.boxes, size, 0),
                anywhere(test.boxes, size, 1),
            ),
            "whole": lambda: (None, None),
        }[look]()
        model = kept if look == "guided" else GuidedNetwork(10, 3)
        train_branch(model.part, task, boxes, seed + 100, look)
        closer, _ = outputs(model.part, task.images, boxes)
        train_fusion(model.fusion, torch.cat([pooled, closer], 1), task.labels, seed)
        with torch.no_grad():
            closer, logits = outputs(model.part, test.images, tested_boxes)
            both = model.fusion(torch.cat([tested, closer], dim=1))
        result["looks"][look] = {
            "local": right(logits, test.labels),
            "fusion": right(both, test.labels),
        }
    result["thresholds"] = []
    for threshold in THRESHOLDS:
        boxes = regions(tested_heat, threshold)
        closer, logits = outputs(kept.part, test.images, boxes)
        with torch.no_grad():
            both = kept.fusion(torch.cat([tested, closer], dim=1))
        inside, iou = fit_of(boxes, test.boxes)
        scores = right(logits, test.labels), right(both, test.labels)
        names = ("threshold", "local", "fusion", "inside", "iou")
        result["thresholds"].append(
            dict(zip(names, (threshold, *scores, inside, iou), strict=True))
        )
    return result, kept


def main() -> None:
    torch.set_num_threads(1)
    task, test = one_digit("training", TRAINING, 0), one_digit("test", TEST, 1)
    runs = []
    for seed in SEEDS:
        result, model = run(seed, task, test)
        print(result, flush=True)
        runs.append(result)
        if seed == 0:
            save_file(model.state_dict(), WEIGHTS)
        record = {
            "what": f"one digit among scraps, 64 x 64 pixels: {TRAINING} scenes to train on, {TEST} to test, "
            f"{STEPS} steps of {BATCH} for each branch, Adam, float32, threshold {THRESHOLD}",
            "versions": versions(),
            "seeds": SEEDS,
            "runs": runs,
        }
        (RECORDED / "guided.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
