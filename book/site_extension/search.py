"""Words for the site's search: English ones by their stem, Chinese, Japanese and Korean ones by pairs of characters.

Sphinx has a splitter for one language; here one site speaks five. Latin letters follow Sphinx's English search, without
accents, so that "Schlüssel" and "schlussel" are one word. Where a writing system puts no spaces between words (and in
Korean, which hangs particles on them), each two neighbouring characters count as a word: the usual remedy without a
dictionary. The browser splits what a reader types in the same way.
"""

import re
import unicodedata

from sphinx.search.en import SearchEnglish

# Han, Kana and Hangul characters, with the signs for repetition and for long vowels.
EAST_ASIAN = r"\u3005-\u3007\u3041-\u3096\u30a1-\u30fa\u30fc-\u30fe\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff"
PIECES = re.compile(rf"[{EAST_ASIAN}]+|[^\W{EAST_ASIAN}]+")
ACCENT = re.compile(r"[\u0300-\u036f]")


def pairs(run: str) -> list[str]:
    """Each two neighbouring characters of a run; a run of one character is itself."""
    return [run[i : i + 2] for i in range(max(1, len(run) - 1))]


class SearchFiveLanguages(SearchEnglish):
    """Index and search English, German, Korean, Chinese and Japanese on one site."""

    lang = "five"
    language_name = "English, German, Korean, Chinese, Japanese"
    js_stemmer_code = (
        SearchEnglish.js_stemmer_code.replace("var Stemmer", "var EnglishStemmer")
        + r"""
var Stemmer = function () {
  const english = new EnglishStemmer();
  const plain = (word) => word.normalize("NFD").replace(/[\u0300-\u036f]/g, "").normalize("NFC");
  this.stemWord = (word) => english.stemWord(plain(word));
};
"""
    )
    js_splitter_code = f"""
var splitQuery = (query) => {{
  const pieces = query.match(/[{EAST_ASIAN}]+|(?:(?![{EAST_ASIAN}])[\\p{{L}}\\p{{N}}_])+/gu) ?? [];
  const pairs = (run) => Array.from({{ length: run.length - 1 }}, (_, i) => run.slice(i, i + 2));
  return pieces.flatMap((piece) => (/^[{EAST_ASIAN}]{{2}}/.test(piece) ? pairs(piece) : [piece]));
}};
"""

    def split(self, input: str) -> list[str]:
        """Words of Latin letters and the like; of an East Asian run its characters and its pairs."""
        words = []
        for piece in PIECES.findall(input):
            if re.match(f"[{EAST_ASIAN}]", piece):
                words += [*piece, *pairs(piece)]
            else:
                words.append(piece)
        return words

    def stem(self, word: str) -> str:
        """The English stem of a word without accents; one or two characters stay, as in the browser."""
        plain = unicodedata.normalize(
            "NFC", ACCENT.sub("", unicodedata.normalize("NFD", word))
        )
        return super().stem(plain) if len(plain) > 2 else plain.lower()

    def word_filter(self, word: str) -> bool:
        """Leave out English stop words alone; Sphinx would also leave out pairs that begin with Hiragana."""
        return word not in self.stopwords
