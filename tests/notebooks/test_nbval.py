"""The strict comparison sees a difference that matters, and only that: one notebook, run once by nbval."""

import base64
import copy
import importlib.util
import io
import re
import shutil
import subprocess
import sys
import zlib

import nbformat
import numpy as np
import policy
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

FILES = ("conftest.py", "tests/notebooks/nbval.cfg")
MUCH_MEMORY = "filled = b'x' * 1_600_000_000\ndel filled"


def text(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def figure(title, y):
    return {
        policy.PLOTLY: {
            "data": [{"type": "scatter", "y": [y]}],
            "layout": {"title": {"text": title}},
        }
    }


def explorer(model_id, text="Explorer()"):
    return {policy.VIEW: {"model_id": model_id}, "text/plain": text}


def show(data):
    """Return code that shows what a figure or an explorer would, without the seconds that importing them takes."""
    return f"from IPython.display import display\ndisplay({data}, raw=True)"


def stored(data):
    return new_output("display_data", data=data)


LIVE = """
import anywidget, traitlets
class Live(anywidget.AnyWidget):
    _esm = "export default { render() {} }"
    step = traitlets.Int().tag(sync=True)
    weights = traitlets.Bytes(b"abcd").tag(sync=True)
    def __repr__(self):
        return "Live()"
Live(step=%d)"""
LIVE_STATE = {
    "model_module": "anywidget",
    "state": {"_esm": "export default { render() {} }", "step": 1},
    "buffers": [{"path": ["weights"], "encoding": "base64", "data": "YWJjZA=="}],
}


def live(number):
    return new_output(
        "execute_result",
        execution_count=0,
        data=explorer(f"cells-explorer-{number}", "Live()"),
    )


BAR = "from tqdm import tqdm\nfor _ in tqdm(range({}), desc='train'):\n    pass"
CELLS = {
    "the same text": ("print(1)", text("1\n"), "passed"),
    "another text": ("print(1)", text("2\n"), "failed"),
    "a silenced expression": ("1 + 1;", None, "passed"),
    "a new output": ("1 + 1", None, "failed"),
    "a bar": (BAR.format(9), text("train: 100%|██████████| 9/9\n", "stderr"), "passed"),
    "a shorter bar": (
        BAR.format(9),
        text("train: 100%|██████████| 8/8\n", "stderr"),
        "failed",
    ),
    "a bar that cleans up": (
        BAR.replace("desc", "leave=False, desc").format(9),
        None,
        "passed",
    ),
    "a bar that was shown only then": ("1;", text("      ", "stderr"), "passed"),
    "the last digit of a figure": (
        show(figure("Loss", 0.30000000000000004)),
        stored(figure("Loss", 0.3)),
        "passed",
    ),
    "another title": (show(figure("Loss", 1)), stored(figure("Accuracy", 1)), "failed"),
    "no figure any more": ("1;", stored(figure("Loss", 1)), "failed"),
    "an explorer": (
        show(explorer("0a1b")),
        stored(explorer("cells-explorer-1")),
        "passed",
    ),
    "another explorer": (
        show(explorer("0a1b")),
        stored(explorer("0a1b", "Quiz()")),
        "failed",
    ),
    "an image for an explorer": (
        show({"image/png": ""}),
        stored({policy.VIEW: {}}),
        "failed",
    ),
    "a widget that a note stands for": (
        show(explorer("0a1b") | {"text/html": "needs a kernel"}),
        stored({"text/html": "needs a kernel", "text/plain": "Explorer()"}),
        "passed",
    ),
    "another note": (
        show(explorer("0a1b") | {"text/html": "needs a kernel"}),
        stored({"text/html": "needs nothing", "text/plain": "Explorer()"}),
        "failed",
    ),
    "an explorer in its stored state": (LIVE % 1, live(2), "passed"),
    "an explorer in another state": (LIVE % 2, live(3), "passed"),
    "much memory": (MUCH_MEMORY, None, "passed"),
}


@pytest.mark.slow
def test_strict_comparison(tmp_path):
    for file in FILES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(policy.ROOT / file, tmp_path / file)
    cells = [
        new_code_cell(source, execution_count=count, outputs=[output] if output else [])
        for count, (source, output, _) in enumerate(CELLS.values(), 1)
    ]
    notebook = new_notebook(cells=cells)
    states = {f"cells-explorer-{number}": LIVE_STATE for number in (2, 3)}
    notebook.metadata.widgets = nbformat.from_dict({policy.STATE: {"state": states}})
    nbformat.write(notebook, tmp_path / "cells.ipynb")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "-v",
        "--color=no",
        "-p",
        "no:cacheprovider",
    ]
    printed = subprocess.run(
        [*command, "cells.ipynb"], cwd=tmp_path, capture_output=True, text=True
    ).stdout

    found = dict(
        re.findall(r"ipynb::(Cell \d+|explorers|peak memory) (PASSED|FAILED)", printed)
    )
    results = {
        name: found[f"Cell {number}"].lower() for number, name in enumerate(CELLS)
    }
    assert results == {name: expected for name, (_, _, expected) in CELLS.items()}
    assert found["explorers"] == "FAILED"
    assert re.findall(r"^cells-explorer-.*", printed, re.MULTILINE) == [
        "cells-explorer-3: another step"
    ]
    assert found["peak memory"] == "FAILED"
    assert "more than 1500 MB" in printed
    assert " MB  cells.ipynb" in printed.partition(" notebooks =")[2]


