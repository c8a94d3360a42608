"""The glossary in five languages: from glossary.yml to Sphinx terms, and to entries of the search index.

Each form of a term, in each language, can be linked (``{term}`Aufmerksamkeit` ``) and found by the site's search, there
and in the section where the book explains it.
"""

import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import yaml
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain, make_glossary_term
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

SOURCE = Path(__file__).parents[1] / "glossary.yml"
LANGUAGES = {
    "en": "English",
    "de": "German",
    "ko": "Korean",
    "zh-Hant": "Chinese",
    "ja": "Japanese",
}
FORM = re.compile(
    r"(?P<text>[^\[\];.]+?)(?: \[(?P<lectures>[PDKLF]*)(?P<unsure>\??)\])?"
)


@dataclass(frozen=True)
class Form:
    """A term in one language: who writes it so (P, D, K, L, F: a lecture), and whether we are unsure of it."""

    text: str
    lectures: str
    unsure: bool


@dataclass(frozen=True)
class Entry:
    """A term: its forms by language, what it means, and the document and heading where the book explains it."""

    forms: dict[str, tuple[Form, ...]]
    meaning: str
    document: str
    heading: str

    @property
    def name(self) -> str:
        """The first English form."""
        return self.forms["en"][0].text

    def is_english(self, form: Form) -> bool:
        """Whether a form is simply the English word."""
        return form.text.casefold() in {
            english.text.casefold() for english in self.forms["en"]
        }


def parse(record: dict[str, str]) -> Entry:
    """Read a record of glossary.yml. Raises ValueError that names the term and what is wrong with it."""
    wanted = [*LANGUAGES, "means", "see"]
    if list(record) != wanted:
        raise ValueError(
            f"glossary, {record.get('en')}: has {list(record)}, expected {wanted}"
        )
    forms = {}
    for language in LANGUAGES:
        found = [FORM.fullmatch(text) for text in record[language].split("; ")]
        if None in found:
            raise ValueError(
                f"glossary, {record['en']}: {language} is {record[language]!r}, expected forms like 'Attention [PD]' "
                "or 'Wort [?]', with '; ' between them"
            )
        forms[language] = tuple(
            Form(form["text"], form["lectures"] or "", bool(form["unsure"]))
            for form in found
        )
    document, sign, heading = record["see"].partition("#")
    if not sign:
        raise ValueError(
            f"glossary, {record['en']}: see is {record['see']!r}, expected 'chapter#Heading'"
        )
    return Entry(forms, record["means"], f"notebooks/{document}", heading)


def read(source: Path = SOURCE) -> list[Entry]:
    """All entries, sorted by their English name."""
    records = yaml.safe_load(source.read_text(encoding="utf-8"))
    return sorted(map(parse, records), key=lambda entry: entry.name.casefold())


def plain(heading: str) -> str:
    """A heading without the signs around its formulas."""
    return heading.replace("$", "")


class FiveLanguages(SphinxDirective):
    """All entries, by letter: the forms are the terms of a Sphinx glossary, each marked with its language."""

    def run(self) -> list[nodes.Node]:
        """Return links to the letters, and a section for each."""
        self.env.note_dependency(str(SOURCE))
        self.known = set()
        letters, sections = nodes.paragraph(classes=["pa-letters"]), []
        for letter, entries in groupby(read(), lambda entry: entry.name[0].upper()):
            name = f"letter-{letter.lower()}"
            letters += [
                nodes.reference("", letter, refid=name, internal=True),
                nodes.Text(" "),
            ]
            section = nodes.section("", nodes.title("", letter), ids=[name])
            items = nodes.definition_list(classes=["glossary", "pa-glossary"])
            items += [self.item(entry) for entry in entries]
            section += addnodes.glossary("", items, sorted=False)
            sections.append(section)
        return [letters, *sections]

    def item(self, entry: Entry) -> nodes.Node:
        """An entry: a term for each form, then the definition."""
        item = nodes.definition_list_item()
        for language, forms in entry.forms.items():
            for form in forms:
                item += self.term(entry, language, form)
                if form is not forms[0]:
                    item[-1]["classes"].append("pa-too")
                elif language != "en":
                    label = nodes.inline("", LANGUAGES[language], classes=["pa-mark"])
                    item[-1].insert(0, [label, nodes.Text(" ")])
                    item[-1]["classes"].append("pa-language")
        meaning, problems = self.parse_inline(entry.meaning)
        link = addnodes.pending_xref(
            "",
            nodes.inline("", plain(entry.heading)),
            refdoc=self.env.docname,
            refdomain="",
            reftype="heading",
            reftarget=f"{entry.document}#{plain(entry.heading)}",
            refwarn=True,
        )
        paragraph = nodes.paragraph("", "", *meaning, nodes.Text(" → "), link)
        item += nodes.definition("", paragraph, *problems)
        return item

    def term(self, entry: Entry, language: str, form: Form) -> nodes.Node:
        """A form as a term that can be linked, if no form before was the same; what is known of it follows in small."""
        word = nodes.inline("", form.text, classes=[f"language-{language}"])
        source, line = self.get_source_info()
        if form.text.casefold() in self.known:
            term = nodes.term("", "", word)
        else:
            term = make_glossary_term(
                self.env, [word], None, source, line, None, self.state.document
            )
            term.pop()  # its index entry: the search would show it under the page's name, not under the term's
        self.known.add(form.text.casefold())
        marks = [
            " ".join(form.lectures),
            "English" if language != "en" and entry.is_english(form) else "",
            "unsure" if form.unsure else "",
        ]
        if any(marks):
            note = ", ".join(filter(None, marks))
            term += [nodes.Text(" "), nodes.inline("", note, classes=["pa-mark"])]
        return term


def index_sections(app: Sphinx, doctree: nodes.document) -> None:
    """Let the search find a chapter's section by the terms that it explains, in all languages."""
    env = app.env
    sections = {
        plain(section[0].astext()): section
        for section in doctree.findall(nodes.section)
    }
    for entry in read():
        if entry.document == env.docname and plain(entry.heading) in sections:
            env.note_dependency(str(SOURCE))
            section = sections[plain(entry.heading)]
            forms = {
                form.text: None for forms in entry.forms.values() for form in forms
            }
            target = section["ids"][0]
            section.insert(
                1,
                addnodes.index(
                    entries=[("single", form, target, "", None) for form in forms]
                ),
            )


def find_heading(
    app: Sphinx, env: BuildEnvironment, node: nodes.Element, content: nodes.Node
) -> nodes.Node | None:
    """Resolve a link to a chapter's heading, named by its words. Where there is none: None, and the build warns."""
    if node["reftype"] != "heading":
        return None
    document, _, heading = node["reftarget"].partition("#")
    for link in env.tocs.get(document, nodes.bullet_list()).findall(nodes.reference):
        if link.astext() == heading:
            chapter = nodes.Text(f"{env.titles[document].astext()}: ")
            content.children = []
            content += [chapter, *(child.deepcopy() for child in link.children)]
            return make_refnode(
                app.builder, node["refdoc"], document, link["anchorname"][1:], content
            )
    return None


def setup(app: Sphinx) -> None:
    """Register the directive, its links, and its terms as what the search shows by name."""
    app.add_directive("glossary-in-five-languages", FiveLanguages)
    app.connect("doctree-read", index_sections)
    app.connect("missing-reference", find_heading)
    StandardDomain.object_types["term"].attrs["searchprio"] = 1
