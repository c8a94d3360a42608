"""How pytest runs the notebooks: `pytest --nbval notebooks -n 2 --dist loadfile`, strictly, two at a time.

What is not compared, and why, is said in tests/notebooks/nbval.cfg. After its last cell each notebook has two
more tests, which ask the kernel that ran the cells: `explorers`, whether each explorer holds the state that is stored,
and `peak memory`, how much memory it needed.
"""

import ast
import base64
import json
import os
import sys
import zlib
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest

SANITISER = Path(__file__).parent / "tests" / "notebooks" / "nbval.cfg"
PLOTLY = "application/vnd.plotly.v1+json"
VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
SHOWN_ONLY = (
    VIEW,
    "image/png",
    "image/jpeg",
    "image/svg+xml",
)
MEMORY_LIMIT_MB = 1500
MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
# Of an explorer's state, what the version of ipywidgets or anywidget decides.
OF_THE_PROTOCOL = ("_model_", "_view_", "_anywidget_id", "_dom_classes")
OF_EVERY_WIDGET = {"layout", "tabbable", "tooltip"}
# How many bytes each picture in a trait has, which Pillow decides; the pixels are the same.
OF_THE_ENCODER = {"_images"}
ROUNDING = 2e-3  # the share of a number by which another processor may round otherwise


def pytest_configure(config):
    if not config.getoption("nbval", default=False):
        return
    config.option.nbval_current_env = True
    config.option.nbval_sanitize_with = config.option.nbval_sanitize_with or str(
        SANITISER
    )
    # Two notebooks at a time must not fight for two cores; a number that is given stays.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    # A bar would be as wide as this says, in older versions of tqdm and ipykernel.
    os.environ.pop("COLUMNS", None)

    # Plotly 5 and 6 would say it in HTML as well, Plotly 7 no more.
    os.environ["PLOTLY_RENDERER"] = "plotly_mimetype"

    from nbval.kernel import RunningKernel
    from nbval.plugin import IPyNbCell

    def execute_cell_input(self, cell_input, allow_stdin=None):
        """Run a cell as Jupyter does: without `store_history` IPython ignores a semicolon at its end."""
        return self.kc.execute(
            cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False
        )

    compare = IPyNbCell.compare_outputs

    def compare_outputs(self, test, ref, skip_compare=None):
        views = self.parent.__dict__.setdefault("views", [])
        views += zip_longest(model_ids(ref), model_ids(test))
        return compare(
            self,
            [comparable(o) for o in test if not is_blank(o)],
            [comparable(o) for o in ref if not is_blank(o)],
            skip_compare,
        )

    RunningKernel.execute_cell_input = execute_cell_input
    IPyNbCell.compare_outputs = compare_outputs


def pytest_collectstart(collector):
    """Take back nbval's own exceptions: `comparable` leaves something to compare of each output."""
    if type(collector).__name__ == "IPyNbFile":
        collector.skip_compare = tuple(
            mime for mime in collector.skip_compare if mime not in SHOWN_ONLY
        )


def is_blank(output):
    """Is it what a progress bar leaves that cleans up behind itself? A download shows one only the first time."""
    return output.get("name") == "stderr" and not output["text"].strip()


def comparable(output):
    """Return a copy of an output, figures, explorers and images reduced to what must stay the same."""
    output = output.copy()
    if "data" in output:
        told = "text/html" in output["data"]  # stored instead of a widget
        output["data"] = {
            mime: reduce_content(mime, content)
            for mime, content in output["data"].items()
            if not (told and mime == SHOWN_ONLY[0])
        }
    return output


def reduce_content(mime, content):
    if mime in SHOWN_ONLY:
        return "shown"
    if mime == PLOTLY:
        layout = content["layout"]
        return repr(
            {
                "traces": [
                    (trace.get("type"), trace.get("name")) for trace in content["data"]
                ],
                "title": layout.get("title", {}).get("text"),
                "alt": layout.get("meta", {}).get("alt"),
            }
        )
    return content


def model_ids(outputs):
    """Return the model ids of the widgets that outputs show, in order."""
    found = [output["data"].get(VIEW) for output in outputs if "data" in output]
    return [view["model_id"] for view in found if view]


def differences(stored, now):
    """Yield the traits in which an explorer's state is not the stored one, by more than rounding."""
    for name, value in stored["state"].items():
        ours = name not in OF_EVERY_WIDGET | OF_THE_ENCODER
        ours = ours and not name.startswith(OF_THE_PROTOCOL)
        if ours and not is_close(value, now["state"].get(name)):
            yield name
    before, after = buffers(stored), buffers(now)
    for name in sorted(before.keys() | after.keys()):
        if not is_same_data(before.get(name, b""), after.get(name, b"")):
            yield name


def buffers(model):
    """Return the binary traits of a stored widget by name, those of a list by name and place."""
    return {
        "/".join(map(str, each["path"])): base64.b64decode(each["data"])
        for each in model.get("buffers", [])
    }