@pytest.fixture(scope="module")
def strict():
    """The root folder's conftest.py as a module."""
    spec = importlib.util.spec_from_file_location("strict", policy.ROOT / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def webp(shade):
    file = io.BytesIO()
    Image.new("L", (8, 8), shade).save(file, "webp")
    return file.getvalue()


NUMBERS = np.linspace(-3, 3, 40)
LEVELS = np.arange(200, dtype=np.uint8)
BENT = np.where(np.arange(40) == 7, NUMBERS + 0.05, NUMBERS)
WAVES = np.where(np.arange(200) == 9, LEVELS + 2, LEVELS).astype(np.uint8)
NOISE = np.random.default_rng(0).integers(-128, 128, 200).astype(np.int8)
CUT = np.where(np.arange(200) == 4, NOISE // 2, NOISE).astype(np.int8)
DATA = {
    "half precision, rounded otherwise": ("<f2", NUMBERS, NUMBERS * 1.0007, True),
    "half precision, another number": ("<f2", NUMBERS, BENT, False),
    "single precision, rounded otherwise": ("<f4", NUMBERS, NUMBERS * 1.0007, True),
    "single precision, another number": ("<f4", NUMBERS, BENT, False),
    "levels, one up": ("u1", LEVELS, LEVELS + 1, True),
    "levels, two up": ("u1", LEVELS, WAVES, False),
    "signed levels, another": ("i1", NOISE, CUT, False),
    "fewer": ("u1", LEVELS, LEVELS[:-1], False),
    "nothing": ("u1", LEVELS, LEVELS[:0], False),
}


@pytest.mark.parametrize("pack", [bytes, zlib.compress], ids=["plain", "deflated"])
@pytest.mark.parametrize(("kind", "one", "other", "same"), DATA.values(), ids=DATA)
def test_binary_traits_are_the_same_up_to_rounding(
    strict, kind, one, other, same, pack
):
    packed = [pack(values.astype(kind).tobytes()) for values in (one, other)]
    assert strict.is_same_data(*packed) is same


def test_images_may_have_other_bytes(strict):
    assert webp(10) != webp(200) and strict.is_same_data(webp(10), webp(200))
    assert not strict.is_same_data(webp(10), b"RIFF")


@pytest.mark.parametrize(
    ("trait", "value", "found"),
    [
        ("temperature", 1.0005, []),
        ("temperature", 1.01, ["temperature"]),
        ("_rows", [{"a": 1, "b": [1, 2.001]}], []),
        ("_rows", [{"a": 1, "b": [1, 2, 3]}], ["_rows"]),
        ("_rows", [{"a": True, "b": [1, 2]}], ["_rows"]),
        ("_esm", "export const other", ["_esm"]),
        ("_anywidget_id", "helpers.other", []),
        ("tooltip", "Colab has none", []),
        ("_images", [11, 21], []),
    ],
)
def test_traits_are_the_same_up_to_rounding(strict, trait, value, found):
    stored = {
        "state": {
            "temperature": 1.0,
            "_rows": [{"a": 1, "b": [1, 2]}],
            "_esm": "export",
            "_anywidget_id": "helpers.explorers.Explorer",
            "tooltip": None,
            "_images": [10, 20],
        }
    }
    now = copy.deepcopy(stored)
    now["state"][trait] = value
    assert list(strict.differences(stored, now)) == found


def test_a_binary_trait_that_is_missing_is_named(strict):
    stored = {"state": {}, "buffers": LIVE_STATE["buffers"]}
    assert list(strict.differences(stored, {"state": {}})) == ["weights"]


def test_of_a_list_of_binary_traits_each_is_compared(strict):
    packed = [base64.b64encode(bytes([level] * 4)).decode() for level in (10, 200)]
    stored, now = (
        {
            "state": {},
            "buffers": [
                {"path": ["_maps", 0], "data": first, "encoding": "base64"},
                {"path": ["_maps", 1], "data": packed[0], "encoding": "base64"},
            ],
        }
        for first in packed
    )
    assert list(strict.differences(stored, now)) == ["_maps/0"]
