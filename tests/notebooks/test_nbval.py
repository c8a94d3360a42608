"""The strict comparison sees a difference that matters, and only that: one notebook, run once by nbval."""

import re
import shutil
import subprocess
import sys

import nbformat
import policy
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

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
    nbformat.write(new_notebook(cells=cells), tmp_path / "cells.ipynb")
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

    found = dict(re.findall(r"ipynb::(Cell \d+|peak memory) (PASSED|FAILED)", printed))
    results = {
        name: found[f"Cell {number}"].lower() for number, name in enumerate(CELLS)
    }
    assert results == {name: expected for name, (_, _, expected) in CELLS.items()}
    assert found["peak memory"] == "FAILED"
    assert "more than 1500 MB" in printed
    assert " MB  cells.ipynb" in printed.partition(" notebooks =")[2]
