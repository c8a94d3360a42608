"""Chapter 04: faults of a simulated water heater, found by surprise and by labels, over seeds.

    python experiments/anomalies.py

A seed sets the recordings (6,000 steps of normal operation to train on, 2,000 to learn what errors are usual, 6,000
with faults to test on, 6,000 others with faults and labels for the labeller alone) and the first weights. Nothing is
chosen with the test recording. float64 on one thread; ten minutes. Writes helpers/recorded/anomalies.json and seed 0's
weights beside it.
"""

import json
import platform
from importlib import metadata

import torch
from safetensors.torch import save_file

from helpers.sensors import (
    RECORDED,
    Labeller,
    Predictor,
    autoregression,
    autoregression_errors,
    label_logits,
    precision_by_kind,
    prediction_errors,
    recordings,
    surprise,
    windows_loss,
)
from helpers.training import fit

SEEDS, STEPS, RATE = (0, 1, 2, 3, 4), 1500, 0.01


def run(seed: int) -> tuple[dict, dict]:
    """All detectors on one seed's recordings: → average precisions, weights of the trained ones."""
    train, usual, test, labelled = recordings(seed)
    torch.manual_seed(seed)
    predictor, labeller = Predictor(), Labeller()
    histories = [
        fit(predictor, windows_loss(predictor, train.values), STEPS, RATE, seed),
        fit(
            labeller,
            windows_loss(labeller, labelled.values, labelled.kind),
            STEPS,
            RATE,
            seed,
        ),
    ]
    linear = autoregression(train.values)
    errors = {
        "z-score": lambda x: x,
        "linear autoregression": lambda x: autoregression_errors(linear, x),
        "LSTM, surprise": lambda x: prediction_errors(predictor, x),
    }
    scores = {
        name: surprise(of(test.values), of(usual.values)) for name, of in errors.items()
    }
    scores["LSTM, labels"] = label_logits(labeller, test.values)
    result = {
        "seed": seed,
        "share_wrong": float((test.kind > 0).sum() / (test.kind >= 0).sum()),
        "seconds": [round(history.seconds, 1) for history in histories],
        "error": {
            name: (of(usual.values)[16:] ** 2).mean(axis=0).tolist()
            for name, of in errors.items()
        },
        "precision": {n: precision_by_kind(s, test.kind) for n, s in scores.items()},
    }
    weights = {
        f"{name}/{key}": value.float()
        for name, model in (("predictor", predictor), ("labeller", labeller))
        for key, value in model.state_dict().items()
    }
    return result, weights


def main() -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    runs = []
    for seed in SEEDS:
        result, weights = run(seed)
        print(result, flush=True)
        runs.append(result)
        if seed == 0:
            save_file(weights, RECORDED / "anomalies.safetensors")
    record = {
        "what": f"average precision, {STEPS} steps of 32 windows of 100 readings, 32 units, "
        f"Adam, one-cycle learning rate up to {RATE}, float64",
        "versions": {
            "python": platform.python_version(),
            "torch": metadata.version("torch"),
        },
        "runs": runs,
    }
    path = RECORDED / "anomalies.json"
    path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
