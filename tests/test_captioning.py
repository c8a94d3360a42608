"""Soft and hard attention: what must be equal is equal, exactly or within the standard error."""

import math
from itertools import product

import pytest
import torch
from torch import nn

from helpers.attention import Additive
from helpers.captioning import (
    LOOKS,
    Captioner,
    Look,
    MovingBaseline,
    PictureEncoder,
    doubly_stochastic_penalty,
    entropy,
    gradient_noise,
    hard_loss,
    log_likelihood,
    log_probability_of_places,
    pointing,
    soft_loss,
    touched,
    write,
)
from helpers.data import Vocabulary
from helpers.scenes import captions, load_tiles, make_scenes, pick_captions, vocabulary
from helpers.training import fit

pytestmark = pytest.mark.usefixtures("double_precision")


class Grid(nn.Module):
    """An encoder for tiny cases: the places are the pixels, their numbers the channels."""

    def forward(self, images):
        return images.flatten(2).mT


def tiny(places=3):
    """A model of 3 numbers a place and 4 hidden ones with large weights, so that looks differ, and two captions."""
    torch.manual_seed(1)
    model = Captioner(6, annotation_size=3, hidden_size=4, encoder=Grid())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    images, target = torch.rand(2, 3, 1, places), torch.tensor([[3, 4], [5, 2]])
    return model, images, target


def small():
    torch.manual_seed(0)
    return Captioner(9, annotation_size=16, hidden_size=8), torch.rand(2, 3, 32, 48)


# ---- one look -------------------------------------------------------------------------------------------------------


def looked(look, places=None, generator=None, rows=2):
    torch.manual_seed(2)
    layer = Look(4, 3)
    state, annotations = torch.randn(rows, 4), torch.randn(rows, 5, 3)
    if places is not None:
        places = torch.full((rows,), places)
    keys = layer.key(annotations)
    return *layer(state, annotations, keys, look, places, generator), annotations


def test_soft_context_is_the_mean_of_the_hard_ones():
    """By enumeration: Σ_i α_i · what the hard look gives at place i."""
    soft, weights, none, _ = looked("soft")
    hard = torch.stack([looked("hard", place)[0] for place in range(5)], dim=1)
    mean = (weights[..., None] * hard).sum(dim=1)
    assert (mean - soft).abs().max() < 1e-15
    assert (none == -1).all()
    assert not torch.allclose(hard.mean(dim=1), soft)  # the weights are not uniform


def test_hard_looks_are_drawn_from_the_weights():
    n = 20_000
    torch.manual_seed(2)
    layer, state, annotations = Look(4, 3), torch.randn(1, 4), torch.randn(1, 5, 3)
    state, annotations = state.expand(n, 4), annotations.expand(n, 5, 3)
    generator = torch.Generator().manual_seed(0)
    context, weights, places = layer(
        state, annotations, layer.key(annotations), "hard", None, generator
    )
    share = places.bincount(minlength=5) / n
    error = (weights[0] * (1 - weights[0]) / n).sqrt()
    assert ((share - weights[0]).abs() < 4 * error).all()
    assert torch.equal(context, annotations[torch.arange(n), places])


def test_the_sharpest_and_the_blind_look():
    context, weights, places, annotations = looked("sharpest")
    assert torch.equal(places, weights.argmax(-1)) and len(weights[0].unique()) == 5
    assert torch.equal(context, annotations[torch.arange(2), places])
    context, weights, _, annotations = looked("blind")
    assert (weights == 0.2).all()
    assert torch.allclose(context, annotations.mean(dim=1))


def test_energy_is_the_additive_one_of_bahdanau():
    torch.manual_seed(0)
    layer, other = Look(4, 3), Additive(4, 3)
    other.load_state_dict(layer.state_dict())
    state, annotations = torch.randn(2, 4), torch.randn(2, 5, 3)
    weights = layer(state, annotations, layer.key(annotations), "soft")[1]
    expected = torch.softmax(other(state[:, None], annotations)[:, 0], dim=-1)
    assert torch.allclose(weights, expected, atol=1e-15)


@pytest.mark.parametrize("look", LOOKS)
def test_rows_sum_to_1_and_a_hook_sees_them(look):
    model, images = small()
    seen = []
    model.look.softmax.register_forward_hook(lambda *call: seen.append(call[2]))
    told = model(images, torch.tensor([[3, 4, 2], [5, 2, 0]]), look)
    assert told.logits.shape == (2, 3, 9) and told.weights.shape == (2, 3, 24)
    assert torch.allclose(told.weights.sum(-1), torch.ones(2, 3), atol=1e-12)
    assert (told.weights >= 0).all() and len(seen) == 3
    if look != "blind":
        assert torch.equal(torch.stack(seen, 1), told.weights)


