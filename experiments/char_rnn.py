"""Chapter 02: the perplexity of character language models on "Alice's Adventures in Wonderland", over sizes and seeds.

    python experiments/char_rnn.py

All models see the same training part; a seed sets the first weights and the excerpts. Training stops when the loss on
the validation part did not fall three times in a row, asked every 200 steps, and goes back to the best weights; the
test part is looked at once, afterwards. float32, one thread for each run, as many runs at a time as there are cores
(JOBS=1: one); on a CPU that rounds otherwise a run ends elsewhere, about as far as another seed would take it. About
half an hour on one core. Writes helpers/recorded/char_rnn.json, and the weights of 128 units and seed 0 beside it.
"""

import json
import os
import platform
from importlib import metadata
from multiprocessing import get_context

import torch
from safetensors.torch import save_file

from helpers.characters import (
    HIDDEN_SIZE,
    RECORDED,
    NGram,
    alice,
    batch_loss,
    character_model,
    mean_loss,
    perplexity,
)
from helpers.training import fit

RATES = {64: 0.005, 128: 0.003, 256: 0.003}  # hidden size → learning rate
SEEDS = [0, 1, 2]
EVERY, PATIENCE, STEPS = 200, 3, 4000


def run(job: tuple[int, int]) -> dict:
    """Train one model and score it."""
    torch.set_num_threads(1)
    hidden_size, seed = job
    vocabulary, parts = alice()
    model = character_model(vocabulary, hidden_size, seed)
    history = fit(
        model,
        batch_loss(model, parts["train"]),
        STEPS,
        RATES[hidden_size],
        seed,
        f"{hidden_size} units",
        validate=lambda: mean_loss(model, parts["validation"]),
        every=EVERY,
        patience=PATIENCE,
    )
    if (hidden_size, seed) == (HIDDEN_SIZE, 0):
        save_file(model.state_dict(), RECORDED / "char_rnn.safetensors")
    steps = list(history.validation)
    return {
        "hidden_size": hidden_size,
        "seed": seed,
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": steps,
        "train_loss": [
            round(sum(history.loss[step - EVERY : step]) / EVERY, 4) for step in steps
        ],
        "validation_loss": [round(history.validation[step], 4) for step in steps],
        "best_step": min(history.validation, key=history.validation.get),
        "perplexity": {
            name: perplexity(model, parts[name]) for name in ("validation", "test")
        },
        "seconds": round(history.seconds, 1),
    }


def ngrams() -> list[dict]:
    """The perplexities of n-grams from 1 to 6."""
    vocabulary, parts = alice()
    results = []
    for n in range(1, 7):
        model = NGram(parts["train"].tolist(), n, len(vocabulary))
        scores = {name: perplexity(model, parts[name]) for name in parts}
        results.append({"n": n, "contexts": len(model.counts), "perplexity": scores})
    return results


def main() -> None:
    scores = ngrams()
    jobs = [(size, seed) for seed in SEEDS for size in (128, 64, 256)]
    with get_context("spawn").Pool(int(os.environ.get("JOBS", os.cpu_count()))) as pool:
        runs = []
        for result in pool.imap_unordered(run, jobs):
            print(result, flush=True)
            runs.append(result)
            record(runs, scores)


def record(runs: list[dict], scores: list[dict]) -> None:
    """Write what is known so far."""
    content = {
        "what": "next character of Alice's Adventures in Wonderland, excerpts of 64 characters in batches of 32, "
        "Adam, early stopping, float32",
        "rates": RATES,
        "every": EVERY,
        "patience": PATIENCE,
        "versions": {
            "python": platform.python_version(),
            "torch": metadata.version("torch"),
        },
        "ngrams": scores,
        "runs": sorted(runs, key=lambda each: (each["hidden_size"], each["seed"])),
    }
    (RECORDED / "char_rnn.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
