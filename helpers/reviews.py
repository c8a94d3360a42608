"""IMDB's film reviews as a labelled task: parts, batches, the four models, and what deleting words does."""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from safetensors.torch import load_file
from torch import nn

from helpers.data import fetch
from helpers.documents import HAN, PAD, BiRNN, CharCNN, TextCNN
from helpers.tokens import split_words
from helpers.training import RECORDED
from helpers.validation import require_choice

WORDS = 100  # of each review; the rest is left out
SENTENCES, SENTENCE_WORDS = 12, 30  # a longer sentence is cut in two
CHARACTERS = 540
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/()$ "
UNKNOWN = 1
MODELS = {"BiRNN": BiRNN, "HAN": HAN, "TextCNN": TextCNN, "character CNN": CharCNN}


@lru_cache
def film_reviews(
    train: int = 6000, validation: int = 1000, test: int = 2000, seed: int = 0
) -> dict[str, tuple[list[list[str]], torch.Tensor]]:
    """Three parts of IMDB's reviews: name → (the first 100 words of each, in lower case; labels, 1 for praise).

    Half of each part is praise. A review whose first 100 words another one has too is taken once only, so no part
    shares one with another. Source: Maas et al. 2011; downloaded (26 MB) at the first call.
    Raises DownloadError as `helpers.data.fetch` does, and ValueError for more reviews than there are.
    """
    rows = json.loads((fetch("imdb") / "reviews.json").read_text("utf-8"))
    random.Random(seed).shuffle(rows)
    wanted = [train, validation, test]
    if min(wanted) < 2 or sum(wanted) > 40_000:
        raise ValueError(
            f"train, validation, test: got {wanted}, expected 2 to 40,000 in all"
        )
    seen, kept = set(), {0: [], 1: []}
    for row in rows:
        label = row["s"]
        if len(kept[label]) == sum(wanted) // 2:
            continue
        text = re.sub("<br */?>", " ", row["t"])[: 10 * WORDS]
        words = split_words(text)[:WORDS]
        if words and tuple(words) not in seen:
            seen.add(tuple(words))
            kept[label].append(words)
    parts, start = {}, 0
    for name, size in zip(("train", "validation", "test"), wanted, strict=True):
        half = slice(start // 2, (start + size) // 2)
        texts = kept[0][half] + kept[1][half]
        labels = torch.arange(len(texts)) >= len(texts) // 2
        parts[name] = texts, labels.long()
        start += size
    return parts


def film_vocabulary(texts: Sequence[Sequence[str]], size: int = 4000) -> dict[str, int]:
    """The most frequent words, numbered from 2; 0 pads, and 1 is any other word."""
    counts = Counter(word for words in texts for word in words)
    frequent = sorted(counts, key=lambda word: (-counts[word], word))[: size - 2]
    return {word: number for number, word in enumerate(frequent, 2)}


# ---------------------------------------------------------------------------------------------------------------------
# From words to what a model reads
# ---------------------------------------------------------------------------------------------------------------------


def word_rows(texts: Sequence[Sequence[str]], vocabulary) -> torch.Tensor:
    """(N, T) words. Raises ValueError for a text without words."""
    rows = [
        torch.tensor([vocabulary.get(w, UNKNOWN) for w in words]) for words in texts
    ]
    if empty := sum(len(row) == 0 for row in rows):
        raise ValueError(f"texts: got {empty} without words, expected none")
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)


def split_sentences(words: Sequence[str]) -> list[list[str]]:
    """Cut after . ! and ?, and a sentence of more than 30 words after every thirtieth; at most 12 are kept."""
    sentences = [[]]
    for word in words:
        if sentences[-1] and (
            (sentences[-1][-1] in ".!?" and word not in ".!?")
            or len(sentences[-1]) == SENTENCE_WORDS
        ):
            sentences.append([])
        sentences[-1].append(word)
    return [sentence for sentence in sentences if sentence][:SENTENCES]


def sentence_rows(texts: Sequence[Sequence[str]], vocabulary) -> torch.Tensor:
    """(N, 12, 30) words in their sentences."""
    rows = torch.zeros(len(texts), SENTENCES, SENTENCE_WORDS, dtype=torch.long)
    for i, words in enumerate(texts):
        for j, sentence in enumerate(split_sentences(words)):
            numbers = [vocabulary.get(word, UNKNOWN) for word in sentence]
            rows[i, j, : len(numbers)] = torch.tensor(numbers)
    return rows


def character_rows(texts: Sequence[Sequence[str]], vocabulary=None) -> torch.Tensor:
    """(N, 540) characters of the words, joined by spaces; one outside the alphabet is left blank."""
    rows = torch.zeros(len(texts), CHARACTERS, dtype=torch.long)
    for i, words in enumerate(texts):
        numbers = [ALPHABET.find(c) + 1 for c in " ".join(words)[:CHARACTERS]]
        rows[i, : len(numbers)] = torch.tensor(numbers)
    return rows


ROWS = {
    "BiRNN": word_rows,
    "HAN": sentence_rows,
    "TextCNN": word_rows,
    "character CNN": character_rows,
}


