"""Chapter 05a: what skip-gram learns from one book and from nine, over seeds.

    python experiments/word2vec.py [SETTING ...]

The words of the books in lower case; a word that occurs less than 25 times is left out. A seed sets the first weights,
the words kept of the frequent ones, and the batches. float32 on one thread. About three minutes on an idle core.
Writes helpers/recorded/word2vec.json, and the first weight matrix of seed 0 of the chapter's setting beside it; the
results of settings that are not run again stay as they are. Window and threshold are the best of six tries with seed 0
on pairs much like those of "man → woman" and "-ing → past", so these two families are flattered a little. The seconds
in the file were taken on a busy machine.
"""

import json
import platform
import sys
from importlib import metadata

import numpy as np
import torch
from safetensors.torch import save_file

from helpers.data import BOOKS
from helpers.embeddings import (
    FAMILIES,
    RECORDED,
    Corpus,
    SkipGram,
    WordVectors,
    book_words,
    negative_sampling_loss,
    ranks,
)
from helpers.training import fit

CHAPTER = {"books": list(BOOKS), "steps": 2500, "seeds": [0, 1, 2, 3, 4]}
SETTINGS = {
    "chapter": CHAPTER,
    "one book": {**CHAPTER, "books": ["austen-emma"], "seeds": [0, 1, 2]},
}


def run(setting: dict, seed: int) -> tuple[dict, Corpus, SkipGram]:
    """Train one model and ask it the analogies."""
    corpus = Corpus(book_words(setting["books"]), least=25, threshold=2e-3, seed=seed)
    torch.manual_seed(seed)
    model = SkipGram(len(corpus.words), embedding_size=32)

    def batch_loss(generator):
        centre, context = corpus.batch(2048, window=2, negatives=5, generator=generator)
        return negative_sampling_loss(model(centre, context))

    history = fit(model, batch_loss, setting["steps"], 0.03, seed)
    vectors = WordVectors(corpus.words, model.first.detach().numpy())
    result = {
        "seed": seed,
        "words": len(corpus.words),
        "loss": float(np.mean(history.loss[-100:])),
        "ranks": {family: ranks(vectors, family) for family in FAMILIES},
        "seconds": round(history.seconds, 1),
    }
    return result, corpus, model


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    path = RECORDED / "word2vec.json"
    settings = json.loads(path.read_text())["settings"] if path.exists() else {}
    for name in names:
        setting, runs = SETTINGS[name], []
        for seed in setting["seeds"]:
            result, corpus, model = run(setting, seed)
            first_ones = [
                sum(r == 1 for r in ranks) for ranks in result["ranks"].values()
            ]
            print(name, seed, result["loss"], result["seconds"], first_ones, flush=True)
            runs.append(result)
            if name == "chapter" and seed == 0:
                first = model.first.detach().contiguous()
                save_file(
                    {"first": first},
                    path.with_suffix(".safetensors"),
                    {"words": " ".join(corpus.words)},
                )
        settings[name] = {**setting, "runs": runs}
        record = {
            "what": "Skip-gram with negative sampling on books: 32 dimensions, window 2, 5 negatives, batches of "
            "2,048, Adam, float32; ranks of the expected word of each analogy whose words are known",
            "versions": {
                "python": platform.python_version(),
                "torch": metadata.version("torch"),
            },
            "settings": {name: settings[name] for name in SETTINGS if name in settings},
        }
        path.write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or list(SETTINGS))
