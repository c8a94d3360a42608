"""The workflows call make targets that exist, ask for no more rights than they need, and leave no check out."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# YAML 1.1 reads the key `on` as true.
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in FILES}
WEEKLY = {
    "test-colab",
    "test-binder",
    "test-oldest",
    "test-newest",
    "test-portable",
    "links",
    "pdf",
}


def described():
    """The targets that `make help` lists."""
    lines = (ROOT / "Makefile").read_text().splitlines()
    return {
        line.partition(":")[0] for line in lines if re.match(r"[a-z-]+:.*  ## ", line)
    }


def targets(workflow):
    """The make targets that a workflow calls, a matrix spread out."""
    found = set()
    for job in WORKFLOWS[workflow]["jobs"].values():
        for step in job.get("steps", []):
            for target in re.findall(r"^make (.+)$", step.get("run", ""), re.MULTILINE):
                matrix = job.get("strategy", {}).get("matrix", {})
                spread = target == "${{ matrix.target }}"
                found |= {*matrix["target"]} if spread else {target}
    return found


def test_they_are_where_github_looks():
    assert {*WORKFLOWS} == {"test", "weekly", "release"}


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_each_calls_targets_that_exist(workflow):
    assert targets(workflow)
    assert targets(workflow) <= described()


def test_a_change_runs_what_the_projects_own_check_runs():
    checks = (ROOT / ".ci" / "run").read_text().splitlines()
    assert checks[-1] == "exec make test"
    assert "test" in targets("test")
    assert {"push", "pull_request"} <= WORKFLOWS["test"][True].keys()


def test_each_week_everything_else_runs():
    assert targets("weekly") == WEEKLY
    assert WORKFLOWS["weekly"][True]["schedule"]


def test_only_main_is_published_and_only_when_all_is_well():
    publish = WORKFLOWS["test"]["jobs"]["publish"]
    assert publish["if"] == "github.ref == 'refs/heads/main'"
    assert {*publish["needs"]} == {"test", "site"}


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_steps_are_githubs_own_and_jobs_come_to_an_end(workflow):
    everything = WORKFLOWS[workflow]
    assert everything["permissions"] in ({"contents": "read"}, {"contents": "write"})
    assert (everything["permissions"] == {"contents": "write"}) == (
        workflow == "release"
    )
    for name, job in everything["jobs"].items():
        assert name == "publish" or job["timeout-minutes"] <= 90
        for step in job["steps"]:
            assert re.fullmatch(
                r"actions/[\w-]+@v\d+", step.get("uses", "actions/a@v1")
            )
