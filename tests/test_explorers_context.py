"""The Python side of the encoder-decoder's explorers: what they store, compute and refuse."""

import numpy as np
import pytest
import torch
from traitlets import TraitError

from helpers.decoding import beam_search
from helpers.explorers import BeamExample, BeamExplorer, ContextExplorer, Reader
from helpers.probing import fit_probe
from helpers.seq2seq import cho

TOKENS = ["<pad>", "<s>", "</s>", "one", "two", "three", "four"]
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    model = cho(8, len(TOKENS), 6).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


def recorded(model, source, widths=range(1, 6)):
    steps = {}
    for width in widths:
        beam_search(model, source, width, 7, steps)
    return BeamExample(["drei"], ["three"], steps)


@pytest.mark.parametrize("width", range(1, 6))
def test_the_stored_search_is_the_models(model, width):
    sources = {
        "a": torch.tensor([[3, 4, 2]]),
        "b": torch.tensor([[7, 2]]),
        "c": torch.tensor([[5, 5, 6, 2]]),
    }
    explorer = BeamExplorer(
        {name: recorded(model, source) for name, source in sources.items()},
        TOKENS,
        max_length=7,
    )
    for name, source in sources.items():
        expected = beam_search(model, source, width, 7)
        found = explorer.hypotheses(name, width)
        assert len(found) == len(expected)
        for (text, total), each in zip(found, expected, strict=True):
            assert total == pytest.approx(each.log_probability, abs=1e-5)
            assert text == " ".join(TOKENS[t] for t in each.tokens if t != 2)


def test_a_search_that_was_not_recorded_is_refused(model):
    example = recorded(model, torch.tensor([[3, 4, 2]]), widths=[1])
    with pytest.raises(ValueError, match=r"steps\['a'\]: got none after"):
        BeamExplorer({"a": example}, TOKENS, max_length=7)


def test_bad_beams(model):
    example = recorded(model, torch.tensor([[3, 4, 2]]))
    explorer = BeamExplorer({"a": example}, TOKENS, max_length=7)
    assert repr(explorer) == "BeamExplorer(1 examples)"
    for trait, value in (("width", 6), ("width", 0), ("step", 8), ("example", "x")):
        with pytest.raises((ValueError, TraitError), match=f"{trait}: got"):
            setattr(explorer, trait, value)
    with pytest.raises(ValueError, match="examples: got none"):
        BeamExplorer({}, TOKENS)
    with pytest.raises(ValueError, match=r"steps\['a'\]: got shape \(7,\)"):
        BeamExplorer({"a": example}, [*TOKENS, "five"])


def reader(size=4, numbers=2, lengths=3):
    return Reader(
        RANDOM.normal(size=(50, size)),
        RANDOM.normal(size=50),
        RANDOM.normal(size=(numbers, lengths, size)),
    )


@pytest.mark.usefixtures("double_precision")
def test_the_stored_probe_is_the_probe():
    numbers = [123456789 + 1111 * i for i in range(40)]
    z = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    probe = fit_probe(z, numbers)
    contexts = torch.randn(1, 6, 5)
    explorer = ContextExplorer(
        {"a": Reader(probe.linear.weight, probe.linear.bias, contexts)},
        [123456789],
    )
    for j, digits in enumerate(range(4, 10)):
        explorer.digits = digits
        expected = torch.softmax(probe(contexts[0, j : j + 1])[0], dim=-1)[:digits]
        np.testing.assert_allclose(explorer.probabilities(), expected, atol=1e-5)


def test_each_reader_has_its_own_numbers():
    readers = {"a": reader(4), "b": reader(3)}
    explorer = ContextExplorer(readers, [41523, 98765], (3, 4, 5), number=98765)
    for name, each in readers.items():
        explorer.reader, explorer.digits = name, 5
        logits = (each.weights @ each.contexts[1, 2] + each.bias).reshape(5, 10)
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(explorer.probabilities(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ContextExplorer({}, [41523]), "readers, numbers: got 0 and 1"),
        (
            lambda: ContextExplorer({"a": reader()}, [41523, 98705], (3, 4, 5)),
            "numbers: got 98705, expected 5 digits and no 0",
        ),
        (
            lambda: ContextExplorer({"a": reader()}, [41523], (3, 4, 5)),
            r"contexts: got shape \(2, 3, 4\), expected \(1, 3, 4\)",
        ),
        (
            lambda: ContextExplorer({"a": reader()}, [41523, 98765], (3, 5)),
            r"lengths: got \[3, 5\]",
        ),
        (
            lambda: ContextExplorer(
                {"a": reader()}, [41523, 98765], (3, 4, 5), digits=6
            ),
            "digits: got 6, expected 3 to 5",
        ),
    ],
)
def test_bad_contexts(make, message):
    with pytest.raises((ValueError, TraitError), match=message):
        make()