# ---- the captioner --------------------------------------------------------------------------------------------------


def test_a_word_does_not_know_what_comes_after_it():
    model, images = small()
    one, other = torch.tensor([[3, 4, 5, 2]] * 2), torch.tensor([[3, 4, 6, 7]] * 2)
    a, b = model(images, one).logits, model(images, other).logits
    assert torch.equal(a[:, :3], b[:, :3]) and not torch.allclose(a[:, 3], b[:, 3])


def test_places_that_are_given_are_where_it_looks():
    model, images, target = tiny()
    places = torch.tensor([[0, 2], [1, 1]])
    told = model(images, target, "hard", places)
    assert torch.equal(told.places, places)
    changed = images.clone()
    changed[0, :, 0, 1] = changed[0, :, 0, 1].flip(0)  # row 0 never looks at place 1
    with torch.no_grad():  # and the first state must not tell
        model.first_state.weight.zero_()
    one, other = (
        model(x, target, "hard", places).logits for x in (images, changed)
    )  # fmt: skip
    assert torch.equal(one, other)
    elsewhere = model(changed, target, "hard", torch.ones_like(places)).logits
    assert not torch.allclose(elsewhere[0], one[0])


def test_coordinates_tell_places_apart():
    """A picture of one grey has different annotations left and right, above and below."""
    torch.manual_seed(0)
    grid = PictureEncoder(16)(torch.full((1, 3, 64, 64), 0.5)).view(8, 8, 16)
    inner = grid[3:5, 3:5]  # far from the padding
    assert not torch.allclose(inner[0, 0], inner[0, 1])
    assert not torch.allclose(inner[0, 0], inner[1, 0])


def test_places_are_numbered_row_by_row():
    torch.manual_seed(0)
    encoder, picture = PictureEncoder(16), torch.zeros(1, 3, 64, 96)
    spotted = picture.clone()
    spotted[..., 27:30, 59:62] = 1  # in row 3 of 8, column 7 of 12
    with torch.no_grad():  # no norm over the whole picture
        for i in (1, 4, 7, 10):
            encoder.layers[i] = nn.Identity()
    changed = (encoder(spotted) - encoder(picture)).abs().sum(-1)[0]
    rows, columns = (changed.view(8, 12) > 1e-9).nonzero(as_tuple=True)
    assert abs(rows.double().mean() - 3) < 1 and abs(columns.double().mean() - 7) < 1
    assert len(rows) < 30  # what reaches so far, not everything


def test_log_likelihood_leaves_padding_out():
    logits, target = torch.randn(2, 3, 5), torch.tensor([[3, 2, 0], [4, 3, 2]])
    log_p = torch.log_softmax(logits, -1)
    expected = [
        log_p[0, 0, 3] + log_p[0, 1, 2],
        log_p[1, 0, 4] + log_p[1, 1, 3] + log_p[1, 2, 2],
    ]
    assert torch.allclose(log_likelihood(logits, target), torch.stack(expected))


# ---- the penalty ----------------------------------------------------------------------------------------------------


def test_penalty_is_0_if_every_place_is_looked_at_once():
    words = torch.ones(1, 4, dtype=torch.bool)
    each = torch.eye(4)[[2, 0, 3, 1]][None]
    assert doubly_stochastic_penalty(each, words) == 0
    assert doubly_stochastic_penalty(torch.full((1, 4, 4), 0.25), words) == 0
    always = torch.eye(4)[[0, 0, 0, 0]][None]
    assert doubly_stochastic_penalty(always, words) == (1 - 4) ** 2 + 3
    padded = torch.cat([each, torch.rand(1, 2, 4)], dim=1)
    mask = torch.tensor([[True] * 4 + [False] * 2])
    assert doubly_stochastic_penalty(padded, mask) == 0


def test_least_penalty_with_fewer_words_than_places():
    words = torch.ones(1, 3, dtype=torch.bool)
    even = doubly_stochastic_penalty(torch.full((1, 3, 12), 1 / 12), words)
    assert even.item() == pytest.approx(12 * (1 - 3 / 12) ** 2)
    energies = torch.randn(50, 3, 12)
    others = doubly_stochastic_penalty(energies.softmax(-1), words.expand(50, 3))
    assert (others > even).all()


