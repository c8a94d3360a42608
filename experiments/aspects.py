"""Chapter 06a: one model, three aspects of a hotel review, over seeds.

    python experiments/aspects.py

The aspect classifier learns from generated reviews alone, once with word vectors of its own and once with GloVe's, held
fixed and projected to 16 numbers; both, and a bag of words with logistic regression, are then asked about the reviews
that were written by hand. float32 on one thread, about three minutes on an idle core; downloads GloVe (76 MB).
Writes helpers/recorded/aspects.json, and the weights of seed 0 with GloVe beside it: the projected vectors as whole
numbers of 8 bits with one scale, the rest in float16, and it is these rounded weights whose scores are written down.
"""

import json
import platform
from importlib import metadata

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from torch import nn

from helpers.data import glove_vectors
from helpers.documents import PAD, AspectClassifier
from helpers.hotels import (
    ASPECTS,
    RECORDED,
    aspect_loss,
    generated_reviews,
    hand_written_reviews,
    hotel_vocabulary,
    map_hits,
    recorded_aspects,
    right_verdicts,
    split_words,
)
from helpers.training import fit

SEEDS, STEPS, RATE, TRAIN, SIZE = (0, 1, 2), 600, 0.01, 8000, 16
FREQUENT, NEIGHBOURS, KNOWN = 1000, 5, 60_000  # words that GloVe adds


def wide_vocabulary(vocabulary: list[str]) -> tuple[list[str], torch.Tensor]:
    """The generator's words, GloVe's 1,000 most frequent, the 5 nearest to each of the generator's; and the vectors."""
    words, vectors = glove_vectors(KNOWN)
    number = {word: i for i, word in enumerate(words)}
    plain = np.array([word.isalpha() and word.isascii() for word in words])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    own = [number[word] for word in vocabulary[2:] if word in number and word.isalpha()]
    cosines = unit[own] @ unit[:40_000].T
    cosines[:, ~plain[:40_000]] = -1
    near = np.argpartition(-cosines, NEIGHBOURS)[:, : NEIGHBOURS + 1]
    wide = {words[i] for i in near.flatten()} | {
        word for word in vocabulary[2:] if word in number
    }
    wide |= {words[i] for i in np.flatnonzero(plain)[:FREQUENT]}
    ordered = [*vocabulary[:2], *sorted(wide)]
    rows = torch.zeros(len(ordered), vectors.shape[1])
    rows[2:] = torch.tensor(vectors[[number[word] for word in ordered[2:]]])
    return ordered, rows


def scores(model, vocabulary) -> dict:
    reviews, fresh = hand_written_reviews(), generated_reviews(500, seed=1)
    return {
        "generated": right_verdicts(model, fresh, vocabulary).double().mean(0).tolist(),
        "hand_written": right_verdicts(model, reviews, vocabulary).sum(0).tolist(),
        "map_hits": list(map_hits(model, reviews, vocabulary).values()),
    }


def train(reviews, vocabulary, vectors, seed):
    """Train one model; `vectors`, if any, are held fixed and projected, and end as a plain embedding."""
    torch.manual_seed(seed)
    model = AspectClassifier(len(vocabulary), size=SIZE)
    if vectors is not None:
        projection = nn.Linear(vectors.shape[1], SIZE, bias=False)
        model.embedding = nn.Sequential(
            nn.Embedding.from_pretrained(vectors), projection
        )
    history = fit(model, aspect_loss(model, reviews, vocabulary), STEPS, RATE, seed)
    if vectors is not None:
        with torch.no_grad():
            table = projection(vectors)
        model.embedding = nn.Embedding.from_pretrained(table, padding_idx=PAD)
    return model.eval(), round(history.seconds, 1)


def store(model) -> None:
    """Round the weights to a byte, or to float16, and write them."""
    weights = dict(model.state_dict())
    table = weights.pop("embedding.weight")
    scale = table.abs().max() / 127
    rounded = {name: value.half() for name, value in weights.items()}
    rounded["embedding"] = (table / scale).round().to(torch.int8)
    rounded["scale"] = scale.reshape(1).float()
    save_file(rounded, RECORDED / "aspects.safetensors")


def bag_of_words(reviews) -> dict:
    test = hand_written_reviews()
    counts = CountVectorizer(
        tokenizer=split_words,
        token_pattern=None,
        ngram_range=(1, 2),
        binary=True,
        min_df=2,
    )
    x, asked = (
        counts.fit_transform([r.text for r in reviews]),
        counts.transform([r.text for r in test]),
    )
    right = []
    for a in range(len(ASPECTS)):
        model = LogisticRegression(C=1.0, max_iter=500).fit(
            x, [r.verdicts[a] for r in reviews]
        )
        right.append(int((model.predict(asked) == [r.verdicts[a] for r in test]).sum()))
    return {"hand_written": right, "features": x.shape[1]}


def main() -> None:
    torch.set_num_threads(1)
    reviews = generated_reviews(TRAIN)
    own = hotel_vocabulary(reviews)
    wide, vectors = wide_vocabulary(own)
    runs = {"own vectors": [], "GloVe": []}
    record = {
        "what": f"aspect classifier of size {SIZE}, {TRAIN} generated reviews, {STEPS} steps of 64, Adam, one-cycle "
        f"learning rate up to {RATE}, float32",
        "versions": {name: metadata.version(name) for name in ("torch", "scikit-learn")}
        | {"python": platform.python_version()},
        "runs": runs,
        "vocabulary": wide,
        "bag_of_words": bag_of_words(reviews),
    }
    path = RECORDED / "aspects.json"
    for seed in SEEDS:
        for name, vocabulary, given in (
            ("own vectors", own, None),
            ("GloVe", wide, vectors),
        ):
            model, seconds = train(reviews, vocabulary, given, seed)
            runs[name].append(
                {"seed": seed, "seconds": seconds, **scores(model, vocabulary)}
            )
            print(name, runs[name][-1], flush=True)
            if seed == 0 and name == "GloVe":
                store(model)
                path.write_text(json.dumps(record) + "\n")
                runs[name][-1] |= scores(*recorded_aspects())
        path.write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
