"""The committed notebooks satisfy every rule of policy.py, and every rule sees a notebook that breaks it."""

import copy
import re

import nbformat
import policy
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbval.plugin import get_sanitize_patterns

NOTEBOOKS = sorted((policy.ROOT / "notebooks").glob("*.ipynb"))
SANITISER = get_sanitize_patterns(
    (policy.ROOT / "tests/notebooks/nbval.cfg").read_text(encoding="utf-8")
)


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("rule", policy.RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path, rule):
    problems = list(rule(nbformat.read(path, as_version=4), path.stem))
    assert not problems, "\n".join(problems)


@pytest.fixture
def good():
    """A small notebook that satisfies every rule."""
    view = {"version_major": 2, "version_minor": 0, "model_id": "good-explorer-1"}
    figure = {"data": [], "layout": {"meta": {"alt": "The loss falls from 3 to 1."}}}
    bar = "train: 100%|██████████| 30/30\n"
    cells = [
        new_markdown_cell("# Good"),
        new_code_cell(policy.first_cell(), metadata={"tags": ["remove-cell"]}),
        new_code_cell("import torch\ntorch.manual_seed(0);"),
        new_code_cell(
            "explorer", outputs=[new_output("display_data", data={policy.VIEW: view})]
        ),
        new_code_cell(
            "figure.show()",
            outputs=[new_output("display_data", data={policy.PLOTLY: figure})],
        ),
        new_code_cell(
            "model = train()", outputs=[new_output("stream", name="stderr", text=bar)]
        ),
        new_code_cell(
            "print(1 / 4)", outputs=[new_output("stream", name="stdout", text="0.25\n")]
        ),
    ]
    for count, cell in enumerate(cells[1:], 1):
        cell.execution_count = count
    state = {
        "state": {
            "good-explorer-1": {"model_module": "anywidget", "state": {"_esm": "/tmp/"}}
        }
    }
    kernel = {"name": "python3", "display_name": "Python 3"}
    metadata = nbformat.from_dict(
        {"kernelspec": kernel, "widgets": {policy.STATE: state}}
    )
    return new_notebook(cells=cells, metadata=metadata)


@pytest.mark.parametrize("rule", policy.RULES, ids=lambda rule: rule.__name__)
def test_a_good_notebook_breaks_no_rule(good, rule):
    assert not list(rule(good, "good"))


def show_last(kind, **content):
    """Return a function that gives a notebook's last cell this one output."""
    return lambda nb: nb.cells[-1].update(outputs=[new_output(kind, **content)])


def change(number, **fields):
    """Return a function that changes fields of a notebook's cell."""
    return lambda nb: nb.cells[number].update(fields)


def tag(number, *tags):
    """Return a function that gives a notebook's cell exactly these tags."""
    return lambda nb: nb.cells[number].metadata.update(tags=list(tags))