@dataclass
class FilmTask:
    """The parts as one kind of model reads them: name → (rows, labels)."""

    kind: str
    vocabulary: dict[str, int]
    parts: dict[str, tuple[torch.Tensor, torch.Tensor]]

    @classmethod
    def of(cls, kind: str, reviews=None) -> "FilmTask":
        """Raises ValueError for another kind than those in MODELS."""
        require_choice("kind", kind, MODELS)
        reviews = reviews or film_reviews()
        vocabulary = film_vocabulary(reviews["train"][0])
        parts = {
            name: (ROWS[kind](texts, vocabulary), labels)
            for name, (texts, labels) in reviews.items()
        }
        return cls(kind, vocabulary, parts)

    def model(self, seed: int) -> nn.Module:
        """A model with fresh weights from `seed`."""
        torch.manual_seed(seed)
        if self.kind == "character CNN":
            return CharCNN(len(ALPHABET) + 1)
        return MODELS[self.kind](len(self.vocabulary) + 2)

    def batch_loss(self, model: nn.Module, batch_size: int = 32) -> Callable:
        """For `helpers.training.fit`: the mean cross-entropy of a random batch of the training part."""
        rows, labels = self.parts["train"]

        def loss(generator: torch.Generator) -> torch.Tensor:
            chosen = torch.randint(len(rows), (batch_size,), generator=generator)
            logits = model(rows[chosen])[0]
            return nn.functional.cross_entropy(logits, labels[chosen])

        return loss

    @torch.no_grad()
    def logits(self, model: nn.Module, part: str) -> torch.Tensor:
        """(N, 2), in batches of 250."""
        return torch.cat([model(rows)[0] for rows in self.parts[part][0].split(250)])

    def loss(self, model: nn.Module, part: str = "validation") -> float:
        logits = self.logits(model, part)
        return nn.functional.cross_entropy(logits, self.parts[part][1]).item()

    def accuracy(self, model: nn.Module, part: str = "test") -> float:
        right = self.logits(model, part).argmax(dim=-1) == self.parts[part][1]
        return right.double().mean().item()


def recorded_birnn(task: FilmTask) -> BiRNN:
    """The BiRNN that experiments/documents.py trained with seed 0."""
    model = task.model(seed=0)
    model.load_state_dict(load_file(RECORDED / "documents.safetensors"))
    return model.eval()


# ---------------------------------------------------------------------------------------------------------------------
# Is it an explanation? Delete words, and see what the model says now.
# ---------------------------------------------------------------------------------------------------------------------


def word_scores(model: BiRNN, tokens: torch.Tensor, generator: torch.Generator):
    """How much each word of tokens (N, T) matters, by three accounts: name → (N, T).

    attention         the weight
    gradient × input  x_t · ∂ log p / ∂x_t for the class that the model predicts
    random            a random number
    """
    embedded = model.embedding(tokens).detach().requires_grad_()
    logits, weights = model.read(embedded, tokens != PAD)
    log_p = torch.log_softmax(logits, dim=-1).amax(dim=-1).sum()
    (gradient,) = torch.autograd.grad(log_p, embedded)
    scores = {
        "attention": weights.detach(),
        "gradient × input": (gradient * embedded).sum(dim=-1).detach(),
        "random": torch.rand(tokens.shape, generator=generator),
    }
    return {
        name: score.masked_fill(tokens == PAD, -torch.inf)
        for name, score in scores.items()
    }


def without_top(tokens: torch.Tensor, scores: torch.Tensor, k: int) -> torch.Tensor:
    """tokens (N, T) without the k words of greatest score; those behind move up, and padding fills the end.

    Raises ValueError where nothing would be left.
    """
    if int((tokens != PAD).sum(dim=1).min()) <= k:
        raise ValueError(
            f"k: got {k}, expected less than the words of the shortest document"
        )
    gone = torch.zeros_like(tokens, dtype=torch.bool)
    gone.scatter_(1, scores.topk(k, dim=1).indices, True)
    left = tokens.masked_fill(gone, PAD)
    order = (
        (left == PAD).long().argsort(dim=1, stable=True)
    )  # the words first, in order
    return left.gather(1, order)


@torch.no_grad()
def deletion_drops(
    model: BiRNN, tokens: torch.Tensor, scores: torch.Tensor, ks: Sequence[int]
) -> torch.Tensor:
    """(N, ks): by how much the probability of the class first predicted falls without the top k words."""
    before = torch.softmax(model(tokens)[0], dim=-1)
    confidence, predicted = before.max(dim=-1)
    drops = []
    for k in ks:
        after = torch.softmax(model(without_top(tokens, scores, k))[0], dim=-1)
        drops.append(confidence - after.gather(1, predicted[:, None]).squeeze(1))
    return torch.stack(drops, dim=1)


def bootstrap_interval(
    values: torch.Tensor, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95 % of the means of `values` (N,) drawn anew with replacement lie between these two. Source: Efron 1979."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(len(values), (draws, len(values)), generator=generator)
    means = values.double()[chosen].mean(dim=1)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=means.dtype))
    return low.item(), high.item()
