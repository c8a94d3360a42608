"""Links in what the book's sources say: those to other sites by their form, for tests run offline; files are there.

The links of the built pages, with their anchors, are followed in tests/site.
"""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("book/*.md"),
    *ROOT.glob("book/*.bib"),
    *ROOT.glob("notebooks/*.ipynb"),
]
# Up to white space or a mark that ends a link in Markdown or BibTeX; brackets inside an address come in pairs.
ADDRESS = re.compile(
    r"https?:[^\s<>\"'`\[\]{}()|\\]*(?:\([^\s<>\"'`()]*\)[^\s<>\"'`\[\]{}()|\\]*)*"
)
HOST = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}")
FORMS = {
    "arxiv.org": r"/abs/(\d{4}\.\d{4,5}(v\d+)?|[a-z-]+(\.[A-Z]{2})?/\d{7})",
    "doi.org": r"/10\.\d{4,9}/\S+",
    "github.com": r"/[\w.-]+(/[\w.-]+(/(tree|blob|issues|releases)(/.*)?)?)?",
}


def text(path):
    """What an author wrote in a file; of a notebook, its cells."""
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(content)["cells"]
        return "\n".join("".join(cell["source"]) for cell in cells)
    return content


def wrong(address):
    """What is wrong with the form of an address, or None."""
    url = urlsplit(address)
    if url.scheme != "https":
        return "not https"
    if not HOST.fullmatch(url.netloc):
        return f"no host is called {url.netloc!r}"
    if address[-1] in ".,;:!?*" or "//" in url.path:
        return "a mark too much"
    if "utm_" in url.query:
        return "it tells where the reader came from"
    form = FORMS.get(url.netloc.removeprefix("www."))
    if form and not re.fullmatch(form, url.path.rstrip("/")):
        return f"not of the form {form}"
    return None


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_to_other_sites_are_well_formed(path):
    found = {address: wrong(address) for address in ADDRESS.findall(text(path))}
    assert {address: why for address, why in found.items() if why} == {}


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org",
        "https://",
        "https://example",
        "https:/example.org/page",
        "https://example.org/page.",
        "https://example.org//page",
        "https://example.org/page?utm_source=book",
        "https://arxiv.org/pdf/1706.03762",
        "https://arxiv.org/abs/1706.3762x",
        "https://doi.org/1706.03762",
        "https://github.com/owner/name/blobs/main/file.py",
    ],
)
def test_a_wrong_address_is_seen(address):
    assert wrong(address)
    (found,) = ADDRESS.findall(f"see [this]({address}) there")
    assert found == address


@pytest.mark.parametrize(
    "address",
    [
        "https://arxiv.org/abs/1706.03762",
        "https://doi.org/10.1007/978-3-030-01234-2_1",
        "https://en.wikipedia.org/wiki/Attention_(machine_learning)",
        "https://github.com/owner/name/blob/main/file.py",
    ],
)
def test_a_right_address_is_right(address):
    assert wrong(address) is None
    (found,) = ADDRESS.findall(f"see [this]({address}), there")
    assert found == address


@pytest.mark.parametrize("path", list(ROOT.glob("*.md")), ids=lambda path: path.name)
def test_links_of_the_repository_lead_to_files(path):
    targets = re.findall(r"\]\(([^)\s#]+)|<img[^>]* src=\"([^\"]+)", text(path))
    local = [a or b for a, b in targets if not urlsplit(a or b).scheme]
    assert [target for target in local if not (ROOT / target).exists()] == []
