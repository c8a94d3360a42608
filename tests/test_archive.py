"""The archive of the site holds what a reader opens, and is the same each time; the link check knows gone from shy."""

import http.server
import threading
import zipfile

import archive
import links
import pytest


@pytest.fixture
def site(tmp_path):
    """A small built site."""
    folder = tmp_path / "html"
    for name in ("index.html", "book/a.html", "_static/x.js", "_sources/a.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / ".buildinfo").write_text("config")
    return folder


def test_archive_holds_the_pages_in_one_folder(site, tmp_path):
    archive.pack(site, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        assert packed.namelist() == [
            f"paying-attention/{name}"
            for name in ("_static/x.js", "book/a.html", "index.html")
        ]
        assert packed.read("paying-attention/book/a.html") == b"book/a.html"
    assert not list(tmp_path.glob("*.part"))


def test_the_same_site_gives_the_same_bytes(site, tmp_path):
    archive.pack(site, tmp_path / "a.zip")
    (site / "index.html").touch()
    archive.pack(site, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_without_a_site_there_is_no_archive(site, tmp_path):
    (site / "index.html").unlink()
    with pytest.raises(FileNotFoundError, match=r"got no index\.html"):
        archive.pack(site, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


@pytest.fixture
def host():
    """A host whose pages answer with the number that they are called."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(int(self.path[1:]))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize(
    ("answer", "fine"),
    [(200, True), (403, True), (429, True), (503, True), (404, False), (410, False)],
)
def test_a_link_is_bad_when_its_page_is_gone(site, host, capsys, answer, fine):
    address = f"{host}/{answer}"
    (site / "index.html").write_text(f'<a class="x" href="{address}#part">it</a>')
    assert links.links(site) == {address: "index.html"}
    assert links.check(site) is fine
    printed = capsys.readouterr().out
    assert (address in printed) is (answer != 200)
    assert printed.endswith(f"1 links, {int(not fine)} gone\n")
