"""The site's search splits five languages, and the browser as the index does."""

import json
from pathlib import Path

import pytest
from site_extension.glossary import read
from site_extension.search import SearchFiveLanguages

ROOT = Path(__file__).resolve().parents[1]
SEARCH = SearchFiveLanguages({})
ASK = (
    SEARCH.js_stemmer_code
    + SEARCH.js_splitter_code
    + """
    const stemmer = new Stemmer();
    answer(given.map((query) => splitQuery(query).map((word) => stemmer.stemWord(word.toLowerCase()))));
    """
)


def indexed(text):
    """What the index holds of a text."""
    return {SEARCH.stem(word) for word in SEARCH.split(text)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Self-attention, two heads", ["Self", "attention", "two", "heads"]),
        ("Self-attention想要", ["Self", "attention", "想", "要", "想要"]),
        ("어텐션은", ["어", "텐", "션", "은", "어텐", "텐션", "션은"]),
        ("キー・値", ["キ", "ー", "キー", "値", "値"]),
        ("Schlüssel", ["Schlüssel"]),
    ],
)
def test_text_is_split(text, words):
    assert SEARCH.split(text) == words


def test_accents_do_not_count_but_voicing_marks_do():
    assert SEARCH.stem("Schlüssel") == SEARCH.stem("schlussel") == "schlussel"
    assert SEARCH.stem("が") == "が" != SEARCH.stem("か")
    assert SEARCH.stem("텐션") == "텐션"


def test_pairs_that_begin_with_hiragana_are_kept_and_stop_words_are_not():
    assert SEARCH.word_filter("され") and SEARCH.word_filter("の重")
    assert not SEARCH.word_filter("the")


def test_the_browser_asks_for_characters_in_pairs(in_node):
    queries = ["自注意力", "어텐션", "頭", "Self-Attention", "Übersetzung", "キー・値"]
    assert in_node(ASK, queries) == [
        ["自注", "注意", "意力"],
        ["어텐", "텐션"],
        ["頭"],
        ["self", "attent"],
        ["ubersetzung"],
        ["キー", "値"],
    ]


def test_whatever_the_browser_asks_for_the_index_holds(in_node):
    """As such, or within a longer word: the browser's stems are sometimes shorter ("logi" becomes "log")."""
    texts = [
        form.text
        for entry in read()
        for forms in entry.forms.values()
        for form in forms
    ]
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            if cell["cell_type"] == "markdown" and cell["source"][0].startswith("#"):
                texts.append("".join(cell["source"]))
    missing = []
    for text, words in zip(texts, in_node(ASK, texts), strict=True):
        held = indexed(text)
        for word in set(words) - held:
            if len(word) < 3 or not any(word in longer for longer in held):
                missing.append((text, word))
    assert missing == []
