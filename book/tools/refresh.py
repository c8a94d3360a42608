"""Run the notebooks again and store what they show: `make refresh`, or with the names of some of them.

A notebook runs from its first cell to its last in a new kernel, in its own folder, on one thread. Stored are
the outputs, and the state of the explorers, because the published page draws them from it. Not stored is what
differs from run to run (times, addresses, random ids): a second refresh leaves every file as it was.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbval.plugin import get_sanitize_patterns

from helpers import exercises

ROOT = Path(__file__).resolve().parents[2]
# What the strict comparison ignores is not stored either, so both read the same rules.
NOISE = get_sanitize_patterns(
    (ROOT / "tests" / "notebooks" / "nbval.cfg").read_text(encoding="utf-8")
)
STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python", "file_extension": ".py", "pygments_lexer": "ipython3"}
AT_A_TIME = 2


class RefreshError(Exception):
    """A notebook could not be refreshed; the message says why."""


async def run(notebook, folder):
    """Execute all cells of `notebook` in place, in a new kernel whose working directory is `folder`.

    Raises RefreshError naming the cell that raised, hung or killed the kernel.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    here = {}
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=1800,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
        on_cell_execute=lambda cell, cell_index: here.update(
            cell=cell, index=cell_index
        ),
    )
    try:
        await client.async_execute(stderr=subprocess.DEVNULL)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        what = (
            f"{error.ename}: {error.evalue}"
            if isinstance(error, CellExecutionError)
            else error
        )
        first_line = here["cell"].source.partition("\n")[0]
        raise RefreshError(
            f"cell {here['index'] + 1} (`{first_line}`) failed: {what}"
        ) from error


def tidy(notebook, name):
    """Keep of an executed notebook what its readers need and what is the same in every run.

    `name` is the file's stem: the explorers are called `<name>-explorer-1`, `-2`, … in order of appearance.
    """
    states = notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    kept = {}
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNELSPEC, "language_info": LANGUAGE}
    )
    names = {}
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict(
            {"tags": cell.metadata.tags} if cell.metadata.get("tags") else {}
        )
        if "outputs" in cell:
            cell.outputs = [o for o in cell.outputs if not is_blank(o)]
        for output in cell.get("outputs", []):
            if "text" in output:
                output.text = without_noise(output.text)
            for mime, content in output.get("data", {}).items():
                if isinstance(content, str) and not mime.startswith("image/"):
                    output.data[mime] = without_noise(content)
            view = output.get("data", {}).get(VIEW)
            known = view and states.get(view.model_id, {}).get("model_module")
            if view and known != "anywidget" and "text/html" in output.data:
                del output.data[VIEW]  # a widget that only lives with a kernel says so
            elif known == "anywidget":
                stable = names.setdefault(
                    view.model_id, f"{name}-explorer-{len(names) + 1}"
                )
                kept[stable] = states[view.model_id]
                view.model_id = stable
    for model in kept.values():
        del model["state"]["layout"]  # a reference to another widget, by its random id
    if kept:
        notebook.metadata.widgets = {
            STATE: {"version_major": 2, "version_minor": 0, "state": kept}
        }


def is_blank(output):
    """Is it what a progress bar leaves that cleans up behind itself?"""
    return output.get("name") == "stderr" and not output["text"].strip()


def without_noise(text):
    """Replace in `text` what nbval.cfg says is different in every run."""
    for pattern, replacement in NOISE:
        text = re.sub(pattern, replacement, text)
    return text


async def refresh(path):
    """Make the exercises of the notebook at `path` anew, execute it and write it back.

    Raises RefreshError, with the file left as it was, for a cell that fails or an exercise that does not exist.
    """
    notebook = nbformat.read(path, as_version=4)
    try:
        exercises.sync(notebook)
    except ValueError as error:
        raise RefreshError(f"exercises: {error}") from error
    await run(notebook, path.parent)
    tidy(notebook, path.stem)
    nbformat.write(notebook, path)


async def refresh_all(paths):
    """Refresh the notebooks, `AT_A_TIME`, and return how many failed."""
    places = asyncio.Semaphore(AT_A_TIME)

    async def attempt(path):
        async with places:
            start = time.perf_counter()
            try:
                await refresh(path)
            except RefreshError as error:
                print(
                    f"{path.name}: {error}. The file is left as it was.",
                    file=sys.stderr,
                )
                return False
            seconds = time.perf_counter() - start
            print(
                f"{path.name}: {seconds:.0f} s, {path.stat().st_size / 1e3:.0f} kB",
                flush=True,
            )
            return True

    return (await asyncio.gather(*map(attempt, paths))).count(False)


def find(names, folder):
    """Return the notebooks in `folder` called `names` (06_attention, or its path), or all of them.

    Raises ValueError for a name that is not there.
    """
    found = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    stems = [Path(name).stem for name in names] or list(found)
    if unknown := [stem for stem in stems if stem not in found]:
        raise ValueError(
            f"no notebook {', '.join(unknown)} in {folder.name}/; there are: {', '.join(found)}"
        )
    return [found[stem] for stem in stems]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "names",
        nargs="*",
        help="such as 06_attention; without a name, all notebooks run",
    )
    arguments = parser.parse_args()
    try:
        paths = find(arguments.names, ROOT / "notebooks")
    except ValueError as error:
        parser.error(str(error))
    os.environ["OMP_NUM_THREADS"] = "1"
    return 1 if asyncio.run(refresh_all(paths)) else 0


if __name__ == "__main__":
    sys.exit(main())
