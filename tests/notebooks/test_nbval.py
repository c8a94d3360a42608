"""The strict comparison sees a difference that matters, and only that: one notebook, run once by nbval."""

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
    return {"data": [{"type": "scatter", "y": [y]}], "layout": {"title": {"text": title}}}


def show(title, y):
    """Return code that shows a figure, without the seconds that it takes to import Plotly."""
    return (
        f"from IPython.display import display\ndisplay({{{policy.PLOTLY!r}: {figure(title, y)}}}, raw=True)"
    )


def stored(title, y):
    return new_output("display_data", data={policy.PLOTLY: figure(title, y)})


BAR = "from tqdm import tqdm\nfor _ in tqdm(range({}), desc='train'):\n    pass"
CELLS = {
    "the same text": ("print(1)", text("1\n"), "passed"),
    "another text": ("print(1)", text("2\n"), "failed"),
    "a silenced expression": ("1 + 1;", None, "passed"),
    "a new output": ("1 + 1", None, "failed"),
    "a bar": (BAR.format(9), text("train: 100%|██████████| 9/9\n", "stderr"), "passed"),
    "a shorter bar": (BAR.format(9), text("train: 100%|██████████| 8/8\n", "stderr"), "failed"),
    "the last digit of a figure": (show("Loss", 0.30000000000000004), stored("Loss", 0.3), "passed"),
    "another title": (show("Loss", 1), stored("Accuracy", 1), "failed"),
    "no figure any more": ("1;", stored("Loss", 1), "failed"),
    "peak memory": (MUCH_MEMORY, None, "passed"),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Run nbval on a notebook with these cells; return how each test ended, and what pytest printed."""
    folder = tmp_path_factory.mktemp("nbval")
    for file in FILES:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(policy.ROOT / file, folder / file)
    cells = [
        new_code_cell(source, execution_count=count, outputs=[output] if output else [])
        for count, (source, output, _) in enumerate(CELLS.values(), 1)
    ]
    nbformat.write(new_notebook(cells=cells), folder / "cells.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "-v", "--color=no", "-p", "no:cacheprovider"]
    run = subprocess.run([*command, "cells.ipynb"], cwd=folder, capture_output=True, text=True, check=False)
    return run.stdout


@pytest.mark.parametrize(("number", "name"), list(enumerate(CELLS)), ids=CELLS)
def test_cell(results, number, name):
    assert f"Cell {number} {CELLS[name][2].upper()}" in results


def test_a_kernel_that_needs_too_much_memory_fails(results):
    assert "peak memory FAILED" in results
    assert "more than 1500 MB" in results


def test_the_cost_of_each_notebook_is_printed(results):
    assert " MB  cells.ipynb" in results.partition(" notebooks =")[2]
