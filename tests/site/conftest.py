"""The site, built once and served from one folder; pages that note what a reader must never meet."""

import threading

import build
import pytest
import serve
from filelock import FileLock
from playwright.sync_api import expect
from reading import new_page

expect.set_options(timeout=30_000)  # a busy machine draws later, not otherwise


@pytest.fixture(scope="session")
def clean_build(tmp_path_factory):
    """Build the site; says whether there was no warning. Of tests in two processes, one builds."""
    with FileLock(tmp_path_factory.getbasetemp().parent / "build.lock"):
        return build.is_current() or build.build()


@pytest.fixture(scope="session")
def site(clean_build):
    """The folder of the built site."""
    return build.SITE


@pytest.fixture(scope="session")
def serving():
    """Serve folders: `serving(folder)` returns the address, which ends without a slash."""
    servers = []

    def start(folder):
        server = serve.server(folder)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()


@pytest.fixture(scope="session")
def address(site, serving):
    """Where the built site is served."""
    return serving(site)


@pytest.fixture(scope="session")
def kept():
    """The browser that tests share, in a list of one, or none yet."""
    return []


@pytest.fixture
def browser(request, launch, kept):
    """The browser of the tests before; a new one for a second try, since the first may have stood still."""
    if not kept or getattr(request.node, "execution_count", 1) > 1:
        kept[:] = [launch()]
    return kept[0]


@pytest.fixture
def page(browser, address):
    """A fresh page; `page.goto("/book/intro.html")` opens one of the site.

    At the end: no request to another host, no error on the console, no uncaught error.
    """
    page, problems = new_page(browser, address)
    yield page
    page.context.close()
    assert problems == []