def test_gradient_of_the_penalty_is_that_of_the_squares():
    """The 1 of the paper plays no part in it."""
    energies = torch.randn(2, 3, 12, requires_grad=True)
    weights, words = energies.softmax(-1), torch.ones(2, 3, dtype=torch.bool)
    ours = doubly_stochastic_penalty(weights, words).sum()
    squares = weights.sum(dim=1).square().sum()
    one, other = (
        torch.autograd.grad(x, energies, retain_graph=True)[0]
        for x in (ours, squares)
    )  # fmt: skip
    assert torch.allclose(one, other, atol=1e-12) and one.abs().max() > 1e-3


def test_soft_loss_by_hand():
    model, images, target = tiny()
    told = model(images, target)
    terms = [
        -torch.log_softmax(told.logits[b], -1)[[0, 1], target[b]].sum()
        + 0.5 * ((1 - told.weights[b].sum(0)) ** 2).sum()
        for b in range(2)
    ]
    assert torch.allclose(soft_loss(model, images, target, 0.5), sum(terms) / 2)


# ---- hard attention: REINFORCE --------------------------------------------------------------------------------------


def enumerated(model, images, target):
    """−Σ_s p(s) log p(y | s), the mean over the captions: all 3² paths of places, one after the other."""
    total = 0
    words = torch.ones(target.shape, dtype=torch.bool)
    for path in product(range(3), repeat=2):
        places = torch.tensor([path, path])
        told = model(images, target, "hard", places)
        log_p = log_probability_of_places(told.weights, places, words)
        total = total - log_p.exp() * log_likelihood(told.logits, target)
    return total.mean()


def gradients(loss, model):
    found = torch.autograd.grad(loss, [*model.parameters()], allow_unused=True)
    return torch.cat([g.flatten() for g in found if g is not None])


def estimates(draws, baseline, score_weight=1.0):
    """The exact gradient and `draws` estimates of it, each from one path for each caption."""
    model, images, target = tiny()
    exact = gradients(enumerated(model, images, target), model)
    generator, found = torch.Generator().manual_seed(0), []
    for _ in range(draws):
        fixed = MovingBaseline()
        fixed.value = baseline
        loss = hard_loss(
            model, images, target, fixed, score_weight, 0.0, generator
        )  # fmt: skip
        found.append(gradients(loss, model))
    return exact, torch.stack(found)


def standard_errors(exact, found):
    error = found.std(dim=0) / math.sqrt(len(found))
    # what no path changes must be exact
    return (found.mean(0) - exact).abs() / error.clamp(min=1e-10)


def test_paths_have_probabilities_that_sum_to_1():
    model, images, target = tiny()
    words = torch.ones(2, 2, dtype=torch.bool)
    total = 0
    for path in product(range(3), repeat=2):
        places = torch.tensor([path, path])
        weights = model(images, target, "hard", places).weights
        total = total + log_probability_of_places(weights, places, words).exp()
    assert torch.allclose(total, torch.ones(2), atol=1e-12)


@pytest.mark.parametrize("baseline", [0.0, -4.0])
def test_reinforce_is_unbiased(baseline):
    """Against all paths: no parameter's mean is further off than chance allows, whatever the baseline."""
    exact, found = estimates(300, baseline)
    off = standard_errors(exact, found)
    assert off.max() < 4.5 and off.square().mean().sqrt() < 1.6
    assert exact.norm() > 0.1


def test_without_the_score_it_is_biased():
    """The test above can fail: to go without the second term is to be wrong."""
    assert standard_errors(*estimates(300, -4.0, score_weight=0.0)).max() > 6


def test_a_good_baseline_makes_it_less_noisy():
    spread = {
        b: estimates(150, b)[1].var(dim=0).sum() for b in (0.0, -4.0)
    }  # fmt: skip
    assert spread[-4.0] < 0.7 * spread[0.0]


def test_the_baseline_is_used_before_it_moves_on():
    model, images, target = tiny()
    baseline = MovingBaseline()
    places = model(images, target, "hard", generator=seeded()).places
    told = model(images, target, "hard", places)
    reward = log_likelihood(told.logits, target)
    score = log_probability_of_places(told.weights, places, target != 0)
    expected = -(reward + reward * score).mean()  # b = 0
    loss = hard_loss(model, images, target, baseline, 1.0, 0.0, seeded())
    assert torch.allclose(loss, expected)
    assert baseline.value == pytest.approx(0.1 * reward.mean().item())
    baseline.update(torch.tensor([-2.0, -4.0]))
    assert baseline.value == pytest.approx(0.09 * reward.mean().item() - 0.3)


