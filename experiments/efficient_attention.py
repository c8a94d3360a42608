"""Chapter 07b: what efficient attention loses and costs, over seeds.

    python experiments/efficient_attention.py [SETTING ...]

look-up   a pair far back is asked for (helpers/long_range.py): each pattern, same data, steps and parameters but for
          the low-rank one, which learns its mixtures too; accuracy by distance
speech    gaps in speech (helpers/concealment.py): error against how far a layer may look ahead
cost      milliseconds of processor time for the forward pass against the length, the least of several runs

Training is in float32, one thread. Writes helpers/recorded/efficient_attention.json, and the weights of seed 0 to
look_up.safetensors and concealment.safetensors beside it; the results of settings that are not run again stay.
"""

import json
import math
import platform
import sys
import time
from importlib import metadata

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from helpers import concealment, long_range
from helpers.beyond_text import (
    LowRankAttention,
    linear_attention,
    pattern_mask,
    windowed_attention,
)
from helpers.training import fit

SETTINGS = {
    "look-up": {
        "steps": 400,
        "learning_rate": 3e-3,
        "batch_size": 32,
        "seeds": [0, 1, 2],
    },
    "speech": {
        "steps": 800,
        "learning_rate": 3e-3,
        "batch_size": 8,
        "seeds": [0, 1, 2],
        "gaps": [2, 5, 10],
    },
    "cost": {"lengths": [256, 512, 1024, 2048, 4096], "width": 64, "repeats": 9},
}
TEST_SEED = 1000
KEPT = ("full", "window", "linear")  # look-up models whose weights are stored


def described(model, history, **known) -> dict:
    known["parameters"] = sum(p.numel() for p in model.parameters())
    known["seconds"] = round(history.seconds, 1)
    print(known, flush=True)
    return known


def run_look_up(steps, learning_rate, batch_size, seeds):
    runs, weights = [], {}
    for seed in seeds:
        for name in long_range.MIXERS:
            model = long_range.look_up_model(name, seed)
            loss = long_range.batch_loss(model, batch_size)
            history = fit(model, loss, steps, learning_rate, seed, name)
            shares = long_range.accuracy_by_distance(model, TEST_SEED)
            result = {"pattern": name, "seed": seed, "accuracy": shares}
            runs.append(described(model, history, **result))
            if seed == seeds[0] and name in KEPT:
                weights |= {f"{name}/{k}": w for k, w in model.state_dict().items()}
    save_file(weights, long_range.RECORDED / "look_up.safetensors")
    return {"test_seed": TEST_SEED, "distances": long_range.DISTANCES, "runs": runs}


def run_speech(steps, learning_rate, batch_size, seeds, gaps):
    train, test, scale = concealment.speech_bands()
    runs, weights = [], {}
    for seed in seeds:
        for right in concealment.LOOKAHEADS:
            model = concealment.concealer(right, seed)
            loss = concealment.batch_loss(model, train, batch_size)
            history = fit(model, loss, steps, learning_rate, seed, f"right {right}")
            errors = [
                concealment.error(model, test, scale, gap, TEST_SEED) for gap in gaps
            ]
            result = {"right": right, "seed": seed, "error": errors}
            runs.append(described(model, history, **result))
            if seed == seeds[0]:
                weights |= {f"{right}/{k}": w for k, w in model.state_dict().items()}
    save_file(weights, concealment.RECORDED / "concealment.safetensors")
    return {"test_seed": TEST_SEED, "runs": runs}


@torch.no_grad()
def run_cost(lengths, width, repeats):
    """One head; windows and ranks of 64 + 1 and 64 at every length."""
    milliseconds = {}
    for length in lengths:
        query, key, value = torch.randn(3, 1, 1, length, width)
        mask = pattern_mask("window", length, 32)
        low_rank = LowRankAttention(length, 64)

        def by_hand(mask=None, query=query, key=key, value=value):
            energy = query @ key.mT / math.sqrt(width)
            if mask is not None:
                energy = energy.masked_fill(~mask, -torch.inf)
            return torch.softmax(energy, dim=-1) @ value

        ways = {
            "full": by_hand,
            "full, masked to a window": lambda mask=mask: by_hand(mask),
            "full, fused": lambda q=query, k=key, v=value: (
                F.scaled_dot_product_attention(q, k, v)
            ),
            "window": lambda q=query, k=key, v=value: windowed_attention(
                q, k, v, 32, 32
            ),
            "low rank": lambda q=query, k=key, v=value, f=low_rank: f(q, k, v),
            "linear": lambda q=query, k=key, v=value: linear_attention(q, k, v),
        }
        for name, way in ways.items():
            times = []
            for _ in range(repeats):
                start = time.process_time()
                way()
                times.append(1000 * (time.process_time() - start))
            milliseconds.setdefault(name, []).append(round(min(times), 3))
            print(length, name, milliseconds[name][-1], flush=True)
    return {"milliseconds": milliseconds}


def main(names: list[str]) -> None:
    path = long_range.RECORDED / "efficient_attention.json"
    results = json.loads(path.read_text())["settings"] if path.exists() else {}
    torch.set_num_threads(1)
    runs = {"look-up": run_look_up, "speech": run_speech, "cost": run_cost}
    for name in names:
        results[name] = {**SETTINGS[name], **runs[name](**SETTINGS[name])}
        record = {
            "what": "efficient attention: accuracy by distance, error in dB by lookahead, milliseconds by length; "
            "Adam with a one-cycle rate, gradients clipped to 1, float32, one thread",
            "versions": {
                "python": platform.python_version(),
                "torch": metadata.version("torch"),
            },
            "settings": {key: results[key] for key in SETTINGS if key in results},
        }
        path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or list(SETTINGS))
