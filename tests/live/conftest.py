"""One JupyterLab for all live tests; the chapters run in it, two at a time.

While one chapter is looked at, the next one already runs, because training takes longer than looking.
"""

import pytest
from lab import NOTEBOOKS, Chapter, Lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("home"))
    try:
        lab.wait()
        yield lab
    finally:
        lab.stop()


@pytest.fixture(scope="session")
def browser(launch):
    browser = launch()
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def started():
    """The chapters that run already, by path."""
    return {}


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def chapter(request, lab, browser, started):
    """A chapter whose cells were told to run; the next one that a test asks for is started too."""
    params = [
        item.callspec.params.get("chapter")
        for item in request.session.items
        if hasattr(item, "callspec")
    ]
    paths = list(dict.fromkeys(filter(None, params)))
    here = paths.index(request.param)
    for path in paths[here : here + 2]:
        if path not in started:
            started[path] = Chapter(lab, browser, path)
    chapter = started[request.param]
    chapter.errors = chapter.finish()
    chapter.connect()
    yield chapter
    chapter.close()
