"""Hotel reviews: the generator's labels, the reviews by hand, and the recorded aspect model."""

import json

import pytest
import torch

from helpers.documents import PAD, AspectClassifier
from helpers.hotels import (
    ASPECTS,
    MOST_WORDS,
    RECORDED,
    HotelReview,
    aspect_loss,
    batch_of,
    encode,
    generated_reviews,
    hand_written_reviews,
    hotel_vocabulary,
    judge,
    map_hits,
    phrases,
    recorded_aspects,
    right_verdicts,
    sentence_weights,
    split_words,
    verdict_drops,
)
from helpers.training import fit


def test_the_generator_repeats_itself_by_seed():
    assert generated_reviews(20, seed=3) == generated_reviews(20, seed=3)
    assert generated_reviews(20, seed=3) != generated_reviews(20, seed=4)
    with pytest.raises(ValueError, match="count: got 0, expected at least 1"):
        generated_reviews(0)


def test_the_labels_go_with_the_sentences():
    reviews = generated_reviews(500)
    for review in reviews:
        assert "{" not in review.text and len(review.about) == len(review.sentences)
        for aspect, verdict in zip(ASPECTS, review.verdicts, strict=True):
            assert any(aspect in about for about in review.about) == (verdict != 1)
    for a in range(3):
        shares = [sum(r.verdicts[a] == v for r in reviews) / 500 for v in range(3)]
        assert all(
            abs(s - w) < 0.07
            for s, w in zip(shares, (3 / 8, 2 / 8, 3 / 8), strict=True)
        )


def test_praise_is_labelled_praise_and_blame_blame():
    seen = {0: 0, 2: 0}
    for review in generated_reviews(300):
        for a, aspect in enumerate(ASPECTS):
            for sign, verdict in (("-", 0), ("+", 2)):
                said = [
                    p for p in phrases()[aspect + sign] if "{" not in p and " " in p
                ]
                if any(phrase in review.text for phrase in said):
                    assert review.verdicts[a] == verdict, (review.text, aspect)
                    seen[verdict] += 1
    assert min(seen.values()) > 20


def test_reviews_by_hand_are_whole_and_not_the_generators():
    reviews = hand_written_reviews()
    assert len(reviews) >= 60
    made = {s for r in generated_reviews(2000) for s in r.sentences}
    literal = {
        p
        for options in phrases().values()
        for p in options
        if " " in p and "{" not in p
    }
    for review in reviews:
        for aspect, verdict in zip(ASPECTS, review.verdicts, strict=True):
            assert any(aspect in about for about in review.about) == (verdict != 1)
        for sentence in review.sentences:
            words = " ".join(split_words(sentence))
            assert words not in made and words.rstrip(" .!?") not in literal


def test_encode():
    vocabulary = ["", "[UNK]", "bed", "good"]
    assert encode("Good BED, שלום 😀", vocabulary).tolist() == [3, 2, 1, 1, 1]
    assert len(encode("good " * 10_000, vocabulary)) == MOST_WORDS
    for text in ("", "  \n"):
        with pytest.raises(ValueError, match=r"text: got .* without a word"):
            encode(text, vocabulary)
    with pytest.raises(ValueError, match="text: got int, expected a string"):
        encode(3, vocabulary)


def test_sentence_weights_add_up():
    review = hand_written_reviews()[0]
    count = len(split_words(review.text))
    weights = torch.softmax(torch.arange(3 * count).reshape(3, count) / 9, dim=-1)
    by_sentence = sentence_weights(review, weights)
    assert by_sentence.shape == (3, len(review.sentences))
    torch.testing.assert_close(by_sentence.sum(dim=-1), torch.ones(3))


def test_hits_are_counted_by_sentence():
    class Pointer:
        """Puts all weight on the first word for the first aspect, on the last for the others."""

        def __call__(self, tokens):
            weights = torch.zeros(1, 3, tokens.shape[1])
            weights[0, 0, 0] = weights[0, 1, -1] = weights[0, 2, -1] = 1
            return torch.zeros(1, 3, 3), weights

    about = (frozenset({"location"}), frozenset({"cleanliness"}))
    review = HotelReview(("near the sea .", "a clean bed ."), about, (2, 2, 1))
    turned = HotelReview(review.sentences, about[::-1], (2, 2, 1))
    vocabulary = hotel_vocabulary([review])
    hits = map_hits(Pointer(), [review, review, turned], vocabulary)
    assert hits == {"location": (2, 3), "cleanliness": (2, 3), "service": (0, 0)}


def test_training_lowers_the_loss():
    reviews = generated_reviews(200)
    vocabulary = hotel_vocabulary(reviews)
    assert vocabulary[:2] == ["", "[UNK]"] and vocabulary[2:] == sorted(vocabulary[2:])
    torch.manual_seed(0)
    model = AspectClassifier(len(vocabulary), size=8)
    history = fit(model, aspect_loss(model, reviews, vocabulary, 32), 60, 0.03)
    assert sum(history.loss[-5:]) < 0.9 * sum(history.loss[:5])
    assert (batch_of(reviews[:9], vocabulary) != PAD).any(dim=1).all()


def test_recorded_model_scores_as_recorded():
    model, vocabulary = recorded_aspects()
    run = json.loads((RECORDED / "aspects.json").read_text())["runs"]["GloVe"][0]
    reviews = hand_written_reviews()
    right = right_verdicts(model, reviews, vocabulary).sum(dim=0)
    assert right.tolist() == run["hand_written"]
    hits = map_hits(model, reviews, vocabulary)
    assert [list(hits[aspect]) for aspect in ASPECTS] == run["map_hits"]


def test_verdict_drops_by_hand():
    """One word fewer, the most attended one: the text without it, judged again."""
    model, vocabulary = recorded_aspects()
    review = hand_written_reviews()[0]
    ((words, before, weights),) = judge(model, [review.text], vocabulary)
    expected = []
    for a, verdict in enumerate(before.argmax(dim=-1).tolist()):
        if verdict != 1:
            top = int(weights[a].argmax())
            left = " ".join(words[:top] + words[top + 1 :])
            ((_, after, _),) = judge(model, [left], vocabulary)
            expected.append(before[a, verdict] - after[a, verdict])
    drops = verdict_drops(model, [review], vocabulary, (1, 3), torch.Generator())
    assert [rows.shape for rows in drops.values()] == 3 * [(len(expected), 2)]
    torch.testing.assert_close(drops["attention"][:, 0], torch.stack(expected))


def test_the_maps_of_the_recorded_aspect_model_matter():
    model, vocabulary = recorded_aspects()
    reviews = hand_written_reviews()[:20]
    drops = verdict_drops(
        model, reviews, vocabulary, (1,), torch.Generator().manual_seed(0)
    )
    attention, gradient, chance = (rows.mean() for rows in drops.values())
    assert attention > 0.2 and gradient > 0.15 and abs(chance) < 0.1


@pytest.mark.parametrize("text", ["😀😀", "שלום עולם", "xqz", "bed " * 10_000, "."])
def test_odd_texts_get_probabilities(text):
    model, vocabulary = recorded_aspects()
    ((words, verdicts, weights),) = judge(model, [text], vocabulary)
    assert weights.shape == (3, len(words)) and len(words) <= MOST_WORDS
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3))
    torch.testing.assert_close(verdicts.sum(dim=-1), torch.ones(3))
