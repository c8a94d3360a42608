"""Build the site into _build/html with every warning an error: `build.py`. The log is _build/build.log."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from environment import ROOT, VENV

SITE = ROOT / "_build" / "html"
LOG = ROOT / "_build" / "build.log"
FINGERPRINT = ROOT / "_build" / "fingerprint"
INPUTS = [
    "_config.yml",
    "_toc.yml",
    "book",
    "notebooks",
    "constraints.txt",
    "package-lock.json",
]


def run(source: Path, output: Path, log: Path) -> bool:
    """Build the book at source into output/_build/html, all pages anew; says whether there was no warning."""
    options = ["-W", "-n", "--keep-going", "--all"]
    command = [
        VENV / "bin" / "jupyter-book",
        "build",
        source,
        "--path-output",
        output,
        *options,
    ]
    shutil.rmtree(output / "_build" / "html", ignore_errors=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        return not subprocess.run(command, stdout=stream, stderr=stream).returncode


def fingerprint() -> str:
    """Of the names and contents of everything that the site is made of."""
    digest = hashlib.sha256()
    for top in INPUTS:
        for path in [ROOT / top, *sorted((ROOT / top).rglob("*"))]:
            if (
                path.is_file()
                and "__pycache__" not in path.parts
                and ".ipynb_checkpoints" not in path.parts
            ):
                digest.update(
                    f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes()
                )
    return digest.hexdigest()


def build() -> bool:
    """Build the site anew; says whether there was no warning. Without any page: exits with one line."""
    FINGERPRINT.unlink(missing_ok=True)
    before = fingerprint()
    clean = run(ROOT, ROOT, LOG)
    if not (SITE / "index.html").exists():
        sys.exit(f"The site was not built: see {LOG.relative_to(ROOT)}")
    if clean:
        FINGERPRINT.write_text(before)
    return clean


def is_current() -> bool:
    """Whether _build/html is what a build would make of the present files, without a warning."""
    return (
        FINGERPRINT.exists()
        and SITE.exists()
        and FINGERPRINT.read_text() == fingerprint()
    )


if __name__ == "__main__":
    if not build():
        sys.exit(f"The site was built with warnings: see {LOG.relative_to(ROOT)}")
