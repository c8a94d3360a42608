"""The captioning task of chapter 08b: scenes of digits, what is learned from them, and the recorded models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import cycle

import torch
from safetensors.torch import load_file

from helpers.caption_losses import MovingBaseline, hard_loss, soft_loss
from helpers.captioning import Captioner, PictureEncoder
from helpers.data import Vocabulary
from helpers.explorers import Reading
from helpers.pointing import KINDS, boxes_of, pointing, touched, word_kind
from helpers.scenes import (
    COLOURS,
    Box,
    Scene,
    captions,
    load_tiles,
    make_scenes,
    matching_caption,
    pick_captions,
    plural,
    vocabulary,
)
from helpers.training import RECORDED
from helpers.validation import require_choice

NOUNS = tuple("0123456789")
WORDS = vocabulary(NOUNS)
PENALTY = 0.1  # λ of the models with the doubly stochastic penalty
FILES = {
    "blind": "captioning_blind",
    "soft": "captioning_soft",
    "soft, λ = 0.1": "captioning_soft_penalty",
    "hard": "captioning_hard",
    "hard, no baseline": "captioning_hard_no_baseline",
    "hard alone": "captioning_hard_alone",
    "hard alone, no baseline": "captioning_hard_alone_no_baseline",
}


def digit_scenes(part: str, count: int, seed: int) -> list[Scene]:
    """Scenes of one or two digits among clutter, from the tiles of one part: "training", "validation" or "test"."""
    return make_scenes(load_tiles("digits", part), count, seed, most=2)


def pictures(scenes: Sequence[Scene]) -> torch.Tensor:
    """(N, 3, size, size), in the default type."""
    images = torch.stack([scene.image for scene in scenes])
    return images.to(torch.get_default_dtype())


def labels(scenes: Sequence[Scene]) -> torch.Tensor:
    """(N, 14), 1 for each digit and each colour that something in the scene has: not which has which, and not where."""
    names = [*NOUNS, *COLOURS]
    there = torch.zeros(len(scenes), len(names))
    for row, scene in zip(there, scenes, strict=True):
        for thing in scene.objects:
            row[names.index(thing.noun)] = row[names.index(thing.colour)] = 1
    return there


@torch.no_grad()
def annotate(encoder: PictureEncoder, scenes: Sequence[Scene]) -> torch.Tensor:
    """(N, L, D): computed once, since the encoder is not trained any more."""
    parts = [scenes[i : i + 100] for i in range(0, len(scenes), 100)]
    return torch.cat([encoder(pictures(part)) for part in parts])


def targets(scenes: Sequence[Scene], draws: int = 3) -> torch.Tensor:
    """(draws, N, T): so many true captions of each scene, drawn at random, as tokens."""
    picked = [c for seed in range(draws) for c in pick_captions(scenes, seed)]
    tokens = WORDS.batch([caption.words for caption in picked])
    return tokens.view(draws, len(scenes), -1)


def batch_loss(
    name: str,
    model: Captioner,
    annotations: torch.Tensor,
    tokens: torch.Tensor,
    batch_size: int = 64,
) -> Callable[[torch.Generator], torch.Tensor]:
    """For `helpers.training.fit`: the loss of the model `name`, one of `FILES`, on a random batch.

    "hard" looks softly in every other batch, as Xu et al. do in half of the captions; "hard alone" never does.
    annotations (N, L, D), tokens (draws, N, T). Raises ValueError for another name.
    """
    require_choice("name", name, FILES)
    baseline = None if "no baseline" in name else MovingBaseline()
    softly = cycle([not name.startswith("hard alone"), False])

    def loss(generator: torch.Generator) -> torch.Tensor:
        rows = torch.randint(len(annotations), (batch_size,), generator=generator)
        drawn = torch.randint(len(tokens), (batch_size,), generator=generator)
        target = tokens[drawn, rows]
        target = target[:, : int((target != Vocabulary.PAD).sum(dim=1).max())]
        if name.startswith("hard") and not next(softly):
            return hard_loss(
                model, annotations[rows], target, baseline, generator=generator
            )
        penalty = PENALTY if "λ" in name else 0.0
        look = "blind" if name == "blind" else "soft"
        return soft_loss(model, annotations[rows], target, penalty, look)

    return loss


def new_captioner(encoder: PictureEncoder, seed: int) -> Captioner:
    torch.manual_seed(seed)
    return Captioner(len(WORDS), encoder.annotation_size)


def recorded_encoder() -> PictureEncoder:
    """The encoder that all models share, as experiments/captioning.py trained it."""
    encoder = PictureEncoder()
    encoder.load_state_dict(load_file(RECORDED / "captioning_encoder.safetensors"))
    return encoder.eval().requires_grad_(False)


def recorded_captioner(name: str) -> Captioner:
    """Seed 0 of the model `name`, one of `FILES`. Raises ValueError for another name."""
    require_choice("name", name, FILES)
    model = new_captioner(PictureEncoder(), seed=0)
    model.load_state_dict(load_file(RECORDED / f"{FILES[name]}.safetensors"))
    return model.eval()


# ---------------------------------------------------------------------------------------------------------------------
# Scores, and what the explorer shows
# ---------------------------------------------------------------------------------------------------------------------


def written(
    model: Captioner, annotations: torch.Tensor, look: str, seed: int = 0
) -> list[list[str]]:
    """The words that the model writes for each picture; `seed` draws the places of a hard look."""
    generator = torch.Generator().manual_seed(seed)
    tokens, _ = model.write(annotations, look, generator=generator)
    return [WORDS.decode(row) for row in tokens.tolist()]


@torch.no_grad()
def looks(model: Captioner, scenes: Sequence[Scene], annotations, look: str):
    """A true caption of each scene, drawn at random, its tokens (N, T), and what the model, given these words, says of
    each and where it looks: captions, tokens, `Told`. The places of a hard look are drawn with seed 0."""
    tokens = targets(scenes, draws=1)[0]
    generator = torch.Generator().manual_seed(0)
    return (
        pick_captions(scenes, 0),
        tokens,
        model(annotations, tokens, look, generator=generator),
    )


def _cells(boxes: Sequence[Box], scene: Scene) -> torch.Tensor:
    size = scene.image.shape[-1]
    return touched(boxes, size, size // PictureEncoder.STRIDE).flatten().double()


def point(
    model: Captioner, scenes: Sequence[Scene], annotations: torch.Tensor, look: str
) -> dict[str, dict[str, float]]:
    """For each kind of word: how well its looks point, as `helpers.pointing.Pointing` says, and its mean gate."""
    picked, _, told = looks(model, scenes, annotations, look)
    size = scenes[0].image.shape[-1]
    rows = range(len(scenes))
    maps = [
        told.weights[i, : len(picked[i].words)].unflatten(-1, (size // 8, -1))
        for i in rows
    ]
    result = {}
    for kind in KINDS:
        boxes = [boxes_of(scenes[i], picked[i], kind, NOUNS) for i in rows]
        gates = [
            gate
            for caption, row in zip(picked, told.gates.tolist(), strict=True)
            for word, gate in zip(caption.words, row, strict=False)
            if word_kind(word, NOUNS) == kind
        ]
        score = asdict(pointing(maps, boxes, size))
        result[kind] = {**score, "gate": sum(gates) / len(gates)}
    return result


def erased(
    model: Captioner, scenes: Sequence[Scene], annotations: torch.Tensor, look: str
) -> dict[str, float]:
    """Mean probability of the first digit that a true caption names, as it is, and after one place was erased.

    The place is the one with the greatest weight for this word ("looked at"), another on the same thing, drawn at
    random ("beside it"), or one on none of the things ("elsewhere"). To erase a place is to give it the mean of all
    places, except for x and y. With "hard", the model looks at the sharpest place.
    """
    look = "sharpest" if look == "hard" else look
    picked, tokens, told = looks(model, scenes, annotations, look)
    rows = torch.arange(len(scenes))
    at = torch.tensor(
        [[word_kind(w, NOUNS) for w in c.words].index("noun") for c in picked]
    )
    beside, elsewhere = [], []
    for scene, caption, t in zip(scenes, picked, at.tolist(), strict=True):
        beside.append(_cells(caption.boxes(scene)[t], scene))
        elsewhere.append(1 - _cells([o.box for o in scene.objects], scene))
    looked = told.weights[rows, at].argmax(dim=-1)
    generator, places = torch.Generator().manual_seed(0), {"looked at": looked}
    for name, cells in (("beside it", beside), ("elsewhere", elsewhere)):
        free = torch.stack(cells)
        free[rows, looked] = 0
        places[name] = torch.multinomial(free, 1, generator=generator)[:, 0]

    def probability(told):
        p = told.logits[rows, at].softmax(dim=-1)
        return p[rows, tokens[rows, at]].mean().item()

    result, blank = {"nothing": probability(told)}, annotations.mean(dim=(0, 1))
    for name, place in places.items():
        changed = annotations.clone()
        changed[rows, place, :-2] = blank[:-2]
        result[name] = probability(looks(model, scenes, changed, look)[2])
    return result


def looks_for_explorer(
    readers: Mapping[str, tuple[Captioner, str, int]],
    scenes: Sequence[Scene],
    annotations: torch.Tensor,
) -> tuple[dict, dict]:
    """What `CaptionExplorer` takes: pictures and readings.

    readers: for each name a model, how it looks, and the seed of a hard look. A word of a caption that is not true has
    the boxes of all things of its name, or of its colour.
    """
    names = [f"scene {i + 1}" for i in range(len(scenes))]
    images = [(255 * scene.image).round().byte() for scene in scenes]
    readings: dict[str, dict[str, Reading]] = {name: {} for name in names}
    for reader, (model, look, seed) in readers.items():
        generator = torch.Generator().manual_seed(seed)
        tokens, told = model.write(annotations, look, generator=generator)
        for i, (name, scene) in enumerate(zip(names, scenes, strict=True)):
            words = WORDS.decode(tokens[i].tolist())
            count, size = len(words), scene.image.shape[-1] // PictureEncoder.STRIDE
            true = matching_caption(scene, words)
            readings[name][reader] = Reading(
                words,
                told.weights[i, :count].unflatten(-1, (size, size)),
                told.gates[i, :count],
                true.boxes(scene) if true else [_named(w, scene) for w in words],
                true is not None,
                told.places[i, :count].tolist() if look in ("hard", "sharpest") else (),
                " ".join(captions(scene)[0].words),
            )
    pictures = {
        name: image.permute(1, 2, 0).numpy()
        for name, image in zip(names, images, strict=True)
    }
    return pictures, readings


def _named(word: str, scene: Scene) -> list[Box]:
    return [
        thing.box
        for thing in scene.objects
        if word in (thing.noun, plural(thing.noun), thing.colour)
    ]
