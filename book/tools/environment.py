"""Make .venv and node_modules hold what the requirement files name: `environment.py site`, or `all`.

Runs on a bare Python 3.11 to 3.13. A stamp in .venv, made of the contents of the files it depends on, says
that nothing is to be done. What pip and npm say goes to a log; a failure is one line that names it.
"""

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
SITE_FILES = [
    "requirements-site.txt",
    "constraints.txt",
    ".npmrc",
    "package.json",
    "package-lock.json",
]
ALL_FILES = [
    *SITE_FILES,
    "requirements.txt",
    "requirements-dev.txt",
    "pyproject.toml",
]
NO_NETWORK = r"connection error|Failed to establish|NameResolution|[Tt]imed out|E(NOTFOUND|CONN|AI_AGAIN|NET)"


def commands(tier: str) -> list[tuple[str, list[str]]]:
    """Return (what it installs, command) in order; torch comes alone: only it may come from another index."""
    pip = [
        PYTHON,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--constraint",
        "constraints.txt",
    ]
    site = [
        (
            "the site's Python packages",
            [*pip, "--requirement", "requirements-site.txt"],
        ),
        (
            "the site's JavaScript packages",
            [VENV / "bin" / "npm", "ci", "--ignore-scripts"],
        ),
    ]
    if tier == "site":
        return site
    index = os.environ.get("CPU_TORCH_INDEX")
    torch = [
        *pip,
        *(["--extra-index-url", index, "--retries", "0"] if index else []),
        "torch",
    ]
    return [
        *site,
        ("PyTorch for the CPU", torch),
        ("all other Python packages", [*pip, "--requirement", "requirements-dev.txt"]),
        ("the book's helpers", [*pip, "--no-deps", "--editable", "."]),
    ]


def fingerprint(tier: str) -> str:
    """Of the contents of all files that decide what is installed."""
    files = SITE_FILES if tier == "site" else ALL_FILES
    return hashlib.sha256(
        b"\0".join((ROOT / name).read_bytes() for name in files)
    ).hexdigest()


def run(what: str, command: list, log: Path) -> None:
    """Run one step with its output in the log; exits with one line if it fails."""
    print(f"Installing {what} …", flush=True)
    environment = {
        **os.environ,
        "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    with log.open("w") as output:
        code = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output
        ).returncode
    if code:
        reason = (
            "no network?"
            if re.search(NO_NETWORK, log.read_text())
            else f"exit status {code}"
        )
        sys.exit(f"Installing {what} failed ({reason}): see {log.relative_to(ROOT)}")


def ensure(tier: str) -> None:
    """Bring .venv and node_modules up to the tier, `site` or `all` (which includes it)."""
    stamp = VENV / f"{tier}.stamp"
    wanted = fingerprint(tier)
    if (
        (ROOT / "node_modules").exists()
        and stamp.exists()
        and stamp.read_text() == wanted
    ):
        return
    if importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            f"{sys.executable} has no venv module: install it (Debian: apt install python3-venv)"
        )
    has_pip = PYTHON.exists() and subprocess.run(
        [PYTHON, "-m", "pip", "--version"], capture_output=True
    )
    if not has_pip or has_pip.returncode:
        print(f"Making .venv with Python {sys.version.split()[0]} …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    for number, (what, command) in enumerate(commands(tier), 1):
        run(what, command, VENV / f"install-{number}.log")
    for done in {"site", tier}:
        (VENV / f"{done}.stamp").write_text(fingerprint(done))


if __name__ == "__main__":
    ensure(sys.argv[1])
