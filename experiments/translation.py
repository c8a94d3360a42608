"""Chapter 06: exact match and alignment with and without attention, over seeds, budgets and sizes.

    python experiments/translation.py

All models see the same 20,000 training pairs and the same 1,200 held-out numbers; a seed sets the first weights and the
batches. float64 on one thread, so that the figures are the same on every CPU. About half an hour on one core. Writes
helpers/recorded/translation.json, and the weights of seed 0 of the chapter's setting beside it.
"""

import json
import platform
import time
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import torch
from safetensors.torch import save_file

from helpers.attention import BahdanauDecoder, LuongDecoder
from helpers.data import number_pairs
from helpers.seq2seq import FixedContextDecoder
from helpers.training import fit
from helpers.translation import Translator, alignment_score, exact_match_by_length

RECORDED = Path(__file__).parents[1] / "helpers" / "recorded"
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
SETTINGS = {
    "chapter": {
        "hidden_size": 32,
        "steps": 600,
        "learning_rate": 0.02,
        "seeds": [0, 1, 2, 3, 4],
    },
    "four times the steps": {
        "hidden_size": 32,
        "steps": 2400,
        "learning_rate": 0.02,
        "seeds": [0, 1, 2],
    },
    "four times the units": {
        "hidden_size": 128,
        "steps": 600,
        "learning_rate": 0.005,
        "seeds": [0, 1, 2],
    },
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


def main() -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    start = time.perf_counter()
    train, test = number_pairs(20_000, 200)
    record = {
        "what": "German to English number words, 20,000 training pairs, 1,200 held-out numbers, batches of 64, Adam",
        "edges": EDGES,
        "versions": {
            "python": platform.python_version(),
            "torch": metadata.version("torch"),
        },
        "settings": {},
    }
    for name, setting in SETTINGS.items():
        runs = []
        for decoder in DECODERS:
            for seed in setting["seeds"]:
                result, translator = run(decoder, setting, seed, train, test)
                print(name, result)
                runs.append(result)
                if name == "chapter" and seed == 0:
                    weights = {
                        key: value.float().contiguous()
                        for key, value in translator.model.state_dict().items()
                    }
                    save_file(
                        weights,
                        RECORDED
                        / f"translation_{decoder.lower().replace(' ', '_')}.safetensors",
                    )
        record["settings"][name] = {**setting, "runs": runs}
        record["seconds"] = round(time.perf_counter() - start)
        (RECORDED / "translation.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
