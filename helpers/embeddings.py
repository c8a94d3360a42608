"""Word vectors: Word2Vec's skip-gram with negative sampling, neighbours, and analogies."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F

from helpers.data import book_text
from helpers.training import RECORDED
from helpers.validation import require_choice, require_finite, require_shape

# ---------------------------------------------------------------------------------------------------------------------
# Word2Vec. Source: Mikolov et al. 2013b, "Distributed Representations of Words and Phrases".
# ---------------------------------------------------------------------------------------------------------------------


class SkipGram(nn.Module):
    """Predicts from a word which words stand near it. The rows of the first weight matrix are the word vectors.

    `first` (V, d): one row for each word in the middle;  `second` (V, d): one for each word beside it.
    Raises ValueError for sizes below 1.
    """

    def __init__(self, vocabulary_size: int, embedding_size: int):
        super().__init__()
        if vocabulary_size < 1 or embedding_size < 1:
            raise ValueError(
                f"vocabulary_size, embedding_size: got {vocabulary_size}, {embedding_size}, expected at least 1"
            )
        spread = 0.5 / embedding_size
        uniform = torch.rand(vocabulary_size, embedding_size) * 2 * spread - spread
        self.first = nn.Parameter(uniform)
        self.second = nn.Parameter(torch.zeros(vocabulary_size, embedding_size))

    def forward(self, centre, context):
        """centre (B,), context (B, C) → logits (B, C): high where the model thinks that the words are neighbours."""
        embedding = self.first[centre]  # (B, d): a lookup
        return torch.einsum("bd,bcd->bc", embedding, self.second[context])


def negative_sampling_loss(logits: torch.Tensor) -> torch.Tensor:
    """Mean over the batch of −log σ(true) − Σ log σ(−negative), for logits (B, 1 + K) with the true word first."""
    true, negative = logits[:, 0], logits[:, 1:]
    return -(F.logsigmoid(true) + F.logsigmoid(-negative).sum(dim=1)).mean()


def book_words(titles: Sequence[str]) -> list[str]:
    """The words of these books in lower case, without signs and digits, one book after the other."""
    return [
        word
        for title in titles
        for word in re.findall(r"[a-z]+(?:'[a-z]+)?", book_text(title).lower())
    ]


class Corpus:
    """A text as word numbers, ready to draw (word, neighbours) from.

    words: the text. least: a word that occurs less often is left out. threshold: a word of frequency f is kept with
    probability √(threshold / f), at most 1, drawn once with `seed`: so that "the" does not take all the time.
    Raises ValueError if no word occurs `least` times.
    """

    def __init__(
        self, words: Sequence[str], least: int, threshold: float = 1e-4, seed: int = 0
    ):
        counts = Counter(words)
        self.words = [w for w, n in counts.most_common() if n >= least]
        if not self.words:
            raise ValueError(
                f"words: got {len(words)}, none of them {least} times, expected at least one so frequent"
            )
        self.number = {word: i for i, word in enumerate(self.words)}
        self.counts = torch.tensor([counts[word] for word in self.words])
        numbers = torch.tensor([self.number[w] for w in words if w in self.number])
        generator = torch.Generator().manual_seed(seed)
        keep = (threshold * len(numbers) / self.counts).sqrt()[numbers]
        drawn = torch.rand(len(numbers), generator=generator, dtype=keep.dtype)
        self.tokens = numbers[drawn < keep]  # (N,)
        self.noise = self.counts.double() ** 0.75  # negatives are drawn like this

    def batch(self, size: int, window: int, negatives: int, generator):
        """Draw centre (B,) and context (B, 1 + K): first a word at most `window` places away, then K random ones."""
        at = torch.randint(
            window, len(self.tokens) - window, (size,), generator=generator
        )
        away = torch.randint(1, window + 1, (size,), generator=generator)
        side = torch.randint(0, 2, (size,), generator=generator) * 2 - 1
        true = self.tokens[at + side * away]
        noise = torch.multinomial(
            self.noise, size * negatives, replacement=True, generator=generator
        ).view(size, negatives)
        return self.tokens[at], torch.cat([true[:, None], noise], dim=1)


# ---------------------------------------------------------------------------------------------------------------------
# Neighbours and analogies
# ---------------------------------------------------------------------------------------------------------------------


class WordVectors:
    """Words and their vectors, each scaled to length 1, so that a dot product is a cosine.

    words: V different strings;  vectors (V, d). Raises ValueError for other shapes, NaN, a word twice and a vector
    of length 0.
    """

    def __init__(self, words: Sequence[str], vectors):
        vectors = np.asarray(vectors, dtype=np.float64)
        require_shape("vectors", vectors, (len(words), "d"))
        require_finite("vectors", vectors)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not lengths.all():
            word = words[int(lengths.argmin())]
            raise ValueError(f"vectors: got length 0 for {word!r}, expected more")
        self.words = list(words)
        self.vectors = vectors / lengths
        self.number = {word: i for i, word in enumerate(self.words)}
        if len(self.number) < len(self.words):
            raise ValueError(
                f"words: got {len(self.words) - len(self.number)} of them twice, expected each once"
            )

    def __contains__(self, word: str) -> bool:
        return word in self.number

    def __getitem__(self, word: str) -> np.ndarray:
        """The vector (d,) of a word. Raises ValueError for a word without one."""
        if word not in self.number:
            raise ValueError(
                f"word: got {word!r}, expected one of the {len(self.words)} known words"
            )
        return self.vectors[self.number[word]]

    def nearest(self, query, count: int = 5, without: Sequence[str] = ()):
        """The `count` words with the greatest cosine to `query` (d,), as (word, cosine) pairs."""
        cosines = self._cosines(query, without)
        best = np.argsort(-cosines, kind="stable")[:count]
        return [(self.words[i], float(cosines[i])) for i in best]

    def analogy(self, a: str, b: str, c: str, count: int = 5, exclude: bool = True):
        """What is nearest to a + b − c; `exclude` leaves the three words themselves out, as nearly everybody does."""
        return self.nearest(self._sum(a, b, c), count, (a, b, c) if exclude else ())

    def rank(self, a: str, b: str, c: str, expected: str, exclude: bool = True) -> int:
        """The place of `expected` among the words nearest to a + b − c; 1 is the first."""
        without = {a, b, c} - {expected} if exclude else ()
        cosines = self._cosines(self._sum(a, b, c), without)
        self[expected]  # a word without a vector is refused
        return int((cosines > cosines[self.number[expected]]).sum()) + 1

    def _sum(self, a: str, b: str, c: str) -> np.ndarray:
        return self[a] + self[b] - self[c]

    def _cosines(self, query, without) -> np.ndarray:
        cosines = self.vectors @ query / np.linalg.norm(query)
        cosines[[self.number[word] for word in without]] = -np.inf
        return cosines


# Pairs of words that stand in one relation, written for this book after the kinds of Mikolov et al. 2013a.
FAMILIES = {
    "man → woman": "man woman  king queen  boy girl  brother sister  father mother  uncle aunt  son daughter  "
    "husband wife",
    "capital → country": "rome italy  paris france  berlin germany  madrid spain  tokyo japan  moscow russia  "
    "athens greece  cairo egypt",
    "country → adjective": "italy italian  france french  germany german  spain spanish  japan japanese  "
    "russia russian  greece greek  sweden swedish",
    "country → money": "japan yen  russia ruble  india rupee  mexico peso  china yuan  sweden krona  israel shekel",
    "-ing → past": "singing sang  swimming swam  going went  seeing saw  taking took  writing wrote  running ran  "
    "knowing knew",
    "one → many": "man men  child children  house houses  ship ships  hand hands  year years  woman women  eye eyes",
    "comparative": "old older  small smaller  great greater  long longer  strong stronger  good better  bad worse  "
    "young younger",
    "opposite": "hot cold  good bad  old young  long short  black white  rich poor  first last  early late",
    "grown → young": "dog puppy  cat kitten  cow calf  sheep lamb  man boy  woman girl  duck duckling",
}


def questions(family: str) -> list[tuple[str, str, str, str]]:
    """The analogies (a, b, c, expected) of a family: a + b − c = expected, for each two of its pairs, both ways.

    From man → woman and king → queen comes king + woman − man = queen. Raises ValueError for another family.
    """
    require_choice("family", family, FAMILIES)
    words = FAMILIES[family].split()
    pairs = list(zip(words[::2], words[1::2], strict=True))
    return [
        (x, other_y, other_x, y)
        for x, y in pairs
        for other_x, other_y in pairs
        if x != other_x
    ]


def ranks(vectors: WordVectors, family: str, exclude: bool = True) -> list[int]:
    """The rank of the expected word for each question of `family` whose four words have vectors."""
    return [
        vectors.rank(*question, exclude=exclude)
        for question in questions(family)
        if all(word in vectors for word in question)
    ]


def recorded_vectors() -> WordVectors:
    """The word vectors that the recorded run of the chapter's setting with seed 0 ended with."""
    with safe_open(RECORDED / "word2vec.safetensors", framework="numpy") as file:
        return WordVectors(file.metadata()["words"].split(), file.get_tensor("first"))
