"""The explorers of the Transformer: what they store, what their browser code computes, what they refuse."""

import json
import subprocess

import numpy as np
import pytest
import torch

from helpers.data import Vocabulary
from helpers.explorers import ArchitectureExplorer, PositionExplorer
from helpers.explorers.architecture import BLOCKS, CODE, KINDS, tensors
from helpers.explorers.base import HERE
from helpers.transformer import Transformer, sinusoidal_positions

pytestmark = pytest.mark.usefixtures("double_precision")

WORDS = ["one", "two", "three", "four", "five"]
VOCABULARY = Vocabulary([WORDS])
EXAMPLES = {"12": (WORDS[:2], WORDS[2:5]), "3": (WORDS[:3], WORDS[:1])}


def model(layers=1):
    torch.manual_seed(0)
    return Transformer(len(VOCABULARY), len(VOCABULARY), 8, 2, 12, layers)


def test_the_tensors_are_those_of_the_model():
    small = model()
    source = VOCABULARY.batch([EXAMPLES["12"][0]])
    previous = torch.tensor([[1, *VOCABULARY.encode(EXAMPLES["12"][1])]])
    found = tensors(small, source, previous)
    assert list(found) == [block[0] for block in BLOCKS]
    memory, (own,) = small.encode(source, need_weights=True)
    mask = torch.ones(1, 1, 3, dtype=torch.bool)
    logits, ((masked, cross),) = small.decode(previous, memory, mask, need_weights=True)
    for name, expected in {
        "encoder.layers.0.attention.softmax": own,
        "encoder.layers.0.around_feed_forward": memory,
        "decoder.layers.0.attention.softmax": masked,
        "decoder.layers.0.cross_attention.softmax": cross,
        "output": logits,
        "softmax": logits.softmax(dim=-1),
    }.items():
        torch.testing.assert_close(found[name], expected[0])
    x = small.source_embedding(source)[0] * 8**0.5 + sinusoidal_positions(3, 8)
    torch.testing.assert_close(found["encoder"], x)
    assert torch.equal(found["target"].argmax(dim=-1), previous[0])
    assert not any(module._forward_hooks for module in small.modules())


def test_the_explorer_stores_what_the_model_computes():
    small = model()
    explorer = ArchitectureExplorer(small, VOCABULARY, VOCABULARY, EXAMPLES)
    for name, (words, written) in EXAMPLES.items():
        source = VOCABULARY.batch([words])
        previous = torch.tensor([[1, *VOCABULARY.encode(written)]])
        for block, tensor in tensors(small, source, previous).items():
            stored = explorer.tensor(block, name)
            assert stored.shape == (1, *tensor.shape)[-3:]
            expected = tensor.detach().numpy().reshape(stored.shape)
            np.testing.assert_allclose(stored, expected, atol=2e-3, rtol=1e-3)
    described = {
        block[0]: each for block, each in zip(BLOCKS, explorer._blocks, strict=True)
    }
    counts = {name: each["parameters"] for name, each in described.items()}
    assert counts["decoder.layers.0.cross_attention.softmax"] == 4 * (8 * 8 + 8)
    assert counts["encoder.layers.0.feed_forward"] == 2 * 8 * 12 + 12 + 8
    assert counts["decoder.layers.0.around_cross_attention"] == 16
    assert counts["encoder"] == counts["softmax"] == counts["source"] == 0
    every = sum(p.numel() for p in small.parameters())
    assert sum(counts.values()) == every
    assert described["encoder"]["shape"] == "(B, S, d)"
    assert described["softmax"]["shape"] == "(B, T, tokens)"
    assert {kind[0] for kind in KINDS.values()} == set(CODE) == set(explorer._codes)
    assert repr(explorer) == "ArchitectureExplorer(18 blocks, 2 examples)"


def test_the_architecture_refuses():
    def build(layers=1, examples=EXAMPLES, **more):
        ArchitectureExplorer(model(layers), VOCABULARY, VOCABULARY, examples, **more)

    with pytest.raises(ValueError, match="model: got 2 layers, expected 1"):
        build(layers=2)
    with pytest.raises(ValueError, match="examples: got none"):
        build(examples={})
    with pytest.raises(ValueError, match="sequence: got the token 'six'"):
        build(examples={"6": (["six"], ["one"])})
    with pytest.raises(ValueError, match="block: got 'dropout', expected one of"):
        build(block="dropout")
    explorer = ArchitectureExplorer(model(), VOCABULARY, VOCABULARY, EXAMPLES)
    for trait, value in {"block": 18, "example": "7", "row": 0, "head": 3}.items():
        with pytest.raises(ValueError, match=f"{trait}: got"):
            setattr(explorer, trait, value)
    with pytest.raises(ValueError, match="block: got 'no'"):
        explorer.tensor("no", "12")


SCRIPT = """
import {{ position, turned }} from {module};
const cases = {cases};
console.log(JSON.stringify(cases.map(([t, d, k]) =>
  [[...position(t, d, 10000)], [...turned(position(t, d, 10000), k, 10000)]])));
"""


@pytest.fixture(scope="module")
def node():
    from shutil import which
    from sys import executable

    found = which("node", path=executable.rpartition("/")[0]) or which("node")
    return found or pytest.skip("no node here")


def test_the_browser_computes_the_positions_and_their_rotation(node):
    cases = [(0, 4, 5), (20, 64, 10), (63, 8, -7)]
    module = json.dumps((HERE / "js" / "positions.js").as_uri())
    script = SCRIPT.format(module=module, cases=json.dumps(cases))
    run = subprocess.run(
        [node, "--input-type=module", "-e", script],
        capture_output=True,
        text=True,
        check=True,
    )
    for (t, d, k), (p, moved) in zip(cases, json.loads(run.stdout), strict=True):
        table = sinusoidal_positions(100, d)
        np.testing.assert_allclose(p, table[t], atol=1e-12)
        np.testing.assert_allclose(moved, table[t + k], atol=1e-10)


def test_positions_refuse():
    explorer = PositionExplorer()
    assert repr(explorer) == "PositionExplorer(64 positions)"
    for trait, value in {
        "place": 64,
        "shift": -64,
        "width": 6,
        "base": 9,
    }.items():
        with pytest.raises(ValueError, match=f"{trait}: got {value}, expected"):
            setattr(explorer, trait, value)
