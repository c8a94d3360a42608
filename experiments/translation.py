"""Chapter 06: exact match and alignment with and without attention, over seeds, budgets and sizes.

    python experiments/translation.py [SETTING ...]

All models see the same 20,000 training pairs and the same 1,200 held-out numbers; a seed sets the first weights and
the batches. float64 on one thread; even so training magnifies the last bit, and on a CPU that rounds otherwise a run
ends elsewhere, about as far as another seed would take it. About half an hour on an idle core.
Writes helpers/recorded/translation.json, and the weights of seed 0 of the chapter's setting beside it; the results of
settings that are not run again stay as they are. The chapter's learning rate is the best of three for the model that
it must not put at a disadvantage, the one without attention.
"""

import json
import platform
import sys
from dataclasses import asdict
from importlib import metadata

import torch
from safetensors.torch import save_file

from helpers.attention import BahdanauDecoder, LuongDecoder
from helpers.data import number_pairs
from helpers.seq2seq import FixedContextDecoder
from helpers.training import fit
from helpers.translation import (
    RECORDED,
    Translator,
    alignment_score,
    exact_match_by_length,
    recorded_weights,
)

DECODERS = {
    "no attention": FixedContextDecoder,
    "Bahdanau": BahdanauDecoder,
    "Luong": LuongDecoder,
}
EDGES = [
    3,
    6,
    8,
    10,
    12,
    14,
    16,
    18,
]  # German numbers of 4 to 9 digits have 3 to 17 tokens
SMALL = {"hidden_size": 32, "steps": 600, "learning_rate": 0.02, "seeds": [0, 1, 2]}
BASELINE = {**SMALL, "decoders": ["no attention"]}
SETTINGS = {
    "chapter": {**SMALL, "seeds": [0, 1, 2, 3, 4]},
    "four times the steps": {**SMALL, "steps": 2400},
    "four times the units": {**SMALL, "hidden_size": 128, "learning_rate": 0.005},
    "learning rate 0.01": {**BASELINE, "learning_rate": 0.01},
    "learning rate 0.03": {**BASELINE, "learning_rate": 0.03},
}


def run(decoder: str, setting: dict, seed: int, train, test) -> tuple[dict, Translator]:
    """Train one model and score it on the held-out numbers."""
    translator = Translator(DECODERS[decoder], train, setting["hidden_size"], seed)
    history = fit(
        translator.model,
        translator.batch_loss(train),
        setting["steps"],
        setting["learning_rate"],
        seed,
        decoder,
    )
    translations = translator.translate([pair.source for pair in test])
    result = {
        "decoder": decoder,
        "seed": seed,
        "parameters": translator.num_parameters,
        "exact_match": exact_match_by_length(test, translations, EDGES),
        "exact_match_overall": sum(
            t.tokens == p.target for p, t in zip(test, translations, strict=True)
        )
        / len(test),
        "seconds": round(history.seconds, 1),
    }
    if translations[0].weights is not None:
        result["alignment"] = asdict(alignment_score(test, translations))
    return result, translator


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    train, test = number_pairs(20_000, 200)
    path = RECORDED / "translation.json"
    settings = json.loads(path.read_text())["settings"] if path.exists() else {}
    for name in names:
        setting, runs = SETTINGS[name], []
        for decoder in setting.get("decoders", DECODERS):
            for seed in setting["seeds"]:
                result, translator = run(decoder, setting, seed, train, test)
                print(name, result, flush=True)
                runs.append(result)
                if name == "chapter" and seed == 0:
                    weights = translator.model.state_dict()
                    single = {key: value.float() for key, value in weights.items()}
                    save_file(single, recorded_weights(decoder))
        settings[name] = {**setting, "runs": runs}
        record = {
            "what": "German to English number words, 20,000 training pairs, "
            "1,200 held-out numbers, batches of 64, Adam, float64",
            "edges": EDGES,
            "versions": {
                "python": platform.python_version(),
                "torch": metadata.version("torch"),
            },
            "settings": {name: settings[name] for name in SETTINGS if name in settings},
        }
        path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or list(SETTINGS))
