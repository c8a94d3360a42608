"""Chapter 06a: four models and a bag of words on film reviews, and what deleting words does, over seeds.

    python experiments/documents.py [MODEL ...]

Each model reads the same 6,000 reviews of at most 100 words for 300 steps of 32, with one learning rate for all.
float32 on one thread, about four minutes on an idle core.
Then words are deleted from 500 test reviews of at least 60 words: by attention, by gradient × input, at random.
Writes helpers/recorded/documents.json, and the weights of the BiRNN of seed 0 beside it; the results of models that are
not run again stay as they are.
"""

import json
import platform
import sys
from importlib import metadata

import torch
from safetensors.torch import save_file
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from helpers.reviews import (
    MODELS,
    PAD,
    RECORDED,
    FilmTask,
    bootstrap_interval,
    deletion_drops,
    film_reviews,
    film_vocabulary,
    word_scores,
)
from helpers.training import fit

SEEDS, STEPS, RATE = (0, 1, 2, 3, 4), 300, 0.01
KS, DELETED_FROM, LEAST_WORDS = (1, 2, 5, 10, 20, 40), 500, 60


def train(task: FilmTask, seed: int):
    model = task.model(seed)
    history = fit(model, task.batch_loss(model), STEPS, RATE, seed)
    return model, {
        "seed": seed,
        "validation_loss": task.loss(model),
        "accuracy": task.accuracy(model),
        "seconds": round(history.seconds, 1),
    }


@torch.no_grad()
def greatest_weight(model, tokens: torch.Tensor) -> float:
    """The mean of each text's greatest weight, as a multiple of an even share: 1 says that all words weigh the same."""
    greatest = model(tokens)[1].amax(dim=1)
    return (greatest * (tokens != PAD).sum(dim=1)).mean().item()


def deletion(model, tokens: torch.Tensor, seed: int) -> dict:
    """For each account of what matters, the mean drop for each k with its interval; and the differences from chance."""
    scores = word_scores(model, tokens, torch.Generator().manual_seed(seed))
    drops = {
        name: deletion_drops(model, tokens, score, KS) for name, score in scores.items()
    }
    attention = drops["attention"]
    for name in ("random", "gradient × input"):
        drops[f"attention − {name}"] = attention - drops[name]
    return {
        name: [
            {
                "k": k,
                "mean": values.mean().item(),
                "interval": bootstrap_interval(values),
            }
            for k, values in zip(KS, drop.T, strict=True)
        ]
        for name, drop in drops.items()
    }


def bag_of_words() -> dict:
    """Which of the 4,000 words occur; the inverse regularisation with the best validation accuracy of four."""
    reviews = film_reviews()
    words = list(film_vocabulary(reviews["train"][0]))
    counts = CountVectorizer(analyzer=lambda text: text, vocabulary=words, binary=True)
    x = {name: counts.transform(texts) for name, (texts, _) in reviews.items()}
    y = {name: labels.numpy() for name, (_, labels) in reviews.items()}
    tried = {
        c: LogisticRegression(C=c, max_iter=1000).fit(x["train"], y["train"])
        for c in (0.01, 0.03, 0.1, 0.3)
    }
    best = max(tried, key=lambda c: tried[c].score(x["validation"], y["validation"]))
    return {
        "C": best,
        "accuracy": tried[best].score(x["test"], y["test"]),
        "parameters": len(words) + 1,
    }


def main() -> None:
    torch.set_num_threads(1)
    path = RECORDED / "documents.json"
    record = json.loads(path.read_text()) if path.exists() else {"models": {}}
    record["what"] = (
        f"{STEPS} steps of 32 film reviews of at most 100 words, Adam, one-cycle learning rate up to {RATE}, "
        "float32, one thread"
    )
    record["versions"] = {
        name: metadata.version(name) for name in ("torch", "scikit-learn")
    }
    record["versions"]["python"] = platform.python_version()
    record["bag_of_words"] = bag_of_words()
    print(record["bag_of_words"], flush=True)
    for kind in sys.argv[1:] or MODELS:
        task, runs = FilmTask.of(kind), []
        for seed in SEEDS:
            model, run = train(task, seed)
            if kind == "BiRNN":
                rows = task.parts["test"][0]
                long = rows[(rows != PAD).sum(dim=1) >= LEAST_WORDS]
                order = torch.randperm(
                    len(long), generator=torch.Generator().manual_seed(0)
                )
                tokens = long[order[:DELETED_FROM]]
                run["greatest_weight"] = greatest_weight(model, tokens)
                run["deletion"] = deletion(model, tokens, seed)
                if seed == 0:
                    save_file(model.state_dict(), RECORDED / "documents.safetensors")
            runs.append(run)
            print(kind, {k: v for k, v in run.items() if k != "deletion"}, flush=True)
        parameters = sum(p.numel() for p in model.parameters())
        record["models"][kind] = {"parameters": parameters, "runs": runs}
        path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
