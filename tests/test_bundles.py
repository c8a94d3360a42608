"""What is committed under helpers/explorers/static is what its sources give, and what the stored pages carry."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXPLORERS = ROOT / "helpers" / "explorers"
STATIC = EXPLORERS / "static"
NAMES = sorted(path.name for path in STATIC.iterdir())
STATE = "application/vnd.jupyter.widget-state+json"


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory):
    """A folder of freshly built bundles."""
    node = shutil.which("node", path=str(Path(sys.executable).parent)) or shutil.which(
        "node"
    )
    assert node, "no node: `make site-environment` installs it"
    folder = tmp_path_factory.mktemp("bundles")
    subprocess.run([node, EXPLORERS / "js" / "build.mjs", folder], check=True, cwd=ROOT)
    return folder


def test_there_is_a_bundle_for_every_explorer(rebuilt):
    assert sorted(path.name for path in rebuilt.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_rebuilt_bundle_has_the_same_bytes(rebuilt, name):
    assert (rebuilt / name).read_bytes() == (STATIC / name).read_bytes(), (
        "run `make explorers`"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_is_small(name):
    assert (
        STATIC / name
    ).stat().st_size <= 30_000  # every explorer on a page carries its own copy


def test_stored_pages_carry_the_present_explorers():
    sources = {(STATIC / name).read_text() for name in NAMES}
    style = (EXPLORERS / "explorer.css").read_text()
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        stored = (
            json.loads(path.read_text())["metadata"]
            .get("widgets", {})
            .get(STATE, {"state": {}})["state"]
        )
        for name, model in stored.items():
            state = model["state"]
            assert state["_esm"] in sources and state["_css"] == style, (
                f"{path.name}, {name}: run `make refresh`"
            )
