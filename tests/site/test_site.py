"""The built site as a reader meets it, every page of it."""

import gzip
import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import build
import pytest
import yaml
from bs4 import BeautifulSoup
from fontTools.ttLib import TTFont
from reading import (
    SIZES,
    count_bytes,
    cut_titles,
    scroll_through,
    sideways,
    violations,
)
from site_extension import icons

CONFIG = yaml.safe_load((build.ROOT / "_config.yml").read_text())
CONTENTS = yaml.safe_load((build.ROOT / "_toc.yml").read_text())
SOURCES = [
    CONTENTS["root"],
    *(c["file"] for part in CONTENTS["parts"] for c in part["chapters"]),
]
CHAPTERS = [source for source in SOURCES if source.startswith("notebooks/")]
PAGES = [f"{source}.html" for source in SOURCES] + ["search.html"]
CHAPTER = f"{CHAPTERS[0]}.html"
MOST_KB = 600  # of one page, compressed, before the reader scrolls

every_page = pytest.mark.parametrize("path", PAGES)


def test_the_build_gives_no_warning(clean_build):
    assert clean_build, build.LOG.read_text()


def test_the_start_leads_to_the_first_page(page):
    page.goto("/")
    page.wait_for_url(f"**/{PAGES[0]}")


@every_page
def test_page_is_light_and_needs_no_other_host_and_no_excuse(site, page, path):
    sizes = count_bytes(page)
    page.goto(f"/{path}", wait_until="networkidle")
    assert 0 < sum(sizes) / 1000 <= MOST_KB
    scroll_through(page)  # the fixture then looks at requests, console and errors
    assert page.locator("h1:visible").count() == 1
    unreadable = page.locator(".katex-error, .katex [style*='#cc0000']")  # shown in red
    assert unreadable.all_text_contents() == []
    drawn = page.evaluate("""() => [...document.querySelectorAll("*")]
        .flatMap((element) => ["::before", "::after"].map((part) => getComputedStyle(element, part)))
        .filter((style) => /Awesome 6 Free/.test(style.fontFamily))
        .flatMap((style) => style.content.match(/[\\ue000-\\uf8ff]/g) ?? [])
        .map((icon) => icon.codePointAt(0))""")
    assert set(drawn)
    assert set(drawn) <= set(TTFont(site / icons.FONT).getBestCmap())


# All pages have one frame, whose colours and whose size have little to do with each other: two of the four ways to see
# it serve for every page, one page is seen in all four.
@pytest.mark.parametrize(
    ("path", "theme", "size"),
    [
        *((path, "light", "desktop") for path in PAGES),
        *((path, "dark", "phone") for path in PAGES),
        (CHAPTER, "dark", "desktop"),
        (CHAPTER, "light", "phone"),
    ],
)
def test_page_is_accessible(page, path, theme, size):
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size(SIZES[size])
    page.goto(f"/{path}")
    assert page.locator("html").get_attribute("data-theme") == theme
    scroll_through(page)
    assert violations(page) == []
    assert sideways(page) == 0
    assert cut_titles(page) == []


@pytest.mark.parametrize("path", [f"{chapter}.html" for chapter in CHAPTERS])
def test_explorers_share_their_code(site, path):
    soup = BeautifulSoup((site / path).read_text(encoding="utf-8"), "html.parser")
    script = soup.find("script", type="application/vnd.jupyter.widget-state+json")
    states = [model["state"] for model in json.loads(script.string)["state"].values()]
    for trait in ("_esm", "_css"):
        code = [state[trait] for state in states if isinstance(state[trait], str)]
        assert len(set(code)) == len(code) > 0


@every_page
def test_links_and_files_exist(site, path):
    pages = {}

    def soup(file):
        if file not in pages:
            pages[file] = BeautifulSoup(file.read_text(), "html.parser")
        return pages[file]

    missing = []
    for element in soup(site / path).select("[href], [src]"):
        url = urlsplit(element.get("href") or element.get("src") or "")
        if url.scheme or url.netloc:
            named = element.name == "a" or element.get("rel") == ["canonical"]
            assert named, f"{element} is fetched from another host"
            continue
        target = (site / path).parent / unquote(url.path) if url.path else site / path
        is_there = target.is_file()
        if (
            is_there
            and url.fragment
            and target.suffix == ".html"
            and element.name == "a"
        ):
            is_there = bool(soup(target.resolve()).find(id=unquote(url.fragment)))
        if not is_there:
            missing.append(element.get("href") or element.get("src"))
    assert missing == []


