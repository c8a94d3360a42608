"""The explorer of aspects: the browser's model gives Python's numbers; what it refuses."""

import numpy as np
import pytest
import torch

from helpers.documents import AspectClassifier
from helpers.explorers import AspectExplorer
from helpers.hotels import (
    ASPECTS,
    MOST_WORDS,
    VERDICTS,
    hand_written_reviews,
    judge,
    recorded_aspects,
    split_words,
)

VOCABULARY = ["", "[UNK]", "bad", "bed", "good"]


def explorer(vocabulary=VOCABULARY, reviews=("good bed", "bad"), **more):
    torch.manual_seed(0)
    model = AspectClassifier(5, num_aspects=2, size=3, num_classes=2)
    given = {"aspects": ["a", "b"], "verdicts": ["no", "yes"]} | more
    return AspectExplorer(model, vocabulary, list(reviews), **given)


@pytest.fixture
def answers(in_node):
    """What the browser's code says to texts: the indices of the words; for each aspect weights and verdicts."""
    program = """
        import { splitWords } from "./wordpiece.js";
        import { read, unpack, unpackWords } from "./aspects.js";
        const { weights, scale, shape, words, texts } = given;
        const model = unpack(new DataView(Uint8Array.from(weights).buffer), scale, shape);
        const known = await unpackWords(Uint8Array.from(words));
        answer(texts.map((text) => {
            const indices = splitWords(text).slice(0, 400).map((word) => known.get(word) ?? 1);
            const found = read(model, indices).map(({ weights, verdicts }) => [[...weights], [...verdicts]]);
            return { indices, aspects: found };
        }));"""

    def run(widget, texts):
        given = {
            "weights": list(widget._weights),
            "scale": widget._scale,
            "shape": widget._shape,
            "words": list(widget._words),
            "texts": texts,
        }
        return in_node(program, given)

    return run


def test_the_browser_gives_pythons_numbers(answers):
    model, vocabulary = recorded_aspects()
    texts = [review.text for review in hand_written_reviews()]
    texts += ["bed", "😀 שלום 中文 Café!", "clean " * 10_000]
    widget = AspectExplorer(model, vocabulary, texts, ASPECTS, VERDICTS)
    expected = judge(model.double(), texts, vocabulary)
    for text, (words, verdicts, weights), got in zip(
        texts, expected, answers(widget, texts), strict=True
    ):
        known = {word: i for i, word in enumerate(vocabulary)}
        assert got["indices"] == [known.get(word, 1) for word in words]
        assert len(words) == min(MOST_WORDS, len(split_words(text)))
        for a, (theirs, classes) in enumerate(got["aspects"]):
            assert np.allclose(theirs, weights[a], atol=1e-6)
            assert np.allclose(classes, verdicts[a], atol=1e-6)


def test_a_stored_model_stays_as_it_is_and_is_small():
    model, vocabulary = recorded_aspects()
    widget = AspectExplorer(model, vocabulary, ["bed"], ASPECTS, VERDICTS)
    assert len(widget._weights) <= 60_000
    count, d, _, _ = widget._shape
    table = np.frombuffer(widget._weights[: count * d], np.int8).reshape(count, d)
    kept = model.embedding.weight.detach().double().numpy()
    assert np.allclose(table * widget._scale, kept, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: explorer(VOCABULARY[:4]), "vocabulary: got 4 strings, expected 5"),
        (
            lambda: explorer(["", "[UNK]", "bed", "bad", "good"]),
            "vocabulary: got words out of order",
        ),
        (lambda: explorer(reviews=[]), "reviews: got 0 strings"),
        (lambda: explorer(aspects=["a"]), "aspects: got 1 strings, expected 2"),
        (
            lambda: explorer(verdicts=["a", "b", "c"]),
            "verdicts: got 3 strings, expected 2",
        ),
        (lambda: explorer(review=2), "review: got 2, expected 0 to 1"),
        (lambda: setattr(explorer(), "aspect", 2), "aspect: got 2, expected 0 to 1"),
    ],
)
def test_it_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_it_says_what_it_is():
    assert repr(explorer()) == "AspectExplorer(2 reviews, 2 aspects, 5 words)"
    assert explorer(review=1).text == "bad"
