"""The explorer of descent: its arithmetic in JavaScript is Python's, and it refuses what it cannot show."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.explorers import DescentExplorer
from helpers.gradients import OPTIMIZERS, SURFACES

SOURCE = (
    Path(__file__).parents[1] / "helpers" / "explorers" / "js" / "surfaces.js"
).as_uri()
SCRIPT = """
const { SURFACES, OPTIMIZERS, descend } = await import(process.argv[1]);
const given = JSON.parse(process.argv[2]);
const values = Object.entries(SURFACES).map(([name, { value, gradient, lowest, saddles, floor }]) =>
  [name, { here: [value(0.3, -0.7), ...gradient(0.3, -0.7)], floor, lowest, saddles }]);
console.log(JSON.stringify({
  surfaces: Object.fromEntries(values), optimizers: Object.keys(OPTIMIZERS),
  paths: given.map((each) => descend(each.surface, each.start, each.optimizer, each.steps, each)),
}));
"""
CASES = [
    {
        "surface": surface,
        "optimizer": optimizer,
        "start": [-1.2, 1.1],
        "rate": 0.001 if surface in ("rosenbrock", "beale") else 0.03,
        "momentum": 0.8,
        "decay": 0.3,
        "steps": 200,
    }
    for surface in SURFACES
    for optimizer in OPTIMIZERS
]


@pytest.fixture(scope="module")
def browser_side():
    """What the JavaScript says of the surfaces, and the paths of CASES."""
    node = shutil.which("node", path=str(Path(sys.executable).parent)) or shutil.which(
        "node"
    )
    assert node, "no node: `make site-environment` installs it"
    command = [node, "--input-type=module", "-e", SCRIPT, SOURCE, json.dumps(CASES)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("index", range(len(CASES)))
def test_paths_are_pythons(browser_side, index):
    case = CASES[index]
    widget = DescentExplorer(
        case["surface"],
        case["start"],
        case["optimizer"],
        case["rate"],
        case["momentum"],
        case["decay"],
        case["steps"],
    )
    path = widget.path().numpy()
    assert path.shape == (201, 2) and np.abs(path[-1] - path[0]).max() > 0.1
    assert np.abs(path - browser_side["paths"][index]).max() <= 1e-9


def test_surfaces_are_pythons(browser_side):
    assert list(browser_side["surfaces"]) == list(SURFACES)
    assert browser_side["optimizers"] == list(OPTIMIZERS)
    for name, other in browser_side["surfaces"].items():
        surface = SURFACES[name]
        here = [surface.value(0.3, -0.7), *surface.gradient(0.3, -0.7)]
        assert np.allclose(here, other["here"], rtol=1e-13)
        for x, y in other["lowest"]:
            assert abs(surface.value(x, y) - other["floor"]) < 1e-12
        for x, y in other["lowest"] + other["saddles"]:
            assert np.hypot(*surface.gradient(x, y)) < 1e-3


def test_its_name_is_stable():
    assert repr(DescentExplorer()) == "DescentExplorer('lecture', 'SGD')"


BAD = {
    "surface: got 'hill', expected one of 'lecture'": {"surface": "hill"},
    "optimizer: got 'Lion', expected one of 'SGD'": {"optimizer": "Lion"},
    "start: got 1 NaN": {"start": (0, float("nan"))},
    "start: got shape (3,), expected (2)": {"start": (1, 2, 3)},
    "start: got 11.0, expected -10 to 10": {"start": (0, 11)},
    "learning_rate: got 0.0, expected 0.0001 to 4": {"learning_rate": 0},
    "momentum: got 1.0, expected 0 to 0.99": {"momentum": 1},
    "weight_decay: got -0.1, expected 0 to 1": {"weight_decay": -0.1},
    "step: got 201, expected 0 to 200": {"step": 201},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message):
    with pytest.raises(ValueError, match=re.escape(message)):
        DescentExplorer(**BAD[message])
