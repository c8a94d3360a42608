"""What every committed notebook must satisfy: one function per rule.

A rule takes a notebook (an nbformat node) and its name (06_attention), and yields one sentence per violation.
"""

import ast
import re
from pathlib import Path

import nbformat
from first_cell import source as first_cell
from IPython.core.displayhook import DisplayHook
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).resolve().parents[2]
STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
PLOTLY = "application/vnd.plotly.v1+json"
LARGEST = 2_000_000

# nbval and nbclient would skip such a cell, or let it fail.
BANNED_TAGS = {
    "nbval-skip",
    "nbval-raises-exception",
    "raises-exception",
    "skip-execution",
}
# A comment has the same power as a tag, but cannot be seen in the notebook's metadata.
BANNED_WORDS = ("NBVAL_", "PYTEST_VALIDATE_IGNORE_OUTPUT")
IGNORED_TAG = "nbval-ignore-output"
FIGURES = {VIEW, PLOTLY, "image/png"}

PROGRESS_BAR = re.compile(r"\s*(.*\d+%\|.*\| \d+/\d+)?\s*")
MACHINE_PATH = re.compile(
    r"(?<![\w.:/])/(?:home|root|Users|tmp|var|opt|usr|mnt|content)/|\b[A-Z]:\\"
)
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def shown(notebook, mime):
    """Return the contents of all outputs of this type, in order of appearance."""
    return [
        output.data[mime]
        for output in outputs(notebook)
        if mime in output.get("data", {})
    ]


def states(notebook):
    """Return the stored explorers' models by model id."""
    return notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})


def text_of(output):
    """Return all text that an output shows."""
    if output.output_type == "stream":
        return output.text
    return "\n".join(
        text
        for mime, text in output.get("data", {}).items()
        if mime.startswith("text/")
    )


def called(node):
    """Return the name of the function or method that a node of the syntax tree calls, or an empty string."""
    function = getattr(node, "func", None)
    return getattr(function, "id", getattr(function, "attr", ""))


def demonstrates(source):
    """Does the code show something: is its last statement an expression, or does it print, display or show?

    A semicolon at the end silences an expression, and a call of `set_…` has no value. What happens inside a
    function or class is not looked at.
    """
    statements = ast.parse(TransformerManager().transform_cell(source)).body
    last = statements[-1] if statements else None
    silenced = DisplayHook.semicolon_at_end_of_expression(source)
    if (
        isinstance(last, ast.Expr)
        and not silenced
        and not called(last.value).startswith("set_")
    ):
        return True
    waiting = list(statements)
    while waiting:
        node = waiting.pop()
        if called(node) in ("print", "display", "show"):
            return True
        if not isinstance(
            node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
        ):
            waiting.extend(ast.iter_child_nodes(node))
    return False


def is_valid(notebook, name):
    """It follows the notebook format."""
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        yield f"not a valid notebook: {error.message}"


def is_executed(notebook, name):
    """Each code cell ran, in order, in a new kernel. nbval does not compare a cell that was never run."""
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}, not 1, 2, …"


def has_no_empty_cells(notebook, name):
    """No code cell is empty."""
    for number, cell in enumerate(code_cells(notebook), 1):
        if not cell.source.strip():
            yield f"code cell {number} is empty"


def demonstrations_have_output(notebook, name):
    """A cell that shows something has an output."""
    for cell in code_cells(notebook):
        if (
            cell.source != first_cell()
            and demonstrates(cell.source)
            and not cell.outputs
        ):
            yield f"no output: {cell.source!r} (an expression for its effect alone ends with a semicolon)"


def has_no_errors(notebook, name):
    """No cell failed."""
    for output in outputs(notebook):
        if output.output_type == "error":
            yield f"error: {output.ename}: {output.evalue}"


def has_no_warnings(notebook, name):
    """Nothing but progress bars on stderr: a reader would see a warning on the page."""
    for output in outputs(notebook):
        if output.get("name") == "stderr":
            for line in output.text.splitlines():
                if not PROGRESS_BAR.fullmatch(line):
                    yield f"stderr: {line!r}"


