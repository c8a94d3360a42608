"""Small networks by the number of photos: sizes, draws, augmentation, and what was recorded of them."""

import pytest
import torch

from helpers.data import fashion
from helpers.data_hunger import (
    NETWORKS,
    SIZES,
    augment,
    build,
    draw_photos,
    load,
    load_small_patches,
    recorded,
    train,
)
from helpers.resnet import count_flops, count_parameters
from helpers.small_cnn import accuracy

SEEDS = {0, 1, 2}
STEM, PATCHES = "ViT, convolutional stem", "ViT, small patches"
EQUAL = ("CNN", "ViT", STEM)


def photos(n=4):
    return torch.rand(n, 28, 28, generator=torch.Generator().manual_seed(0))


def test_those_compared_have_equally_many_parameters():
    counts = [count_parameters(build(name, 0)) for name in EQUAL]
    assert max(counts) / min(counts) < 1.01


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_names_photos_and_its_seed_sets_the_weights(name):
    one, same, other = (build(name, seed).eval() for seed in (1, 1, 2))
    with torch.no_grad():
        logits = one(photos())
        assert logits.shape == (4, 10)
        assert torch.equal(logits, same(photos()))
        assert not torch.allclose(logits, other(photos()), atol=1e-3)


def test_the_vit_takes_photos_as_its_class_takes_images():
    model = build("ViT, small patches", 0).eval()
    with torch.no_grad():
        states, _ = model.encode(photos()[:, None])
        assert torch.equal(model(photos()), model.classify(states[:, 0]))
    assert states.shape == (4, 50, 32)


def test_draws_of_one_seed_are_nested_and_those_of_two_differ():
    part = photos(50), torch.arange(50)
    few, more, others = (draw_photos(part, *x)[1] for x in ((5, 0), (20, 0), (20, 1)))
    assert torch.equal(few, more[:5])
    assert len(set(more.tolist())) == 20 and set(more.tolist()) != set(others.tolist())
    x, y = draw_photos(part, 50, 3)
    assert torch.equal(x, part[0][y])


def test_augmentation_only_moves_and_mirrors():
    x = torch.zeros(200, 9, 9)
    x[:, 4, 3] = 1  # left of the middle, so a mirror shows
    changed = augment(x, torch.Generator().manual_seed(0))
    assert changed.shape == x.shape and torch.equal(
        changed.sum((1, 2)), torch.ones(200)
    )
    rows, columns = (axis.tolist() for axis in changed.nonzero().T[1:])
    assert set(rows) == {2, 3, 4, 5, 6}
    assert set(columns) == {1, 2, 3, 4, 5, 6, 7}  # 3 ± 2, and 5 ± 2 in the mirror
    assert torch.equal(x[:, 4, 3], torch.ones(200))  # what was given stays


def test_augmentation_lets_black_in_and_keeps_pixels():
    x = photos(60) + 1
    changed = augment(x, torch.Generator().manual_seed(1))
    kept = changed[:, 4:-4, 4:-4]  # always inside of the photo
    assert (kept > 0).all() and (changed == 0).any()
    everything = set(x[0].flatten().tolist()) | {0.0}
    assert set(changed[0].flatten().tolist()) <= everything


@pytest.mark.parametrize("augmented", [False, True])
@pytest.mark.parametrize("name", ["CNN", "ViT"])
def test_training_is_repeatable_and_learns(name, augmented):
    x = torch.zeros(40, 28, 28)
    y = torch.arange(40) % 2
    x[y == 1, 8:20, 8:20] = 1
    one, same = (train(name, x, y, 3, 0.01, 0, augmented) for _ in range(2))
    assert all(map(torch.equal, one.parameters(), same.parameters()))
    assert accuracy(train(name, x, y, 50, 0.01, 0, augmented), x, y) == 1


