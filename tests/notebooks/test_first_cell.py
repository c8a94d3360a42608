"""The cell with which each chapter begins: silent where the book is, it finds a checkout, or has pip fetch the book."""

import json
import subprocess
import sys

import first_cell
import nbformat
import policy
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

# Runs the cell as a notebook would, in a Python that cannot see the installed book, and says what the cell did.
RUN = """
import importlib, json, sys
from importlib.machinery import PathFinder
from IPython.core.interactiveshell import InteractiveShell
cell, installed = json.loads(sys.argv[1])
if not installed:
    sys.modules.pop("helpers", None)
    sys.path[:] = [p for p in sys.path if not __import__("pathlib").Path(p, "helpers").is_dir()]
    sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in repr(f)]
shell = InteractiveShell.instance()
commands, before = [], list(sys.path)
shell.system = lambda command: commands.append(shell.var_expand(command))
result = shell.run_cell(cell)
added = [p for p in sys.path if p not in before]
try:
    importlib.import_module("helpers")
    found = True
except ModuleNotFoundError:
    found = False
print(json.dumps([bool(result.success), commands, added, found]))
"""


def run(folder, installed=False):
    """Run the cell in a folder: ([no error, commands, what joins the path, is helpers found], what it printed)."""
    given = json.dumps([first_cell.source(), installed])
    command = [sys.executable, "-c", RUN, given]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    *printed, last = done.stdout.splitlines()
    return json.loads(last), printed + done.stderr.splitlines()


def test_where_the_book_is_installed_it_does_nothing(tmp_path):
    assert run(tmp_path, installed=True) == ([True, [], [], True], [])


def test_in_a_checkout_it_finds_the_book(tmp_path):
    (tmp_path / "helpers" / "explorers").mkdir(parents=True)
    (tmp_path / "helpers" / "__init__.py").touch()
    (tmp_path / "notebooks").mkdir()
    expected = [True, [], [str(tmp_path.resolve())], True]
    assert run(tmp_path / "notebooks") == (expected, [])


def test_alone_it_fetches_the_book(tmp_path):
    address = policy.ROOT.joinpath("_config.yml").read_text().partition("url: ")[2]
    wanted = f'"git+{address.split()[0]}"'
    (fine, commands, added, _), printed = run(tmp_path)
    assert (fine, added, printed) == (True, [], [])
    (command,) = commands
    assert command.startswith(f"{sys.executable} -m pip install -qq ")
    assert command.endswith(wanted)
    assert not {"--upgrade", "-U", "--force-reinstall"} & set(command.split())


@pytest.fixture
def chapter(tmp_path):
    """A notebook whose first code cell is an old one."""
    cells = [
        new_markdown_cell("# Über"),
        new_code_cell("import helpers", execution_count=1),
        new_code_cell("print(1)", execution_count=2),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "one.ipynb")
    return tmp_path / "one.ipynb"


def test_it_is_written_once_and_changes_nothing_else(chapter):
    before = nbformat.read(chapter, as_version=4)
    assert first_cell.write(chapter)
    after = nbformat.read(chapter, as_version=4)
    assert not list(policy.begins_for_colab(after, "one"))
    after.cells[1].update(source="import helpers", metadata={})
    assert after == before
    written = chapter.read_bytes()
    assert not first_cell.write(chapter)
    assert chapter.read_bytes() == written


def test_another_cell_is_not_overwritten(chapter):
    notebook = nbformat.read(chapter, as_version=4)
    notebook.cells[1].source = "print(2)"
    nbformat.write(notebook, chapter)
    before = chapter.read_bytes()
    with pytest.raises(ValueError, match=r"one\.ipynb: got a first code cell .*2"):
        first_cell.write(chapter)
    assert chapter.read_bytes() == before
