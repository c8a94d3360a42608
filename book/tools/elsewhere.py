"""Run the book in another environment than its own: `elsewhere.py colab`, `binder`, `oldest` or `newest`.

colab    the versions in colab.txt; the chapters' first cell runs first, and must bring the book and change nothing
         else; then all chapters run in a folder where they are alone
binder   what repo2docker does with binder/, step by step, in a clone; then all chapters run there
oldest   the lowest versions that requirements.txt allows: unit tests and chapters
newest   the newest versions that pip finds: unit tests and chapters

AT_A_TIME=1 runs one chapter at a time.
The environments are made anew in _build/elsewhere/. colab and binder see what is committed. Needs Linux or macOS, and a
network; exits with one line where a step fails, else with pytest's status.
"""

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import first_cell

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "_build" / "elsewhere"
RUNNER = ["pytest", "pytest-xdist", "pytest-timeout", "nbval"]
AT_A_TIME = ["-n", os.environ.get("AT_A_TIME", "2")]
NBVAL = ["--nbval", "notebooks", *AT_A_TIME, "--dist", "loadfile"]
UNIT = ["tests", "--ignore", "tests/site", "--ignore", "tests/live", *AT_A_TIME]
# IPython runs the first cell as a notebook does, and sets no title of a window.
CELL = (
    "from IPython import start_ipython; start_ipython(['--no-banner', '--quick', "
    "'--TerminalInteractiveShell.term_title=False', '-c', {!r}])"
)


class Environment:
    """A virtual environment of its own, in `_build/elsewhere/NAME`."""

    def __init__(self, name: str) -> None:
        self.folder = PLACE / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.log = self.folder / "install.log"
        self.bin = self.folder / "venv" / "bin"
        subprocess.run([sys.executable, "-m", "venv", self.folder / "venv"], check=True)

    def run(self, *command, cwd: Path = ROOT, **variables: str) -> int:
        """Run a command with the environment's programs first, and return its status."""
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"} | variables
        environment.pop("PYTHONPATH", None)
        return subprocess.run(command, cwd=cwd, env=environment).returncode

    def must(self, *command, cwd: Path = ROOT, **variables: str) -> None:
        """Run a command, its output in the log; exits with one line if it fails."""
        script = ["sh", "-c", 'log=$1; shift; exec "$@" >> "$log" 2>&1', "sh", self.log]
        if self.run(*script, *command, cwd=cwd, **variables):
            sys.exit(f"{' '.join(map(str, command[:6]))} … failed: see {self.log}")

    def pip(self, *arguments, cwd: Path = ROOT, **variables: str) -> None:
        """Let the environment's pip install something."""
        self.must(
            self.bin / "python",
            "-m",
            "pip",
            "install",
            *arguments,
            cwd=cwd,
            **variables,
        )

    def torch(self, wanted: str) -> None:
        """Install PyTorch: a build for the CPU where their index answers, else what the default index has."""
        index = cpu_index()
        if not index:
            print(f"No index of CPU builds: {wanted} with CUDA.", flush=True)
        self.pip(*(["--index-url", index] if index else []), wanted)

    def versions(self) -> dict[str, str]:
        """Return what is installed, name → version."""
        command = [self.bin / "python", "-m", "pip", "list", "--format=freeze"]
        printed = subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout
        return dict(line.split("==") for line in printed.split())

    def pytest(self, *arguments, cwd: Path = ROOT) -> int:
        """Run pytest in the environment and return its status."""
        return self.run(self.bin / "python", "-m", "pytest", *arguments, cwd=cwd)


def cpu_index() -> str | None:
    """Return the address of the index of CPU builds, if there is one and it answers."""
    index = os.environ.get("CPU_TORCH_INDEX")
    try:
        with urllib.request.urlopen(f"{index}/torch/", timeout=10):
            return index
    except (OSError, ValueError):  # no network, no such page, no address
        return None


def frozen(name: str) -> str:
    """Return the requirement that constraints.txt holds for a package."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    return re.search(rf"^{name}==\S+", text, re.MULTILINE)[0]


def lowest() -> list[str]:
    """Return the requirements of a reader's kernel at their lower bounds."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    found = re.findall(r"^([\w-]+)>=(\S+)", text, re.MULTILINE)
    return [f"{name}=={version}" for name, version in found]


def clone(folder: Path) -> None:
    """Clone what is committed here into a folder."""
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)


