"""What the heads of an encoder look at: statistics, and sentences of our own whose answers are known.

The sentences in sentences.json and the template below were written for this book; no model has been trained on them.
"""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import torch
from tqdm import tqdm

from helpers.bert import PretrainedEncoder
from helpers.data import BOOKS, book_text
from helpers.validation import require_shape

# ---------------------------------------------------------------------------------------------------------------------
# Statistics
# ---------------------------------------------------------------------------------------------------------------------

STATISTICS = (
    "entropy",
    "distance",
    "[CLS]",
    "[SEP]",
    "token before",
    "token itself",
    "token after",
)


def head_statistics(weights: torch.Tensor) -> torch.Tensor:
    """weights (N, h, T, T) of one text, [CLS] first and [SEP] last → (7, N, h), in the order of STATISTICS.

    All are means over the text's own tokens as queries, [CLS] and [SEP] not among them: the entropy of the weights in
    bits; the distance |s − t| in tokens, by weight; and the shares on [CLS], on [SEP], on the token before, on the
    token itself and on the token after. Raises ValueError for another shape and for a text without tokens.
    """
    size = weights.shape[-1]
    require_shape("weights", weights, ("N", "h", size, size))
    if size < 3:
        raise ValueError(
            f"weights: got {size} tokens, expected at least 3, [CLS] and [SEP] among them"
        )
    rows = weights[:, :, 1:-1]  # (N, h, T - 2, T)
    position = torch.arange(size)
    distance = (position - position[1:-1, None]).abs().to(rows.dtype)
    values = (
        torch.special.entr(rows).sum(dim=-1) / torch.log(rows.new_tensor(2.0)),
        (rows * distance).sum(dim=-1),
        rows[..., 0],
        rows[..., -1],
        *(rows.diagonal(offset, dim1=-2, dim2=-1) for offset in (0, 1, 2)),
    )
    return torch.stack([value.mean(dim=-1) for value in values])


def book_sentences(count: int = 270, seed: int = 0) -> list[tuple[str, str]]:
    """`count` sentences of 3 to 60 words, as many from each of the nine books: (title, sentence) each.

    Of each book equally many short, middling and long ones, where words are 3–15, 16–30 and 31–60.
    Raises ValueError unless count is a multiple of 27, DownloadError as `helpers.data.fetch` does.
    """
    if count < 27 or count % 27:
        raise ValueError(f"count: got {count}, expected a multiple of 27")
    chosen, generator = [], random.Random(seed)
    for title in BOOKS:
        text = re.sub(r"\s+", " ", book_text(title))
        sentences = re.split(r"(?<=[.!?])[\"']? ", text)
        for low, high in ((3, 15), (16, 30), (31, 60)):
            fitting = [s for s in sentences if low <= len(s.split()) <= high]
            chosen += [(title, s) for s in generator.sample(fitting, count // 27)]
    return chosen


# ---------------------------------------------------------------------------------------------------------------------
# Sentences with a question: of two tokens, which one does this token mean?
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """`query`, `right` and `wrong` are tokens of the text, each once in it."""

    text: str
    query: str
    right: str
    wrong: str


def written(kind: str):
    """The sentences of one kind that were written for this book: "pronouns", "meanings" or "bank"."""
    text = (files("helpers") / "sentences.json").read_text(encoding="utf-8")
    return json.loads(text)[kind]


def pronoun_questions() -> list[Question]:
    """48 pairs of sentences that differ in an ending, and with it in what the pronoun means: the first or second noun.

    Each pair in a row, so that whoever always answers with the first noun, or the nearest, is right in half of them.
    The form is that of Levesque, Davis and Morgenstern 2012.
    """
    questions = []
    for pair in written("pronouns"):
        nouns = pair["first"], pair["second"]
        for ending, (right, wrong) in zip(
            pair["endings"], (nouns, nouns[::-1]), strict=True
        ):
            text = pair["text"].format(ending)
            questions.append(Question(text, pair["pronoun"], right, wrong))
    return questions


SINGULAR = ["key", "picture", "dog", "table", "letter", "boat", "horse", "lamp"]
SINGULAR += ["chair", "house", "flower", "bird", "book", "car", "tree", "box"]
PLURAL = [f"{noun}es" if noun == "box" else f"{noun}s" for noun in SINGULAR]
VERBS = (("is", "was"), ("are", "were"))
PREPOSITIONS = ["near", "behind", "beside", "under", "above", "opposite"]
ADJECTIVES = ["", "", "old ", "new ", "small ", "white "]
OPENINGS = ["", "", "today ", "yesterday ", "as always "]
ENDINGS = ["lost", "wet", "very large", "not red", "for sale"]


def verb_questions(count: int = 240, seed: int = 0) -> list[Question]:
    """Which noun is the verb's subject? By turns with the other noun before it, and behind it.

    "Near the trees the old key was lost." and "Today the key near the trees was lost." Nouns, numbers and the other
    words are drawn at random, with some words left out, so that no fixed position gives the answer; the subject is the
    nearer noun in one half, the first in the other. Raises ValueError unless count is even.
    """
    if count < 2 or count % 2:
        raise ValueError(f"count: got {count}, expected an even number from 2 on")
    questions, generator = [], random.Random(seed)
    for turn in range(count):
        places = generator.sample(range(len(SINGULAR)), 2)
        numbers = generator.randrange(2), generator.randrange(2)
        subject, other = (
            (SINGULAR, PLURAL)[number][place]
            for number, place in zip(numbers, places, strict=True)
        )
        verb = generator.choice(VERBS[numbers[0]])
        near, opening = generator.choice(PREPOSITIONS), generator.choice(OPENINGS)
        one, two = (
            f"the {generator.choice(ADJECTIVES)}{noun}" for noun in (subject, other)
        )
        words = f"{near} {two} {one}" if turn % 2 == 0 else f"{one} {near} {two}"
        text = f"{opening}{words} {verb} {generator.choice(ENDINGS)}."
        text = text[0].upper() + text[1:]
        questions.append(Question(text, verb, subject, other))
    return questions


def answers(encoder: PretrainedEncoder, questions: Sequence[Question]) -> torch.Tensor:
    """(Q, 2, N, h): in each head, the query's weight on the right and on the wrong token.

    Raises ValueError for a query, right or wrong token that is not once in its text.
    """
    found = []
    for question in tqdm(questions, desc="questions", leave=False):
        reading = encoder.read(question.text)
        names = question.query, question.right, question.wrong
        for name, token in zip(("query", "right", "wrong"), names, strict=True):
            if (times := reading.tokens.count(token)) != 1:
                raise ValueError(
                    f"{name}: got {token!r}, {times} times in {question.text!r}, expected once"
                )
        query, right, wrong = (reading.tokens.index(token) for token in names)
        found.append(reading.weights[:, :, query, [right, wrong]].movedim(-1, 0))
    return torch.stack(found)


def chosen_and_tested(right: torch.Tensor, seed: int = 0) -> tuple[tuple, float, float]:
    """right (Q, N, h), whether each head is right: the best head on half of the pairs, and how it does on the others.

    Rows 2i and 2i + 1 are a pair and stay together. Returns ((layer, head), share right where it was chosen, share
    right on the other half).
    """
    pairs = right.to(torch.float64).unflatten(0, (-1, 2)).mean(dim=1)
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed))
    choose, test = (pairs[half].mean(dim=0) for half in order.tensor_split(2))
    layer, head = divmod(int(choose.argmax()), choose.shape[1])
    return (layer, head), float(choose[layer, head]), float(test[layer, head])