def seeded():
    return torch.Generator().manual_seed(5)


def test_entropy():
    words = torch.tensor([[True, True, False]])
    even, sure = torch.full((1, 3, 8), 1 / 8), torch.eye(8)[[1, 4, 4]][None]
    assert entropy(even, words).item() == pytest.approx(2 * math.log(8))
    assert entropy(sure, words) == 0
    model, images, target = tiny()
    losses = [
        hard_loss(model, images, target, MovingBaseline(), 1.0, weight, seeded())
        for weight in (0.0, 0.5)
    ]
    weights = model(images, target, "hard", generator=seeded()).weights
    gained = 0.5 * entropy(weights, target != 0).mean()
    assert torch.allclose(losses[0] - losses[1], gained)


def test_noise_of_a_known_gradient():
    x = nn.Parameter(torch.tensor([3.0, 4.0]))
    assert gradient_noise(lambda: x.square().sum() / 2, [x], 5) == pytest.approx(
        (25, 0)
    )
    signs = iter([1.0, -1.0] * 2)
    mean, variance = gradient_noise(lambda: next(signs) * x[0] + 2 * x[1], [x], 4)
    assert (mean, variance) == pytest.approx((4, 4 / 3))  # (0, 2); ±1 with 3 below


# ---- writing and pointing -------------------------------------------------------------------------------------------

WORDS = Vocabulary([["a", "bag", "left", "of", "red", "shoe"]])


@pytest.mark.parametrize("look", LOOKS)
def test_writing_is_the_likeliest_word_after_the_likeliest(look):
    model, images = small()
    written = write(model, images, WORDS, look, 5, seeded())
    assert [w.words for w in written] == [
        w.words for w in write(model, images, WORDS, look, 5, seeded())
    ]
    for row, one in enumerate(written):
        assert one.weights.shape == (len(one.words), 4, 6)
        assert len(one.places) == len(one.words) <= 5
        tokens = WORDS.encode(one.words)
        target = torch.tensor([tokens] * 2)
        places = torch.tensor([one.places] * 2) if look in ("hard", "sharpest") else None  # fmt: skip
        told = model(images, target, "hard" if places is not None else look, places)
        logits = told.logits[row]
        logits[:, :2] = -torch.inf
        assert logits.argmax(-1).tolist() == tokens
        assert torch.allclose(told.weights[row], one.weights.flatten(1), atol=1e-12)


def test_writing_ends_at_the_end_mark():
    model, images = small()
    with torch.no_grad():
        model.output.bias[Vocabulary.END] = 100
    for one in write(model, images, WORDS):
        assert one.words == [] and one.weights.shape == (0, 4, 6) and one.places == []


def test_touched_cells():
    grid = touched([(8, 0, 16, 9)], 32, 4)
    assert grid.nonzero().tolist() == [[0, 1], [1, 1]]  # row, column
    assert touched([], 32, 4).sum() == 0
    assert touched([(0, 0, 1, 1), (31, 31, 32, 32)], 32, 4).sum() == 2


def test_pointing_by_hand():
    boxes = [[[], [(0, 0, 8, 8)], [(8, 8, 16, 16), (24, 24, 32, 32)]]]
    maps = torch.zeros(3, 4, 4)
    maps[0, 2, 2] = 1
    maps[1, 0, 1], maps[1, 0, 0] = 0.7, 0.3  # beside it
    maps[2, 3, 3], maps[2, 0, 0] = 0.6, 0.4  # on the second box
    score = pointing([maps], boxes, 32)
    assert score.words == 2 and score.hits == 0.5
    assert score.weight == pytest.approx((0.3 + 0.6) / 2)
    assert score.chance == pytest.approx((1 / 16 + 2 / 16) / 2)


