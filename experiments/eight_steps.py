"""Chapter 03: how far back does an RNN learn? Gradients at lag 8 and a recall task, over seeds, sizes, first weights.

    python experiments/eight_steps.py [SETTING ...]

The task: one of 8 symbols, then `lag` symbols of 8 other kinds that mean nothing, and at the end the first one must be
named; guessing gives 1/8. All runs of a setting are trained side by side, stacked in one tensor: run r has its own
weights, learning rate and bound on the gradient's norm, and shares nothing with the others but the data of its seed.
float32; training magnifies the last bit, so another machine ends elsewhere, about as far as another seed would.
Writes helpers/recorded/eight_steps.json; the settings that are not run again stay as they are. All settings
take about a quarter of an hour on an idle core.
"""

import json
import math
import platform
import sys
import time
from importlib import metadata, resources
from itertools import product

import torch
from torch.nn import functional as F

from helpers.bptt import initial_matrix, jacobians, log_gains, spectral_radius

RECORDED = resources.files("helpers") / "recorded" / "eight_steps.json"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SYMBOLS, DISTRACTORS, BATCH = 8, 8, 32
FIRST = [  # W at the start: (name, gain)
    ("uniform", 1.0),
    ("xavier", 1.0),
    ("orthogonal", 1.0),
    ("gaussian", 0.5),
    ("gaussian", 1.0),
    ("gaussian", 1.5),
    ("gaussian", 2.0),
]
LAGS = [2, 4, 8, 16, 32, 64]
SEEDS = list(range(10))
RECALL = {
    "lags": LAGS,
    "first": FIRST,
    "learning_rates": [0.003],
    "clips": [None],
    "optimizer": "adam",
    "steps": 1000,
}
TRUNCATED = {
    **RECALL,
    "size": 32,
    "lags": [8],
    "first": [("orthogonal", 1.0), ("uniform", 1.0)],
}
SETTINGS = {
    "clipping": {
        "size": 32,
        "lags": [8, 32],
        "first": [("uniform", 1.0), ("orthogonal", 1.0), ("gaussian", 2.0)],
        "learning_rates": [0.1, 0.3, 1.0],
        "clips": [1.0, None],
        "optimizer": "sgd",
        "steps": 1500,
    },
    **{
        f"truncation, limit {limit}": {**TRUNCATED, "limit": limit}
        for limit in (1, 2, 4, 6, 7, 8, 9)
    },
    "recall, 32 units": {
        **RECALL,
        "size": 32,
        "learning_rates": [0.001, 0.003, 0.01],
    },
    "recall, 16 units": {**RECALL, "size": 16},
    "recall, 64 units": {**RECALL, "size": 64, "lags": [8, 16, 32]},
}


def first_parameters(name: str, gain: float, size: int, seed: int) -> dict:
    """One model's first weights. Only W differs between initialisations of one seed."""
    generator = torch.Generator().manual_seed(seed)
    inputs = SYMBOLS + DISTRACTORS

    def uniform(rows, columns):
        bound = math.sqrt(6 / (rows + columns))
        return bound * (2 * torch.rand(rows, columns, generator=generator) - 1)

    return {
        "U": uniform(size, inputs),
        "V": uniform(SYMBOLS, size),
        "b": torch.zeros(1, size),
        "c": torch.zeros(1, SYMBOLS),
        "W": initial_matrix(name, size, generator, gain),
    }


def sequences(count: int, lag: int, generators) -> torch.Tensor:
    """(seeds, count, lag + 1) symbol numbers; the first is to be recalled."""
    drawn = []
    for generator in generators:
        first = torch.randint(SYMBOLS, (count, 1), generator=generator)
        rest = torch.randint(DISTRACTORS, (count, lag), generator=generator) + SYMBOLS
        drawn.append(torch.cat([first, rest], dim=1))
    return torch.stack(drawn).to(DEVICE)


def logits(p: dict, symbols: torch.Tensor, limit: int | None = None) -> torch.Tensor:
    """symbols (R, B, T) → (R, B, SYMBOLS), named at the last step of each of the R runs.

    limit: the gradient goes through this many last steps only.
    """
    x = F.one_hot(symbols, SYMBOLS + DISTRACTORS).to(p["U"].dtype)  # (R, B, T, d_x)
    runs, batch, steps, _ = x.shape
    fed = torch.baddbmm(p["b"], x.flatten(1, 2), p["U"].mT)
    fed = fed.view(runs, batch, steps, -1)
    h = torch.zeros_like(fed[:, :, 0])
    W = p["W"].mT
    for t, step in enumerate(fed.unbind(dim=2)):
        if limit is not None and t == steps - limit:
            h = h.detach()
        h = torch.tanh(torch.baddbmm(step, h, W))
    return torch.baddbmm(p["c"], h, p["V"].mT)


