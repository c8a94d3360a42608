"""Real sentences, English to Spanish, in word pieces: experiments/spanish.py trains, chapter 06 reads."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch
from safetensors.torch import load_file
from torch import nn

from helpers.attention import BahdanauDecoder
from helpers.bleu import bleu
from helpers.data import Vocabulary, fetch
from helpers.seq2seq import Encoder, FixedContextDecoder, Seq2Seq
from helpers.tokens import BPE
from helpers.translation import RECORDED, Translation
from helpers.validation import require_choice

# ---------------------------------------------------------------------------------------------------------------------
# Sentences, and which of them belong together
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SentencePair:
    """An English sentence, a Spanish one that means the same, and who wrote them."""

    english: str
    spanish: str
    credit: str


def tatoeba() -> list[SentencePair]:
    """The 140,868 pairs; an English sentence occurs once for each of its translations.

    Source: https://tatoeba.org, CC BY 2.0 FR, as collected by https://www.manythings.org/anki. Downloads 85 MB at the
    first call; raises DownloadError as `helpers.data.fetch` does.
    """
    text = (fetch("tatoeba") / "spa.tsv").read_text(encoding="utf-8")
    return [SentencePair(*row.split("\t")) for row in text.splitlines()]


def split_sentence(text: str) -> list[str]:
    """Words and signs of `text` in lower case; accents and apostrophes stay: "¿Qué?" → ¿ qué ?

    Raises ValueError unless `text` is a string with at least one word or sign.
    """
    if not isinstance(text, str):
        raise ValueError(f"text: got {type(text).__name__}, expected a string")
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)*|[^\w\s]", text.lower().replace("’", "'"))
    if not words:
        raise ValueError(f"text: got {text!r}, expected at least one word")
    return words


def clusters(pairs: Sequence[SentencePair], shortest: int = 5) -> list[int]:
    """The number of each pair's cluster: pairs of one cluster are translations or near-paraphrases of each other.

    Two pairs belong together if they share the English or the Spanish sentence, signs left out; or if one of the two
    sentences, of `shortest` words or more, is the same once one word is taken out of it, or one out of each: a word is
    another one, stands elsewhere, or is not there. So do the neighbours of neighbours. Clusters are numbered as they
    appear.
    """
    parent = list(range(len(pairs)))

    def root(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple, int] = {}
    for i, pair in enumerate(pairs):
        for side in ("english", "spanish"):
            words = [w for w in split_sentence(getattr(pair, side)) if w[0].isalnum()]
            keys = [words]
            if len(words) >= shortest:
                keys += [[*words[:j], *words[j + 1 :]] for j in range(len(words))]
            for key in keys:
                parent[root(i)] = root(first.setdefault((side, *key), i))
    number: dict[int, int] = {}
    return [number.setdefault(root(i), len(number)) for i in range(len(pairs))]


def split_clusters(
    groups: Sequence[int], held_out: int, largest: int = 20, seed: int = 0
) -> tuple[list[int], list[int]]:
    """Rows to train on and rows held out, one from each of `held_out` clusters drawn at random.

    groups: the cluster of each row. Clusters of more than `largest` rows are all for training; the other rows of a
    cluster that is held out are left out. Raises ValueError if there are too few clusters.
    """
    members = defaultdict(list)
    for row, group in enumerate(groups):
        members[group].append(row)
    small = [rows for rows in members.values() if len(rows) <= largest]
    if not 0 < held_out <= len(small):
        raise ValueError(
            f"held_out: got {held_out}, expected 1 to {len(small)}, the clusters of at most {largest} rows"
        )
    order = torch.randperm(
        len(small), generator=torch.Generator().manual_seed(seed)
    ).tolist()
    drawn = [small[i] for i in order[:held_out]]
    left_out = {row for rows in drawn for row in rows}
    train = [row for row in range(len(groups)) if row not in left_out]
    return train, [rows[0] for rows in drawn]


def bleu_by_length(
    sources: Sequence[str],
    written: Sequence[Sequence[str]],
    references: Sequence[str],
    edges: Sequence[int],
) -> list[float]:
    """BLEU of the sentences with eᵢ ≤ words in the source < eᵢ₊₁, signs not counted. Raises ValueError if none has.

    written: the words of each translation; references: one Spanish sentence each.
    """
    scores = []
    for low, high in pairwise(edges):
        chosen = [
            (translation, split_sentence(reference))
            for source, translation, reference in zip(
                sources, written, references, strict=True
            )
            if low <= count_words(source) < high
        ]
        if not chosen:
            raise ValueError(
                f"edges: got no sentence of {low} to {high - 1} words, expected at least one"
            )
        scores.append(bleu(*zip(*chosen, strict=True)))
    return scores


def count_words(text: str) -> int:
    """How many words `text` has, signs left out."""
    return sum(word[0].isalnum() for word in split_sentence(text))


# ---------------------------------------------------------------------------------------------------------------------
# Word pieces
# ---------------------------------------------------------------------------------------------------------------------


class Pieces:
    """Byte-pair encoding of one language: sentences to word pieces and back.

    ▁ begins a word, as in Kudo and Richardson 2018; a character outside `characters` becomes �.
    merges: each as "left right".
    """

    BEGIN, UNKNOWN = "▁", "�"

    def __init__(self, characters: str, merges: Sequence[str]):
        self.characters, self.merges = characters, list(merges)
        self._pairs = {merge.replace(" ", ""): merge.split(" ") for merge in merges}
        self.vocabulary = Vocabulary(
            [[self.BEGIN, self.UNKNOWN, *characters, *self._pairs]]
        )
        self._cut = cache(self._cut)

    @classmethod
    def learn(cls, sentences: Iterable[str], merges: int, least: int = 50) -> "Pieces":
        """Learn from the words, and keep the characters, that occur at least `least` times."""
        words = Counter(word for text in sentences for word in split_sentence(text))
        letters = Counter()
        for word, count in words.items():
            for letter in word:
                letters[letter] += count
        kept = "".join(sorted(c for c, count in letters.items() if count >= least))
        counts = {
            cls.BEGIN + word: count
            for word, count in words.items()
            if count >= least and set(word) <= set(kept)
        }
        return cls(kept, [" ".join(pair) for pair in BPE.learn(counts, merges).merges])

    def _cut(self, word: str) -> list[str]:
        known = (c if c in self.characters else self.UNKNOWN for c in word)
        marked = self.BEGIN + "".join(known)
        # the merges that make a part of this word: the others would only be slow
        return BPE(pair for made, pair in self._pairs.items() if made in marked).cut(
            marked
        )

    def cut(self, text: str) -> list[str]:
        """The pieces of a sentence. Raises ValueError as `split_sentence` does."""
        return [piece for word in split_sentence(text) for piece in self._cut(word)]

    @classmethod
    def join(cls, pieces: Sequence[str]) -> list[str]:
        """The words that the pieces make."""
        return "".join(pieces).replace(cls.BEGIN, " ").split()

    @classmethod
    def show(cls, pieces: Sequence[str]) -> list[str]:
        """For a figure: a piece that begins a word without its mark, one that continues it after ##."""
        return [
            piece.removeprefix(cls.BEGIN) or piece
            if piece.startswith(cls.BEGIN)
            else f"##{piece}"
            for piece in pieces
        ]