def from_here() -> dict[str, str]:
    """Return variables by which git reads this checkout for the book's address: the first cell stays as it is."""
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{ROOT.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": re.search(r"git\+([^\"]+)", first_cell.source())[1],
    }


def colab() -> int:
    """Bring the book with the first cell, as a chapter does that is opened alone, and run all chapters."""
    environment = Environment("colab")
    lines = (
        (ROOT / "book" / "tools" / "colab.txt").read_text(encoding="utf-8").splitlines()
    )
    wanted = [line for line in lines if line and not line.startswith("#")]
    environment.torch(next(line for line in wanted if line.startswith("torch==")))
    environment.pip(*wanted, *RUNNER)

    alone = environment.folder / "book"
    shutil.copytree(ROOT / "notebooks", alone / "notebooks")
    (alone / "tests" / "notebooks").mkdir(parents=True)
    for name in ("pyproject.toml", "conftest.py", "tests/notebooks/nbval.cfg"):
        shutil.copy(ROOT / name, alone / name)

    before, start = environment.versions(), time.perf_counter()
    printed = environment.folder / "first_cell.log"
    cell = ["sh", "-c", 'out=$1; shift; exec "$@" > "$out" 2>&1', "sh", printed]
    cell += [environment.bin / "python", "-c", CELL.format(first_cell.source())]
    status = environment.run(*cell, cwd=alone / "notebooks", **from_here())
    seconds, after = time.perf_counter() - start, environment.versions()
    if status or "paying-attention" not in after:
        sys.exit(f"The first cell failed: see {printed}")
    if text := printed.read_text().strip():
        sys.exit(f"The first cell is not quiet: {text}")
    if changed := [name for name in before if before[name] != after.get(name)]:
        sys.exit(f"The first cell changed {', '.join(changed)}")
    added = sorted(after.keys() - before.keys())
    print(
        f"The first cell: {seconds:.0f} s, nothing changed, added {', '.join(added)}",
        flush=True,
    )
    return environment.pytest(*NBVAL, cwd=alone)


def binder() -> int:
    """Do what the Dockerfile does that repo2docker renders of binder/, and run all chapters."""
    environment = Environment("binder")
    book = environment.folder / "book"
    clone(book)
    variables = {}
    if not cpu_index():  # the frozen version instead, and no long wait for the index
        constraint = environment.folder / "torch.txt"
        constraint.write_text(frozen("torch") + "\n")
        variables = {"PIP_CONSTRAINT": str(constraint), "PIP_RETRIES": "0"}
    environment.pip(
        "jupyterlab", "notebook", "jupyterhub"
    )  # what every image of repo2docker holds
    environment.pip(
        "--no-cache-dir", "-r", "binder/requirements.txt", cwd=book, **variables
    )
    environment.must("./binder/postBuild", cwd=book)
    environment.must("jupyter", "lab", "--version", cwd=book)
    environment.pip(*RUNNER)
    shutil.rmtree(book / "helpers")  # the chapters must find what postBuild installed
    return environment.pytest(*NBVAL, "-o", "pythonpath=", cwd=book)


def oldest() -> int:
    """Run unit tests and chapters with the lowest versions that requirements.txt allows."""
    environment = Environment("oldest")
    wanted = lowest()
    environment.torch(next(line for line in wanted if line.startswith("torch==")))
    constraints = environment.folder / "lowest.txt"
    constraints.write_text("\n".join(wanted))
    environment.pip("-r", "requirements-dev.txt", "-c", constraints)
    return tests(environment)


def newest() -> int:
    """Run unit tests and chapters with the newest versions of everything."""
    environment = Environment("newest")
    environment.torch("torch")
    constraints = environment.folder / "torch.txt"  # stays the CPU's
    constraints.write_text(f"torch=={environment.versions()['torch']}\n")
    eager = ["--upgrade", "--upgrade-strategy", "eager"]
    environment.pip(*eager, "-r", "requirements-dev.txt", "-c", constraints)
    return tests(environment)


def tests(environment: Environment) -> int:
    """Run unit tests and chapters, and return the first status that is not 0."""
    environment.pip("--no-deps", "-e", ".")
    environment.must(environment.bin / "python", "-m", "pip", "check")
    return environment.pytest(*UNIT) or environment.pytest(*NBVAL)


COMMANDS = {"colab": colab, "binder": binder, "oldest": oldest, "newest": newest}

if __name__ == "__main__":
    sys.exit(COMMANDS[sys.argv[1]]())
