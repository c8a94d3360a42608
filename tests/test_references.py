"""The bibliography: no entry without what a reader needs to find the work, none idle, and none missing."""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pybtex.database import parse_file

ROOT = Path(__file__).resolve().parents[1]
ENTRIES = parse_file(ROOT / "book" / "references.bib").entries
PAGE = (ROOT / "book" / "references.md").read_text()
PAGES = {
    **{
        path.stem: "\n".join(
            "".join(cell["source"])
            for cell in json.loads(path.read_text())["cells"]
            if cell["cell_type"] == "markdown"
        )
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
    },
    **{path.stem: path.read_text() for path in (ROOT / "book").glob("*.md")},
}
FIELDS = {
    "article": {"journal", "volume", "pages"},
    "book": {"publisher"},
    "incollection": {"booktitle", "publisher", "pages"},
    "inproceedings": {"booktitle"},
    "misc": set(),
    "phdthesis": {"school"},
}
WITHOUT_VOLUMES = {
    "Transactions on Machine Learning Research"
}  # an article is found by its address
IN_LIBRARIES = {"book", "phdthesis"}  # found without an address
# Pages of programs and data, which the chapters name where they use them.
NOT_WORKS = {"github.com", "tatoeba.org"}

# What the lectures name, with words of the place where they do.
LECTURES = {
    "P": {
        "hu2020": "© Hu et al., 2020",
        "hu2018gather": "Gather-Excite",
        "wang2020eca": "© Wang et al., 2020",
        "woo2018": "Convolutional Block Attention Module",
        "guan2018": "© Guan et al., 2018",
    },
    "D": {
        "goodfellow2016": "Deep Learning",
        "haykin2009": "Neural networks and learning machines",
        "mohajerin2017": "State initialization for recurrent neural network",
        "graves2012": "Long Short-Term Memory, pp. 37–45",
        "staudemeyer2019": "Understanding LSTM",
        "lipton2015": "A critical review of recurrent neural networks",
        "kag2021": "via forward propagation through time",
        "karpathy2015effectiveness": "The unreasonable effectiveness",
        "hochreiter1997": "Long short-term memory",
        "gers2000": "Learning to forget",
        "tang2018": "truncated backpropagation through time in speech",
        "parr2018": "The matrix calculus you need",
        "bayer2015": "Learning Sequence Representations",
        "vaswani2017": "Attention is all you need",
        "dale2021": "Gpt-3: What's it good for?",
        "ramesh2022": "Hierarchical text-conditional image generation",
        "cho2014": "Learning phrase representations",
        "henaff2016": "Orthogonal rnns and long-memory tasks",
        "sutskever2014": "Sequence to sequence learning",
        "chaudhari2021": "An attentive survey of attention models",
        "galassi2021": "Attention in natural language processing",
        "guo2017": "Human attribute recognition",
        "britz2017": "Massive exploration",
        "phuong2022": "Formal algorithms for transformers",
        "jurafsky2000": "Speech and Language Processing",
        "li2018": "www.cs.umd.edu/tomg/projects/landscapes",
    },
    "K": {
        "bahdanau2015": "arXiv:1409.0473",
        "luong2015": "arXiv:1508.04025",
        "xu2015": "Show, attend and tell",
        "zhou2016": "Learning deep features",
        "selvaraju2017": "Grad-cam",
        "liu2018": "Applied Intelligence 48.10",
        "yang2016": "Hierarchical attention networks",
        "kim2014": "arXiv:1408.5882",
        "zhang2015": "Character-level convolutional networks",
        "vaswani2017": "Attention is all you need",
        "hu2018": "Squeeze-and-excitation networks",
        "woo2018": "Cbam",
        "wang2018nonlocal": "Non-local neural networks",
        "ramachandran2019": "arXiv:1906.05909",
        "alammar2018seq2seq": "visualizing-neural-machine-translation",
        "alammar2018transformer": "jalammar.github.io",
        "karim2019": "attn-illustrated-attention",
    },
    "L": {
        "liu2020": "arxiv.org/abs/2003.09229",
        "shaw2018": "Relative (Shaw et al., 2018)",
        "vaswani2017": "arxiv.org/abs/1706.03762",
        "devlin2018": "arxiv.org/abs/1810.04805",
        "carion2020": "arxiv.org/abs/2005.12872",
        "cordonnier2020": "arxiv.org/abs/1911.03584",
        "dosovitskiy2021": "arxiv.org/pdf/2010.11929",
        "katharopoulos2020": "arxiv.org/abs/2006.16236",
        "tay2021": "arxiv.org/abs/2011.04006",
        "tay2022": "arxiv.org/abs/2009.06732",
        "lee2021": "youtube.com/watch?v=hYdO9CscNes",
    },
}


