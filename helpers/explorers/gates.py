"""Explorers of the LSTM: a cell whose gates the reader drives, and the inside of a trained one."""

from collections.abc import Mapping, Sequence

import numpy as np
import traitlets

from helpers.explorers.base import HERE, Explorer, finite_array, one_of, within

PRESETS = ("open", "closed", "mean", "reset", "first", "own")


class GateExplorer(Explorer):
    """Drive forget, input and output gate over a signal, by sliders or by drawing, and see cell and output.

    c_t = f_t c_{t−1} + i_t x_t and h_t = u_t tanh(c_t), from c = 0: the signal x stands for the new content g.

    signals  name → T numbers from −1 to 1, the same T for all, 8 to 64
    preset   how the gates stand: "open", "closed" (f = 0), "mean", "reset", "first" (remember the first pulse), or
             "own", which the reader has set
    gates    three lists of T numbers from 0 to 1: f, i, u; step, until: the steps that the sliders set, from 0

    Raises ValueError for NaN, wrong shapes, values out of range, unknown signals or presets.
    """

    _esm = HERE / "static" / "gates.js"
    _signals = traitlets.Dict().tag(sync=True)
    signal = traitlets.Unicode().tag(sync=True)
    preset = traitlets.Unicode().tag(sync=True)
    gates = traitlets.List().tag(sync=True)
    step = traitlets.Int().tag(sync=True)
    until = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        signals: Mapping[str, Sequence[float]],
        signal: str | None = None,
        preset: str = "open",
        step: int = 0,
        until: int | None = None,
        label: str = "A cell whose gates you drive",
    ):
        if not signals:
            raise ValueError("signals: got none, expected at least 1")
        length = len(next(iter(signals.values())))
        within("signals", length, 8, 64)
        checked = {}
        for name, values in signals.items():
            array = finite_array(f"signals[{name!r}]", values, (length,))
            within(f"signals[{name!r}]", float(np.abs(array).max()), 0.3, 1)
            checked[name] = array.round(4).tolist()
        signal = next(iter(signals)) if signal is None else signal
        super().__init__(
            _signals=checked,
            signal=signal,
            preset=preset,
            gates=_preset(preset, checked[one_of("signal", signal, checked)]),
            step=step,
            until=length - 1 if until is None else until,
            label=label,
        )

    def numbers(self) -> dict[str, np.ndarray]:
        """The cell (T,), the output (T,) and the score for holding the first pulse until the end."""
        x, (f, i, u) = np.array(self._signals[self.signal]), np.array(self.gates)
        cell, c = np.empty(len(x)), 0.0
        for t in range(len(x)):
            cell[t] = c = f[t] * c + i[t] * x[t]
        output = u * np.tanh(cell)
        wanted = np.tanh(x[_first(x)])
        spoken = 1 - min(1, abs(output[-1] - wanted) / abs(wanted))
        heard = min(1, np.abs(output[:-1]).mean())
        return {"cell": cell, "output": output, "score": 100 * spoken * (1 - heard)}

    @traitlets.validate("signal")
    def _check_signal(self, proposal) -> str:
        return one_of("signal", proposal.value, self._signals)

    @traitlets.validate("preset")
    def _check_preset(self, proposal) -> str:
        return one_of("preset", proposal.value, PRESETS)

    @traitlets.validate("gates")
    def _check_gates(self, proposal) -> list[list[float]]:
        length = len(next(iter(self._signals.values())))
        gates = finite_array("gates", proposal.value, (3, length))
        within("gates", float(gates.min()), 0, 1)
        within("gates", float(gates.max()), 0, 1)
        return gates.tolist()

    @traitlets.validate("step", "until")
    def _check_step(self, proposal) -> int:
        length = len(next(iter(self._signals.values())))
        return within(proposal.trait.name, proposal.value, 0, length - 1)

    def __repr__(self) -> str:
        length = len(next(iter(self._signals.values())))
        return f"GateExplorer({len(self._signals)} signals × {length} steps)"


