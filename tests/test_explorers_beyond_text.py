"""The explorers of chapter 07b: what the browser computes is what Python computes, and bad input is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from traitlets import TraitError

from helpers.beyond_text import PATTERNS, ConvolutionAttention, pattern_mask, reach
from helpers.explorers import ConvolutionExplorer, GraphExplorer, PatternExplorer
from helpers.explorers.convolution import KERNELS

JS = Path(__file__).parents[1] / "helpers" / "explorers" / "js"
SCRIPT = """
const [folder, given] = process.argv.slice(1);
const { patternMask, reach, complete } = await import(`${folder}/patterns.js`);
const { attend, convolve } = await import(`${folder}/convolution.js`);
const { takes } = await import(`${folder}/graph.js`);
const { masks, image, kernels, weights, n } = JSON.parse(given);
const rows = (matrix) => matrix.map((row) => [...row]);
console.log(JSON.stringify({
  masks: masks.map(([name, length, width, causal]) => {
    const mask = patternMask(name, length, width, causal);
    return [mask, reach(mask, 3), complete(mask, causal)]; // Infinity becomes null
  }),
  heads: kernels.map((kernel) => rows(attend(image, kernel, 1.5))),
  exact: kernels.map((kernel) => rows(convolve(image, kernel))),
  takes: [1, 2, 3].map((steps) => [...takes(weights, n, 2, steps)]),
}));
"""
MASKS = [
    [name, length, width, causal]
    for name in PATTERNS
    for length, width in ((40, 3), (24, 0), (64, 12))
    for causal in (False, True)
]
RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.random((9, 12))
WEIGHTS = RANDOM.dirichlet(np.ones(5), size=5)


@pytest.fixture(scope="module")
def browser_side():
    """What the JavaScript computes."""
    node = shutil.which("node", path=str(Path(sys.executable).parent)) or shutil.which(
        "node"
    )
    assert node, "no node: `make site-environment` installs it"
    given = {
        "masks": MASKS,
        "image": IMAGE.tolist(),
        "kernels": list(KERNELS.values()),
        "weights": WEIGHTS.ravel().tolist(),
        "n": 5,
    }
    command = [node, "--input-type=module", "-e", SCRIPT, JS.as_uri(), json.dumps(given)]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("index", range(len(MASKS)))
def test_masks_and_reach_are_pythons(browser_side, index):
    name, length, width, causal = MASKS[index]
    mask, reached, complete = browser_side["masks"][index]
    expected = pattern_mask(name, length, width, causal)
    assert torch.equal(torch.tensor(mask), expected)
    assert torch.equal(torch.tensor(reached), reach(expected, 3))
    explorer = PatternExplorer(name, length, width, layers=3, causal=causal)
    numbers = explorer.numbers()
    assert numbers["complete"] == complete
    assert numbers["pairs"] == int(expected.sum())


def test_numbers_of_a_window():
    explorer = PatternExplorer("window", 40, 3, layers=2, query=26)
    assert explorer.numbers() == {
        "pairs": 268,
        "keys": 7,
        "reached": 13,
        "complete": 13,
    }
    assert PatternExplorer("blocks").numbers()["complete"] is None


@pytest.mark.parametrize("index", range(len(KERNELS)))
def test_heads_and_convolution_are_pythons(browser_side, index):
    kernel = torch.tensor(list(KERNELS.values())[index], dtype=torch.float64)[None, None]  # fmt: skip
    image = torch.tensor(IMAGE)[None]
    for alpha, name in ((1.5, "heads"), (40.0, "exact")):
        expected = ConvolutionAttention(kernel, alpha)(image)[0]
        found = torch.tensor(browser_side[name][index], dtype=torch.float64)
        assert (found - expected).abs().max() < 1e-12


def test_steps_on_a_graph_are_powers(browser_side):
    explorer = GraphExplorer(RANDOM.random((5, 2)), [0, 1, 1, 0, 0], WEIGHTS[None])
    for steps, found in enumerate(browser_side["takes"], 1):
        explorer.node, explorer.steps, explorer.head = 2, steps, 0
        assert np.allclose(explorer.row(), found, atol=1e-6)
        assert np.allclose(found, np.linalg.matrix_power(WEIGHTS, steps)[2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PatternExplorer("spiral"), "pattern: got 'spiral', expected one of"),
        (lambda: PatternExplorer(length=7), "length: got 7, expected 8 to 64"),
        (lambda: PatternExplorer(width=13), "width: got 13, expected 0 to 12"),
        (lambda: PatternExplorer(layers=0), "layers: got 0, expected 1 to 6"),
        (lambda: PatternExplorer(query=64), "query: got 64, expected 0 to 63"),
        (lambda: ConvolutionExplorer(IMAGE[0]), r"image: got shape \(12,\), expected"),
        (lambda: ConvolutionExplorer(IMAGE[:7]), "image: got 7, expected 8 to 96"),
        (lambda: ConvolutionExplorer(-IMAGE), "image: got -0.9"),
        (lambda: ConvolutionExplorer(IMAGE, "swirl"), "kernel: got 'swirl', expected"),
        (lambda: ConvolutionExplorer(IMAGE, alpha=0), "alpha: got 0.0, expected 0.1"),
        (lambda: ConvolutionExplorer(IMAGE, head=9), "head: got 9, expected 0 to 8"),
        (
            lambda: GraphExplorer(IMAGE, [0], WEIGHTS[None]),
            r"places: got shape \(9, 12",
        ),
        (lambda: GraphExplorer(IMAGE[:5, :2], 5 * [0], WEIGHTS), r"weights: got shape"),
        (
            lambda: GraphExplorer(IMAGE[:5, :2], 5 * [0], 2 * WEIGHTS[None]),
            "weights: got row",
        ),
        (
            lambda: GraphExplorer(IMAGE[:5, :2], 5 * [2], WEIGHTS[None]),
            "classes: got",
        ),
        (
            lambda: GraphExplorer(IMAGE[:5, :2], 5 * [0], WEIGHTS[None], node=5),
            "node: got 5, expected 0 to 4",
        ),
        (
            lambda: GraphExplorer(IMAGE[:5, :2], 5 * [0], WEIGHTS[None], steps=5),
            "steps: got 5, expected 1 to 4",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises((ValueError, TraitError), match=message):
        call()


def test_names():
    assert repr(PatternExplorer()) == "PatternExplorer(window, 40 positions)"
    assert repr(ConvolutionExplorer(IMAGE)) == "ConvolutionExplorer(9 × 12 pixels)"
    graph = GraphExplorer(IMAGE[:5, :2], 5 * [0], WEIGHTS[None])
    assert repr(graph) == "GraphExplorer(5 nodes, 1 heads)"