def bare(address):
    """An address without what does not tell it from another."""
    return re.sub(r"^https?://", "", address).rstrip("/").casefold()


def addresses(entry):
    """Where a work is found."""
    places = {"eprint": "arxiv.org/abs/", "doi": "doi.org/", "url": ""}
    return {bare(p + entry.fields[f]) for f, p in places.items() if f in entry.fields}


def links(text):
    """The addresses outside the book that a page links to."""
    return re.findall(r"\]\((https?://(?:[^()\s]|\([^()\s]*\))+)\)", text)


def cited(text):
    """The keys that a page cites by name."""
    groups = re.findall(r"\{cite:\w+\}`([^`]+)`", text)
    return [key.strip() for group in groups for key in group.split(",")]


@pytest.mark.parametrize("key", ENTRIES)
def test_an_entry_says_what_the_work_is_and_where(key):
    entry = ENTRIES[key]
    needed = {"title", "year", *FIELDS[entry.type]}
    if entry.fields.get("journal") in WITHOUT_VOLUMES:
        needed -= {"volume", "pages"}
    assert needed - set(entry.fields) == set()
    assert entry.persons["author"]
    assert all(entry.fields.values())
    assert addresses(entry) or entry.type in IN_LIBRARIES
    patterns = {
        "year": r"(19|20)\d\d",
        "pages": r"[\d:]+(--[\d:]+)?",
        "eprint": r"\d{4}\.\d{4,5}",
        "doi": r"10\.\d{4,}/\S+",
        "url": r"https://\S+",
    }
    for field, pattern in patterns.items():
        if field in entry.fields:
            assert re.fullmatch(pattern, entry.fields[field]), field


def test_entries_are_in_order_and_no_work_is_there_twice():
    assert list(ENTRIES) == sorted(ENTRIES)
    places = [place for entry in ENTRIES.values() for place in addresses(entry)]
    assert len(places) == len(set(places))


@pytest.mark.parametrize("key", ENTRIES)
def test_an_entry_is_used(key):
    places = addresses(ENTRIES[key])
    found = [
        name
        for name, text in PAGES.items()
        if key in cited(text)
        or any(bare(link).startswith(place) for link in links(text) for place in places)
    ]
    assert found


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_cites_is_in_the_bibliography(name):
    assert set(cited(PAGES[name])) <= set(ENTRIES)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")))
def test_works_that_a_chapter_links_to_are_in_the_bibliography(path):
    places = {place for entry in ENTRIES.values() for place in addresses(entry)}
    unknown = [
        link
        for link in links(PAGES[path.stem])
        if not any(bare(link).startswith(place) for place in places)
        and urlsplit(link).netloc not in NOT_WORKS
    ]
    assert unknown == []


@pytest.mark.parametrize("lecture", LECTURES)
def test_what_a_lecture_names_is_cited_under_its_name(lecture):
    (paragraph,) = re.findall(rf"^\*\*{lecture}\*\*, .*$", PAGE, re.MULTILINE)
    assert set(cited(paragraph)) == set(LECTURES[lecture])
    assert set(LECTURES[lecture]) <= set(ENTRIES)
