"""Shared by the tests: a Chromium, cut off from every host but this one; double precision, as in the chapters."""

from functools import partial

import chromium
import pytest


@pytest.fixture(scope="session")
def launch():
    """Start a Chromium, the one that book/tools/chromium.py finds: `launch()`."""
    from playwright.sync_api import sync_playwright

    path = chromium.installed()
    assert path, "no Chromium: run `make test`, or set CHROMIUM to the path of one"
    with sync_playwright() as playwright:
        yield partial(
            playwright.chromium.launch, executable_path=path, args=chromium.OPTIONS
        )


@pytest.fixture
def double_precision():
    """New tensors are float64, and random ones are the same in every run."""
    import torch

    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)
