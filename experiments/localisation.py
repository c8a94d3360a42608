"""Chapter 08: do the maps of a small network point at what is there? Digits in scenes, patterns on wafers, over seeds.

    python experiments/localisation.py [TASK ...]

Each task has the same training images for all seeds, which set the first weights and the batches. float32 on one
thread; about two minutes for scenes and one for each of the two wafer networks on an idle core.
Writes helpers/recorded/localisation.json, and the weights of seed 0 beside it; the results of tasks that are not run
again stay as they are.
"""

import json
import sys

import torch
from safetensors.torch import save_file

from helpers.localisation import (
    RECORDED,
    TASKS,
    absent,
    answers_right,
    batch_loss,
    centre_point,
    digit_scenes,
    failure_density,
    maps_of,
    small_network,
    wafer_maps,
)
from helpers.training import fit, versions
from helpers.visual_attention import pointing_accuracy, share_inside
from helpers.wafers import KINDS

SETTINGS = {
    "scenes": {"train": 2000, "test": 300, "steps": 500, "seeds": [0, 1, 2]},
    "wafers": {"train": 1000, "test": 500, "steps": 200, "seeds": [0, 1, 2, 3, 4]},
}
SETTINGS["wafers with attention"] = SETTINGS["wafers"]
RATE = 0.01


def by_family(maps, questions) -> dict:
    each = {}
    for k, kind in enumerate(KINDS):
        asked = questions.classes == k
        each[kind] = pointing_accuracy(maps[asked], questions.regions[asked])
    return each


def scores(task: str, model, test, two) -> dict:
    """What the network knows and where its maps point."""
    maps = maps_of(model, test)
    found = {
        "right": answers_right(model, test),
        "pointing": pointing_accuracy(maps, test.regions),
        "inside": share_inside(maps, test.regions).mean().item(),
    }
    if task == "scenes":
        middle = maps_of(model, test, "features.12")
        found["grad_cam_middle"] = pointing_accuracy(middle, test.regions)
        missing = absent(test)
        found["absent"] = pointing_accuracy(maps_of(model, missing), missing.regions)
    else:
        found["family"] = by_family(maps, test)
        found["two_patterns"] = pointing_accuracy(maps_of(model, two), two.regions)
    return found


def baselines(task: str, test, two) -> dict:
    """Guesses that ask no network."""
    blind = torch.ones(len(test.rows), 1, 1)
    found = {
        "centre": pointing_accuracy(centre_point(test.regions), test.regions),
        "random": pointing_accuracy(blind, test.regions),
    }
    if task == "scenes":
        missing = absent(test)
        blind = torch.ones(len(missing.rows), 1, 1)
        found["absent_random"] = pointing_accuracy(blind, missing.regions)
        return found
    for width in (1, 3, 5, 7, 9):
        maps = failure_density(test.images, width)[test.rows]
        found[f"density_{width}"] = pointing_accuracy(maps, test.regions)
    maps = failure_density(test.images)[test.rows]
    found["family"] = by_family(maps, test)
    found["inside"] = share_inside(maps, test.regions).mean().item()
    for name, maps in (
        ("two_patterns", failure_density(two.images)[two.rows]),
        ("two_patterns_centre", centre_point(two.regions)),
        ("two_patterns_random", torch.ones(len(two.rows), 1, 1)),
    ):
        found[name] = pointing_accuracy(maps, two.regions)
    return found


def main(tasks: list[str]) -> None:
    torch.set_num_threads(1)
    path = RECORDED / "localisation.json"
    record = json.loads(path.read_text()) if path.exists() else {"tasks": {}}
    for task in tasks:
        setting, runs, two = SETTINGS[task], [], None
        if task == "scenes":
            train = digit_scenes("training", setting["train"], 0)
            test = digit_scenes("test", setting["test"], 1)
        else:
            train, test = (
                wafer_maps(setting[part], seed)
                for seed, part in enumerate(("train", "test"))
            )
            two = wafer_maps(300, 2, patterns=2)
        for seed in setting["seeds"]:
            model = small_network(task, seed).eval()
            untrained = scores(task, model, test, two)
            history = fit(
                model, batch_loss(model, train), setting["steps"], RATE, seed, task
            )
            trained = scores(task, model, test, two)
            runs.append(
                {"seed": seed, **trained, "seconds": round(history.seconds, 1)}
                | {"untrained": untrained}
            )
            print(task, json.dumps(runs[-1]), flush=True)
            if seed == 0:
                file = f"localisation_{task.replace(' ', '_')}.safetensors"
                save_file(model.state_dict(), RECORDED / file)
        record["tasks"][task] = {
            **setting,
            "baselines": baselines(task, test, two),
            "runs": runs,
        }
        ordered = {name: record["tasks"][name] for name in TASKS if name in record["tasks"]}  # fmt: skip
        record = {
            "what": f"SmallCNN of width 8, batches of 32, Adam, one-cycle learning rate up to {RATE}, float32",
            "versions": versions(),
            "tasks": ordered,
        }
        path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or list(TASKS))
