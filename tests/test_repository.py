"""What the repository says in more than one place agrees, and it speaks of no single machine."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
TEXT = {
    ".cfg",
    ".cff",
    ".css",
    ".ipynb",
    ".js",
    ".json",
    ".md",
    ".mjs",
    ".py",
    ".toml",
    ".txt",
    ".yml",
    "",
}
CPU_INDEX = {
    "Makefile",
    "binder/requirements.txt",
    "tests/test_binder.py",
    "tests/test_repository.py",
}
# These look for such paths themselves.
EXAMPLES = {
    "tests/notebooks/test_policy.py",
    "tests/notebooks/test_refresh.py",
    "tests/test_repository.py",
}


def files():
    """The text files that git knows or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [
        name for name in names if Path(name).suffix in TEXT and (ROOT / name).is_file()
    ]


def requirements(name):
    """The requirements in a file, by canonical name."""
    lines = [
        line.partition("#")[0].strip()
        for line in (ROOT / name).read_text().splitlines()
    ]
    parsed = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {
        re.sub(r"[-_.]+", "-", requirement.name).lower(): requirement
        for requirement in parsed
    }


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "CITATION.cff", "README.md", "CONTRIBUTING.md"]
)
def test_the_repository_has_one_address(name):
    mentions = re.findall(
        r"https://github\.com/[\w.-]+/paying-attention", (ROOT / name).read_text()
    )
    assert mentions and set(mentions) == {ADDRESS}


def test_the_readme_leads_to_the_published_pages():
    from site_extension.sharing import published

    pages = re.findall(
        r"https://[\w-]+\.github\.io/[^>)\s]*", (ROOT / "README.md").read_text()
    )
    assert pages and set(pages) == {published(ADDRESS)}


def test_the_newest_release_is_the_version_to_cite():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    version, date = re.search(
        r"^## (\d+\.\d+\.\d+), (\S+)$",
        (ROOT / "CHANGELOG.md").read_text(),
        re.MULTILINE,
    ).groups()
    assert version == cited["version"] == project["version"]
    assert date == str(cited["date-released"])


def test_the_package_needs_what_a_readers_kernel_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["dependencies"]
    assert (
        project["tool"]["setuptools"]["dynamic"]["dependencies"]["file"]
        == "requirements.txt"
    )


def test_a_readers_requirements_are_lower_bounds():
    """A pin would break Colab, which brings its own versions."""
    for name, requirement in requirements("requirements.txt").items():
        assert [bound.operator for bound in requirement.specifier] == [">="], name


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-site.txt", "requirements-dev.txt"]
)
def test_constraints_freeze_every_requirement(name):
    frozen = requirements("constraints.txt")
    for package, requirement in requirements(name).items():
        version = str(next(iter(frozen[package].specifier))).removeprefix("==")
        assert requirement.specifier.contains(version), (
            f"{package}: {version} is frozen, {requirement} needed"
        )


def test_formulas_and_their_style_sheet_come_from_one_version_of_katex():
    from sphinxcontrib.katex import katex_version

    installed = json.loads(
        (ROOT / "node_modules" / "katex" / "package.json").read_text()
    )["version"]
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]["katex"]
    assert installed == wanted == katex_version


def test_figures_are_drawn_by_the_plotly_that_they_were_made_for():
    from plotly import __version__
    from plotly.offline import get_plotlyjs_version

    frozen = requirements("constraints.txt")["plotly"]
    if not frozen.specifier.contains(__version__):
        pytest.skip(
            f"Plotly {__version__} is installed, the site is built with {frozen}"
        )
    versions = {
        json.loads((ROOT / "node_modules" / name / "package.json").read_text())[
            "version"
        ]
        for name in ("plotly.js-cartesian-dist-min", "plotly.js-gl3d-dist-min")
    }
    (version,) = versions
    assert get_plotlyjs_version().partition(".")[0] == version.partition(".")[0]


def test_no_file_names_a_registry_or_a_path_of_one_machine():
    words = [
        r"pypi\.org",
        r"pythonhosted\.org",
        r"npmjs\.(org|com)",
        r"(?<![\w.])/(home|root|Users)/\w",
        r"file:///",
    ]
    registry_or_path = re.compile("|".join(words))
    index = re.compile(r"download\.pytorch\.org")
    found = []
    for name in files():
        text = (ROOT / name).read_text()
        if name not in CPU_INDEX:
            found += [f"{name}: {match[0]}" for match in index.finditer(text)]
        if name not in EXAMPLES:
            found += [
                f"{name}: {match[0]}" for match in registry_or_path.finditer(text)
            ]
    assert found == []
