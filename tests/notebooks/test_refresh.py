"""`make refresh` stores what readers need, gives no diff without a change, and never keeps half a run."""

import asyncio

import nbformat
import policy
import pytest
import refresh
from nbformat.v4 import new_code_cell, new_notebook

from helpers.exercises import exercises

EXPLORER = """
import anywidget, traitlets
from tqdm import tqdm

class Explorer(anywidget.AnyWidget):
    _esm = "export default { render() {} }"
    step = traitlets.Int().tag(sync=True)
    weights = traitlets.Bytes(b"abc").tag(sync=True)

    def __repr__(self):
        return f"Explorer(step={self.step})"
"""
CELLS = [
    EXPLORER,
    "hidden, first, second = (Explorer(step=step) for step in range(3))",
    "second",
    "first",
    "second",
    "for _ in tqdm(range(30)):\n    pass",
    "print(object())",
    "for _ in tqdm(range(30), leave=False):\n    pass",
    """
import ipywidgets
class Live(ipywidgets.VBox):
    _ipython_display_ = None  # of ipywidgets 7
    def _repr_mimebundle_(self, **options):
        view = {"model_id": self.model_id}
        told = {"text/html": "needs a kernel", "text/plain": repr(self)}
        return told | {"application/vnd.jupyter.widget-view+json": view}
    def __repr__(self):
        return "Live()"
Live()""",
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A book's folder with one notebook, as Lab would save it after some work on it."""
    (tmp_path / "notebooks").mkdir()
    notebook = new_notebook(
        cells=[new_code_cell(source, execution_count=9) for source in CELLS]
    )
    notebook.metadata.path = "/home/me"
    notebook.cells[0].metadata = nbformat.from_dict(
        {"tags": ["hide-cell"], "scrolled": True}
    )
    nbformat.write(notebook, tmp_path / "notebooks" / "scratch.ipynb")
    monkeypatch.setattr(refresh, "ROOT", tmp_path)
    return tmp_path / "notebooks"


def run_main(monkeypatch, *names):
    monkeypatch.setattr("sys.argv", ["refresh.py", *names])
    return refresh.main()


async def no_run(notebook, folder):
    """Stand in for the kernel."""


def test_refresh_stores_explorers_and_is_stable(folder, monkeypatch):
    path = folder / "scratch.ipynb"
    assert run_main(monkeypatch) == 0
    once = path.read_bytes()
    notebook = nbformat.read(path, as_version=4)

    assert [view["model_id"] for view in policy.shown(notebook, policy.VIEW)] == [
        "scratch-explorer-1",
        "scratch-explorer-2",
        "scratch-explorer-1",
    ]
    states = policy.states(notebook)
    assert {name: model["state"]["step"] for name, model in states.items()} == {
        "scratch-explorer-1": 2,
        "scratch-explorer-2": 1,
    }
    assert states["scratch-explorer-1"]["buffers"] == [
        {"data": "YWJj", "encoding": "base64", "path": ["weights"]}
    ]
    assert notebook.cells[5].outputs[0].text == "100%|██████████| 30/30\n"
    assert notebook.cells[7].outputs == []  # a bar that cleans up leaves nothing
    (told,) = notebook.cells[8].outputs  # for a page without a kernel
    assert told.data == {"text/html": "needs a kernel", "text/plain": "Live()"}
    assert notebook.cells[0].metadata == {"tags": ["hide-cell"]}
    for rule in set(policy.RULES) - {policy.begins_for_colab}:
        assert not list(rule(notebook, "scratch"))

    assert run_main(monkeypatch, "scratch") == 0
    assert path.read_bytes() == once


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import os\nos._exit(1)", "Kernel died"),
    ],
)
def test_a_failing_notebook_is_named_and_left_alone(
    folder, monkeypatch, capsys, source, reason
):
    path = folder / "scratch.ipynb"
    nbformat.write(
        new_notebook(
            cells=[new_code_cell("x = 1", execution_count=9), new_code_cell(source)]
        ),
        path,
    )
    before = path.read_bytes()
    assert run_main(monkeypatch) == 1
    message = capsys.readouterr().err
    assert "scratch.ipynb: cell 2" in message
    assert reason in message
    assert path.read_bytes() == before


def test_exercises_are_made_anew(folder, monkeypatch, capsys):
    path, name = folder / "scratch.ipynb", next(iter(exercises()))
    cells = [
        new_code_cell("old", metadata={"tags": [f"exercise-{kind}-{name}"]})
        for kind in ("task", "answer")
    ]
    nbformat.write(new_notebook(cells=cells), path)
    with monkeypatch.context() as patch:
        patch.setattr(refresh, "run", no_run)
        assert run_main(patch) == 0
    assert [cell.source for cell in nbformat.read(path, as_version=4).cells] != [
        "old",
        "old",
    ]

    cells[0].metadata.tags = ["exercise-stub-nothing"]
    nbformat.write(new_notebook(cells=cells), path)
    assert run_main(monkeypatch) == 1
    assert (
        "scratch.ipynb: exercises: tags: got 'exercise-stub-nothing'"
        in capsys.readouterr().err
    )


def test_one_failing_notebook_does_not_stop_the_others(folder):
    good, bad = folder / "good.ipynb", folder / "bad.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("print(1)")]), good)
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")]), bad)
    assert asyncio.run(refresh.refresh_all([bad, good])) == 1
    assert nbformat.read(good, as_version=4).cells[0].outputs[0].text == "1\n"


def test_an_unknown_name_is_refused(folder):
    with pytest.raises(
        ValueError, match="no notebook 99_none in notebooks/; there are: scratch"
    ):
        refresh.find(["99_none"], folder)


def test_a_notebook_is_found_by_name_and_by_path(folder):
    expected = [folder / "scratch.ipynb"]
    assert refresh.find(["scratch"], folder) == expected
    assert refresh.find(["notebooks/scratch.ipynb"], folder) == expected
    assert refresh.find([], folder) == expected