@every_page
def test_style_sheets_find_their_files(site, path):
    missing = []
    for link in BeautifulSoup((site / path).read_text(), "html.parser").select(
        "link[rel=stylesheet]"
    ):
        sheet = (site / path).parent / urlsplit(link["href"]).path
        for url in re.findall(r"url\(['\"]?([^'\")]+)", sheet.read_text()):
            if (
                not url.startswith(("data:", "#"))
                and not (sheet.parent / urlsplit(url).path).is_file()
            ):
                missing.append(f"{sheet.name}: {url}")
    assert missing == []


@every_page
def test_pictures_say_what_they_show(site, path):
    soup = BeautifulSoup((site / path).read_text(), "html.parser")
    silent = [
        image["src"]
        for image in soup.select("article img")
        if Path(image.get("alt") or "x.x").suffix
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("asked", "chapter"),
    [
        ("alignment", "06_attention"),
        ("attention", "06_attention"),
        ("Aufmerksamkeit", "06_attention"),
        ("Schlüssel", "06_attention"),
        ("어텐션", "06_attention"),
        ("自注意力", "06_attention"),
        ("注意機構", "06_attention"),
        ("隠れ層", "01_gradients"),
    ],
)
def test_search_finds_term_and_chapter_in_five_languages(page, asked, chapter):
    page.goto(f"/search.html?q={asked}")
    found = page.locator("#search-results li a")
    page.locator(f"#search-results a[href*='{chapter}.html']").first.wait_for()
    assert found.first.text_content().casefold() == asked.casefold()
    term = found.filter(has_text=re.compile(f"^{asked}$"))
    term.and_(page.locator("[href*='glossary.html#term']")).click()
    page.locator("dt:target").filter(has_text=asked).wait_for()


@pytest.mark.parametrize("asked", ["schlussel", "頭"])  # without its dots; one sign
def test_search_finds_the_glossary_by_a_part(page, asked):
    page.goto(f"/search.html?q={asked}")
    page.locator("#search-results a[href*='glossary.html']").first.wait_for()


def test_search_finds_nothing_where_nothing_is(page):
    page.goto("/search.html?q=無此詞語")
    page.get_by_text("did not match any documents").wait_for()


def test_search_index_is_light(site):
    assert len(gzip.compress((site / "searchindex.js").read_bytes())) / 1000 < 250


def test_glossary_says_which_language_a_term_is_in(site):
    page = BeautifulSoup((site / "book" / "glossary.html").read_text(), "html.parser")
    terms = page.select("dl.pa-glossary > dt")
    assert len(terms) > 5 * 120
    spoken = [term.select_one("span[lang]") for term in terms]
    assert {word["lang"] for word in spoken} == {"en", "de", "ko", "zh-Hant", "ja"}
    assert [w["lang"] for w in spoken if w.get_text() == "自注意力機制"] == ["zh-Hant"]


def test_theme_button_makes_the_page_dark(page):
    page.goto(f"/{CHAPTER}")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    while page.locator("html").get_attribute("data-mode") != "dark":
        page.locator(".theme-switch-button:visible").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.evaluate(background) != light
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "dark"


@pytest.mark.parametrize("source", CHAPTERS)
def test_chapter_opens_elsewhere(site, source):
    owner_and_name = urlsplit(CONFIG["repository"]["url"]).path
    branch = CONFIG["repository"]["branch"]
    soup = BeautifulSoup((site / f"{source}.html").read_text(), "html.parser")
    links = {a["href"] for a in soup.select(".article-header-buttons a[href]")}
    hub = f"https://mybinder.org/v2/gh{owner_and_name}/{branch}?urlpath=lab/tree/{source}.ipynb"
    colab = f"https://colab.research.google.com/github{owner_and_name}/blob/{branch}/{source}.ipynb"
    assert {hub, colab} <= links
    download = next(
        link for link in links if link.endswith(".ipynb") and not urlsplit(link).netloc
    )
    stored = (build.ROOT / f"{source}.ipynb").read_bytes()
    assert (site / f"{source}.html").parent.joinpath(download).read_bytes() == stored