@pytest.mark.slow
def test_it_learns_to_look_at_what_it_names():
    """One digit a scene, some seconds: most colours and all words in order, looks on the digit far above chance."""
    torch.set_default_dtype(torch.float32)
    tiles = load_tiles("digits", "training")
    scenes = make_scenes(tiles, 1000, seed=0, most=1, clutter=4)
    words = vocabulary(tiles.nouns)
    images = torch.stack([s.image for s in scenes])
    target = words.batch([c.words for c in pick_captions(scenes, 0)])
    torch.manual_seed(0)
    model = Captioner(len(words), 32, 48)

    def batch_loss(generator):
        rows = torch.randint(900, (32,), generator=generator)
        return soft_loss(model, images[rows], target[rows])

    fit(model, batch_loss, 250, 5e-3)
    held_out = scenes[900:]
    written = write(model, images[900:], words)
    colours = [s.objects[0].colour in w.words for s, w in zip(held_out, written, strict=True)]  # fmt: skip
    forms = {(len(c.words), c.words[0]) for s in held_out for c in captions(s)}
    assert all((len(w.words), w.words[0]) in forms for w in written)
    assert sum(colours) > 80
    truth = [pick_captions([s], 0)[0] for s in held_out]
    told = model(images[900:], words.batch([c.words for c in truth]))
    maps = [w[: len(c.words)].unflatten(-1, (8, 8)) for w, c in zip(told.weights, truth, strict=True)]  # fmt: skip
    score = pointing(maps, [c.boxes(s) for c, s in zip(truth, held_out, strict=True)], 64)  # fmt: skip
    assert score.hits > 2 * score.chance


# ---- bad input ------------------------------------------------------------------------------------------------------

ENCODER = PictureEncoder(8).double()
IMAGES = torch.full((2, 3, 16, 16), 0.5, dtype=torch.float64)
TARGET = torch.tensor([[3, 2], [4, 2]])


def model():
    return Captioner(5, 8, 4, ENCODER)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ENCODER(IMAGES[:, :1]),
            r"images: got shape \(2, 1, 16, 16\), expected",
        ),
        (lambda: ENCODER(IMAGES[0]), r"images: got shape \(3, 16, 16\), expected"),
        (
            lambda: ENCODER(IMAGES[..., :15]),
            r"height and width \(16, 15\), expected mul",
        ),
        (
            lambda: ENCODER(IMAGES.byte()),
            "images: got torch.uint8, expected torch.float",
        ),
        (
            lambda: ENCODER(IMAGES.float()),
            "images: got torch.float32, expected torch.fl",
        ),
        (
            lambda: ENCODER(IMAGES * 255),
            "images: got values from 128 to 128, expected 0",
        ),
        (
            lambda: ENCODER(-IMAGES),
            "images: got values from -0.5 to -0.5, expected 0 to",
        ),
        (
            lambda: ENCODER(IMAGES * torch.nan),
            "images: got values from nan to nan, exp",
        ),
        (
            lambda: PictureEncoder(12),
            "annotation_size: got 12, expected a multiple of 8",
        ),
        (lambda: model()(IMAGES, TARGET, "long"), "look: got 'long', expected one of"),
        (lambda: model()(IMAGES, TARGET[:1]), r"target: got shape \(1, 2\), expected"),
        (
            lambda: model()(IMAGES, TARGET.double()),
            "target: got torch.float64, expected",
        ),
        (
            lambda: model()(IMAGES, TARGET + 1),
            "target: got tokens from 3 to 5, expected",
        ),
        (lambda: model()(IMAGES, TARGET, "hard", TARGET[:, :1]), "places: got shape"),
        (
            lambda: write(model(), IMAGES, WORDS, "long"),
            "look: got 'long', expected one",
        ),
        (
            lambda: write(model(), IMAGES, WORDS, max_length=0),
            "max_length: got 0, ex",
        ),
        (
            lambda: doubly_stochastic_penalty(IMAGES, TARGET),
            r"weights: got shape \(2, 3",
        ),
        (
            lambda: doubly_stochastic_penalty(IMAGES[0], TARGET),
            r"mask: got shape \(2, 2",
        ),
        (
            lambda: doubly_stochastic_penalty(IMAGES[:, 0, :2], TARGET),
            "mask: got torch.i",
        ),
        (lambda: MovingBaseline(1.0), "decay: got 1.0, expected"),
        (lambda: gradient_noise(lambda: 0, [], 1), "draws: got 1, expected at least 2"),
        (lambda: touched([], 32, 5), "cells: got 5, expected a divisor of 32"),
        (
            lambda: pointing([IMAGES[0]], [[[], [], []]], 16),
            "boxes: got no word with a",
        ),
        (
            lambda: pointing([IMAGES[0]], [[[]]], 16),
            r"maps: got shape \(3, 16, 16\), ex",
        ),
        (lambda: pointing([IMAGES[0]], [], 16), "boxes: got 0 captions, expected 1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
