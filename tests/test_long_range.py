"""The look-up test: its data are as described, and the recorded results come from the recorded weights."""

import json

import pytest
import torch

from helpers.long_range import (
    DISTANCES,
    LENGTH,
    MIXERS,
    NAMES,
    RECORDED,
    VALUES,
    accuracy_by_distance,
    batch_loss,
    look_up,
    look_up_model,
    recorded_look_up,
)
from helpers.training import fit

RESULTS = json.loads((RECORDED / "efficient_attention.json").read_text())["settings"]
SETTING = RESULTS["look-up"]


def test_every_question_has_its_answer_once():
    x, asking, y, distance = look_up(200, torch.Generator().manual_seed(0))
    assert x.shape == (200, LENGTH, NAMES + VALUES + 1) and asking.shape == (200, 8)
    name, value = x[..., :NAMES], x[..., NAMES:-1]
    asks = x[..., -1] == 1
    assert (asks.sum(dim=1) == 8).all() and asks.gather(1, asking).all()
    assert (value.sum(-1) == (~asks)).all()  # one value each, none where one asks
    for b in range(20):
        told = ((name[b].sum(-1) == 1) & ~asks[b]).nonzero()[:, 0]
        assert len(told) == 8
        for i, place in enumerate(asking[b]):
            (found,) = (
                t for t in told if name[b, t].argmax() == name[b, place].argmax()
            )
            assert value[b, found].argmax() == y[b, i]
            assert abs(found - place) == distance[b, i]
    assert 0.1 < (y == 3).double().mean() < 0.15  # chance is an eighth
    assert DISTANCES[-1][1] == LENGTH - 1 == distance.max()


def test_patterns_limit_what_changes_an_answer():
    torch.manual_seed(0)
    x, asking, _, _ = look_up(1, torch.Generator().manual_seed(1))
    asking = torch.tensor([[40]])
    for name, reached in (("window", set(range(24, 57))), ("full", set(range(64)))):
        model, given = look_up_model(name, 0), x.clone().requires_grad_()
        model(given, asking).sum().backward()
        touched = given.grad[0].abs().sum(-1).nonzero()[:, 0]
        assert set(touched.tolist()) == reached


def test_all_patterns_have_the_same_recorded_budget():
    assert {run["pattern"] for run in SETTING["runs"]} == set(MIXERS)
    assert len(SETTING["runs"]) == len(MIXERS) * len(SETTING["seeds"])
    counts = {
        run["parameters"] for run in SETTING["runs"] if run["pattern"] != "low rank"
    }
    assert len(counts) == 1


@pytest.mark.parametrize("name", ["full", "window", "linear"])
def test_recorded_weights_give_the_recorded_accuracy(name):
    (recorded,) = (
        r["accuracy"]
        for r in SETTING["runs"]
        if r["pattern"] == name and r["seed"] == 0
    )
    again = accuracy_by_distance(recorded_look_up(name), SETTING["test_seed"])
    assert again == pytest.approx(recorded, abs=0.005)


def test_recorded_window_sees_near_and_guesses_far():
    for run in SETTING["runs"]:
        if run["pattern"] == "full":
            assert min(run["accuracy"]) > 0.99
        if run["pattern"] == "window":
            assert run["accuracy"][0] > 0.95 and run["accuracy"][3] < 0.2


def test_training_lowers_the_loss():
    model = look_up_model("full", 0)
    history = fit(model, batch_loss(model), 30, 3e-3)
    assert history.loss[-1] < history.loss[0]


def test_bad_input():
    with pytest.raises(ValueError, match="pattern: got 'spiral', expected one of"):
        look_up_model("spiral", 0)
