"""Chapter 05: encoder-decoders with a fixed context, over seeds, source orders, directions and learning rates.

    python experiments/encoder_decoder.py [SETTING or MODEL ...]

The task, the data and the budget are those of experiments/translation.py: 20,000 training pairs, 600 batches of 64, 32
units. A seed sets the first weights and the batches. Every run is scored on the 1,200 held-out numbers. Those of the
setting "chapter" are also searched with beams and probed; the weights of its seed 0 are kept. float64 on one thread;
on a CPU that rounds otherwise a run ends elsewhere, as another seed would. About twelve minutes on an idle core.
Writes helpers/recorded/encoder_decoder.json after each run, and two files of weights. Runs that are recorded stay
as they are: delete the file to train them anew.
"""

import json
import platform
import sys
import time
from dataclasses import replace
from functools import partial
from importlib import metadata

import torch
from safetensors.torch import save_file
from torch import nn

from helpers.bleu import bleu, exact_match
from helpers.data import Vocabulary, number_pairs
from helpers.decoding import beam_search, log_probability
from helpers.probing import fit_probe
from helpers.seq2seq import cho, sutskever
from helpers.training import fit
from helpers.translation import (
    RECORDED,
    Translator,
    exact_match_by_length,
    recorded_weights,
)

MODELS = {
    "Cho": cho,
    "Sutskever": sutskever,
    "Sutskever, GRU": partial(sutskever, cell=nn.GRU),
}
SMALL = {"hidden_size": 32, "steps": 600, "learning_rate": 0.02}
THREE = {**SMALL, "seeds": {"Cho": [0, 1, 2], "Sutskever": [0, 1, 2]}}
FIVE = [0, 1, 2, 3, 4]
SETTINGS = {
    "chapter": {
        **SMALL,
        "seeds": {"Cho": FIVE, "Sutskever": FIVE, "Sutskever, GRU": [0, 1, 2]},
    },
    "chapter, reversed": {**THREE, "reversed": True},
    "English to German": {**THREE, "swapped": True},
    "English to German, reversed": {**THREE, "swapped": True, "reversed": True},
    "learning rate 0.01": {**THREE, "learning_rate": 0.01},
    "learning rate 0.03": {**THREE, "learning_rate": 0.03},
}
EDGES = [3, 6, 8, 10, 12, 14, 16, 18]  # as in experiments/translation.py
DIGITS = range(4, 10)
WIDTHS = [1, 2, 5, 10]


def arrange(pairs, swapped=False, reversed=False, **_):
    """The pairs from English to German, and with the source read backwards, where that is asked for."""
    if swapped:
        pairs = [replace(p, source=p.target, target=p.source) for p in pairs]
    return [replace(p, source=p.source[::-1]) for p in pairs] if reversed else pairs


def by_digits(values, pairs):
    """The mean of `values`, one for each pair, for numbers of 4 to 9 digits."""
    bins = [
        [v for v, p in zip(values, pairs, strict=True) if len(str(p.number)) == d]
        for d in DIGITS
    ]
    return [round(sum(b) / len(b), 4) for b in bins]


@torch.no_grad()
def exposure(translator, pairs):
    """Share of right tokens, end marks included, given the true tokens so far and given the model's own.

    "after": the tokens behind the first wrong one alone, in the sentences that have one.
    """
    source = translator.source.batch([p.source for p in pairs])
    target = translator.target.batch([p.target for p in pairs])  # (N, T)
    real = target != Vocabulary.PAD
    forced = translator.model(source, target).argmax(dim=-1)
    free, _ = translator.model.translate(source, max_length=target.shape[1])
    free = nn.functional.pad(free, (0, target.shape[1] - free.shape[1]))
    wrong = ((forced != target) & real).cumsum(dim=1)
    after = real & (wrong - ((forced != target) & real).long() > 0)
    return {
        name: {
            "all": float((written == target)[real].double().mean()),
            "after": float((written == target)[after].double().mean()),
        }
        for name, written in (("forced", forced), ("free", free))
    }


