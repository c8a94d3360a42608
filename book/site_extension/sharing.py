"""What other programs read of a page: where it is, what it is about, a picture; and the map of all pages."""

import re
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

PREVIEW = "_static/preview.png"
LONGEST = (
    200  # characters of a description; searchers and messengers show about that many
)
PROMISE = "You will be able to "  # how a chapter's first paragraph begins


def published(repository: str) -> str:
    """Where GitHub publishes the pages of a repository, given its address; ends with a slash.

    ValueError for an address that is not https://github.com/owner/name.
    """
    url = urlsplit(repository)
    owner_and_name = re.fullmatch(r"/([\w-]+)/([\w.-]+)", url.path)
    if url.netloc != "github.com" or not owner_and_name:
        raise ValueError(
            f"repository: got {repository!r}, expected https://github.com/owner/name"
        )
    owner, name = owner_and_name.groups()
    return f"https://{owner}.github.io/{name}/"


def set_address(app: Sphinx, config: Config) -> None:
    """Derive the site's address from the repository's, unless it is set."""
    if not config.html_baseurl:
        config.html_baseurl = published(config.html_theme_options["repository_url"])


def shorten(text: str) -> str:
    """Return whole sentences or clauses of a text, or else whole words, at most LONGEST characters."""
    text = " ".join(text.split())
    if len(text) <= LONGEST:
        return text
    clauses = re.match(rf"(.{{60,{LONGEST - 1}}})[.;:](?= )", text)
    if clauses:
        return clauses[1] + "."
    return text[: LONGEST - 1].rpartition(" ")[0].rstrip(",–") + "…"


def description(doctree: nodes.document) -> str:
    """What a page is about, in its own words: its first paragraph, of a chapter what the reader will be able to do.

    A paragraph with a formula ends before it: a description is plain text.
    """
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.citation):
            continue
        text = ""
        for child in paragraph.findall():
            if isinstance(child, nodes.math):
                text = re.split(r"[.;:](?!.*[.;:])", text, flags=re.DOTALL)[0] + "."
                break
            if isinstance(child, nodes.Text):
                text += str(child)
        text = text.removeprefix(PROMISE).strip()
        if len(text) > 40:
            return shorten(text[0].upper() + text[1:])
    title = doctree.next_node(nodes.title).astext()
    return f"{title}, in an interactive course from gradients to Vision Transformers."


def about(metadata: dict, doctree: nodes.document) -> str:
    """Return the `description` of a page's front matter, or else one made of its text."""
    return metadata.get("description") or description(doctree)


def describe(
    app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None
) -> None:
    """Give the page's template what layout.html says in its head."""
    base = app.config.html_baseurl
    context["preview_address"] = base + PREVIEW
    if doctree:
        context["description"] = about(context["meta"] or {}, doctree)
        context["page_address"] = base + app.builder.get_target_uri(page)


def write_sitemap(app: Sphinx, error: Exception | None) -> None:
    """List the address of each page of the book."""
    if error or app.builder.format != "html":
        return
    addresses = sorted(
        app.config.html_baseurl + app.builder.get_target_uri(page)
        for page in app.env.found_docs
    )
    lines = [f"<url><loc>{escape(address)}</loc></url>" for address in addresses]
    (app.outdir / "sitemap.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
        + "\n".join(lines)
        + "\n</urlset>\n",
        encoding="utf-8",
    )


def pages_apart(app: Sphinx) -> list[tuple[str, dict, str]]:
    """Two pages with a style of their own: the start, and what GitHub shows where nothing is, however deep."""
    base, root = app.config.html_baseurl, app.config.root_doc
    mark = (app.srcdir / "book/site_static/mark.svg").read_text(encoding="utf-8")
    start = {
        "title": app.config.html_title,
        "first": app.builder.get_target_uri(root),
        "page_address": base,
        "description": about(app.env.metadata[root], app.env.get_doctree(root)),
    }
    return [
        ("index", start, "start.html"),
        ("404", {"mark": mark, "base": base}, "404.html"),
    ]


def setup(app: Sphinx) -> None:
    """Register all of this."""
    app.connect("config-inited", set_address)
    app.connect("html-page-context", describe)
    app.connect("html-collect-pages", pages_apart)
    app.connect("build-finished", write_sitemap)