WARNING = "train: 100%|███| 30/30\nUserWarning: deprecated\n"
TIMING = {"busy": "2025-01-31T10:00:00Z"}
BREAKS = [
    (policy.is_valid, change(0, outputs=[])),
    (policy.is_executed, change(2, execution_count=None)),
    (policy.is_executed, change(2, execution_count=7)),
    (policy.has_no_empty_cells, change(2, source="\n")),
    (policy.demonstrations_have_output, change(-1, outputs=[])),
    (policy.demonstrations_have_output, change(3, outputs=[])),
    (policy.has_no_errors, show_last("error", ename="ValueError", evalue="")),
    (policy.has_no_warnings, show_last("stream", name="stderr", text=WARNING)),
    (policy.views_have_state, lambda nb: nb.metadata.pop("widgets")),
    (policy.states_have_views, change(3, outputs=[])),
    (
        policy.ids_are_stable,
        lambda nb: nb.cells[3].outputs[0].data[policy.VIEW].update(model_id="0a1b2c"),
    ),
    (policy.is_small, change(0, source="x" * policy.LARGEST)),
    (policy.skips_nothing, tag(2, "raises-exception")),
    (policy.skips_nothing, change(2, source="# NBVAL_IGNORE_OUTPUT\n1;")),
    (policy.ignores_only_figures, tag(-1, "nbval-ignore-output")),
    (policy.metadata_is_clean, lambda nb: nb.metadata.update(path="/home/me/book")),
    (
        policy.metadata_is_clean,
        lambda nb: nb.metadata.update(language_info={"version": "3.11.7"}),
    ),
    (
        policy.metadata_is_clean,
        lambda nb: nb.cells[2].metadata.update(execution=TIMING),
    ),
    (
        policy.text_is_clean,
        show_last("stream", name="stdout", text="saved in /tmp/model.pt\n"),
    ),
    (
        policy.kernel_is_python3,
        lambda nb: nb.metadata.kernelspec.update(name="conda-env-book"),
    ),
    (
        policy.figures_have_alt_text,
        lambda nb: nb.cells[4].outputs[0].data[policy.PLOTLY].layout.pop("meta"),
    ),
    (
        policy.begins_for_colab,
        change(1, source="%pip install git+https://example.org/fork"),
    ),
    (policy.begins_for_colab, tag(1)),
    (policy.begins_for_colab, change(2, source="%pip install timm")),
]


@pytest.mark.parametrize(("rule", "break_it"), BREAKS)
def test_a_broken_notebook_is_seen(good, rule, break_it):
    broken = copy.deepcopy(good)
    break_it(broken)
    assert list(rule(broken, "good"))


def test_every_rule_is_broken_once():
    assert {rule for rule, _ in BREAKS} == set(policy.RULES)


@pytest.mark.parametrize(
    "source",
    [
        "model",
        "train(model)",
        "x = 1\nx + 1",
        "if x:\n    print(x)",
        "print(x);",
        "show(x)\nx = 1",
        "%time f()",
    ],
)
def test_demonstrations(source):
    assert policy.demonstrates(source)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "# comment",
        "import torch",
        "x = 1",
        "seed(0);",
        "def f():\n    print(1)",
        "f = lambda: print(1)",
        "torch.set_num_threads(1)",
        "seed(0);  # quiet",
    ],
)
def test_no_demonstrations(source):
    assert not policy.demonstrates(source)


def sanitise(text):
    for pattern, replacement in SANITISER:
        text = re.sub(pattern, replacement, text)
    return text


@pytest.mark.parametrize(
    ("stored", "fresh"),
    [
        (
            "train: 100%|███| 30/30 [00:12<00:00, 2.4it/s]",
            "train: 100%|███| 30/30 [1:00:09<00:00, 3.1s/it]",
        ),
        ("<object at 0x7f3c5a1b2c40>", "<object at 0x10a1b2c3d>"),
        ("loss 0.25  [took 12 s]", "loss 0.25  [took 9 s]"),
    ],
)
def test_what_the_comparison_ignores(stored, fresh):
    assert sanitise(stored) == sanitise(fresh)


def test_every_sanitising_rule_is_tested():
    assert len(SANITISER) == 3


@pytest.mark.parametrize(
    ("stored", "fresh"),
    [
        (
            "train: 100%|███| 30/30 [00:12<00:00, 2.4it/s]",
            "train: 100%|███| 29/29 [00:12<00:00, 2.4it/s]",
        ),
        (
            "train: 100%|███| 30/30 [00:12<00:00, 2.4it/s]",
            "valid: 100%|███| 30/30 [00:12<00:00, 2.4it/s]",
        ),
        ("<Figure object at 0x7f3c5a1b2c40>", "<Table object at 0x7f3c5a1b2c40>"),
        ("accuracy 0.912", "accuracy 0.913"),
        ("loss 0.25  [took 12 s]", "loss 0.26  [took 12 s]"),
        ("mask 0x1f", "mask 0x2f"),
    ],
)
def test_what_the_comparison_sees(stored, fresh):
    assert sanitise(stored) != sanitise(fresh)
