"""The Python side of the explorers of chapter 02: what they store, what they refuse, what they are called."""

import re

import numpy as np
import pytest
import torch

from helpers.explorers import CharacterExplorer, UnrollExplorer
from helpers.explorers.character import rounded
from helpers.rnn import TokenRNN

RANDOM = np.random.default_rng(0)
TOKENS = list("ab c")


def weights(d=3, tokens=4, outputs=2):
    shapes = ((d, d), (d, tokens), (d,), (outputs, d), (outputs,))
    return [RANDOM.normal(size=shape) for shape in shapes]


def unroll(arrays=None, sentences=("ab", "c a"), outputs=("no", "yes"), **more):
    return UnrollExplorer(*(arrays or weights()), TOKENS, sentences, outputs, **more)


def characters(arrays=None, known=TOKENS, **more):
    return CharacterExplorer(*(arrays or weights(outputs=4)), known, **more)


def test_unrolled_states_are_the_models():
    model = TokenRNN(4, 3, 2)
    widget = unroll(
        [
            model.rnn.W,
            model.rnn.U,
            model.rnn.b,
            model.output.weight,
            model.output.bias,
        ],
        sentence=1,
    )
    tokens = torch.tensor([[TOKENS.index(c) for c in "c a"]])
    states, _ = model.rnn(torch.nn.functional.one_hot(tokens, 4).float())
    assert np.allclose(widget.states(), states[0].detach(), atol=1e-6)
    assert widget._shape == [3, 4, 2]


def test_only_the_tokens_that_are_read_are_stored():
    widget = unroll(sentences=["aa"])
    assert widget._shape == [3, 1, 2] and widget._indices == [[0, 0]]
    assert len(widget._weights) == 4 * (9 + 3 + 3 + 6 + 2)


def test_rounding_is_within_half_a_step_of_each_row():
    matrix = np.vstack([RANDOM.normal(size=(5, 40)), np.zeros((1, 40))])
    levels, steps = rounded(matrix)
    assert levels.dtype == np.int8 and np.abs(levels).max() == 127
    error = np.abs(levels * steps[:, None] - matrix)
    assert (error <= steps[:, None] / 2 + 1e-12).all()
    assert (levels[-1] == 0).all() and steps[-1] == 0


def test_a_model_of_128_units_stays_small():
    widget = CharacterExplorer(*weights(128, 69, 69), [chr(40 + i) for i in range(69)])
    assert len(widget._levels) + len(widget._scales) < 40_000


NAN = [np.full((3, 3), np.nan), *weights()[1:]]
BAD = {
    "W: got 9 NaN or infinite values in shape (3, 3)": lambda: unroll(NAN),
    "U: got shape (3, 5), expected (3, 4)": lambda: unroll(weights(tokens=5)),
    "c: got shape (3,), expected (2)": lambda: unroll(weights(outputs=3)),
    "sentences: got [], expected at least one, none empty": lambda: unroll(
        sentences=[]
    ),
    "sentences: got ['a', ''], expected at least one": lambda: unroll(
        sentences=["a", ""]
    ),
    "sentences: got 'x', expected one of 'a', 'b', ' ', 'c'": lambda: unroll(
        sentences=["ax"]
    ),
    "outputs: got 'no', expected a list of strings": lambda: unroll(outputs="no"),
    "step: got 0, expected 1 to 3": lambda: unroll(step=0),
    "step: got 4, expected 1 to 3": lambda: unroll(step=4),
    "unit: got 4, expected 1 to 3": lambda: unroll(unit=4),
    "sentence: got 2, expected 0 to 1": lambda: unroll(sentence=2),
    "characters: got ['bc'], expected single characters": lambda: characters(
        known=["a", "bc", " ", "d"]
    ),
    "V: got shape (2, 3), expected (4, 3)": lambda: characters(weights()),
    "length of prefix: got 61, expected 0 to 60": lambda: characters(prefix=61 * "a"),
    "temperature: got 0.0, expected 0.1 to 10": lambda: characters(temperature=0.0),
    "sample: got 0, expected 1 to 1000000": lambda: characters(sample=0),
    "place: got 241, expected 1 to 240": lambda: characters(place=241),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input(message):
    with pytest.raises(ValueError, match=re.escape(message)):
        BAD[message]()


def test_names():
    assert repr(unroll()) == "UnrollExplorer(3 units, 2 sentences)"
    assert repr(characters()) == "CharacterExplorer(3 units, 4 characters)"
