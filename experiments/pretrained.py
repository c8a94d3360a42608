"""Chapter 07a: the pretrained encoder against its reference, its heads on questions, and what its vectors are good for.

    python experiments/pretrained.py [reference] [questions] [reviews]

reference  hidden states and attention of `transformers` on 270 sentences from nine books: the greatest difference from
           ours; and all of it for one sentence, into helpers/recorded/pretrained.safetensors
questions  the best of 72 heads on one half of the sentences, tested on the other, over 20 halvings; beside it the same
           with untrained encoders
reviews    film reviews, their first 60 words: praise or not, from 10 to 300 labelled ones, over 5 draws, with the
           encoder's vectors, the mean of its word embeddings, and a bag of words; the regularisation is chosen on 200
           other reviews
float32 on one thread, about four minutes on an idle core. Writes helpers/recorded/pretrained.json; the parts that are
not run again stay as they are.
"""

import json
import platform
import sys
import time
from importlib import metadata

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from helpers.bert import Bert, PretrainedEncoder, pretrained
from helpers.data import fetch
from helpers.heads import (
    answers,
    book_sentences,
    chosen_and_tested,
    pronoun_questions,
    verb_questions,
)
from helpers.reviews import film_reviews
from helpers.training import RECORDED

SENTENCE = "The animal didn't cross the street because it was too tired."
SPLITS, UNTRAINED = 20, 5
LABELS, DRAWS, WORDS = (10, 30, 100, 300), 5, 60
STRENGTHS = (0.1, 1.0, 10.0, 100.0)  # inverse regularisation, C


def reference(encoder: PretrainedEncoder) -> dict:
    from transformers import BertConfig, BertModel

    # Post-LN, GELU and eps 1e-12 are BertConfig's own; the weights are the same file's.
    config = BertConfig(
        hidden_size=384, num_hidden_layers=6, intermediate_size=1536
    )  # 12 heads
    model = BertModel(config, add_pooling_layer=False).eval()
    model.set_attn_implementation("eager")  # the one that returns weights
    weights = load_file(fetch("minilm") / "model.safetensors")
    kept = {n: w for n, w in weights.items() if not n.startswith("pooler")}
    missing = model.load_state_dict(kept, strict=False).missing_keys
    assert not [name for name in missing if "position_ids" not in name], missing
    differences, lengths = [], []
    texts = [SENTENCE, *(text for _, text in book_sentences())]
    for text in texts:
        reading = encoder.read(text)
        with torch.no_grad():
            theirs = model(
                encoder.batch([text]), output_hidden_states=True, output_attentions=True
            )
        states, alpha = torch.cat(theirs.hidden_states), torch.cat(theirs.attentions)
        if text == SENTENCE:
            save_file(
                {"states": states, "weights": alpha},
                RECORDED / "pretrained.safetensors",
            )
        differences.append(
            [
                float((states - reading.states).abs().max()),
                float((alpha - reading.weights).abs().max()),
            ]
        )
        lengths.append(len(reading.tokens))
    worst = np.max(differences, axis=0).tolist()
    return {
        "sentences": len(texts),
        "tokens": [min(lengths), max(lengths)],
        "states": worst[0],
        "weights": worst[1],
        "transformers": metadata.version("transformers"),
    }


def untrained(seed: int, encoder: PretrainedEncoder) -> PretrainedEncoder:
    torch.manual_seed(seed)
    return PretrainedEncoder(Bert(), encoder.tokenizer)


def questions(encoder: PretrainedEncoder) -> dict:
    asked = {"pronouns": pronoun_questions(), "verbs": verb_questions()}
    encoders = {"pretrained": [encoder]}
    encoders["untrained"] = [untrained(seed, encoder) for seed in range(UNTRAINED)]
    record = {}
    for kind, sentences in asked.items():
        record[kind] = {"sentences": len(sentences)}
        for name, group in encoders.items():
            runs = []
            for each in group:
                weights = answers(each, sentences)
                right = weights[:, 0] > weights[:, 1]
                for seed in range(SPLITS // len(group)):
                    head, chosen, tested = chosen_and_tested(right, seed)
                    runs.append({"head": head, "chosen": chosen, "tested": tested})
            record[kind][name] = runs
            tested = [run["tested"] for run in runs]
            print(kind, name, np.mean(tested), min(tested), max(tested), flush=True)
    return record


def reviews(encoder: PretrainedEncoder) -> dict:
    parts = film_reviews(train=600, validation=200, test=800)
    texts, labels, inputs = {}, {}, {}
    for name, (words, praise) in parts.items():
        texts[name] = [" ".join(review[:WORDS]) for review in words]
        labels[name] = praise.numpy()
        means = encoder.means(texts[name])
        inputs[name] = {
            "pretrained encoder": normalised(means[-1]),
            "its word embeddings": normalised(means[0]),
        }
        print(name, len(texts[name]), flush=True)
    runs = []
    for seed in range(DRAWS):
        order = np.random.default_rng(seed).permutation(len(texts["train"]))
        for count in LABELS:
            rows = balanced(labels["train"], order, count)
            bag = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\S+")
            bag.fit([texts["train"][row] for row in rows])
            for name in ("pretrained encoder", "its word embeddings", "bag of words"):
                if name == "bag of words":
                    x = {part: bag.transform(texts[part]) for part in texts}
                else:
                    x = {part: inputs[part][name] for part in texts}
                tried = [
                    LogisticRegression(C=c, max_iter=2000).fit(
                        x["train"][rows], labels["train"][rows]
                    )
                    for c in STRENGTHS
                ]
                best = max(
                    tried, key=lambda m: m.score(x["validation"], labels["validation"])
                )
                accuracy = best.score(x["test"], labels["test"])
                runs.append(
                    {
                        "seed": seed,
                        "labels": count,
                        "input": name,
                        "C": best.C,
                        "accuracy": accuracy,
                    }
                )
    for name in ("pretrained encoder", "its word embeddings", "bag of words"):
        for count in LABELS:
            got = [
                r["accuracy"]
                for r in runs
                if (r["input"], r["labels"]) == (name, count)
            ]
            print(
                f"{name:22}{count:4} {np.mean(got):.3f} {min(got):.3f} {max(got):.3f}"
            )
    return {"words": WORDS, "tested": len(texts["test"]), "runs": runs}


def normalised(vectors: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(vectors, dim=-1).numpy()


def balanced(labels: np.ndarray, order: np.ndarray, count: int) -> np.ndarray:
    """The first `count` rows in this order, half of them praise."""
    return np.concatenate(
        [order[labels[order] == label][: count // 2] for label in (0, 1)]
    )


PARTS = {"reference": reference, "questions": questions, "reviews": reviews}


def main() -> None:
    torch.set_num_threads(1)
    path = RECORDED / "pretrained.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    record["versions"] = {
        name: metadata.version(name) for name in ("torch", "scikit-learn")
    }
    record["versions"]["python"] = platform.python_version()
    encoder = pretrained()
    for part in sys.argv[1:] or PARTS:
        start = time.perf_counter()
        record[part] = PARTS[part](encoder)
        record[part]["seconds"] = round(time.perf_counter() - start, 1)
        path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        print(part, record[part]["seconds"], "s", flush=True)


if __name__ == "__main__":
    main()
