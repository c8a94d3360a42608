"""Print the whole book, with contents and page numbers, into _build/paying-attention.pdf: `pdf.py`."""

import io
import sys
import threading
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

import build
import chromium
import serve
import yaml
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, NameObject, TextStringObject

TARGET = build.ROOT / "_build" / "paying-attention.pdf"
MOST_PAGES = 200
LONGEST = 180  # seconds to draw a page; a busy machine draws later, not otherwise
PAPER = {"format": "A4", "prefer_css_page_size": True, "print_background": True}
LAYOUT = "@page { size: A4 landscape; margin: 7mm 10mm 10mm; }"
UNNUMBERED = "@page { @bottom-left { content: none } @bottom-right { content: none } }"
NUMBERS = """@page { @bottom-left { content: "Paying Attention"; font: 8pt Georgia, serif; color: #555; }
    @bottom-right { content: counter(page); font: 8pt Georgia, serif; color: #555; } }
    p { break-after: page; margin: 0; } p:last-child { break-after: auto; }"""
SIGNS = "가注意あ"  # of Korean, Chinese and Japanese, as in the glossary
DRAWN_ALIKE = """([signs, unknown]) => {
    const draw = (sign) => {
        const pen = new OffscreenCanvas(32, 32).getContext("2d");
        pen.font = "24px sans-serif";
        pen.fillText(sign, 0, 24);
        return pen.getImageData(0, 0, 32, 32).data.join();
    };
    return [...signs].filter((sign) => draw(sign) === draw(unknown)).join("");
}"""
CONTENTS = """body { font: 11pt/1.7 Georgia, serif; } div { display: grid; grid-auto-flow: column; gap: 0 2cm; }
    p { margin: 0; display: flex; justify-content: space-between; } a { color: inherit; text-decoration: none; }"""


def sources() -> list[str]:
    """The book's pages in the order of its contents, such as notebooks/06_attention."""
    contents = yaml.safe_load((build.ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter for part in contents["parts"] for chapter in part["chapters"]]
    return [contents["root"], *(chapter["file"] for chapter in chapters)]


def print_page(browser: Browser, url: str) -> bytes:
    """Return a page as PDF, all of it drawn, without page numbers; RuntimeError where that takes too long."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(url, timeout=1000 * LONGEST)
    if not page.evaluate(f"readyForPaper({LONGEST})"):
        raise RuntimeError(f"{url}: not drawn within {LONGEST} s")
    page.add_style_tag(content=UNNUMBERED)
    printed = page.pdf(**PAPER)
    page.close()
    return printed


def print_html(browser: Browser, style: str, body: str) -> PdfReader:
    """Return a little document of our own as PDF."""
    page = browser.new_page()
    page.set_content(f"<style>{LAYOUT}{style}</style>{body}")
    printed = page.pdf(**PAPER)
    page.close()
    return PdfReader(io.BytesIO(printed))


def without_font(browser: Browser, signs: str) -> str:
    """Return those signs that no font of this machine has: they look like one that no font can have."""
    page = browser.new_page()
    found = page.evaluate(DRAWN_ALIKE, [signs, "\U0010ffff"])
    page.close()
    return found


def contents_page(
    browser: Browser, title: str, chapters: list[tuple[str, str, int]]
) -> PdfReader:
    """Return the page of contents: (address, title, page number) of each chapter. It must fit on one page."""
    lines = [
        f'<p><a href="{escape(url)}">{escape(name)}</a> <span>{number}</span></p>'
        for url, name, number in chapters
    ]
    rows = f"grid-template: repeat({len(lines) // 2 + 1}, auto) / 1fr 1fr"
    body = f"<h1>{escape(title)}</h1><div style='{rows}'>{''.join(lines)}</div>"
    page = print_html(browser, CONTENTS, body)
    if len(page.pages) != 1:
        raise ValueError(f"contents: got {len(page.pages)} pages, expected 1")
    return page


def lead_links(writer: PdfWriter, address: str, home: str, starts: dict) -> None:
    """Let links to pages of the book lead to their first page here, other links of the site to its address `home`."""
    for page in writer.pages:
        for reference in page.get("/Annots", []):
            annotation = reference.get_object()
            uri = annotation.get("/A", {}).get("/URI", "")
            if not uri.startswith(address):
                continue
            path = urlsplit(uri).path.lstrip("/")
            if path in starts:
                del annotation["/A"]
                target = writer.pages[starts[path]].indirect_reference
                annotation[NameObject("/Dest")] = ArrayObject(
                    [target, NameObject("/Fit")]
                )
            else:
                rest = uri.removeprefix(address).lstrip("/")
                annotation["/A"][NameObject("/URI")] = TextStringObject(home + rest)


def print_book(
    browser: Browser, address: str, site: Path, names: list[str], home: str
) -> PdfWriter:
    """Print pages of the site that is served at `address`, one after the other, behind a page of contents."""
    parts, starts, titles = [], {}, {}
    count = 1  # the contents
    for name in names:
        path = f"{name}.html"
        part = PdfReader(io.BytesIO(print_page(browser, f"{address}/{path}")))
        heading = BeautifulSoup(
            (site / path).read_text(encoding="utf-8"), "html.parser"
        ).h1
        for extra in heading.select(".headerlink"):
            extra.decompose()
        parts.append(part)
        starts[path], titles[path] = count, heading.get_text().strip()
        count += len(part.pages)
        print(f"{path}: {len(part.pages)} pages", flush=True)
    chapters = [(f"{address}/{p}", titles[p], start + 1) for p, start in starts.items()]
    contents = contents_page(browser, "Paying Attention", chapters)
    numbers = print_html(browser, NUMBERS, "<p>&nbsp;</p>" * count)
    writer = PdfWriter()
    for part in [contents, *parts]:
        writer.append(part, import_outline=False)
    for page, number in zip(writer.pages, numbers.pages, strict=True):
        page.merge_page(number)
    for path, start in starts.items():
        writer.add_outline_item(title=titles[path], page_number=start)
    lead_links(writer, address, home, starts)
    writer.add_metadata(
        {"/Title": "Paying Attention", "/Author": "The Paying Attention authors"}
    )
    writer.compress_identical_objects()
    return writer


def main() -> None:
    """Build the site if it is not current, print it and say how long it became."""
    if not build.is_current():
        build.build()
    start = BeautifulSoup((build.SITE / "index.html").read_text(), "html.parser")
    home = start.find("meta", property="og:url")["content"]
    site = serve.server(build.SITE)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.main(), args=chromium.OPTIONS
        )
        address = f"http://127.0.0.1:{site.server_port}"
        book = print_book(browser, address, build.SITE, sources(), home)
        boxes = without_font(browser, SIGNS)
        browser.close()
    site.shutdown()
    book.write(TARGET)
    print(f"{TARGET.relative_to(build.ROOT)}: {len(book.pages)} pages")
    if boxes:
        print(
            f"No font of this machine has {boxes}: they are boxes in the book. Install one, such as Noto Sans CJK."
        )
    if len(book.pages) >= MOST_PAGES:
        sys.exit(f"The book has {len(book.pages)} pages, expected under {MOST_PAGES}")


if __name__ == "__main__":
    main()
