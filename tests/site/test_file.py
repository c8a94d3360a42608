"""The site without a server: its pages opened from a folder, as a reader opens what `make zip` packed."""

import zipfile
from urllib.parse import quote

import archive
import gallery
import pytest
from playwright.sync_api import expect
from reading import FRAME, new_page, scroll_through
from test_explorers import PAGES as NOTEBOOKS

ATTENTION, PHOTOS = "notebooks/06_attention", "notebooks/09_vit"
MOVED = {"book/intro": 0, ATTENTION: 3}  # page: which of its explorers
WITH_EXPLORERS = ["book/intro", *(f"notebooks/{name}" for name in NOTEBOOKS)]
VIEWS = "script[type='application/vnd.jupyter.widget-view+json']"
# From explorer to explorer, with time for each to be seen.
SCROLL = f"""const frame = {FRAME};
(async () => {{
    for (const place of document.querySelectorAll(".pa-place")) {{
        place.scrollIntoView();
        await frame();
        await frame();
    }}
}})()"""
# What a reader sees of an explorer: its sentence and its pictures.
SEEN = """root => [root.querySelector('.pa-summary').innerText,
    ...[...root.querySelectorAll('canvas')].map(canvas => canvas.toDataURL())]"""


@pytest.fixture
def page(browser):
    """A page to open files in. At the end: no request to a host and none that failed, no error."""
    page, problems = new_page(browser, "file:")
    page.set_viewport_size({"width": 1280, "height": 300})  # few figures beside them
    page.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
    yield page
    page.context.close()
    assert problems == []


def explorers(page):
    """The explorers of the page that is open, each drawn."""
    count = page.locator(VIEWS).count()
    assert page.locator(".pa-place").count() == count > 0
    page.evaluate(SCROLL)  # only now they start
    expect(page.locator(".pa-explorer[data-ready=true]")).to_have_count(count)
    return page.locator(".pa-explorer").all()


def check_that_it_moves(root):
    """A slider gives another sentence and another picture."""
    slider = root.get_by_role("slider", disabled=False).first
    before = root.evaluate(SEEN)
    at_end = slider.input_value() == slider.get_attribute("max")
    slider.press("ArrowLeft" if at_end else "ArrowRight")
    after = root.evaluate(SEEN)
    assert after[0] != before[0] and after[1:] != before[1:]


def check_that_photos_come(root):
    """Another photo, whose bytes stand in files of their own, gives other numbers."""
    numbers = root.locator("dl output")
    expect(numbers.first).not_to_have_text("…")
    before = numbers.all_inner_texts()
    root.get_by_role("combobox", name="Photo", exact=True).select_option(index=1)
    expect(numbers.first).not_to_have_text("…")
    expect(numbers.first).not_to_have_text(before[0])


@pytest.mark.parametrize("path", WITH_EXPLORERS)
def test_every_explorer_appears(site, page, path):
    page.goto((site / f"{path}.html").as_uri())
    roots = explorers(page)
    if path in MOVED:
        check_that_it_moves(roots[MOVED[path]])
    if path == PHOTOS:
        check_that_photos_come(roots[1])


def test_the_gallery_too(page, tmp_path):
    of_all = gallery.explorers()
    gallery.write(
        tmp_path, {name: of_all[name] for name in ("tokens", "photo attention")}
    )
    page.goto((tmp_path / "index.html").as_uri())
    tokens, photos = explorers(page)
    check_that_it_moves(tokens)
    check_that_photos_come(photos)


def test_search_finds_a_chapter(site, page):
    page.goto((site / "search.html").as_uri() + "?q=alignment")
    page.locator(f"#search-results a[href*='{ATTENTION}.html']").first.click()
    page.wait_for_url(f"**/{ATTENTION}.html*")
    page.locator("h1:visible").wait_for()


def test_the_archive_opens_wherever_it_is_unpacked(site, page, tmp_path):
    archive.pack(site, tmp_path / "site.zip")
    folder = tmp_path / "Für die Prüfung"
    with zipfile.ZipFile(tmp_path / "site.zip") as packed:
        packed.extractall(folder)
    page.goto((folder / archive.FOLDER / "index.html").as_uri())
    page.wait_for_url(f"**/{quote(folder.name)}/**/book/intro.html")
    (first,) = explorers(page)
    check_that_it_moves(first)
    page.get_by_role("link", name="Attention for documents").first.click()
    page.wait_for_url("**/notebooks/06a_attention_for_documents.html")
    explorers(page)
    scroll_through(page)  # its figures too
    assert page.locator(".pa-figure[data-ready=true]").count()
