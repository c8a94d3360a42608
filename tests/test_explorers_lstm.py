"""The Python side of the LSTM's explorers: what they store, compute and refuse."""

import numpy as np
import pytest
import torch
from traitlets import TraitError

from helpers.explorers import CellExplorer, GateExplorer
from helpers.lstm import LSTM

PULSES = [0.0, 0.0, 0.8, 0.0, -0.5, 0.0, 0.0, 0.4, 0.0, 0.0]
FLAT = [0.5] * 10


def gates(preset="open", **more):
    return GateExplorer({"pulses": PULSES, "flat": FLAT}, preset=preset, **more)


@pytest.mark.parametrize(
    ("preset", "cell", "score"),
    [
        ("open", 0.7, None),
        ("closed", 0.0, 0),
        ("first", 0.8, 100),
        ("own", 0.5**8 * 0.8 - 0.5**6 * 0.5 + 0.5**3 * 0.4, None),
    ],
)
def test_presets_do_what_they_are_called(preset, cell, score):
    numbers = gates(preset).numbers()
    assert numbers["cell"][-1] == pytest.approx(cell)
    assert score is None or numbers["score"] == pytest.approx(score)


def test_mean_and_reset():
    mean = GateExplorer({"flat": [0.5] * 64}, preset="mean").numbers()["cell"]
    assert mean[-1] == pytest.approx(0.5, abs=1e-3)
    reset = GateExplorer({"flat": [0.5] * 30}, preset="reset").numbers()["cell"]
    np.testing.assert_allclose(reset[[0, 11, 12, 23, 24]], [0.5, 6, 0.5, 6, 0.5])


def test_a_shut_forget_gate_loses_the_pulse():
    explorer = gates("first")
    changed = [list(row) for row in explorer.gates]
    changed[0][5] = 0.0
    explorer.gates = changed
    numbers = explorer.numbers()
    assert numbers["cell"][4] == pytest.approx(0.8) and numbers["score"] == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GateExplorer({}), "signals: got none, expected at least 1"),
        (lambda: GateExplorer({"a": [0.5] * 7}), "signals: got 7, expected 8 to 64"),
        (
            lambda: GateExplorer({"a": FLAT, "b": FLAT[:9]}),
            r"signals\['b'\]: got shape",
        ),
        (
            lambda: GateExplorer({"a": [1.5] * 10}),
            r"signals\['a'\]: got 1.5, expected 0.3",
        ),
        (lambda: GateExplorer({"a": [0.1] * 10}), r"signals\['a'\]: got 0.1"),
        (lambda: gates("shut"), "got 'shut', expected one of 'open'"),
        (lambda: gates(signal="wave"), "signal: got 'wave', expected one of 'pulses'"),
        (lambda: gates(step=10), "step: got 10, expected 0 to 9"),
        (lambda: gates(until=-1), "until: got -1, expected 0 to 9"),
        (
            lambda: setattr(gates(), "gates", [FLAT, FLAT]),
            r"gates: got shape \(2, 10\)",
        ),
        (
            lambda: setattr(gates(), "gates", [[2.0] * 10] * 3),
            "gates: got 2.0, expected 0",
        ),
    ],
)
def test_gates_refuse_bad_input(make, message):
    with pytest.raises((ValueError, TraitError), match=message):
        make()


def trace(t=12, n=5):
    torch.manual_seed(0)
    with torch.no_grad():
        inside = LSTM(3, n).trace(torch.randn(1, t, 3))
    return {name: values[0] for name, values in inside.items()}


def test_cells_travel_with_256_levels():
    inside = trace()
    explorer = CellExplorer(inside, "twelve chars", [0, 1] * 6, "odd")
    stored = np.frombuffer(explorer._values, np.uint8).reshape(4, 12, 5) / 255
    for name, values in zip("fiu", stored, strict=False):
        assert np.abs(values - inside[name].numpy()).max() <= 0.5 / 255 + 1e-6
    cells = np.tanh(inside["c"].numpy())
    assert np.abs(2 * stored[3] - 1 - cells).max() <= 1 / 255 + 1e-6
    assert explorer._units == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": ""}, "text: got no characters"),
        ({"text": "short"}, r"trace\['f'\]: got shape \(12, 5\), expected \(5, N\)"),
        ({"feature": [1] * 11}, r"feature: got shape \(11,\), expected \(12\)"),
        ({"units": [1, 2]}, "units: got 2, expected 5"),
        ({"kind": "g"}, "kind: got 'g', expected one of 'f'"),
        ({"row": 5}, "row: got 5, expected 0 to 4"),
        ({"step": 12}, "step: got 12, expected 0 to 11"),
    ],
)
def test_cells_refuse_bad_input(change, message):
    arguments = {
        "trace": trace(),
        "text": "twelve chars",
        "feature": [0, 1] * 6,
        "feature_name": "odd",
    }
    with pytest.raises((ValueError, TraitError), match=message):
        CellExplorer(**(arguments | change))
    inside = trace()
    inside["i"] = inside["i"] + 1
    with pytest.raises(ValueError, match=r"trace\['i'\]: got 1\.\d+, expected 0 to 1"):
        CellExplorer(**(arguments | {"trace": inside}))


def test_they_have_stable_names():
    explorer = CellExplorer(trace(), "twelve chars", [0] * 12, "odd")
    assert repr(explorer) == "CellExplorer(5 units × 12 characters)"
    assert repr(gates()) == "GateExplorer(2 signals × 10 steps)"