def test_augmented_training_is_another_one():
    x, y = photos(20), torch.arange(20) % 10
    plain, other = (train("ViT", x, y, 2, 0.01, 0, a) for a in (False, True))
    assert not torch.allclose(plain.classify.weight, other.classify.weight, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: build("ResNet", 0), "name: got 'ResNet', expected one of 'CNN'"),
        (
            lambda: draw_photos((photos(), torch.zeros(4)), 5, 0),
            "count: got 5, expected 1 to 4",
        ),
        (
            lambda: augment(photos()[:, None], torch.Generator()),
            r"photos: got shape \(4, 1, 28, 28\)",
        ),
        (lambda: build("ViT", 0)(torch.full((1, 28, 28), 255.0)), "images: got"),
        (lambda: recorded("cnn"), "what: got 'cnn'"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ---- what was recorded ----------------------------------------------------------------------------------------------


def test_the_record_has_every_size_and_seed_at_equal_size_and_time():
    record = recorded()
    for part, sizes in (("runs", SIZES), ("longer", SIZES), ("augmented", [1000])):
        found = [(r["network"], r["photos"], r["seed"]) for r in record[part]]
        wanted = {(n, s, i) for n in ("CNN", "ViT") for s in sizes for i in SEEDS}
        assert set(found) == wanted and len(found) == len(wanted)
        # The chapter takes differences seed by seed.
        for one in {(n, s) for n, s, _ in found}:
            assert [i for n, s, i in found if (n, s) == one] == sorted(SEEDS)
    nearest = {(r["photos"], r["seed"]) for r in record["nearest"]}
    assert nearest == {(s, i) for s in SIZES for i in SEEDS}
    for name, said in (record["networks"] | recorded("vit")["networks"]).items():
        assert said["parameters"] == count_parameters(build(name, 0))
        assert said["flops"] == sum(count_flops(build(name, 0), (28, 28)).values())


def test_each_learning_rate_is_the_best_of_four_on_validation_photos():
    record, small = recorded(), recorded("vit")
    for name, said in record["networks"].items():
        tried = [r for r in record["rates"] if r["network"] == name]
        assert len(tried) == 4
        assert (
            said["learning_rate"] == max(tried, key=lambda r: r["validation"])["rate"]
        )
        again = [r for r in record["longer_rates"] if r["network"] == name]
        assert [r["rate"] for r in again] == sorted(r["rate"] for r in tried)
        assert said["learning_rate"] == small["networks"][name]["learning_rate"]
        assert said["steps"] == small["networks"][name]["steps"]
    tried = [
        r
        for r in small["runs"]
        if r["network"] == STEM and r["seed"] == 0 and not r["augmented"]
    ]
    best = max(tried, key=lambda r: r["validation"])
    assert len(tried) == 4
    assert small["networks"][STEM]["learning_rate"] == best["learning_rate"]


def test_the_record_of_the_variants_has_every_seed():
    small = recorded("vit")
    found = {
        (r["network"], r["augmented"], r["seed"])
        for r in small["runs"]
        if r["learning_rate"] == small["networks"][r["network"]]["learning_rate"]
    }
    variants = {(STEM, False), (STEM, True), ("ViT", True), ("CNN", True)}
    assert found == {(n, a, i) for n, a in variants | {(PATCHES, False)} for i in SEEDS}


@pytest.mark.slow
def test_recorded_weights_score_what_was_recorded():
    test = tuple(part[:5000] for part in fashion()[2])
    scores = {
        (r["network"], r["photos"]): r["test"]
        for r in recorded()["runs"]
        if r["seed"] == 0
    }
    for (name, size), score in scores.items():
        assert accuracy(load(name, size), *test) == pytest.approx(score, abs=0.001)


@pytest.mark.slow
def test_recorded_weights_of_small_patches_score_what_was_recorded():
    test = tuple(part[:5000] for part in fashion()[2])
    runs = [r for r in recorded("vit")["runs"] if r["network"] == PATCHES]
    assert len(runs) == 3
    for r in runs:
        score = accuracy(load_small_patches(r["seed"]), *test)
        assert score == pytest.approx(r["test"], abs=0.001)
