"""Shared by the tests: a Chromium, cut off from every host but this one; the explorers' code without one; double
precision, as in the chapters."""

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import chromium
import pytest

SOURCES = Path(__file__).parents[1] / "helpers" / "explorers" / "js"


@pytest.fixture(scope="session")
def launch():
    """Start a Chromium, the one that book/tools/chromium.py finds: `launch()`."""
    from playwright.sync_api import sync_playwright

    path = chromium.installed()
    assert path, "no Chromium: run `make test`, or set CHROMIUM to the path of one"
    with sync_playwright() as playwright:
        yield partial(
            playwright.chromium.launch, executable_path=path, args=chromium.OPTIONS
        )


@pytest.fixture(scope="session")
def in_node(tmp_path_factory):
    """Run JavaScript that imports the explorers' sources, `"./parts.js"` and so on: `in_node(program, given)`.

    The program finds what it is given in `given`, through JSON, and what it calls `answer` with comes back, as lists.
    """
    node = shutil.which("node", path=str(Path(sys.executable).parent))
    assert node, "no node: `make site-environment` installs it"
    folder = tmp_path_factory.mktemp("node")
    for source in SOURCES.glob("*.js"):
        shutil.copy(source, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    begin = """
        import { readFileSync } from "node:fs";
        const given = JSON.parse(readFileSync(0, "utf8"));
        const plain = (_, x) => (ArrayBuffer.isView(x) ? [...x] : x);
        const answer = (value) => console.log(JSON.stringify(value, plain));"""

    def run(program, given):
        (folder / "run.js").write_text(begin + program)
        done = subprocess.run(
            [node, folder / "run.js"],
            input=json.dumps(given).encode(),
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    return run


@pytest.fixture
def double_precision():
    """New tensors are float64, and random ones are the same in every run."""
    import torch

    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)
