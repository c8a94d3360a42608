"""Chapter 08b: soft and hard attention that describe scenes of digits, over seeds; how noisy their gradients are.

    python experiments/captioning.py              the encoder, all models, and two of them for longer
    python experiments/captioning.py encoder      some of the parts: encoder, models, longer
    STEPS=1200 SEEDS=0,1,2,3,4 python experiments/captioning.py models     more steps, more seeds

The encoder learns which digits and which colours are in a picture (not where, and not which goes with which), and is
then kept; all captioners read the same annotations of the same 5,000 scenes with the same number of steps, batches of
64, Adam with a one-cycle learning rate. A seed sets the first weights, the batches and the drawn places. float32 on one
thread. About a quarter of an hour on an idle core. Writes helpers/recorded/captioning.json, the encoder's weights, and
those of seed 0 of each model.
"""

import json
import os
import sys
from dataclasses import asdict
from functools import partial

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from helpers.caption_losses import MovingBaseline, gradient_noise, hard_loss, soft_loss
from helpers.caption_task import (
    FILES,
    NOUNS,
    RECORDED,
    annotate,
    batch_loss,
    digit_scenes,
    erased,
    labels,
    new_captioner,
    pictures,
    point,
    recorded_encoder,
    targets,
    written,
)
from helpers.captioning import Captioner, PictureEncoder, WhatIsThere
from helpers.pointing import score_captions
from helpers.training import fit, versions

TRAIN, TEST = 5000, 500  # scenes
ENCODER = {"steps": 1200, "learning_rate": 5e-3, "batch_size": 32}
MODELS = {
    "models": list(FILES),
    "steps": int(os.environ.get("STEPS", 300)),
    "learning_rate": 1e-2,
    "batch_size": 64,
    "seeds": [int(seed) for seed in os.environ.get("SEEDS", "0,1,2").split(",")],
}
LONGER = {
    **MODELS,
    "models": ["hard alone", "hard alone, no baseline"],
    "steps": 3 * MODELS["steps"],
}
DRAWS = 40  # of each gradient
PATH = RECORDED / "captioning.json"


def write_down(**parts) -> None:
    """Put these parts into the record; the others stay as they are."""
    record = json.loads(PATH.read_text()) if PATH.exists() else {}
    record["what"] = (
        f"{TRAIN} scenes of digits to train on, {TEST} held out, of other tiles"
    )
    record["versions"] = versions()
    PATH.write_text(json.dumps(record | parts, indent=1) + "\n")


def train_encoder() -> None:
    scenes, held_out = digit_scenes("training", TRAIN, 0), digit_scenes("test", TEST, 1)
    images, there = pictures(scenes), labels(scenes)
    torch.manual_seed(0)
    model = WhatIsThere(PictureEncoder(), there.shape[1])

    def loss(generator: torch.Generator) -> torch.Tensor:
        rows = torch.randint(TRAIN, (ENCODER["batch_size"],), generator=generator)
        return F.binary_cross_entropy_with_logits(model(images[rows]), there[rows])

    history = fit(model, loss, ENCODER["steps"], ENCODER["learning_rate"], 0, "encoder")
    with torch.no_grad():
        logits = torch.cat([model(part) for part in pictures(held_out).split(100)])
    right = (logits > 0) == (labels(held_out) > 0)
    result = {
        **ENCODER,
        "all_digits_right": right[:, : len(NOUNS)].all(dim=1).float().mean().item(),
        "all_colours_right": right[:, len(NOUNS) :].all(dim=1).float().mean().item(),
        "seconds": round(history.seconds, 1),
    }
    print(result, flush=True)
    save_file(model.encoder.state_dict(), RECORDED / "captioning_encoder.safetensors")
    write_down(encoder=result)


def noise(model: Captioner, annotations, tokens) -> dict:
    """How noisy the gradient of one trained model is by three rules: ‖mean‖² and variance, over `DRAWS` of the places
    for one batch of captions, and of batch and places."""
    generator = torch.Generator().manual_seed(0)
    parameters, result = [*model.parameters()], {}
    baseline = MovingBaseline()
    for _ in range(30):  # until the baseline is that of this model
        hard_loss(model, annotations[:64], tokens[0, :64], baseline, 1, 0, generator)
    for name, b in (("soft", None), ("hard", baseline), ("hard, no baseline", None)):

        def gradient_of(rows, name=name, b=b):
            batch = model, annotations[rows], tokens[0, rows]
            if name == "soft":
                return soft_loss(*batch)
            return hard_loss(*batch, b, 1.0, 0.0, generator)

        def fresh(gradient_of=gradient_of):
            return gradient_of(torch.randint(TRAIN, (64,), generator=generator))

        result[name] = {
            "places": gradient_noise(
                partial(gradient_of, torch.arange(64)), parameters, DRAWS
            ),
            "batch and places": gradient_noise(fresh, parameters, DRAWS),
        }
    return {"baseline": baseline.value, **result}


def train_models(part: str, setting: dict) -> None:
    encoder = recorded_encoder()
    scenes, held_out = digit_scenes("training", TRAIN, 0), digit_scenes("test", TEST, 1)
    annotations, tokens = annotate(encoder, scenes), targets(scenes)
    test, runs = annotate(encoder, held_out), []
    untrained = point(new_captioner(encoder, 0), held_out, test, "soft")
    for seed in setting["seeds"]:
        for name in setting["models"]:
            model = new_captioner(encoder, seed)
            loss = batch_loss(name, model, annotations, tokens, setting["batch_size"])
            history = fit(
                model, loss, setting["steps"], setting["learning_rate"], seed, name
            )
            result = {"model": name, "seed": seed, "seconds": round(history.seconds, 1)}
            look = name.split()[0].rstrip(",")  # blind, soft or hard
            for reading in [look] if look != "hard" else ["hard", "sharpest"]:
                words = written(model, test, reading)
                result[reading] = asdict(score_captions(held_out, words, NOUNS))
            if name != "blind":
                result["pointing"] = point(model, held_out, test, look)
                result["erased"] = erased(model, held_out, test, look)
            if name == "hard":
                result["noise"] = noise(model, annotations, tokens)
            print(result, flush=True)
            runs.append(result)
            if seed == 0 and part == "models":
                save_file(model.state_dict(), RECORDED / f"{FILES[name]}.safetensors")
            write_down(**{part: {**setting, "untrained": untrained, "runs": runs}})


if __name__ == "__main__":
    torch.set_num_threads(1)
    parts = {
        "encoder": train_encoder,
        "models": partial(train_models, "models", MODELS),
        "longer": partial(train_models, "longer", LONGER),
    }
    for part in sys.argv[1:] or parts:
        parts[part]()