@torch.no_grad()
def search(translator, pairs):
    """Beams of several widths on every fourth held-out number."""
    chosen, results = pairs[::4], []
    for width in WIDTHS:
        start, right, better, total = time.perf_counter(), 0, 0, 0.0
        for pair in chosen:
            source = translator.source.batch([pair.source])
            target = translator.target.batch([pair.target])
            found = beam_search(translator.model, source, width)[0]
            truth = float(log_probability(translator.model, source, target))
            right += tuple(target[0].tolist()) == found.tokens
            better += truth > found.log_probability + 1e-9
            total += found.log_probability
        count = len(chosen)
        results.append(
            {
                "width": width,
                "exact_match": right / count,
                "search_errors": better / count,  # the truth was more probable
                "log_probability": total / count,
                "seconds": round(time.perf_counter() - start, 1),
            }
        )
    return results


@torch.no_grad()
def contexts(translator, pairs):
    """z of every pair, (N, Z)."""
    return translator.model.encoder(translator.source.batch([p.source for p in pairs]))[
        1
    ]


def probe(translator, train, test):
    """What a linear probe, fitted to 5,000 training numbers, reads from z of held-out ones."""
    chosen = train[:5000]
    fitted = fit_probe(contexts(translator, chosen), [p.number for p in chosen])
    right = fitted.right(contexts(translator, test), [p.number for p in test])
    return {
        "by_digits": by_digits(right.nanmean(dim=1).tolist(), test),
        "whole_number": by_digits((right != 0).all(dim=1).double().tolist(), test),
    }


def run(name, setting, seed, train, test, deep):
    """Train one model and score it."""
    translator = Translator(MODELS[name], train, setting["hidden_size"], seed)
    untrained = probe(translator, train, test) if deep else None
    history = fit(
        translator.model,
        translator.batch_loss(train),
        setting["steps"],
        setting["learning_rate"],
        seed,
        name,
    )
    translations = translator.translate([p.source for p in test])
    written, right = [t.tokens for t in translations], [p.target for p in test]
    result = {
        "model": name,
        "seed": seed,
        "parameters": translator.num_parameters,
        "exact_match": exact_match(written, right),
        "by_digits": by_digits(
            [w == r for w, r in zip(written, right, strict=True)], test
        ),
        "bleu": bleu(written, right),
        "tokens": exposure(translator, test),
        "seconds": round(history.seconds, 1),
    }
    if not setting.get("swapped"):
        result["by_tokens"] = exact_match_by_length(test, translations, EDGES)
    if deep:
        result["probe"] = probe(translator, train, test)
        result["probe_untrained"] = untrained
        if seed < 3:
            result["beam"] = search(translator, test)
    return result, translator


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    train, test = number_pairs(20_000, 200)
    path = RECORDED / "encoder_decoder.json"
    settings = json.loads(path.read_text())["settings"] if path.exists() else {}
    models = [name for name in names if name in MODELS] or list(MODELS)
    for name in [name for name in names if name in SETTINGS] or list(SETTINGS):
        setting = SETTINGS[name]
        pairs = [arrange(side, **setting) for side in (train, test)]
        runs = settings.get(name, {}).get("runs", [])
        wanted = [
            (model, seed)
            for model in models
            for seed in setting["seeds"].get(model, [])
            if not any((r["model"], r["seed"]) == (model, seed) for r in runs)
        ]
        for model, seed in wanted:
            deep = name == "chapter" and model != "Sutskever, GRU"
            result, translator = run(model, setting, seed, *pairs, deep)
            print(name, json.dumps(result), flush=True)
            runs.append(result)
            if deep and seed == 0:
                weights = translator.model.state_dict()
                single = {key: value.float() for key, value in weights.items()}
                save_file(single, recorded_weights(model))
            settings[name] = {**setting, "runs": runs}
            write(path, settings)


def write(path, settings):
    """Write what is there so far: a script that is stopped goes on where it was."""
    record = {
        "what": "German and English number words, 20,000 training pairs, "
        "1,200 held-out numbers, batches of 64, Adam, float64; beams on every fourth held-out number",
        "edges": EDGES,
        "digits": list(DIGITS),
        "versions": {
            "python": platform.python_version(),
            "torch": metadata.version("torch"),
        },
        "settings": {each: settings[each] for each in SETTINGS if each in settings},
    }
    path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
