"""Shared by the tests that look at pages: one Chromium, cut off from every host but this one."""

import chromium
import pytest


@pytest.fixture(scope="session")
def browser():
    """The Chromium that book/tools/chromium.py finds, started once."""
    from playwright.sync_api import sync_playwright

    path = chromium.installed()
    assert path, "no Chromium: run `make test`, or set CHROMIUM to the path of one"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=chromium.OPTIONS
        )
        yield browser
        browser.close()