# ---------------------------------------------------------------------------------------------------------------------
# The translators
# ---------------------------------------------------------------------------------------------------------------------

DECODERS = {"no attention": FixedContextDecoder, "Bahdanau": BahdanauDecoder}
LONGEST = 100  # pieces of a source


class SentenceTranslator:
    """A sequence-to-sequence model that reads and writes word pieces."""

    def __init__(
        self,
        decoder: Callable[[int, int], nn.Module],
        source: Pieces,
        target: Pieces,
        hidden_size: int = 64,
        seed: int = 0,
    ):
        self.source, self.target = source, target
        torch.manual_seed(seed)
        self.model = Seq2Seq(
            Encoder(len(source.vocabulary), hidden_size),
            decoder(len(target.vocabulary), hidden_size),
        )
        self.num_parameters = sum(p.numel() for p in self.model.parameters())

    def translate(self, texts: Sequence[str]) -> list[Translation]:
        """Greedy translations of English sentences, in word pieces; `Pieces.join` makes words of them.

        Raises ValueError for no text, one without words, or one of more than 100 pieces; a string is not a list.
        """
        if isinstance(texts, str) or not texts:
            raise ValueError(f"texts: got {texts!r}, expected a list of sentences")
        sources = [self.source.cut(text) for text in texts]
        if (most := max(map(len, sources))) > LONGEST:
            raise ValueError(
                f"texts: got one of {most} word pieces, expected at most {LONGEST}; give one sentence at a time"
            )
        written, weights = self.model.translate(
            self.source.vocabulary.batch(sources), max_length=50
        )
        translations = []
        for i, source in enumerate(sources):
            tokens = self.target.vocabulary.decode(written[i].tolist())
            rows = (
                None
                if weights is None
                else weights[i, : len(tokens), : len(source) + 1]
            )
            translations.append(Translation(tuple(source), tuple(tokens), rows))
        return translations


def recorded() -> dict:
    """What experiments/spanish.py found: results, word pieces, and 20 held-out sentences with their authors."""
    return json.loads((RECORDED / "spanish.json").read_text(encoding="utf-8"))


def recorded_translator(name: str) -> SentenceTranslator:
    """One of `DECODERS` with its recorded weights. Raises ValueError for another name."""
    require_choice("name", name, DECODERS)
    pieces = recorded()["pieces"]
    translator = SentenceTranslator(
        DECODERS[name], Pieces(**pieces["english"]), Pieces(**pieces["spanish"])
    )
    translator.model.load_state_dict(load_file(weights_file(name)))
    translator.model.eval()
    return translator


def weights_file(name: str):
    """Where the weights of one of `DECODERS` are, in half precision."""
    return RECORDED / f"spanish_{name.replace(' ', '_').lower()}.safetensors"
