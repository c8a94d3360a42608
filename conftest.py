"""How pytest runs the notebooks: `pytest --nbval notebooks -n 2 --dist loadfile`, strictly, two at a time.

What is not compared, and why, is said in tests/notebooks/nbval.cfg. After its last cell each notebook has one
more test, `peak memory`: the kernel that ran the cells is asked how much memory it needed.
"""

import os
import sys
from pathlib import Path

import pytest

SANITISER = Path(__file__).parent / "tests" / "notebooks" / "nbval.cfg"
PLOTLY = "application/vnd.plotly.v1+json"
SHOWN_ONLY = (
    "application/vnd.jupyter.widget-view+json",
    "image/png",
    "image/jpeg",
    "image/svg+xml",
)
MEMORY_LIMIT_MB = 1500
MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024


def pytest_configure(config):
    if not config.getoption("nbval", default=False):
        return
    config.option.nbval_current_env = True
    config.option.nbval_sanitize_with = config.option.nbval_sanitize_with or str(
        SANITISER
    )
    os.environ["OMP_NUM_THREADS"] = (
        "1"  # two notebooks at a time must not fight for two cores
    )

    from nbval.kernel import RunningKernel
    from nbval.plugin import IPyNbCell

    def execute_cell_input(self, cell_input, allow_stdin=None):
        """Run a cell as Jupyter does: without `store_history` IPython ignores a semicolon at its end."""
        return self.kc.execute(
            cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False
        )

    compare = IPyNbCell.compare_outputs

    def compare_outputs(self, test, ref, skip_compare=None):
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


class PeakMemory(pytest.Item):
    """The kernel that ran a notebook's cells stayed below `MEMORY_LIMIT_MB`."""

    def runtest(self):
        kernel = self.parent.kernel
        if not kernel.is_alive():
            pytest.fail("the kernel died", pytrace=False)
        ask = {
            "peak": "__import__('resource').getrusage(__import__('resource').RUSAGE_SELF).ru_maxrss"
        }
        reply = kernel.kc.execute(
            "", silent=True, user_expressions=ask, reply=True, timeout=60
        )
        answer = reply["content"]["user_expressions"]["peak"]["data"]["text/plain"]
        megabytes = int(answer) * MAXRSS_BYTES / 1e6
        self.user_properties.append(("peak_mb", megabytes))
        if megabytes > MEMORY_LIMIT_MB:
            reason = (
                f"the kernel needed {megabytes:.0f} MB, more than {MEMORY_LIMIT_MB} MB"
            )
            pytest.fail(reason, pytrace=False)

    def reportinfo(self):
        return self.path, 0, f"{self.path.name}::{self.name}"


def pytest_collection_modifyitems(items):
    """Put a `peak memory` test behind the last cell of each notebook."""
    for index in reversed(range(len(items))):
        notebook = items[index].parent
        last = index + 1 == len(items) or items[index + 1].parent is not notebook
        if last and type(notebook).__name__ == "IPyNbFile":
            items.insert(
                index + 1, PeakMemory.from_parent(notebook, name="peak memory")
            )


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
