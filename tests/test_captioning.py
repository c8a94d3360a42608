"""Soft and hard looks: what must be equal is equal, exactly or within the standard error."""

import pytest
import torch
from torch import nn

from helpers.attention import Additive
from helpers.captioning import LOOKS, Captioner, Look, PictureEncoder, WhatIsThere
from helpers.data import Vocabulary

pytestmark = pytest.mark.usefixtures("double_precision")


def tiny(places=3):
    """A model of 3 numbers a place and 4 hidden ones with large weights, so that looks differ, and two captions."""
    torch.manual_seed(1)
    model = Captioner(6, annotation_size=3, hidden_size=4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model, torch.rand(2, places, 3), torch.tensor([[3, 4], [5, 2]])


def small():
    """24 places of 18 numbers, and nine tokens."""
    torch.manual_seed(0)
    return Captioner(9, 18, hidden_size=8), torch.randn(2, 24, 18)


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
    layer, other = Look(4, 3, width=4), Additive(4, 3)
    other.load_state_dict(layer.state_dict())
    state, annotations = torch.randn(2, 4), torch.randn(2, 5, 3)
    weights = layer(state, annotations, layer.key(annotations), "soft")[1]
    expected = torch.softmax(other(state[:, None], annotations)[:, 0], dim=-1)
    assert torch.allclose(weights, expected, atol=1e-15)


@pytest.mark.parametrize("look", LOOKS)
def test_rows_sum_to_1_and_a_hook_sees_them(look):
    model, annotations = small()
    seen = []
    model.look.softmax.register_forward_hook(lambda *call: seen.append(call[2]))
    told = model(annotations, torch.tensor([[3, 4, 2], [5, 2, 0]]), look)
    assert told.logits.shape == (2, 3, 9) and told.weights.shape == (2, 3, 24)
    assert torch.allclose(told.weights.sum(-1), torch.ones(2, 3), atol=1e-12)
    assert (told.weights >= 0).all() and len(seen) == 3
    if look != "blind":
        assert torch.equal(torch.stack(seen, 1), told.weights)


# ---- the captioner --------------------------------------------------------------------------------------------------


def test_a_word_does_not_know_what_comes_after_it():
    model, annotations = small()
    one, other = torch.tensor([[3, 4, 5, 2]] * 2), torch.tensor([[3, 4, 6, 7]] * 2)
    a, b = model(annotations, one).logits, model(annotations, other).logits
    assert torch.equal(a[:, :3], b[:, :3]) and not torch.allclose(a[:, 3], b[:, 3])


def test_places_that_are_given_are_where_it_looks():
    model, annotations, target = tiny()
    places = torch.tensor([[0, 2], [1, 1]])
    told = model(annotations, target, "hard", places)
    assert torch.equal(told.places, places)
    changed = annotations.clone()
    changed[0, 1] = changed[0, 1].flip(0)  # row 0 never looks at place 1
    with torch.no_grad():  # and the first state must not tell
        model.first_state.weight.zero_()
    one, other = (
        model(x, target, "hard", places).logits for x in (annotations, changed)
    )
    assert torch.equal(one, other)
    elsewhere = model(changed, target, "hard", torch.ones_like(places)).logits
    assert not torch.allclose(elsewhere[0], one[0])


def test_a_closed_gate_does_without_the_picture():
    model, annotations, target = tiny()
    with torch.no_grad():
        model.first_state.weight.zero_()
    other = annotations.flip(-1)
    assert not torch.allclose(
        model(annotations, target).logits, model(other, target).logits
    )
    with torch.no_grad():
        model.gate.weight.zero_()
        model.gate.bias.fill_(-1000)
    shut, same = model(annotations, target), model(other, target)
    assert (shut.gates == 0).all() and torch.equal(shut.logits, same.logits)


# ---- the encoder ----------------------------------------------------------------------------------------------------


def test_the_last_two_numbers_say_where_a_place_is():
    torch.manual_seed(0)
    grid = PictureEncoder(16)(torch.rand(2, 3, 24, 40)).view(2, 3, 5, 18)
    assert torch.allclose(grid[0, 1, :, -2], torch.linspace(-1, 1, 5))
    assert torch.allclose(grid[1, :, 4, -1], torch.linspace(-1, 1, 3))
    alone = PictureEncoder(16)(torch.full((1, 3, 96, 96), 0.5)).view(12, 12, 18)
    assert torch.allclose(
        alone[5, 5, :-2], alone[6, 4, :-2], atol=1e-6
    )  # no "where" in them


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


def test_what_is_there_is_the_mean_of_what_each_place_says_and_knows_no_place():
    torch.manual_seed(0)
    model, picture = WhatIsThere(PictureEncoder(8), 3), torch.rand(1, 3, 32, 32)
    scores = model.score(model.encoder(picture)[..., :-2])
    assert torch.allclose(model(picture), scores.exp().mean(dim=1).log())
    with torch.no_grad():
        model.score.weight.zero_()
    assert torch.allclose(model(picture), model.score.bias[None])


# ---- writing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", LOOKS)
def test_writing_is_the_likeliest_word_after_the_likeliest(look):
    model, annotations = small()
    tokens, told = model.write(annotations, look, 5, seeded())
    again, _ = model.write(annotations, look, 5, seeded())
    assert torch.equal(tokens, again) and tokens.shape[1] <= 5
    places = told.places if look in ("hard", "sharpest") else None
    read = model(annotations, tokens, "hard" if places is not None else look, places)
    read.logits[..., :2] = -torch.inf
    assert torch.equal(read.logits.argmax(-1), tokens)
    assert torch.allclose(read.weights, told.weights, atol=1e-12)
    assert torch.allclose(read.gates, told.gates, atol=1e-12)


def seeded():
    return torch.Generator().manual_seed(5)


def test_writing_ends_at_the_end_mark():
    model, annotations = small()
    with torch.no_grad():
        model.output.bias[Vocabulary.END] = 100
    tokens, told = model.write(annotations)
    assert tokens.tolist() == [[2], [2]] and told.weights.shape == (2, 1, 24)


# ---- bad input ------------------------------------------------------------------------------------------------------

ENCODER = PictureEncoder(8).double()
IMAGES = torch.full((2, 3, 16, 16), 0.5, dtype=torch.float64)
PLACES = torch.rand(2, 4, 3, dtype=torch.float64)
TARGET = torch.tensor([[3, 2], [4, 2]])


def model():
    return Captioner(5, 3, 4)


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
        (lambda: PictureEncoder(12), "features: got 12, expected a multiple of 8"),
        (lambda: model()(PLACES, TARGET, "long"), "look: got 'long', expected one of"),
        (
            lambda: model()(PLACES[..., :2], TARGET),
            r"annotations: got shape \(2, 4, 2\), ",
        ),
        (lambda: model()(PLACES, TARGET[:1]), r"target: got shape \(1, 2\), expected"),
        (
            lambda: model()(PLACES, TARGET.double()),
            "target: got torch.float64, expected",
        ),
        (
            lambda: model()(PLACES, TARGET + 1),
            "target: got tokens from 3 to 5, expected",
        ),
        (lambda: model()(PLACES, TARGET, "hard", TARGET[:, :1]), "places: got shape"),
        (lambda: model().write(PLACES, "long"), "look: got 'long', expected one"),
        (
            lambda: model().write(PLACES[0]),
            r"annotations: got shape \(4, 3\), expected",
        ),
        (
            lambda: model().write(PLACES, max_length=0),
            "max_length: got 0, expected at l",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
