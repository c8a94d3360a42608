"""The site on paper: a page as a handout, and pages joined to one PDF."""

import io
import re

import pdf
import pytest
from pypdf import PdfReader

CHAPTER = (
    "/notebooks/01_gradients.html"  # has explorers, figures, one in space, solutions
)
OPEN = "document.querySelectorAll('article details[open]').length"


def text(reader):
    """All words of a PDF, without ligatures."""
    pages = " ".join(page.extract_text() for page in reader.pages)
    return " ".join(pages.replace("ﬁ", "fi").replace("ﬂ", "fl").split())


@pytest.fixture
def page(page):
    """A page that may take its time: a busy machine draws a whole chapter later, not otherwise."""
    page.set_default_timeout(120_000)
    return page


@pytest.fixture
def handout(page):
    """A chapter as a browser prints it, without a reader who scrolled; and the page, ready for paper again."""
    page.goto(CHAPTER)
    assert page.evaluate("readyForPaper(120)")
    printed = PdfReader(io.BytesIO(page.pdf(**pdf.PAPER)))
    assert page.evaluate("readyForPaper(120)")
    return printed, page


def test_a_handout_holds_what_the_page_would_show_only_later(handout):
    reader, page = handout
    words = text(reader)
    for explorer in page.locator(".pa-explorer:not([data-explorer=Quiz])").all():
        assert " ".join(explorer.locator(".pa-summary").inner_text().split()) in words
    titles = page.evaluate("""[...document.querySelectorAll(".pa-figure:not([data-space])")]
        .map((figure) => figure._fullLayout.xaxis.title.text).filter(Boolean)""")
    assert titles
    for title in titles:
        assert " ".join(re.sub("<[^>]*>", "", title).split()) in words
    told = page.locator(".pa-figure[data-space]").first.get_attribute("aria-label")
    assert f"Figure: {' '.join(told.split())}" in words
    assert "Solution" in words
    for answer in page.locator("article details:not(.hide) pre").all():
        assert answer.is_visible()


def test_a_handout_lists_its_links_and_has_no_controls(handout):
    reader, page = handout
    words = text(reader)
    links = page.locator("article a[href^=http]")
    addresses = {link.get_attribute("href") for link in links.all()}
    listed = page.locator(".pa-links li").all_inner_texts()
    assert addresses and len(listed) == len(set(listed))
    assert set(listed) == {
        page.evaluate("url => new URL(url).href", a) for a in addresses
    }
    assert listed[0] in words.replace(" ", "")
    assert page.locator("sup.pa-mark").count() == links.count()
    page.emulate_media(media="print")
    for hidden in (".pa-controls", ".bd-sidebar-primary", ".bd-header-article"):
        assert not page.locator(hidden).first.is_visible()


def test_after_printing_all_is_as_it_was(page):
    page.emulate_media(color_scheme="dark")
    page.goto(CHAPTER)
    before = page.evaluate(OPEN)
    page.evaluate("readyForPaper()")
    assert page.evaluate(OPEN) > before
    assert page.locator("html").get_attribute("data-theme") == "light"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(OPEN) == before
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.locator(".pa-links, .pa-mark").count() == 0


def test_the_keyboard_waits_until_all_is_drawn(page):
    page.add_init_script("""window.print = () => {
        window.missing = document.querySelectorAll(".pa-place:empty, .pa-figure:not([data-ready])").length; };""")
    page.goto(CHAPTER)
    page.keyboard.press("Control+p")
    page.wait_for_function("window.missing === 0")


def test_pages_become_one_book(browser, address, site):
    names = ["book/intro", "book/using"]
    book = pdf.print_book(browser, address, site, names, "https://example.org/book/")
    file = io.BytesIO()
    book.write(file)
    reader = PdfReader(file)
    starts = {
        item.title: reader.get_destination_page_number(item) for item in reader.outline
    }
    assert list(starts) == ["Paying Attention", "How to use the book"]
    contents = reader.pages[0].extract_text()
    for title, start in starts.items():
        assert re.search(rf"{title}\s+{start + 1}\b", contents)
        assert title in reader.pages[start].extract_text()
    for number, page in enumerate(reader.pages, 1):
        foot = rf"\b{number}\s*Paying Attention|Paying Attention\s*{number}\b"
        assert re.search(foot, page.extract_text())

    links = [
        annotation.get_object()
        for page in reader.pages
        for annotation in page.get("/Annots", [])
    ]
    inside = [link["/Dest"] for link in links if "/Dest" in link]
    pages = [page.indirect_reference for page in reader.pages]
    using = pages[starts["How to use the book"]]
    assert using in [dest[0] for dest in inside]  # from the contents, and from the text
    outside = [link["/A"]["/URI"] for link in links if "/A" in link]
    assert "https://example.org/book/notebooks/06_attention.html" in outside
    assert not [uri for uri in outside if "127.0.0.1" in uri]


def test_contents_longer_than_a_page_are_refused(browser):
    chapters = [("https://example.org", f"Chapter {i}", i) for i in range(200)]
    with pytest.raises(ValueError, match=r"contents: got [2-9] pages, expected 1"):
        pdf.contents_page(browser, "Much", chapters)


def test_signs_without_a_font_are_named(browser):
    assert pdf.without_font(browser, "aé\U0010fffe") == "\U0010fffe"
