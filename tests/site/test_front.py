"""The book's front: an explorer on arrival, what others say of a page, the map, the page for lost readers."""

from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup
from PIL import Image
from reading import SIZES, sideways, violations
from site_extension import sharing
from test_site import CONFIG, PAGES, SOURCES

HOME = sharing.published(CONFIG["repository"]["url"])
FIRST = f"/{PAGES[0]}"
CHAPTER = "/notebooks/01_gradients.html"
BOOK = PAGES[:-1]  # all but the search


def read(site, path):
    return BeautifulSoup((site / path).read_text(encoding="utf-8"), "html.parser")


def said(soup):
    """The meta tags of a page: {name or property: content}."""
    tags = soup.select("meta[name], meta[property]")
    return {tag.get("name") or tag["property"]: tag.get("content") for tag in tags}


@pytest.mark.parametrize("size", SIZES)
def test_the_first_page_moves_on_arrival(page, size):
    page.set_viewport_size(SIZES[size])
    page.goto(FIRST)
    explorer = page.locator(".pa-explorer[data-ready]").first
    slider, summary = (
        explorer.get_by_role("slider").first,
        explorer.locator(".pa-summary"),
    )
    box = slider.bounding_box()  # without scrolling
    assert box["y"] > 0 and box["y"] + box["height"] < SIZES[size]["height"]
    pixels = "(explorer) => explorer.querySelector('canvas').toDataURL()"
    before = summary.inner_text(), explorer.evaluate(pixels)
    slider.press("ArrowRight")
    assert summary.inner_text() != before[0] and explorer.evaluate(pixels) != before[1]


@pytest.mark.parametrize("path", BOOK)
def test_page_says_what_it_is(site, path):
    soup = read(site, path)
    tags = said(soup)
    assert 40 <= len(tags["description"]) <= sharing.LONGEST
    assert not set(tags["description"]) & set("$\\{}<>")
    assert tags["og:description"] == tags["description"]
    assert tags["og:title"] == " ".join(soup.h1.get_text().replace("#", "").split())
    assert (
        tags["og:url"] == HOME + path == soup.select_one("link[rel=canonical]")["href"]
    )
    assert tags["og:image"].startswith(HOME)
    image = Image.open(site / tags["og:image"].removeprefix(HOME))
    assert image.size == (int(tags["og:image:width"]), int(tags["og:image:height"]))
    assert "robots" not in tags


def test_no_two_pages_say_the_same(site):
    descriptions = [said(read(site, path))["description"] for path in BOOK]
    assert len(set(descriptions)) == len(descriptions)


def test_the_bare_address_says_what_the_first_page_says(site):
    start, first = said(read(site, "index.html")), said(read(site, PAGES[0]))
    assert start.pop("og:url") == HOME
    assert start.items() <= first.items()


def test_the_map_has_all_pages(site):
    tree = ElementTree.parse(site / "sitemap.xml")
    name = "{http://www.sitemaps.org/schemas/sitemap/0.9}loc"
    listed = [element.text for element in tree.iter(name)]
    assert sorted(listed) == sorted(f"{HOME}{source}.html" for source in SOURCES)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_for_lost_readers_stands_alone(site, page, theme):
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size(SIZES["phone"])
    page.goto("/404.html")
    assert violations(page) == [] and sideways(page) == 0
    soup = read(site, "404.html")
    for element in soup.select("[href], [src]"):
        address = element.get("href") or element.get("src")
        if element.name == "a":
            assert (site / (address.removeprefix(HOME) or "index.html")).is_file()
        else:
            assert address.startswith("data:")


def test_without_javascript_a_page_says_what_it_cannot_show(browser, address):
    context = browser.new_context(base_url=address, java_script_enabled=False)
    page = context.new_page()
    page.goto(CHAPTER)
    told = page.locator(".pa-told").all_inner_texts()
    views = page.locator("script[type='application/vnd.jupyter.widget-view+json']")
    assert len(told) == views.count() > 0
    assert all("needs JavaScript" in words for words in told)
    assert "Gradient descent on a surface" in told[0]
    figure = page.locator(".pa-figure").first
    words = figure.evaluate("(figure) => getComputedStyle(figure, '::after').content")
    assert figure.get_attribute("aria-label") in words.replace('" "', "")
    context.close()


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org/owner/name",
        "https://github.com/owner",
        "https://github.com/a/b/c",
    ],
)
def test_an_address_that_is_no_repository_is_refused(address):
    with pytest.raises(ValueError, match=r"expected https://github\.com/owner/name"):
        sharing.published(address)


def test_a_repository_is_published_by_its_owner():
    assert (
        sharing.published("https://github.com/owner/name")
        == "https://owner.github.io/name/"
    )


def test_descriptions_end_where_a_clause_ends():
    assert sharing.shorten("A  short\none.") == "A short one."
    clause = "say what a query, a key and a value are and compute attention by hand"
    assert sharing.shorten(f"{clause}; {'and more ' * 30}") == f"{clause}."
    cut = sharing.shorten("word " * 100)
    assert cut.endswith("word…") and len(cut) <= sharing.LONGEST


@pytest.mark.parametrize("name", ["lecture-map", "curriculum", "errata"])
def test_tables_of_sentences_fit_a_phone(page, name):
    page.set_viewport_size(SIZES["phone"])
    page.goto(f"/book/{name}.html")
    widths = page.locator(".pst-scrollable-table-container").evaluate_all(
        "all => all.map(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)"
    )
    assert len(widths) >= 5 and set(widths) == {0}
