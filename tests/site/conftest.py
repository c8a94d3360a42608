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


@pytest.fixture
def browser(launch):
    """A browser for one test: one that stands still takes no other test with it."""
    browser = launch()
    yield browser
    browser.close()


@pytest.fixture
def page(browser, address):
    """A fresh page; `page.goto("/book/intro.html")` opens one of the site.

    At the end: no request to another host, no error on the console, no uncaught error.
    """
    page, problems = new_page(browser, address)
    yield page
    page.context.close()
    assert problems == []
