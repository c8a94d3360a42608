"""Hotel reviews with three aspects: a generator that knows its labels, and reviews written by hand to test on.

No hotel reviews with an open licence and aspect labels were to be had. So the training reviews are put together from
phrases, by chance, and the labels come with them; the test reviews were written by the authors of this book, whole and
without the generator's phrases, and are never trained on. That is a small test by one hand: read its figures as such.
"""

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import torch
from safetensors.torch import load_file

from helpers.documents import PAD, AspectClassifier
from helpers.reviews import without_top
from helpers.tokens import split_words
from helpers.training import RECORDED

ASPECTS = ("location", "cleanliness", "service")
VERDICTS = ("bad", "not mentioned", "good")
UNKNOWN = "[UNK]"


@dataclass(frozen=True)
class HotelReview:
    """A review: its sentences; for each the aspects that it judges; and the verdict on each aspect, 0, 1 or 2."""

    sentences: tuple[str, ...]
    about: tuple[frozenset[str], ...]
    verdicts: tuple[int, ...]

    @property
    def text(self) -> str:
        return " ".join(self.sentences)


# ---------------------------------------------------------------------------------------------------------------------
# The generator
# ---------------------------------------------------------------------------------------------------------------------


@lru_cache
def phrases() -> dict[str, list[str]]:
    """What the generator puts together: name → phrases. A name in braces in a phrase stands for one of its phrases."""
    return json.loads((files("helpers") / "hotel_phrases.json").read_text("utf-8"))


def _spelled(name: str, chance: random.Random) -> str:
    """One phrase for `name`, with everything in braces replaced."""
    return re.sub(
        r"\{(\w+)\}",
        lambda match: _spelled(match[1], chance),
        chance.choice(phrases()[name]),
    )


def generated_reviews(count: int, seed: int = 0) -> list[HotelReview]:
    """`count` reviews from phrases; each aspect is praised, blamed or, one time in four, not mentioned.

    An aspect has one or two clauses, which agree; other clauses are about food, price and the like, good or bad, so
    that "great" alone decides nothing. Raises ValueError for count < 1.
    """
    if count < 1:
        raise ValueError(f"count: got {count}, expected at least 1")
    chance = random.Random(seed)
    return [_generated_review(chance) for _ in range(count)]


def _generated_review(chance: random.Random) -> HotelReview:
    verdicts = [chance.choice((0, 0, 0, 1, 1, 2, 2, 2)) for _ in ASPECTS]
    clauses = [("", _spelled("other", chance)) for _ in range(chance.randint(0, 3))]
    for aspect, verdict in zip(ASPECTS, verdicts, strict=True):
        if verdict != 1:
            name = aspect + "-+"[verdict // 2]
            for _ in range(chance.choice((1, 1, 2))):
                clauses.append((aspect, _spelled(name, chance)))
    clauses = clauses or [("", _spelled("other", chance))]
    chance.shuffle(clauses)
    sentences, about = [], []
    while clauses:  # one clause or two in a sentence
        taken = [
            clauses.pop() for _ in range(min(len(clauses), chance.choice((1, 1, 2))))
        ]
        joint = chance.choice((" , but ", " and ", " , ", " although "))
        words = joint.join(clause for _, clause in taken)
        sentences.append(f"{words} {chance.choice('...!')}")
        about.append(frozenset(aspect for aspect, _ in taken if aspect))
    return HotelReview(tuple(sentences), tuple(about), tuple(verdicts))


@lru_cache
def hand_written_reviews() -> tuple[HotelReview, ...]:
    """Reviews that a person wrote for this book, to test on. A sentence is marked with what it judges, and how."""
    reviews = []
    for review in json.loads(
        (files("helpers") / "hotel_reviews.json").read_text("utf-8")
    ):
        verdicts = dict.fromkeys(ASPECTS, 1)
        about = []
        for marks, _ in review:
            about.append(frozenset(mark[:-1] for mark in marks.split()))
            verdicts |= {mark[:-1]: 2 * (mark[-1] == "+") for mark in marks.split()}
        sentences = tuple(sentence for _, sentence in review)
        reviews.append(HotelReview(sentences, tuple(about), tuple(verdicts.values())))
    return tuple(reviews)


# ---------------------------------------------------------------------------------------------------------------------
# From text to tensors, and the trained model
# ---------------------------------------------------------------------------------------------------------------------

MOST_WORDS = 400  # longer texts are cut off


def hotel_vocabulary(reviews: Sequence[HotelReview]) -> list[str]:
    """The words of the reviews, sorted, after "" (padding, 0) and "[UNK]" (any other word, 1)."""
    words = {word for review in reviews for word in split_words(review.text)}
    return ["", UNKNOWN, *sorted(words)]


def encode(text: str, vocabulary: Sequence[str]) -> torch.Tensor:
    """The numbers (T,) of the first 400 words of `text`. Raises ValueError for a text without words."""
    words = split_words(text)[:MOST_WORDS]
    if not words:
        raise ValueError(
            f"text: got {text[:20]!r} without a word, expected at least one"
        )
    number = {word: i for i, word in enumerate(vocabulary)}
    return torch.tensor([number.get(word, 1) for word in words])


def batch_of(reviews: Sequence[HotelReview], vocabulary: Sequence[str]) -> torch.Tensor:
    """(B, T) words, padded."""
    rows = [encode(review.text, vocabulary) for review in reviews]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)


