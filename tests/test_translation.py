"""The translation task: batches, scores, and the recorded comparison."""

import json

import pytest
import torch

from helpers.attention import BahdanauDecoder, LuongDecoder
from helpers.data import NumberPair, number_pair, number_pairs
from helpers.seq2seq import FixedContextDecoder
from helpers.training import fit
from helpers.translation import (
    RECORDED,
    Translation,
    Translator,
    alignment_score,
    exact_match_by_length,
)


@pytest.fixture(scope="module")
def pairs():
    return number_pairs(400, 5)


def test_translations_have_the_shapes_that_they_promise(pairs):
    train, test = pairs
    for translation in Translator(BahdanauDecoder, train).translate(
        [pair.source for pair in test[:7]]
    ):
        assert translation.weights.shape == (
            len(translation.tokens),
            len(translation.source) + 1,
        )
        torch.testing.assert_close(
            translation.weights.sum(dim=-1), torch.ones(len(translation.tokens))
        )
    assert (
        Translator(FixedContextDecoder, train).translate([test[0].source])[0].weights
        is None
    )


def test_training_lowers_the_loss(pairs):
    train, _ = pairs
    translator = Translator(LuongDecoder, train, hidden_size=16)
    history = fit(
        translator.model, translator.batch_loss(train, 32), steps=60, learning_rate=0.02
    )
    assert history.loss[-1] < 0.5 * history.loss[0]


def test_models_have_as_many_parameters_within_a_tenth(pairs):
    base, *others = (
        Translator(decoder, number_pairs(2000, 1)[0]).num_parameters
        for decoder in (FixedContextDecoder, BahdanauDecoder, LuongDecoder)
    )
    assert all(abs(count - base) <= 0.1 * base for count in others)


def perfect(pair: NumberPair, swap: bool = False) -> Translation:
    """A translation of `pair` whose weights are the true alignment; with `swap`, one step to the right of it."""
    from helpers.data import true_alignment

    weights = torch.zeros(len(pair.target), len(pair.source) + 1)
    for step, true in enumerate(true_alignment(pair.source, pair.target)):
        weights[
            step, next(iter(true), len(pair.source)) + (1 if swap and true else 0)
        ] = 1
    return Translation(pair.source, pair.target, weights)


def test_alignment_score_by_hand():
    pair = number_pair(
        345
    )  # drei hundert fünf und vierzig → three hundred and forty five
    score = alignment_score([pair], [perfect(pair)])
    assert (score.accuracy, score.weight, score.tokens) == (1.0, 1.0, 4)
    assert (
        score.diagonal == 0.5
    )  # three and hundred lie on the diagonal, forty and five cross
    assert alignment_score([pair], [perfect(pair, swap=True)]).accuracy == 0.0


def test_alignment_score_counts_exact_translations_alone():
    pairs = [number_pair(345), number_pair(21)]
    wrong = Translation(pairs[1].source, ("twenty",), torch.ones(1, 4) / 4)
    assert alignment_score(pairs, [perfect(pairs[0]), wrong]).tokens == 4
    with pytest.raises(ValueError, match="translations: got none that is exact"):
        alignment_score(pairs[1:], [wrong])
    with pytest.raises(
        ValueError, match="translations: got a model without attention weights"
    ):
        alignment_score(
            pairs[1:], [Translation(pairs[1].source, pairs[1].target, None)]
        )


def test_exact_match_by_length():
    pairs = [number_pair(n) for n in (3, 21, 45, 345)]  # 1, 3, 3 and 5 source tokens
    translations = [
        Translation(p.source, p.target if p.number != 45 else ("forty",), None)
        for p in pairs
    ]
    assert exact_match_by_length(pairs, translations, [1, 2, 4, 6]) == [1.0, 0.5, 1.0]
    with pytest.raises(
        ValueError, match="edges: got no pair with 6 to 8 source tokens"
    ):
        exact_match_by_length(pairs, translations, [6, 9])


def test_bad_source(pairs):
    translator = Translator(LuongDecoder, pairs[0])
    with pytest.raises(ValueError, match="sequence: got the token 'milliarde'"):
        translator.translate([("eine", "milliarde")])
    with pytest.raises(ValueError, match="sequence: got an empty sequence"):
        translator.translate([()])


def test_weights_that_were_not_recorded(pairs):
    with pytest.raises(ValueError, match="model: got 'luong', expected one of"):
        Translator(LuongDecoder, pairs[0]).load("luong")


def test_recorded_weights_give_the_recorded_results():
    """The comparison that the chapter plots is what its weights do: seed 0 of each model is scored again."""
    record = json.loads((RECORDED / "translation.json").read_text())
    train, test = number_pairs(20_000, 200)
    for decoder, name in (
        (FixedContextDecoder, "no attention"),
        (BahdanauDecoder, "Bahdanau"),
        (LuongDecoder, "Luong"),
    ):
        translator = Translator(decoder, train)
        translator.load(name)
        translations = translator.translate([pair.source for pair in test])
        run = next(
            r
            for r in record["settings"]["chapter"]["runs"]
            if (r["decoder"], r["seed"]) == (name, 0)
        )
        got = exact_match_by_length(test, translations, record["edges"])
        assert got == pytest.approx(run["exact_match"], abs=0.02), (
            name
        )  # stored as float32
        assert translator.num_parameters == run["parameters"]
        if "alignment" in run:
            assert alignment_score(test, translations).accuracy == pytest.approx(
                run["alignment"]["accuracy"], abs=0.01
            )
