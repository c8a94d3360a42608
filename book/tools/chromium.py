"""Print the path of a Chromium that runs, installing one if there is none: `chromium.py`."""

import os
import shutil
import subprocess
import sys

from environment import ROOT, VENV

NAMES = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
]
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
OF_PLAYWRIGHT = """
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)
"""
# How tests and measurements start it: quiet, and cut off from every host but this one.
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-angle=swiftshader",  # WebGL in software
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-quic",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
LOG = VENV / "chromium.log"


def installed() -> str | None:
    """Return the path of the first Chromium that runs: the system's, or else Playwright's own."""
    own = subprocess.run(
        [VENV / "bin" / "python", "-c", OF_PLAYWRIGHT], capture_output=True, text=True
    )
    paths = [
        os.environ.get("CHROMIUM"),
        *map(shutil.which, NAMES),
        MAC,
        own.stdout.strip(),
    ]
    return next((path for path in paths if path and runs(path)), None)


def runs(path: str) -> bool:
    """Whether the program is there and starts: on some systems `chromium-browser` only says how to get it."""
    if not shutil.which(path):
        return False
    return subprocess.run([path, "--version"], capture_output=True).returncode == 0


def attempts() -> list[list[str]]:
    """Commands that may bring a Chromium, in order."""
    apt = os.geteuid() == 0 and shutil.which("apt-get")
    system = [
        ["apt-get", "update"],
        ["apt-get", "install", "--yes", "--no-install-recommends", "chromium"],
    ]
    return [
        *(system if apt else []),
        [str(VENV / "bin" / "playwright"), "install", "chromium"],
    ]


def main() -> str:
    """Return the path of a Chromium that runs; exits with one line if none can be had."""
    for command in attempts():
        if path := installed():
            return path
        with LOG.open("a") as log:
            subprocess.run(command, stdout=log, stderr=log)
    if path := installed():
        return path
    sys.exit(
        f"No Chromium that runs: install one (Debian: apt install chromium) or set CHROMIUM to its path; "
        f"see {LOG.relative_to(ROOT)}"
    )


if __name__ == "__main__":
    print(main())