def _first(x) -> int:
    """The step of the first pulse: the first value of size 0.3 or more."""
    return int(np.flatnonzero(np.abs(x) >= 0.3)[0])


def _preset(name: str, x) -> list[list[float]]:
    """The gates f, i, u of a preset for the signal x; the same as in gates.js."""
    t, length = np.arange(len(x)), len(x)
    one = np.ones(length)
    gates = {
        "open": [one, one, one],
        "closed": [0 * one, one, one],
        "mean": [0.9 * one, 0.1 * one, one],
        "reset": [t % 12 > 0, one, one],
        "first": [one, t == _first(x), t == length - 1],
        "own": [0.5 * one] * 3,
    }
    return np.array(gates[one_of("preset", name, gates)], dtype=float).tolist()


class CellExplorer(Explorer):
    """The gates and the cell of a trained LSTM over a text, unit by unit.

    trace         {"f", "i", "u", "c": (T, N)}: gates from 0 to 1, cells; as LSTM.trace gives them for one sequence
    text          T characters;  units: the N units' names, 0 to N − 1 unless given
    feature       (T,) zeros and ones: a property of the characters;  feature_name says which

    Gates and tanh(c), what the output gate sees of the cell, are stored with 256 levels each. Raises ValueError for
    NaN, wrong shapes, and gates outside 0 to 1.
    """

    _esm = HERE / "static" / "cell.js"
    _text = traitlets.Unicode().tag(sync=True)
    _units = traitlets.List().tag(sync=True)
    _values = traitlets.Bytes().tag(sync=True)  # uint8 (4, T, N): f, i, u, tanh c
    _feature = traitlets.List().tag(sync=True)
    _feature_name = traitlets.Unicode().tag(sync=True)
    kind = traitlets.Unicode().tag(sync=True)
    row = traitlets.Int().tag(sync=True)
    step = traitlets.Int().tag(sync=True)
    shaded = traitlets.Bool().tag(sync=True)

    def __init__(
        self,
        trace: Mapping[str, np.ndarray],
        text: str,
        feature,
        feature_name: str,
        units: Sequence[int] | None = None,
        kind: str = "c",
        row: int = 0,
        step: int = 0,
        shaded: bool = True,
        label: str = "Inside a trained LSTM",
    ):
        if not text:
            raise ValueError("text: got no characters, expected at least 1")
        first = finite_array("trace['f']", trace["f"], (len(text), "N"))
        arrays = [first] + [
            finite_array(f"trace[{name!r}]", trace[name], first.shape)
            for name in ("i", "u", "c")
        ]
        for name, gate in zip("fiu", arrays, strict=False):
            within(f"trace[{name!r}]", float(gate.min()), 0, 1)
            within(f"trace[{name!r}]", float(gate.max()), 0, 1)
        arrays[3] = (np.tanh(arrays[3]) + 1) / 2
        units = list(range(first.shape[1])) if units is None else list(units)
        if len(units) != first.shape[1]:
            raise ValueError(f"units: got {len(units)}, expected {first.shape[1]}")
        feature = finite_array("feature", feature, (len(text),)).astype(int).tolist()
        super().__init__(
            _text=text,
            _units=units,
            _values=np.round(255 * np.stack(arrays)).astype(np.uint8).tobytes(),
            _feature=feature,
            _feature_name=feature_name,
            kind=kind,
            row=row,
            step=step,
            shaded=shaded,
            label=label,
        )

    @traitlets.validate("kind")
    def _check_kind(self, proposal) -> str:
        return one_of("kind", proposal.value, ["f", "i", "u", "c", "h"])

    @traitlets.validate("row")
    def _check_row(self, proposal) -> int:
        return within("row", proposal.value, 0, len(self._units) - 1)

    @traitlets.validate("step")
    def _check_step(self, proposal) -> int:
        return within("step", proposal.value, 0, len(self._text) - 1)

    def __repr__(self) -> str:
        return f"CellExplorer({len(self._units)} units × {len(self._text)} characters)"
