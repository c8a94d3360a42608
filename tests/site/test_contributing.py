"""The explorer that CONTRIBUTING.md builds in ten minutes works as it stands there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import gallery
import pytest
from reading import new_page

from helpers.explorers import base

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture
def explorer(tmp_path, monkeypatch):
    """The guide's explorer, made in another folder as the guide says."""
    code = dict(re.findall(r"```(python|js)\n(.*?)```", GUIDE, re.DOTALL))
    shutil.copytree(base.HERE / "js", tmp_path / "js")
    (tmp_path / "js" / "sharpness.js").write_text(code["js"])
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    node = shutil.which("node", path=str(Path(sys.executable).parent))
    command = [node, tmp_path / "js" / "build.mjs", tmp_path / "static"]
    subprocess.run(command, check=True, capture_output=True)
    shutil.copy(base.HERE / "explorer.css", tmp_path)
    monkeypatch.setattr(base, "HERE", tmp_path)
    space = {}
    exec(code["python"], space)
    made = re.search(r'"sharpness": (SharpnessExplorer\(.*?\))`', GUIDE)[1]
    return eval(made, space)


def test_the_guides_explorer_moves(explorer, browser, serving, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    gallery.write(site, {"sharpness": explorer})
    address = serving(site)
    page, problems = new_page(browser, address)
    page.goto("/index.html")
    root = page.locator(".pa-explorer[data-ready]")
    root.wait_for()
    summary, bars = (
        root.locator(".pa-summary"),
        ".map((bar) => bar.getBoundingClientRect().width)",
    )
    widths = f"(root) => [...root.querySelectorAll('i')]{bars}"
    before = summary.inner_text(), root.evaluate(widths)
    assert "on the energy 2.0" in before[0]
    root.get_by_role("slider").press("Home")  # the lowest temperature
    assert "1.000" in summary.inner_text()
    assert root.evaluate(widths)[0] > before[1][0]
    root.get_by_role("button", name="Reset").click()
    assert (summary.inner_text(), root.evaluate(widths)) == before
    page.context.close()
    assert problems == []


def test_the_guides_explorer_refuses_what_it_cannot_show(explorer):
    for temperature in (0, 11):
        with pytest.raises(ValueError, match="temperature"):
            explorer.temperature = temperature
    with pytest.raises(ValueError, match="energies"):
        type(explorer)([[1, 2]])
