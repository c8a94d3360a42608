"""Two digits far apart: the pictures are as described, sums over tiles cannot answer, and the record is true."""

import json

import pytest
import torch

from helpers.data import digits
from helpers.far_apart import (
    APART,
    CHANNELS,
    GRID,
    RECORDED,
    TILE,
    WAYS,
    Comparer,
    accuracy,
    comparing_loss,
    pictures,
    reading_loss,
    recorded_comparer,
    tile_reader,
)
from helpers.resnet import count_parameters
from helpers.training import fit

pytestmark = pytest.mark.usefixtures("double_precision")
RECORD = json.loads((RECORDED / "far_apart.json").read_text())


def drawn(count=64, part=0, seed=0):
    return pictures(count, part, torch.Generator().manual_seed(seed))


def tiles_of(images):
    """(B, 36, 64): tile after tile."""
    return (
        images[:, 0]
        .unfold(1, TILE, TILE)
        .unfold(2, TILE, TILE)
        .flatten(3)
        .flatten(1, 2)
    )


@pytest.mark.parametrize("part", [0, 1, 2])
def test_two_digits_of_that_part_far_apart_on_empty_ground(part):
    images, same, places = drawn(64, part)
    known, classes = digits()[part]
    assert images.shape == (64, 1, 48, 48) and 0 <= images.min() < images.max() <= 1
    for tiles, label, pair in zip(tiles_of(images), same, places, strict=True):
        inked = (tiles.sum(1) > 0).nonzero()[:, 0].tolist()
        assert inked == sorted(pair.tolist())
        (y, x), (v, w) = (divmod(int(place), GRID) for place in pair)
        assert max(abs(y - v), abs(x - w)) >= APART
        first, second = (
            int((known == tile).all(1).nonzero()[0, 0]) for tile in tiles[pair]
        )
        assert first != second
        assert (classes[first] == classes[second]) == bool(label)


def test_half_are_pairs_and_draws_repeat():
    images, same, _ = drawn(1000)
    assert 0.45 < same.double().mean() < 0.55
    assert torch.equal(images, drawn(1000).images)
    assert not torch.equal(images, drawn(1000, seed=1).images)


def test_the_reader_reads_each_tile_by_itself():
    reader, images = tile_reader(), torch.rand(2, 1, 48, 48)
    changed = images.clone()
    changed[..., 8:16, 16:24] += 1
    differs = (reader(images) - reader(changed)).abs().amax((0, 1)) > 1e-9
    expected = torch.zeros(GRID, GRID, dtype=torch.bool)
    expected[1, 2] = True
    assert torch.equal(differs, expected)


@pytest.mark.parametrize("way", WAYS)
def test_how_far_each_way_sees(way):
    """Which places of the map change with the tile in the middle of the top row."""
    model = Comparer(way, tile_reader())
    if way == "non-local":
        torch.nn.init.normal_(model.compare.output.weight)
    images = torch.rand(1, 1, 48, 48)
    changed = images.clone()
    changed[..., :8, 16:24] += 1
    maps = (model.compare(model.reader(each)) for each in (images, changed))
    first, second = maps
    differs = (first - second).abs().amax((0, 1)) > 1e-12
    reach = {"convolution": 1, "three convolutions": 3, "non-local": 5}.get(way, 0)
    expected = torch.zeros(GRID, GRID, dtype=torch.bool)
    expected[: reach + 1, max(0, 2 - reach) : 3 + reach] = True
    assert torch.equal(differs, expected)


def logit_of_pairs(model, a, b, c, d):
    """Logits with digits a and c, a and d, b and c, b and d at two far tiles."""
    images = torch.zeros(4, 1, 48, 48)
    for row, (first, second) in enumerate(((a, c), (a, d), (b, c), (b, d))):
        images[row, 0, :8, :8] = first
        images[row, 0, -8:, -8:] = second
    return model(images)


@pytest.mark.parametrize("way", WAYS)
def test_what_does_not_see_far_is_a_sum_of_terms(way):
    """f(a, c) − f(a, d) = f(b, c) − f(b, d), whatever was learned: then no pair is judged by both its digits."""
    model = Comparer(way, tile_reader())
    if way == "non-local":
        torch.nn.init.normal_(model.compare.output.weight)
    for parameter in model.compare.parameters():
        parameter.data *= 3  # three convolutions meet at their last places alone
    out = logit_of_pairs(model, *torch.rand(4, 8, 8))
    gap = (out[0] - out[1] - out[2] + out[3]).abs().max()
    assert (gap < 1e-12) == (way in ("nothing", "convolution"))


def test_a_non_local_block_put_in_changes_nothing_at_first():
    plain, block = (Comparer(way, tile_reader()) for way in ("nothing", "non-local"))
    block.each.load_state_dict(plain.each.state_dict())
    block.decide.load_state_dict(plain.decide.state_dict())
    images = drawn(8).images
    assert torch.equal(plain(images), block(images))


def test_convolution_and_non_local_have_nearly_as_many_parameters():
    counts = {way: count_parameters(Comparer(way, tile_reader())) for way in WAYS}
    assert 0.99 < counts["convolution"] / counts["non-local"] < 1.01
    assert counts == {run["way"]: run["parameters"] for run in RECORD["runs"]}


def test_losses_train():
    reader, classify = tile_reader(), torch.nn.Linear(CHANNELS, 10)
    loss = reading_loss(reader, classify)
    history = fit(torch.nn.Sequential(reader, classify), loss, 60, 1e-2)
    assert history.loss[-1] < 0.7 * history.loss[0]
    model = Comparer("non-local", reader)
    assert torch.isfinite(comparing_loss(model)(torch.Generator().manual_seed(0)))


def test_the_record_has_the_same_budget_for_all():
    seeds = {
        way: [r["seed"] for r in RECORD["runs"] if r["way"] == way] for way in WAYS
    }
    assert all(each == seeds["nothing"] for each in seeds.values())
    assert len(seeds["nothing"]) >= 3


@pytest.mark.parametrize("way", ["non-local", "hidden layer"])
def test_recorded_weights_give_the_recorded_accuracy(way):
    (recorded,) = (
        r["accuracy"] for r in RECORD["runs"] if (r["way"], r["seed"]) == (way, 0)
    )
    assert accuracy(recorded_comparer(way)) == pytest.approx(recorded, abs=0.003)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: drawn(0), "count: got 0, expected at least 1"),
        (lambda: drawn(4, 3), "part: got 3, expected one of 0, 1, 2"),
        (lambda: Comparer("magic", tile_reader()), "way: got 'magic', expected one of"),
        (lambda: recorded_comparer("nothing"), "way: got 'nothing', expected 'non-loc"),
        (
            lambda: Comparer("nothing", tile_reader())(255 * torch.rand(1, 1, 8, 8)),
            "expected pixels scaled to 0 to 1",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