def is_close(one, other):
    """Are two values as JSON knows them the same, numbers up to rounding?"""
    numbers = [
        isinstance(x, (int, float)) and not isinstance(x, bool) for x in (one, other)
    ]
    if all(numbers):
        return abs(one - other) <= ROUNDING * max(1, abs(one))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            is_close(one[k], other[k]) for k in one
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_close, one, other))
    return type(one) is type(other) and one == other


def is_same_data(one, other):
    """Do two buffers hold the same, rounding apart? Images are equal: their bytes depend on the library."""
    one, other = inflated(one), inflated(other)
    if one == other or (b"WEBPVP8" in one[:16] and b"WEBPVP8" in other[:16]):
        return True
    if len(one) != len(other):
        return False
    levels = [np.frombuffer(data, np.uint8).astype(int) for data in (one, other)]
    apart = abs(levels[0] - levels[1])
    if np.minimum(apart, 256 - apart).max() <= 1:  # of int8 too
        return True
    kind = min(("<f2", "<f4"), key=lambda kind: spread(one, kind))
    if spread(one, kind) > 5:  # integers, read as floats, would be of all sizes
        return False
    values = [np.frombuffer(data, kind).astype(float) for data in (one, other)]
    size = np.median(abs(values[0]))
    return np.allclose(*values, rtol=ROUNDING, atol=ROUNDING * size)


def spread(data, kind):
    """Return by how many powers of two the sizes of numbers of this kind differ, which is least for the true kind."""
    if len(data) % np.dtype(kind).itemsize:
        return np.inf
    sizes = abs(np.frombuffer(data, kind).astype(float))
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    return np.log2(sizes).std() if sizes.size else np.inf


def inflated(data):
    """Return data without their compression, if they have one."""
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


class AfterTheLastCell(pytest.Item):
    """A question to the kernel that ran a notebook's cells."""

    def ask(self, expression):
        """Return the value of an expression in the kernel, from its text."""
        kernel = self.parent.kernel
        if not kernel.is_alive():
            pytest.fail("the kernel died", pytrace=False)
        reply = kernel.kc.execute(
            "", silent=True, user_expressions={"it": expression}, reply=True, timeout=60
        )
        answer = reply["content"]["user_expressions"]["it"]
        return ast.literal_eval(answer["data"]["text/plain"])

    def reportinfo(self):
        return self.path, 0, f"{self.path.name}::{self.name}"


class Explorers(AfterTheLastCell):
    """Each explorer that the cells showed holds the state that the notebook stores of it."""

    def runtest(self):
        metadata = json.loads(self.path.read_text(encoding="utf-8"))["metadata"]
        stored = metadata.get("widgets", {}).get(STATE, {}).get("state", {})
        views = dict(getattr(self.parent, "views", []))
        if not stored:
            return
        models = "__import__('ipywidgets').Widget.get_manager_state()['state']"
        now = json.loads(self.ask(f"__import__('json').dumps({models})"))
        problems = [
            f"{name}: another {trait}"
            for name, state in stored.items()
            for trait in (
                differences(state, now[views[name]])
                if views.get(name) in now
                else ["explorer or none"]
            )
        ]
        if problems:
            pytest.fail("\n".join(problems), pytrace=False)


class PeakMemory(AfterTheLastCell):
    """The kernel that ran a notebook's cells stayed below `MEMORY_LIMIT_MB`."""

    def runtest(self):
        resource = "__import__('resource')"
        peak = self.ask(f"{resource}.getrusage({resource}.RUSAGE_SELF).ru_maxrss")
        megabytes = peak * MAXRSS_BYTES / 1e6
        self.user_properties.append(("peak_mb", megabytes))
        if megabytes > MEMORY_LIMIT_MB:
            reason = (
                f"the kernel needed {megabytes:.0f} MB, more than {MEMORY_LIMIT_MB} MB"
            )
            pytest.fail(reason, pytrace=False)


def pytest_collection_modifyitems(items):
    """Put the tests `explorers` and `peak memory` behind the last cell of each notebook."""
    for index in reversed(range(len(items))):
        notebook = items[index].parent
        last = index + 1 == len(items) or items[index + 1].parent is not notebook
        if last and type(notebook).__name__ == "IPyNbFile":
            items[index + 1 : index + 1] = [
                Explorers.from_parent(notebook, name="explorers"),
                PeakMemory.from_parent(notebook, name="peak memory"),
            ]


def pytest_terminal_summary(terminalreporter):
    """Print what each notebook cost: the seconds of its cells and the peak memory of its kernel."""
    seconds, megabytes = {}, {}
    for report in (
        report for reports in terminalreporter.stats.values() for report in reports
    ):
        if getattr(report, "when", None) != "call" or ".ipynb::" not in report.nodeid:
            continue
        name = report.nodeid.partition("::")[0]
        seconds[name] = seconds.get(name, 0) + report.duration
        if peak := dict(report.user_properties).get("peak_mb"):
            megabytes[name] = peak
    if seconds:
        terminalreporter.section("notebooks")
        for name in sorted(seconds):
            peak = f"{megabytes[name]:6.0f} MB" if name in megabytes else "        –"
            terminalreporter.write_line(f"{seconds[name]:6.1f} s  {peak}  {name}")
