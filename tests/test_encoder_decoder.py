"""The recorded comparison of encoder-decoders: seed 0 of each model is scored again."""

import json

import pytest
import torch

from helpers.bleu import bleu, exact_match
from helpers.data import number_pairs
from helpers.decoding import beam_search
from helpers.seq2seq import cho, sutskever
from helpers.translation import RECORDED, Translator, exact_match_by_length

RECORD = json.loads((RECORDED / "encoder_decoder.json").read_text())
MODELS = {"Cho": cho, "Sutskever": sutskever}


@pytest.fixture(scope="module")
def pairs():
    return number_pairs(20_000, 200)


@pytest.mark.parametrize("name", MODELS)
def test_recorded_weights_give_the_recorded_results(name, pairs):
    train, test = pairs
    translator = Translator(MODELS[name], train)
    translator.load(name)
    translations = translator.translate([pair.source for pair in test])
    written, right = [t.tokens for t in translations], [p.target for p in test]
    run = next(
        run
        for run in RECORD["settings"]["chapter"]["runs"]
        if (run["model"], run["seed"]) == (name, 0)
    )
    assert translator.num_parameters == run["parameters"]
    assert exact_match(written, right) == pytest.approx(run["exact_match"], abs=0.01)
    assert bleu(written, right) == pytest.approx(run["bleu"], abs=0.3)
    by_tokens = exact_match_by_length(test, translations, RECORD["edges"])
    assert by_tokens == pytest.approx(run["by_tokens"], abs=0.03)  # stored as float32


def test_greedy_search_and_a_beam_of_one_agree_on_the_trained_model(pairs):
    train, test = pairs
    translator = Translator(cho, train)
    translator.load("Cho")
    for pair in test[::100]:
        source = translator.source.batch([pair.source])
        found = beam_search(translator.model, source, width=1)[0]
        assert found.ended
        assert translator.target.decode(found.tokens) == list(
            translator.translate([pair.source])[0].tokens
        )


def test_odd_sources(pairs):
    """Far longer ones than any in training end at the greatest length; an unknown token is named."""
    translator = Translator(cho, pairs[0])
    translator.load("Cho")
    assert 1 <= len(translator.translate([10_000 * ["eins"]])[0].tokens) <= 30
    for token in ("😀", "שלום", "", "seven"):
        message = f"sequence: got the token {token!r}, expected one of the 37 known"
        with pytest.raises(ValueError, match=message):
            translator.translate([["eins", token]])
    with pytest.raises(ValueError, match="sequence: got an empty sequence"):
        translator.translate([["eins"], []])


def test_each_model_and_setting_has_at_least_three_seeds():
    for name, setting in RECORD["settings"].items():
        for model in {run["model"] for run in setting["runs"]}:
            seeds = [run["seed"] for run in setting["runs"] if run["model"] == model]
            assert len(seeds) == len(set(seeds)) >= 3, (name, model)


def test_the_translator_takes_a_class_or_a_function(pairs):
    train, _ = pairs
    assert Translator(cho, train[:50], hidden_size=8).model.encoder.rnn.hidden_size == 8
    assert isinstance(
        Translator(sutskever, train[:50]).model.encoder.rnn, torch.nn.LSTM
    )
