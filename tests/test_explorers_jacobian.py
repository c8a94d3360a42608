"""The explorer of Jacobians: what its browser code computes, against Python; what it refuses."""

import json
import subprocess

import numpy as np
import pytest
import torch

from helpers.bptt import log_gains, predicted_log_gains
from helpers.explorers import JacobianExplorer
from helpers.explorers.base import HERE
from helpers.explorers.jacobian import (
    DRAWS,
    LONGEST,
    SIZES,
    WARM_UP,
    normals,
    seed_of,
)

SCRIPT = """
import {{ figure, fittedSlope, gains, network }} from {module};
const cases = {cases};
console.log(JSON.stringify({{
  runs: cases.map((chosen) => {{
    const curves = gains(network(chosen), chosen.length, "worst");
    return {{ ...curves, slope: fittedSlope(curves.typical) }};
  }}),
  figures: [-400.3, -7, -3.0000001, -1, 0, 0.30103, 2.5, 3, 150.02].map(figure),
}}));
"""
CASES = [
    ("tanh", "gaussian", 0.9, 3, 0.3),
    ("tanh", "orthogonal", 1.6, 2, 0.0),
    ("linear", "gaussian", 1.7, 4, 0.0),
    ("linear", "orthogonal", 0.1, 1, 0.0),
    ("relu", "gaussian", 1.2, 4, 0.7),
    ("relu", "orthogonal", 1.4, 3, 1.0),
]


@pytest.fixture(scope="module")
def browser(node):
    """What the bundle computes for CASES, run by node."""
    explorer = JacobianExplorer()
    chosen = [
        {
            "n": SIZES[size],
            "seed": seed_of(2, SIZES[size]),
            "kind": kind,
            "radius": radius,
            "gaussianRadius": explorer._radii[2][size],
            "activation": activation,
            "noise": noise,
            "warmUp": WARM_UP,
            "longest": LONGEST,
            "length": LONGEST,
        }
        for activation, kind, radius, size, noise in CASES
    ]
    module = json.dumps((HERE / "js" / "jacobian.js").as_uri())
    script = SCRIPT.format(module=module, cases=json.dumps(chosen))
    return json.loads(
        subprocess.run(
            [node, "--input-type=module", "-e", script],
            capture_output=True,
            text=True,
            check=True,
        ).stdout,
        parse_constant=float,
    )


@pytest.fixture(scope="module")
def node():
    from shutil import which
    from sys import executable

    found = which("node", path=executable.rpartition("/")[0]) or which("node")
    return found or pytest.skip("no node here")


def reference(activation, kind, radius, size, noise, length=LONGEST):
    """The same by numpy and helpers.bptt: log₁₀ of typical, worst and predicted gains."""
    n = SIZES[size]
    drawn = normals(seed_of(2, n), n * n + n + (WARM_UP + LONGEST) * n)
    W, h, noises = np.split(drawn, [n * n, n * n + n])
    W = W.reshape(n, n)
    if kind == "orthogonal":
        q, r = np.linalg.qr(W.T)  # the rows made orthonormal, the first one first
        W = (q * np.sign(np.diag(r))).T
    W = radius * W / np.abs(np.linalg.eigvals(W)).max()
    slopes = []
    for xi in noise * noises.reshape(-1, n):
        a = W @ h + xi
        if activation == "tanh":
            h, slope = np.tanh(a), 1 - np.tanh(a) ** 2
        elif activation == "relu":
            h, slope = np.maximum(a, 0), (a > 0) * 1.0
        else:
            slope = np.ones(n)
        slopes.append(slope)
    slopes = torch.tensor(np.array(slopes[-length:]))
    W = torch.tensor(W)
    factors = slopes.unsqueeze(2) * W
    states = (1 - slopes).sqrt()  # those whose 1 − h² is the slope
    gains = {
        "typical": log_gains(factors),
        "worst": log_gains(factors, "worst"),
        "predicted": predicted_log_gains(W, states),
    }
    return {name: values.numpy() / np.log(10) for name, values in gains.items()}


@pytest.mark.parametrize("case", range(len(CASES)), ids=map(str, CASES))
def test_the_browser_computes_what_python_does(browser, case):
    shown, expected = browser["runs"][case], reference(*CASES[case])
    for curve, tolerance in (("typical", 1e-6), ("worst", 2e-2), ("predicted", 1e-6)):
        assert np.abs(np.array(shown[curve]) - expected[curve]).max() < tolerance, curve
    line = np.polyfit(np.arange(1, LONGEST + 1), expected["typical"], 1)
    assert abs(shown["slope"] - line[0]) < 1e-6


def test_figures_are_readable(browser):
    expected = "5.0 · 10⁻⁴⁰¹|1.0 · 10⁻⁷|1.0 · 10⁻³|0.1|1|2|316|1.0 · 10³|1.0 · 10¹⁵⁰"
    assert "|".join(browser["figures"]).replace("\u00a0", " ") == expected


def test_gaussian_radii_are_stored_and_orthogonal_ones_are_the_slider():
    radii = np.array(JacobianExplorer()._radii)
    assert radii.shape == (DRAWS, len(SIZES))
    ratio = radii / np.sqrt(SIZES)  # tends to 1 as the matrix grows
    assert np.abs(ratio[:, -1] - 1).max() < 0.2


def test_normals_are_normal():
    drawn = normals(7, 20_000)
    assert abs(drawn.mean()) < 0.03 and abs(drawn.std() - 1) < 0.02
    assert abs((np.abs(drawn) < 1).mean() - 0.6827) < 0.01
    assert not np.array_equal(normals(7, 5), normals(8, 5))


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"activation": "sigmoid"}, "activation: got 'sigmoid', expected one of"),
        ({"kind": "sparse"}, "kind: got 'sparse', expected one of"),
        ({"norm": "max"}, "norm: got 'max', expected one of"),
        ({"radius": 2.5}, "radius: got 2.5, expected 0.1 to 2"),
        ({"length": 300}, "length: got 300, expected 8 to 100"),
        ({"size": 6}, "size: got 6, expected 0 to 5"),
        ({"draw": -1}, "draw: got -1, expected 0 to 4"),
        ({"noise": 3.0}, "noise: got 3.0, expected 0 to 2"),
    ],
)
def test_bad_values_are_refused(chosen, message):
    with pytest.raises(ValueError, match=message):
        JacobianExplorer(**chosen)
    explorer = JacobianExplorer()
    for trait, value in chosen.items():
        with pytest.raises(ValueError, match=message):
            setattr(explorer, trait, value)


def test_its_name_is_stable():
    assert (
        repr(JacobianExplorer())
        == "JacobianExplorer(tanh, gaussian, radius 0.9, 32 units)"
    )
