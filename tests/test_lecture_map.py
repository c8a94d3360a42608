"""Lecture map, curriculum and errata: links name the section they lead to, and nothing of the lectures is left out.

The lectures are not ours to publish. Who has their text sets PAYING_ATTENTION_LECTURES to a folder with P.txt, D.txt,
K.txt, L.txt and F.txt: then the titles are looked up there, in their order.
"""

import json
import os
import re
from functools import cache
from pathlib import Path

import pytest
from myst_parser.mdit_to_docutils.base import default_slugify

BOOK = Path(__file__).resolve().parents[1] / "book"
LECTURES = "PDKLF"
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]*)(?:#([^)\s]*))?\)")
TEXTS = os.environ.get("PAYING_ATTENTION_LECTURES")


def tables(name):
    """The rows of a page's tables, as cells, by the heading above them."""
    found, heading = {}, None
    for line in (BOOK / f"{name}.md").read_text().splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("| "):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            found.setdefault(heading, []).append(cells)
    return {heading: rows[1:] for heading, rows in found.items()}


@cache
def headings(path):
    """The headings of a notebook or page, by the anchor that MyST gives them: formulas do not count."""
    text = path.read_text()
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n".join(
            "".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"
        )
    lines = re.findall(r"^#{1,3} (.*)", text, flags=re.M)
    return {default_slugify(re.sub(r"\$[^$]*\$", "", line)): line for line in lines}


def short(title):
    return re.split("[:,]", title)[0]


def numbers(cell):
    """The slides that a cell names: "3, 5–7" are 3, 5, 6 and 7; a dash is none."""
    found = []
    for part in re.findall(r"\d+(?:–\d+)?", cell):
        first, _, last = part.partition("–")
        found += range(int(first), int(last or first) + 1)
    return found


LECTURE_MAP = {
    heading[0]: rows for heading, rows in tables("lecture-map").items() if heading
}
CURRICULUM = {row[0]: row for rows in tables("curriculum").values() for row in rows}


@pytest.mark.parametrize("page", ["lecture-map", "curriculum", "errata"])
def test_a_link_leads_to_the_section_that_it_names(page):
    wrong = []
    for text, path, anchor in LINK.findall((BOOK / f"{page}.md").read_text()):
        target = BOOK / path if path else BOOK / f"{page}.md"
        if not target.is_file():
            wrong.append(f"{path}: no such file")
        elif anchor and anchor not in headings(target):
            wrong.append(f"{path}#{anchor}: no such section")
        elif path.endswith(".ipynb"):
            title = short(next(iter(headings(target).values())))
            named = f"{title}: {headings(target)[anchor]}" if anchor else title
            wrong += [f"{text}: should be {named}"] if text != named else []
    assert wrong == []


def test_each_slide_is_taught_or_left_out_with_a_reason():
    assert "".join(LECTURE_MAP) == LECTURES
    for lecture, rows in LECTURE_MAP.items():
        slides = [number for row in rows for number in numbers(row[0])]
        assert sorted(slides) == list(range(1, len(slides) + 1)), lecture
        first = [numbers(row[0])[0] for row in rows if numbers(row[0])]
        assert first == sorted(first), lecture
        for slide, title, place in rows:
            assert LINK.search(place) or re.fullmatch(r"\*Left out:\* .{9,}", place), (
                lecture,
                slide,
                title,
            )


def test_each_system_is_reached_from_each_lecture_that_teaches_it():
    taught = {
        (number, lecture)
        for number, row in CURRICULUM.items()
        for lecture in re.search(r"\(([PDKLF, ]+)\)$", row[1])[1].split(", ")
    }
    reached = {
        (text, lecture)
        for lecture, rows in LECTURE_MAP.items()
        for row in rows
        for text, path, _ in LINK.findall(row[2])
        if path == "curriculum.md" and text in CURRICULUM
    }
    assert len(CURRICULUM) == 71
    assert taught - reached == set()


def test_a_number_leads_to_the_table_that_has_it():
    for rows in LECTURE_MAP.values():
        for number, path, anchor in LINK.findall(" ".join(row[2] for row in rows)):
            if path == "curriculum.md" and anchor:
                heading = headings(BOOK / path)[anchor]
                assert number in [row[0] for row in tables("curriculum")[heading]]


@pytest.mark.skipif(not TEXTS, reason="the lectures' text is not in the repository")
@pytest.mark.parametrize("lecture", LECTURES)
def test_titles_stand_in_the_lecture_in_this_order(lecture):
    text = (Path(TEXTS) / f"{lecture}.txt").read_text()
    slides = {}
    for row in LECTURE_MAP[lecture]:
        title = re.sub(r"</?b( [^>]*)?>", "", row[1]).split("<br>")[0]
        slides |= dict.fromkeys(numbers(row[0]), title)
    at = 0
    for number, title in sorted(slides.items()):
        for piece in title.split(" · "):
            assert piece in text[at:], f"slide {number}: {piece}"
            at = text.index(piece, at) + len(piece)
