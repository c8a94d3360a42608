"""Downloads: checked, whole or not there at all, and clear about what went wrong."""

import errno
import io
import shutil
import sys
import tarfile
import zipfile
from hashlib import sha256

import pytest

from helpers import data, download
from helpers.download import DownloadError, Package, fetch

TEXT = b"Down the Rabbit-Hole\n"


def wheel() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("inside/text.txt", TEXT)
        archive.writestr("inside/code.py", "raise SystemExit")
    return out.getvalue()


def tarball() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        member = tarfile.TarInfo("inside/text.txt")
        member.size = len(TEXT)
        archive.addfile(member, io.BytesIO(TEXT))
    return out.getvalue()


def package(content: bytes, archive="data-1.0.whl", **changed) -> Package:
    fields = {
        "registry": "pypi",
        "name": "data",
        "version": "1.0",
        "archive": archive,
        "megabytes": 0.001,
        "sha256": sha256(content).hexdigest(),
        "files": ("inside/text.txt",),
        "licence": "none",
        "source": "this test",
    }
    return Package(**{**fields, **changed})


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(download.CACHE, str(tmp_path / "cache"))
    monkeypatch.delenv(download.MIRROR, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def mirror(tmp_path, monkeypatch, cache):
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv(download.MIRROR, str(folder))
    return folder


def client(monkeypatch, code: str):
    """Let Python code stand for pip and npm: it finds the folder to write to in `part`."""

    def command(package, part):
        return [sys.executable, "-c", f"part = {str(part)!r}\n{code}"]

    monkeypatch.setattr(download, "_command", command)


def left(cache):
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*"))


@pytest.mark.parametrize(
    ("archive", "make"), [("data-1.0.whl", wheel), ("data-1.0.tgz", tarball)]
)
def test_only_the_named_files_are_unpacked_and_kept(mirror, cache, archive, make):
    content = make()
    (mirror / archive).write_bytes(content)
    folder = fetch(package(content, archive))
    assert (folder / "text.txt").read_bytes() == TEXT
    assert left(cache) == ["data-1.0", "data-1.0/text.txt"]
    (mirror / archive).unlink()  # the second call needs nothing
    assert fetch(package(content, archive)) == folder


@pytest.mark.parametrize(
    ("archive", "make"), [("data-1.0.whl", wheel), ("data-1.0.tgz", tarball)]
)
def test_a_file_that_the_archive_lacks(mirror, cache, archive, make):
    content = make()
    (mirror / archive).write_bytes(content)
    with pytest.raises(DownloadError, match=f"{archive}: got no inside/more.txt in it"):
        fetch(package(content, archive, files=("inside/text.txt", "inside/more.txt")))
    assert left(cache) == []


def test_the_clients_archive_is_checked_and_unpacked(monkeypatch, cache):
    content = wheel()
    client(monkeypatch, f"open(part + '/data-1.0.whl', 'wb').write({content!r})")
    assert (fetch(package(content)) / "text.txt").read_bytes() == TEXT
    assert left(cache) == ["data-1.0", "data-1.0/text.txt"]


def test_a_package_that_needs_another_file_is_fetched_again(mirror, cache):
    content = wheel()
    (mirror / "data-1.0.whl").write_bytes(content)
    fetch(package(content))
    folder = fetch(package(content, files=("inside/text.txt", "inside/code.py")))
    assert left(cache) == ["data-1.0", "data-1.0/code.py", "data-1.0/text.txt"]
    assert folder == cache / "data-1.0"


def test_another_file_is_refused_and_nothing_kept(mirror, cache):
    (mirror / "data-1.0.whl").write_bytes(wheel())
    wrong = package(b"something else")
    message = f"got a file with SHA-256 .*, expected {wrong.sha256}; nothing was kept"
    with pytest.raises(DownloadError, match=message):
        fetch(wrong)
    assert left(cache) == []


def test_a_truncated_archive_is_refused(monkeypatch, cache):
    content = wheel()
    half = content[: len(content) // 2]
    client(monkeypatch, f"open(part + '/data-1.0.whl', 'wb').write({half!r})")
    with pytest.raises(DownloadError, match="SHA-256"):
        fetch(package(content))
    assert left(cache) == []


def test_without_a_network_the_clients_words_and_the_way_out_are_said(
    monkeypatch, cache
):
    client(monkeypatch, "import sys; sys.exit('ERROR: name or service not known')")
    with pytest.raises(DownloadError) as caught:
        fetch(package(wheel()))
    message = str(caught.value)
    assert "pypi did not give it (0.001 MB)" in message
    assert "ERROR: name or service not known" in message
    assert "set PAYING_ATTENTION_MIRROR to it" in message
    assert left(cache) == []


def test_a_client_that_succeeds_without_the_archive_is_noticed(monkeypatch, cache):
    client(monkeypatch, "pass")
    with pytest.raises(DownloadError, match="its client said: nothing"):
        fetch(package(wheel()))


def test_an_interruption_stops_the_client_and_leaves_nothing(monkeypatch, cache):
    endless = "import time; open(part + '/data-1.0.whl', 'wb').write(b'half'); "
    client(monkeypatch, endless + "time.sleep(60)")
    started = []
    popen = download.subprocess.Popen

    def remember(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[0]

    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(download.subprocess, "Popen", remember)
    monkeypatch.setattr(download.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(package(wheel()))
    assert started[0].poll() is not None
    assert left(cache) == []

    monkeypatch.undo()
    monkeypatch.setenv(download.CACHE, str(cache))
    content = wheel()
    client(monkeypatch, f"open(part + '/data-1.0.whl', 'wb').write({content!r})")
    assert (fetch(package(content)) / "text.txt").read_bytes() == TEXT


def test_a_disk_that_is_too_full_is_said_before_anything_is_fetched(monkeypatch, cache):
    usage = shutil.disk_usage(cache.parent)._replace(free=1_000_000)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(
        DownloadError, match=r"got 1 MB free in .*, expected at least 40 MB"
    ):
        fetch(package(wheel(), megabytes=10))
    assert left(cache) == []


def test_a_disk_that_fills_up_while_unpacking_leaves_nothing(
    monkeypatch, mirror, cache
):
    content = wheel()
    (mirror / "data-1.0.whl").write_bytes(content)

    def full(source, target):
        target.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download.shutil, "copyfileobj", full)
    with pytest.raises(
        DownloadError, match=r"could not be stored in .*: .*No space left"
    ):
        fetch(package(content))
    assert left(cache) == []


def test_a_mirror_without_the_archive(mirror):
    message = f"PAYING_ATTENTION_MIRROR: got {mirror}, expected a folder that holds data-1.0.whl"
    with pytest.raises(DownloadError, match=message):
        fetch(package(wheel()))


def test_npm_that_is_not_there(monkeypatch, cache):
    monkeypatch.setattr(download.shutil, "which", lambda name, path: None)
    with pytest.raises(
        DownloadError, match="got no npm to fetch it with, expected one"
    ):
        fetch(package(tarball(), "data-1.0.tgz", registry="npm"))


def test_the_commands_fetch_one_archive_and_install_nothing(tmp_path):
    pip = download._command(package(wheel()), tmp_path)
    assert pip[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", f"-d{tmp_path}", "data==1.0"} < set(pip)
    npm = download._command(package(tarball(), registry="npm"), tmp_path)
    assert npm[1] == "pack"
    assert {f"--pack-destination={tmp_path}", "data@1.0"} < set(npm)


@pytest.mark.parametrize("name", data.PACKAGES)
def test_the_table_is_complete(name):
    package = data.PACKAGES[name]
    assert package.registry in ("pypi", "npm")
    assert len(package.sha256) == 64 and int(package.sha256, 16)
    assert package.version in package.archive and package.megabytes > 0
    assert package.licence and package.source
    names = [file.rpartition("/")[2] for file in package.files]
    assert len(set(names)) == len(names) > 0


def test_unknown_names():
    with pytest.raises(ValueError, match="name: got 'novels', expected one of 'books'"):
        data.fetch("novels")
    with pytest.raises(ValueError, match="title: got 'carroll', expected one of"):
        data.book_text("carroll")


@pytest.mark.slow
def test_a_book_arrives_whole():
    """The one test here that needs the registry, or the cache of an earlier run."""
    text = data.book_text("carroll-alice")
    assert text.startswith("CHAPTER I. Down the Rabbit-Hole\n")
    assert text.endswith("the happy summer days.\n")
    assert len(text) == 144_337
