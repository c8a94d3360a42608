"""Chapter 08: how far a stack of convolutions sees before and after training, by its depth, over seeds.

    python experiments/receptive_field.py [SEED ...]

Stacks of 5, 10, 20 and 40 layers learn to say of each pixel of a handwritten digit which digit it is: same pictures,
same number of steps. float32 on one thread; about a minute a seed on an idle core.
Writes helpers/recorded/receptive_field.json, and the weights of seed 0 beside it.
"""

import json
import sys

import torch
from safetensors.torch import save_file

from helpers.receptive_field import (
    RECORDED,
    PixelClassifier,
    digit_pictures,
    effective_size,
    measured_field,
    pixel_accuracy,
    spread,
)
from helpers.training import fit, versions

DEPTHS, SEEDS, STEPS, RATE = (5, 10, 20, 40), (0, 1, 2), 250, 0.02


def seen(model: PixelClassifier) -> dict:
    field = measured_field(model)
    return {"sigma": spread(field), "size": effective_size(field)}


def run(num_layers: int, seed: int) -> tuple[dict, PixelClassifier]:
    """Train one stack and measure its field before and after."""
    torch.manual_seed(seed)
    model = PixelClassifier(num_layers).to(memory_format=torch.channels_last)
    before = seen(model)
    history = fit(model, model.batch_loss(), STEPS, RATE, seed, f"{num_layers} layers")
    result = {
        "layers": num_layers,
        "seed": seed,
        "before": before,
        "after": seen(model),
        "accuracy": pixel_accuracy(model, *digit_pictures(2, 400, seed=3)),
        "seconds": round(history.seconds, 1),
    }
    print(json.dumps(result), flush=True)
    return result, model


def main(seeds: list[int]) -> None:
    torch.set_num_threads(1)
    path = RECORDED / "receptive_field.json"
    runs = json.loads(path.read_text())["runs"] if path.exists() else []
    for seed in seeds:
        done = [run(num_layers, seed) for num_layers in DEPTHS]
        runs = [each for each in runs if each["seed"] != seed] + [r for r, _ in done]
        if seed == 0:
            weights = {
                f"{result['layers']}.{name}": tensor.contiguous()
                for result, model in done
                for name, tensor in model.state_dict().items()
            }
            save_file(weights, RECORDED / "receptive_field.safetensors")
        record = {
            "what": f"stacks of 3×3 convolutions with 8 channels, residual, SiLU; {STEPS} steps of 16 pictures, "
            f"Adam, one-cycle learning rate up to {RATE}, float32; scored on 400 pictures of other digits",
            "versions": versions(),
            "runs": sorted(runs, key=lambda each: (each["layers"], each["seed"])),
        }
        path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or list(SEEDS))
