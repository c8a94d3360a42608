"""The glossary's terms: enough of them, in all five languages, each with a place in the book."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from site_extension.glossary import LANGUAGES, SOURCE, parse, read

ROOT = Path(__file__).resolve().parents[1]
ENTRIES = read()
LECTURES = {"en": "", "de": "PD", "ko": "K", "zh-Hant": "L", "ja": "F"}
HAN, KANA, HANGUL = "[\u4e00-\u9fff]", "[\u3041-\u30ff]", "[\uac00-\ud7a3]"
FOREIGN = {  # letters that a language does not have
    "en": f"{HAN}|{KANA}|{HANGUL}",
    "de": f"{HAN}|{KANA}|{HANGUL}",
    "ko": f"{HAN}|{KANA}",
    "zh-Hant": f"{KANA}|{HANGUL}",
    "ja": HANGUL,
}
# Simplified characters, and Japanese ones, of words that the glossary has.
NOT_TRADITIONAL = set(
    "习标码层机类网络图时间训练预测维征词义语权损数学变传过拟软随带积压缩队样仿"
)
RECORD = {
    "en": "attention",
    "de": "Attention [PD]; Aufmerksamkeit",
    "ko": "어텐션 [K]",
    "zh-Hant": "注意力 [?]",
    "ja": "注意",
    "means": "A weighted mean.",
    "see": "06_attention#Where to look",
}


def headings(document):
    """The headings of a notebook."""
    cells = json.loads((ROOT / f"{document}.ipynb").read_text())["cells"]
    text = "\n".join(
        "".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"
    )
    return re.findall(r"^#+ (.*)$", text, re.MULTILINE)


def test_there_are_enough_terms():
    assert len(ENTRIES) >= 120
    assert all(entry.forms[language] for entry in ENTRIES for language in LANGUAGES)


def test_terms_are_in_order_and_none_is_there_twice():
    names = [
        record["en"].split("; ")[0] for record in yaml.safe_load(SOURCE.read_text())
    ]
    assert names == sorted(names, key=str.casefold)
    again = Counter(
        form.text.casefold() for entry in ENTRIES for form in entry.forms["en"]
    )
    assert [name for name, times in again.items() if times > 1] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_forms_are_of_their_language(language):
    for entry in ENTRIES:
        texts = [form.text for form in entry.forms[language]]
        assert len(set(texts)) == len(texts), entry.name
        for form in entry.forms[language]:
            assert set(form.lectures) <= set(LECTURES[language]), form
            assert not (form.lectures and form.unsure), form
            assert not re.search(FOREIGN[language], form.text), form


def test_chinese_forms_are_traditional():
    forms = [form.text for entry in ENTRIES for form in entry.forms["zh-Hant"]]
    assert [form for form in forms if NOT_TRADITIONAL & set(form)] == []


def test_each_lecture_gives_terms():
    written = Counter(
        lecture
        for entry in ENTRIES
        for forms in entry.forms.values()
        for form in forms
        for lecture in form.lectures
    )
    assert all(written[lecture] >= 20 for lecture in "PDKLF")


def test_what_a_term_means_is_one_line():
    for entry in ENTRIES:
        assert re.fullmatch(r"[A-Z].{10,120}[.?]", entry.meaning), entry


def test_each_term_leads_to_a_heading_of_a_chapter():
    there = {document: headings(document) for document in {e.document for e in ENTRIES}}
    lost = [e for e in ENTRIES if e.heading not in there[e.document]]
    assert lost == []


def test_a_record_is_read():
    attention = parse(RECORD)
    german = attention.forms["de"]
    assert [form.text for form in german] == ["Attention", "Aufmerksamkeit"]
    assert [form.lectures for form in german] == ["PD", ""]
    assert [attention.is_english(form) for form in german] == [True, False]
    assert attention.forms["zh-Hant"][0].unsure
    assert (attention.document, attention.heading) == (
        "notebooks/06_attention",
        "Where to look",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ko": "어텐션 [X]"}, r"attention: ko is '어텐션 \[X\]', expected forms like"),
        ({"ja": ""}, r"attention: ja is '', expected forms like"),
        ({"de": "Attention;Aufmerksamkeit"}, "attention: de is 'Attention;Aufm"),
        ({"see": "06_attention"}, "attention: see is '06_attention', expected 'chapt"),
        ({"fr": "attention"}, r"attention: has \['en', .*'fr'\], expected \['en'"),
    ],
)
def test_a_bad_record_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        parse(RECORD | change)