def aspect_loss(
    model: AspectClassifier,
    reviews: Sequence[HotelReview],
    vocabulary: Sequence[str],
    batch_size: int = 64,
    forget: float = 0.1,
) -> Callable[[torch.Generator], torch.Tensor]:
    """For `helpers.training.fit`: the mean cross-entropy of the verdicts of a random batch.

    `forget`: the share of words replaced by [UNK], so that the model learns to read around a word it does not know.
    """
    tokens = batch_of(reviews, vocabulary)
    verdicts = torch.tensor([review.verdicts for review in reviews])

    def loss(generator: torch.Generator) -> torch.Tensor:
        rows = torch.randint(len(tokens), (batch_size,), generator=generator)
        batch = tokens[rows]
        batch = batch[:, : (batch != PAD).sum(dim=1).max()]
        lost = torch.rand(batch.shape, generator=generator) < forget
        logits, _ = model(batch.masked_fill(lost & (batch != PAD), 1))
        return torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), verdicts[rows].flatten()
        )

    return loss


@torch.no_grad()
def judge(model, texts: Sequence[str], vocabulary: Sequence[str]):
    """For each text: its words, the probabilities (aspects, verdicts), and the weights (aspects, T)."""
    results = []
    for text in texts:
        tokens = encode(text, vocabulary)
        logits, weights = model(tokens[None])
        words = split_words(text)[: len(tokens)]
        results.append((words, torch.softmax(logits[0], dim=-1), weights[0]))
    return results


def sentence_weights(review: HotelReview, weights: torch.Tensor) -> torch.Tensor:
    """weights (aspects, T) of the review's words, summed by sentence → (aspects, S)."""
    lengths = [len(split_words(sentence)) for sentence in review.sentences]
    return torch.stack(
        [part.sum(dim=-1) for part in weights.split(lengths, dim=-1)], dim=-1
    )


@torch.no_grad()
def map_hits(
    model, reviews: Sequence[HotelReview], vocabulary: Sequence[str]
) -> dict[str, tuple[int, int]]:
    """For each aspect: in how many reviews its greatest weight lies in a sentence about it, of those that have one."""
    hits = {aspect: [0, 0] for aspect in ASPECTS}
    for review, (_, _, weights) in zip(
        reviews, judge(model, [r.text for r in reviews], vocabulary), strict=True
    ):
        place = [
            i for i, s in enumerate(review.sentences) for _ in split_words(s)
        ]  # the sentence of each word
        for aspect, row in zip(ASPECTS, weights, strict=True):
            if any(aspect in about for about in review.about):
                hits[aspect][0] += aspect in review.about[place[int(row.argmax())]]
                hits[aspect][1] += 1
    return {aspect: tuple(counts) for aspect, counts in hits.items()}


@torch.no_grad()
def right_verdicts(
    model, reviews: Sequence[HotelReview], vocabulary: Sequence[str]
) -> torch.Tensor:
    """(N, aspects) True where the most probable verdict is the right one."""
    logits, _ = model(batch_of(reviews, vocabulary))
    return logits.argmax(dim=-1) == torch.tensor([r.verdicts for r in reviews])


def verdict_drops(
    model: AspectClassifier,
    reviews: Sequence[HotelReview],
    vocabulary: Sequence[str],
    ks: Sequence[int],
    generator: torch.Generator,
) -> dict[str, torch.Tensor]:
    """By how much each praise or blame of the model falls in probability without the k words of greatest score.

    The accounts of what matters are those of `helpers.reviews.word_scores`: name → (verdicts, ks).
    """
    drops = {"attention": [], "gradient × input": [], "random": []}
    for review in reviews:
        tokens = encode(review.text, vocabulary)[None]  # (1, T)
        embedded = model.embedding(tokens).detach().requires_grad_()
        logits, weights = model.read(embedded, tokens != PAD)
        log_p = torch.log_softmax(logits[0], dim=-1)  # (aspects, verdicts)
        for a, verdict in enumerate(log_p.argmax(dim=-1).tolist()):
            if verdict == 1:  # not mentioned: no word to delete
                continue
            (gradient,) = torch.autograd.grad(
                log_p[a, verdict], embedded, retain_graph=True
            )
            scores = (
                weights[:, a],
                (gradient * embedded).sum(dim=-1),
                torch.rand(tokens.shape, generator=generator),
            )
            for rows, score in zip(drops.values(), scores, strict=True):
                left = [without_top(tokens, score, k) for k in ks]
                with torch.no_grad():
                    after = [torch.softmax(model(t)[0][0, a], dim=-1) for t in left]
                before = log_p[a, verdict].detach().exp()
                rows.append(before - torch.stack(after)[:, verdict])
    return {name: torch.stack(rows) for name, rows in drops.items()}


def recorded_aspects() -> tuple[AspectClassifier, list[str]]:
    """The model that experiments/aspects.py trained with seed 0, and its vocabulary."""
    vocabulary = json.loads((RECORDED / "aspects.json").read_text())["vocabulary"]
    weights = load_file(RECORDED / "aspects.safetensors")  # float16, and whole numbers
    weights["embedding.weight"] = weights.pop("embedding") * weights.pop("scale")
    model = AspectClassifier(len(vocabulary))
    model.load_state_dict(weights)
    return model.eval(), vocabulary