def train(setting: dict, lag: int) -> list[dict]:
    """All runs of a setting at one lag: {first, gain, learning_rate, clip, seed, accuracy, loss (curve)}."""
    runs = [
        {
            "first": name,
            "gain": gain,
            "learning_rate": learning_rate,
            "clip": clip,
            "seed": seed,
        }
        for (name, gain), learning_rate, clip, seed in product(
            setting["first"], setting["learning_rates"], setting["clips"], SEEDS
        )
    ]
    singles = [
        first_parameters(r["first"], r["gain"], setting["size"], r["seed"])
        for r in runs
    ]
    p = {
        name: torch.stack([single[name] for single in singles]).to(DEVICE)
        for name in singles[0]
    }
    for tensor in p.values():
        tensor.requires_grad_()
    rate = torch.tensor([r["learning_rate"] for r in runs], device=DEVICE)
    bound = torch.tensor([r["clip"] or math.inf for r in runs], device=DEVICE)
    rate, bound = rate.view(-1, 1, 1), bound.view(-1, 1, 1)
    repeat = len(runs) // len(SEEDS)
    generators = [torch.Generator().manual_seed(1000 + seed) for seed in SEEDS]
    mean = {name: torch.zeros_like(tensor) for name, tensor in p.items()}
    square = {name: torch.zeros_like(tensor) for name, tensor in p.items()}
    curve, window = [], []
    for step in range(1, setting["steps"] + 1):
        symbols = sequences(BATCH, lag, generators).repeat(repeat, 1, 1)
        scores = logits(p, symbols, setting.get("limit"))
        loss = F.cross_entropy(
            scores.flatten(0, 1), symbols[:, :, 0].flatten(), reduction="none"
        )
        loss = loss.view(len(runs), BATCH).mean(dim=1)  # (R,)
        gradients = torch.autograd.grad(loss.sum(), list(p.values()))
        with torch.no_grad():
            norm = sum(g.square().sum(dim=(1, 2), keepdim=True) for g in gradients)
            factor = (bound / norm.sqrt()).clamp(max=1.0).nan_to_num(nan=1.0)
            for (name, tensor), gradient in zip(p.items(), gradients, strict=True):
                gradient = gradient * factor
                if setting["optimizer"] == "sgd":
                    tensor -= rate * gradient
                    continue
                mean[name].lerp_(gradient, 0.1)
                square[name].lerp_(gradient.square(), 0.001)
                corrected = mean[name] / (1 - 0.9**step)
                root = (square[name] / (1 - 0.999**step)).sqrt()
                tensor -= rate * corrected / (root + 1e-8)
        window.append(loss.detach())
        if step % 100 == 0:
            curve.append(torch.stack(window).mean(dim=0))
            window = []
    held_out = [torch.Generator().manual_seed(10_000 + seed) for seed in SEEDS]
    symbols = sequences(500, lag, held_out).repeat(repeat, 1, 1)
    with torch.no_grad():
        right = logits(p, symbols).argmax(dim=-1) == symbols[:, :, 0]
        accuracy = right.float().mean(dim=1).tolist()
    curves = torch.stack(curve, dim=1).tolist()
    for run, share, losses in zip(runs, accuracy, curves, strict=True):
        run["accuracy"] = round(share, 3)
        run["loss"] = [
            round(value, 3) if math.isfinite(value) else None for value in losses
        ]
    return runs


def gradients() -> dict:
    """ln of the typical and the worst gain after 1 … 64 steps back, of untrained networks that read distractors."""
    generator = torch.Generator().manual_seed(0)
    symbols = sequences(1, 128, [generator])[0, 0, 1:].cpu()
    found = []
    for size, (name, gain), seed in product((16, 64, 256), FIRST, SEEDS):
        p = {k: v.double() for k, v in first_parameters(name, gain, size, seed).items()}
        h, states = torch.zeros(size, dtype=torch.float64), []
        for symbol in symbols:
            h = torch.tanh(p["W"] @ h + p["U"][:, symbol])
            states.append(h)
        factors = jacobians(p["W"], torch.stack(states[-64:]))
        found.append(
            {
                "size": size,
                "first": name,
                "gain": gain,
                "seed": seed,
                "radius": round(float(spectral_radius(p["W"])), 4),
                **{
                    norm: [round(float(v), 3) for v in log_gains(factors, norm)]
                    for norm in ("typical", "worst")
                },
            }
        )
    return {"lags": 64, "runs": found}


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    settings = json.loads(RECORDED.read_text())["settings"] if RECORDED.exists() else {}
    for name in names:
        start = time.perf_counter()
        if name == "gradients":
            settings[name] = gradients()
        else:
            setting = SETTINGS[name]
            results = {str(lag): train(setting, lag) for lag in setting["lags"]}
            if name != "clipping":  # the curves are drawn of the clipping setting only
                for run in (run for runs in results.values() for run in runs):
                    del run["loss"]
            settings[name] = {**setting, "runs": results}
        settings[name]["seconds"] = round(time.perf_counter() - start, 1)
        settings[name]["versions"] = {
            "python": platform.python_version(),
            "torch": metadata.version("torch"),
            "device": DEVICE,
        }
        print(name, settings[name]["seconds"], "s", flush=True)
        order = ["gradients", *SETTINGS]
        record = {
            "what": "gradients at a lag, and recall of one of 8 symbols after a lag; "
            "batches of 32, held-out accuracy of 500 sequences, float32",
            "seeds": SEEDS,
            "settings": {each: settings[each] for each in order if each in settings},
        }
        RECORDED.write_text(json.dumps(record, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or ["gradients", *SETTINGS])
