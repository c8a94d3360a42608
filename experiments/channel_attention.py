"""Chapter 08a: one small network with and without attention in it, over seeds.

    python experiments/channel_attention.py [STEPS [SEEDS]]

All networks see the same photos in the same order; a seed sets the first weights, the same in all networks but for
those of the attention itself, and the batches. Each network has the better of two learning rates, by its accuracy on
photos held out for that, with seed 0. "wider" is the network without attention with about as many parameters as that
with CBAM. float32 on one thread: another CPU ends elsewhere, about as far as another seed would. About six minutes on
an idle core. Writes helpers/recorded/channel_attention.json, and the weights of seed 0 beside it.
"""

import json
import sys
import time

import torch
from safetensors.torch import save_file

from helpers.data import fashion
from helpers.resnet import count_flops, count_parameters
from helpers.small_cnn import KINDS, RECORDED, SmallCNN, accuracy, batch_loss, predict
from helpers.training import fit, versions
from helpers.vision_self_attention import NonLocal

RATES = (0.01, 0.03)
WIDER = (17, 34, 68)
NETWORKS = {name: lambda make=make: SmallCNN(make) for name, make in KINDS.items()}
NETWORKS["non-local"] = lambda: SmallCNN(NonLocal)
NETWORKS["wider"] = lambda: SmallCNN(KINDS["plain"], WIDER)


def train(
    name: str, rate: float, steps: int, seed: int, parts
) -> tuple[dict, SmallCNN]:
    """One network, trained and scored: → result, network."""
    torch.manual_seed(seed)
    model = NETWORKS[name]()
    start = time.process_time()
    fit(model, batch_loss(model, *parts[0]), steps, rate, seed, description=name)
    seconds = time.process_time() - start
    test = accuracy(model, *parts[2])
    result = {"network": name, "seed": seed, "cpu_seconds": round(seconds, 2)}
    print(json.dumps(result | {"test": test, "rate": rate}), flush=True)
    return result | {"test": test}, model


def milliseconds(photos: torch.Tensor, rounds: int = 9) -> dict[str, float]:
    """CPU time a photo, of 500 at a time, the least of several rounds that take turns."""
    models = {name: make().eval() for name, make in NETWORKS.items()}
    least = dict.fromkeys(models, float("inf"))
    for _ in range(rounds):
        for name, model in models.items():
            start = time.process_time()
            predict(model, photos)
            least[name] = min(least[name], time.process_time() - start)
    return {name: 1000 * seconds / len(photos) for name, seconds in least.items()}


def main() -> None:
    steps, seeds = (int(n) for n in [*sys.argv[1:], 400, 5][:2])
    torch.set_num_threads(1)
    parts = fashion()
    networks, runs = {}, []
    for name, make in NETWORKS.items():
        tried, validation = {}, {}
        for rate in RATES:
            tried[rate] = train(name, rate, steps, 0, parts)
            validation[rate] = accuracy(tried[rate][1], *parts[1])
        rate = max(validation, key=validation.get)
        result, model = tried[rate]
        runs.append(result)
        if name in KINDS:
            file = f"channel_attention_{name.lower().replace(' ', '_')}.safetensors"
            save_file(model.state_dict(), RECORDED / file)
        networks[name] = {
            "parameters": count_parameters(make()),
            "flops": sum(count_flops(make(), (28, 28)).values()),
            "learning_rate": rate,
            "validation": validation,
        }
    for seed in range(1, seeds):
        for name, network in networks.items():
            rate = network["learning_rate"]
            runs.append(train(name, rate, steps, seed, parts)[0])
        write(steps, networks, runs, parts)
    for name, each in milliseconds(parts[1][0][:500]).items():
        networks[name]["milliseconds"] = round(each, 4)
    write(steps, networks, runs, parts)


def write(steps: int, networks: dict, runs: list[dict], parts) -> None:
    """What there is so far."""
    record = {
        "what": f"{steps} steps of 32 of {len(parts[0][0]):,} photos of Fashion-MNIST, Adam, one-cycle learning rate, "
        f"float32; scored on {len(parts[2][0]):,} photos",
        "versions": versions(),
        "steps": steps,
        "seeds": sorted({run["seed"] for run in runs}),
        "networks": networks,
        "runs": runs,
    }
    path = RECORDED / "channel_attention.json"
    path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
