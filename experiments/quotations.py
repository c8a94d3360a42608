"""Chapter 02: inside a quotation or not? An RNN against windows, over seeds, by the distance of the clue.

    python experiments/quotations.py

All models see the same 696 paragraphs in the same number of batches, and are scored on 174 held out; a seed sets the
first weights and the batches. float64, one thread for each run, as many runs at a time as there are cores (JOBS=1:
one). About ten minutes on one core. Writes helpers/recorded/quotations.json, and the RNN's weights of seed 0 beside it.
"""

import json
import os
import platform
from importlib import metadata
from multiprocessing import get_context

import torch
from safetensors.torch import save_file

from helpers.data import Vocabulary
from helpers.quotations import (
    RECORDED,
    Paragraphs,
    accuracy_by_distance,
    labeller,
    quotation_paragraphs,
)
from helpers.training import fit

EDGES = [*range(21), 24, 28, 32, 36, 42, 50, 64, 100]  # characters to the clue
STEPS, RATE = 400, 0.01
FIVE, TWO = [0, 1, 2, 3, 4], [0, 1]
JOBS = [
    (name, RATE, seed) for name in ("RNN", "window 8", "window 32") for seed in FIVE
]
# other learning rates, to see that the chapter's puts the windows at no disadvantage
JOBS += [
    (name, rate, seed)
    for name in ("window 8", "window 32")
    for rate in (0.003, 0.03)
    for seed in TWO
]


def run(job: tuple[str, float, int]) -> dict:
    """Train one model and score it."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    name, rate, seed = job
    train, test = quotation_paragraphs()
    vocabulary = Vocabulary([*train, *test])
    model = labeller(name, vocabulary, seed)
    data, held_out = Paragraphs(train, vocabulary), Paragraphs(test, vocabulary)
    history = fit(model, data.batch_loss(model), STEPS, rate, seed, name)
    if (name, rate, seed) == ("RNN", RATE, 0):
        weights = {name: value.float() for name, value in model.state_dict().items()}
        save_file(weights, RECORDED / "quotations.safetensors")
    right = held_out.right(model)
    return {
        "model": name,
        "learning_rate": rate,
        "seed": seed,
        "parameters": sum(p.numel() for p in model.parameters()),
        "accuracy": right[held_out.there].double().mean().item(),
        "accuracy_train": data.right(model)[data.there].double().mean().item(),
        "by_distance": accuracy_by_distance(held_out, right, EDGES),
        "seconds": round(history.seconds, 1),
    }


def main() -> None:
    train, test = quotation_paragraphs()
    with get_context("spawn").Pool(int(os.environ.get("JOBS", os.cpu_count()))) as pool:
        runs = []
        for result in pool.imap(run, JOBS):
            print(result, flush=True)
            runs.append(result)
    held_out = Paragraphs(test, Vocabulary([*train, *test]))
    inside = accuracy_by_distance(held_out, held_out.labels == 1, EDGES)
    record = {
        "what": "characters inside a quotation, 696 paragraphs of Emma to train on, 174 held out, batches of 32, "
        "400 steps of Adam, float64",
        "edges": EDGES,
        "inside": inside,
        "versions": {
            "python": platform.python_version(),
            "torch": metadata.version("torch"),
        },
        "runs": runs,
    }
    (RECORDED / "quotations.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
