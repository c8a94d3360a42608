"""The small network: attention where it is said to be, one start for all kinds, and what was recorded of them."""

import numpy as np
import pytest
import torch
from torch import nn

from helpers.channel_attention import gates
from helpers.data import fashion
from helpers.explorers import ChannelExplorer
from helpers.resnet import count_flops, count_parameters
from helpers.small_cnn import (
    KINDS,
    SmallCNN,
    accuracy,
    batch_loss,
    build,
    load,
    predict,
    recorded,
    tail,
)
from helpers.training import fit


def photos(n=3):
    return torch.rand(n, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", KINDS)
def test_attention_acts_after_each_of_the_three_stages(kind):
    model = build(kind, 1).eval()
    x = photos()[:, None]
    for i, (stage, attend) in enumerate(zip(model.stages, model.attention)):  # noqa: B905
        x = stage(x)
        assert torch.allclose(model.maps(photos(), i), x, atol=1e-6)
        x = attend(x)
    expected = model.classify(x.mean(dim=(2, 3)))
    assert torch.allclose(model(photos()), expected, atol=1e-6)
    assert x.shape == (3, 64, 7, 7) and expected.shape == (3, 10)


def test_one_seed_is_one_start_for_all_kinds():
    plain = build("plain", 3).state_dict()
    for kind in KINDS:
        weights = build(kind, 3).state_dict()
        assert all(torch.equal(weights[name], plain[name]) for name in plain)
    assert not torch.equal(build("plain", 4).classify.weight, plain["classify.weight"])


def test_batches_are_the_same_for_all_kinds_and_losses_right():
    x, y = photos(50), torch.arange(50) % 10
    model = build("plain", 0).eval()
    one = batch_loss(model, x, y)(torch.Generator().manual_seed(5))
    rows = torch.randint(50, (32,), generator=torch.Generator().manual_seed(5))
    log_p = model(x[rows]).log_softmax(dim=1)
    assert torch.allclose(one, -log_p[torch.arange(32), y[rows]].mean())


def test_predictions_in_parts_are_those_of_the_whole():
    model, x = build("CBAM", 0), photos(7)
    with torch.no_grad():
        whole = model.eval()(x)
    model.train()
    assert torch.allclose(predict(model, x), whole, atol=1e-6)
    assert not model.training
    y = whole.argmax(dim=1)
    y[:2] = (y[:2] + 1) % 10
    assert accuracy(model, x, y) == pytest.approx(5 / 7)


def test_it_learns():
    x = torch.zeros(40, 28, 28)
    y = torch.arange(40) % 2
    x[y == 1, 8:20, 8:20] = 1
    model = build("SE", 0)
    fit(model, batch_loss(model, x, y), steps=60, learning_rate=0.01)
    assert accuracy(model, x, y) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: build("SENet", 0), "kind: got 'SENet', expected one of 'plain', 'SE'"),
        (lambda: SmallCNN(nn.Identity, (8, 8)), "widths: got 2, expected 3"),
        (lambda: build("SE", 0)(torch.zeros(1, 3, 28, 28)), "photos: got shape"),
        (lambda: build("SE", 0)(torch.full((1, 28, 28), 255.0)), "photos: got a value"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ---- what was recorded ----------------------------------------------------------------------------------------------


def test_the_record_has_all_networks_and_seeds():
    record = recorded()
    names = [*KINDS, "non-local", "wider"]
    assert list(record["networks"]) == names
    assert len(record["seeds"]) >= 5
    pairs = {(run["network"], run["seed"]) for run in record["runs"]}
    assert pairs == {(name, seed) for name in names for seed in record["seeds"]}
    for kind in KINDS:
        model, said = build(kind, 0), record["networks"][kind]
        assert said["parameters"] == count_parameters(model)
        assert said["flops"] == sum(count_flops(model, (28, 28)).values())
        validation = said["validation"]
        assert said["learning_rate"] == float(max(validation, key=validation.get))


@pytest.mark.slow
def test_recorded_weights_score_what_was_recorded():
    test = fashion()[2]
    scores = {
        run["network"]: run["test"] for run in recorded()["runs"] if run["seed"] == 0
    }
    for kind in KINDS:
        assert accuracy(load(kind), *test) == pytest.approx(scores[kind], abs=0.001)


def test_the_explorer_computes_what_the_network_does():
    """With the recorded weights, and channels switched off by hand."""
    model, x = load("SE"), photos(2)
    with gates(model) as seen, torch.no_grad():
        maps, logits = model.maps(x, 1), model(x)
    explorer = ChannelExplorer(
        x,
        ["a", "b"],
        maps,
        seen["attention.1"],
        torch.full((10, 32), 0.5),
        [0, 1],
        tail(model),
        [str(k) for k in range(10)],
    )

    def said(logits):
        return np.abs(
            explorer.numbers()["probabilities"] - logits.softmax(dim=1)[0].numpy()
        ).max()

    assert said(logits) < 0.03

    def shut(name, weights):
        if name == "attention.1":
            weights = weights.clone()
            weights[:, [3, 4]] = 0
        return weights

    with gates(model, shut), torch.no_grad():
        switched = model(x)
    explorer.by_hand = [[3, 0.0], [4, 0.0]]
    assert said(switched) < 0.03
    assert (switched - logits).abs().max() > 0.1