def views_have_state(notebook, name):
    """Each widget on the page has its state in the file, else the page cannot draw it."""
    for view in shown(notebook, VIEW):
        if view["model_id"] not in states(notebook):
            yield f"no state for widget {view['model_id']}: it is no explorer, or it needs `make refresh`"


def states_have_views(notebook, name):
    """No state is stored that no output shows."""
    for model_id in states(notebook).keys() - {
        view["model_id"] for view in shown(notebook, VIEW)
    }:
        yield f"the state of {model_id} is stored, but nothing shows it"


def ids_are_stable(notebook, name):
    """Explorers are numbered as they appear, so that a refresh changes nothing."""
    ids = list(dict.fromkeys(view["model_id"] for view in shown(notebook, VIEW)))
    if ids != (
        expected := [f"{name}-explorer-{number}" for number in range(1, len(ids) + 1)]
    ):
        yield f"model ids are {ids}, not {expected}"


def is_small(notebook, name):
    """It loads quickly, and GitHub and Colab still render it."""
    if (size := len(nbformat.writes(notebook).encode())) > LARGEST:
        yield f"{size / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f} MB"


def skips_nothing(notebook, name):
    """No cell is left out of the run or allowed to fail."""
    for cell in code_cells(notebook):
        if banned := BANNED_TAGS & set(cell.metadata.get("tags", [])):
            yield f"banned tag {', '.join(sorted(banned))}: {cell.source!r}"
        if any(word in cell.source for word in BANNED_WORDS):
            yield f"banned comment: {cell.source!r}"


def ignores_only_figures(notebook, name):
    """A cell whose output is not compared shows figures and no text."""
    for cell in code_cells(notebook):
        if IGNORED_TAG in cell.metadata.get("tags", []):
            for output in cell.outputs:
                if not FIGURES & output.get("data", {}).keys():
                    yield f"text in an output that is not compared: {cell.source!r}"


def metadata_is_clean(notebook, name):
    """The metadata, explorers' states apart, hold no path of a machine, no time, no Python version."""
    places = [
        {key: value for key, value in notebook.metadata.items() if key != "widgets"}
    ]
    places += [part.get("metadata") for part in [*notebook.cells, *outputs(notebook)]]
    for place in places:
        if MACHINE_PATH.search(str(place)) or TIMESTAMP.search(str(place)):
            yield f"a path or a time in the metadata: {place}"
    if "version" in notebook.metadata.get("language_info", {}):
        yield f"the Python version {notebook.metadata.language_info.version} is stored"


def text_is_clean(notebook, name):
    """No text output names a path of the machine that ran it."""
    for output in outputs(notebook):
        if found := MACHINE_PATH.search(text_of(output)):
            yield f"a path of this machine in an output: …{text_of(output)[found.start() :][:60]}"


def kernel_is_python3(notebook, name):
    """Any Jupyter finds the kernel."""
    if (kernel := notebook.metadata.get("kernelspec", {}).get("name")) != "python3":
        yield f"the kernel is {kernel}, not python3"


def figures_have_alt_text(notebook, name):
    """Each Plotly figure says in words what it shows, in `layout.meta.alt`."""
    for figure in shown(notebook, PLOTLY):
        if not str(figure["layout"].get("meta", {}).get("alt", "")).strip():
            yield f"no alt text: figure {figure['layout'].get('title', {}).get('text')!r}"


def begins_for_colab(notebook, name):
    """The first code cell, and no other, finds or fetches the book where it is missing; the page leaves it out."""
    cell, *others = code_cells(notebook)
    if cell.source != first_cell() or cell.metadata.get("tags") != ["remove-cell"]:
        yield f"the first code cell, tagged remove-cell, must be what book/tools/first_cell.py writes:\n{first_cell()}"
    if any(re.search(r"\bpip3? +install", other.source) for other in others):
        yield "only the first code cell may install something"


RULES = (
    is_valid,
    is_executed,
    has_no_empty_cells,
    demonstrations_have_output,
    has_no_errors,
    has_no_warnings,
    views_have_state,
    states_have_views,
    ids_are_stable,
    is_small,
    skips_nothing,
    ignores_only_figures,
    metadata_is_clean,
    text_is_clean,
    kernel_is_python3,
    figures_have_alt_text,
    begins_for_colab,
)
