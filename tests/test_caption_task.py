"""The recorded captioners, scored again, and one that learns within seconds."""

import json

import pytest
import torch

from helpers.caption_task import (
    FILES,
    NOUNS,
    RECORDED,
    WORDS,
    annotate,
    batch_loss,
    digit_scenes,
    erased,
    labels,
    looks,
    new_captioner,
    pictures,
    point,
    recorded_captioner,
    recorded_encoder,
    targets,
    written,
)
from helpers.captioning import PictureEncoder
from helpers.pointing import score_captions
from helpers.scenes import captions
from helpers.training import fit

RECORD = json.loads((RECORDED / "captioning.json").read_text())
HARD = [name for name in FILES if name.startswith("hard")]


@pytest.fixture(scope="module")
def held_out():
    """100 of the 500 scenes of the record, and their annotations."""
    scenes = digit_scenes("test", 500, 1)[:100]
    return scenes, annotate(recorded_encoder(), scenes)


def recorded(name, seed=0):
    (run,) = (
        run
        for run in RECORD["models"]["runs"]
        if (run["model"], run["seed"]) == (name, seed)
    )
    return run


# ---- the data -------------------------------------------------------------------------------------------------------


def test_labels_say_what_is_there_and_no_more():
    scenes = digit_scenes("validation", 30, 3)
    for row, scene in zip(labels(scenes), scenes, strict=True):
        there = {t.noun for t in scene.objects} | {t.colour for t in scene.objects}
        assert row.sum() == len(there) and len(scene.objects) <= 2
        assert row[int(scene.objects[0].noun)] == 1
    assert labels(scenes).shape == (30, 14)


def test_targets_are_true_captions():
    scenes = digit_scenes("validation", 20, 3)
    tokens = targets(scenes, draws=4)
    assert tokens.shape[:2] == (4, 20)
    for draw in tokens:
        for row, scene in zip(draw.tolist(), scenes, strict=True):
            assert tuple(WORDS.decode(row)) in {c.words for c in captions(scene)}
    assert not torch.equal(tokens[0], tokens[1])


def test_annotations_do_not_depend_on_the_batch():
    scenes, encoder = digit_scenes("validation", 130, 3), recorded_encoder()
    some = encoder(pictures(scenes[120:]))
    assert torch.allclose(annotate(encoder, scenes)[120:], some, atol=1e-5)


def test_every_other_batch_of_hard_is_soft(monkeypatch):
    seen = []
    model = new_captioner(PictureEncoder(), 0)
    model.register_forward_pre_hook(lambda m, given: seen.append(given[2:3] or "hard"))
    notes, tokens = torch.rand(8, 4, 66), torch.randint(3, 9, (2, 8, 3))
    for name, expected in (
        ("blind", ["blind", "blind"]),
        ("soft", ["soft", "soft"]),
        ("hard", ["soft", "hard"]),
        ("hard alone", ["hard", "hard"]),
    ):
        loss = batch_loss(name, model, notes, tokens, batch_size=4)
        seen.clear()
        for _ in range(2):
            loss(torch.Generator().manual_seed(0))
        assert ["".join(look) for look in seen] == expected
    with pytest.raises(ValueError, match="name: got 'both', expected one of"):
        batch_loss("both", model, notes, tokens)


# ---- the record -----------------------------------------------------------------------------------------------------


def test_every_model_has_the_same_budget_and_three_seeds():
    for budget in ("models", "longer"):
        setting = RECORD[budget]
        for name in setting["models"] if budget == "longer" else FILES:
            seeds = [run["seed"] for run in setting["runs"] if run["model"] == name]
            assert sorted(seeds) == setting["seeds"] and len(seeds) >= 3


@pytest.mark.parametrize("name", FILES)
def test_recorded_weights_score_as_recorded(name, held_out):
    """A fifth of the scenes: within what chance allows of the recorded share."""
    scenes, notes = held_out
    model, run = recorded_captioner(name), recorded(name)
    look = "blind" if name == "blind" else "soft" if name not in HARD else "sharpest"
    score = score_captions(scenes, written(model, notes, look), NOUNS)
    for share in ("true", "nouns", "colours"):
        expected = run[look][share]
        room = 4 * (expected * (1 - expected) / 100) ** 0.5
        assert abs(getattr(score, share) - expected) < room


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_recorded_weights_give_the_recorded_numbers(name):
    scenes = digit_scenes("test", 500, 1)
    notes, model = annotate(recorded_encoder(), scenes), recorded_captioner(name)
    run, look = recorded(name), name.split()[0].rstrip(",")
    again = score_captions(scenes, written(model, notes, look), NOUNS)
    assert again.true == pytest.approx(run[look]["true"], abs=0.005)
    assert again.nouns == pytest.approx(run[look]["nouns"], abs=0.005)
    if name != "blind":
        shown = point(model, scenes, notes, look)
        for kind, expected in run["pointing"].items():
            assert shown[kind] == pytest.approx(expected, abs=0.005)
        assert erased(model, scenes, notes, look) == pytest.approx(
            run["erased"], abs=0.005
        )


def test_looks_are_for_the_words_of_a_true_caption(held_out):
    scenes, notes = held_out
    picked, tokens, told = looks(recorded_captioner("soft"), scenes, notes, "soft")
    assert WORDS.decode(tokens[7].tolist()) == list(picked[7].words)
    assert told.weights.shape == (*tokens.shape, 64)
    assert (told.gates > 0).all() and (told.gates < 1).all()


def test_soft_attention_points_and_an_untrained_network_does_not(held_out):
    scenes, notes = held_out
    for name, low, high in (("soft", 0.5, 1.0), (None, 0.0, 0.35)):
        model = recorded_captioner(name) if name else new_captioner(PictureEncoder(), 0)
        for kind in ("noun", "colour"):
            score = point(model, scenes, notes, "soft")[kind]
            assert low < score["weight"] < high and score["chance"] < 0.25


def test_to_erase_the_place_looked_at_matters_more_than_to_erase_another(held_out):
    shares = erased(recorded_captioner("soft"), *held_out, "soft")
    assert shares["looked at"] < shares["nothing"] - 0.08
    for other in ("beside it", "elsewhere"):
        assert abs(shares[other] - shares["nothing"]) < 0.05


@pytest.mark.slow
def test_it_learns_to_look_at_what_it_names():
    """Some seconds, one seed: more captions are true than without attention, and looks are on what they name."""
    scenes, test = digit_scenes("training", 1500, 5), digit_scenes("test", 200, 6)
    encoder = recorded_encoder()
    notes, seen, tokens = annotate(encoder, scenes), annotate(encoder, test), targets(scenes)  # fmt: skip
    score = {}
    for name in ("soft", "blind"):
        model = new_captioner(encoder, 0)
        fit(model, batch_loss(name, model, notes, tokens, 32), 250, 1e-2)
        score[name] = score_captions(test, written(model, seen, name), NOUNS)
        if name == "soft":
            noun = point(model, test, seen, "soft")["noun"]
            assert noun["hits"] > 2 * noun["chance"]
    assert score["soft"].true > score["blind"].true + 0.05


def test_another_name():
    with pytest.raises(ValueError, match="name: got 'best', expected one of 'blind',"):
        recorded_captioner("best")
