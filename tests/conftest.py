"""Shared by the tests: one Chromium, cut off from every host but this one; double precision, as in the chapters."""

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


@pytest.fixture
def double_precision():
    """New tensors are float64, and random ones are the same in every run."""
    import torch

    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)
