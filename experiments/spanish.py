"""Chapter 06: English to Spanish with and without attention, real sentences, BLEU by length.

    python experiments/spanish.py [SETTING ...]

All models see the same sentences for the same CPU time, not for the same number of steps: a step with attention takes
longer. How many steps that is depends on the machine, so another run ends elsewhere, as another seed would.
A seed sets the first weights and the batches. float32 on one thread. The learning rate was not tuned. Half an hour on
an idle core, and 85 MB to download at the first call.
Writes helpers/recorded/spanish.json after each run, and two files of weights, those of the setting "long" rounded to
half precision; the rounded weights are what is scored. Runs that are recorded stay as they are: delete the file to
train them anew.
"""

import json
import math
import platform
import sys
import time
from collections import Counter
from importlib import metadata
from itertools import pairwise, product

import sacrebleu
import torch
from safetensors.torch import save_file
from torch import nn

from helpers.bleu import bleu
from helpers.data import PACKAGES, Vocabulary
from helpers.spanish import (
    DECODERS,
    RECORDED,
    Pieces,
    SentenceTranslator,
    bleu_by_length,
    clusters,
    count_words,
    recorded_translator,
    split_clusters,
    split_sentence,
    tatoeba,
    weights_file,
)

LONGEST_TRAINED = 14  # words of an English sentence
EDGES = [1, 6, 9, 15, 21]  # ≤ 5, 6–8, 9–14, and 15–20 words: longer than any trained on
HELD_OUT, STORED = 2500, 5  # clusters; sentences stored of each length
MERGES = {"english": 1000, "spanish": 800}
NAMES = "▁tom", "▁mary"  # words that both languages write alike
HIDDEN, BATCH, RATE = 64, 64, 0.005
SETTINGS = {
    "long": {"seconds": 300, "seeds": [0]},
    "short": {"seconds": 100, "seeds": [0, 1, 2]},
    "random split": {"seconds": 100, "seeds": [0], "models": ["no attention"]},
}


class Data:
    """The sentences, in clusters, with their two splits."""

    def __init__(self):
        self.pairs = tatoeba()
        self.groups = clusters(self.pairs)
        self.words = [count_words(pair.english) for pair in self.pairs]
        train, drawn = split_clusters(self.groups, HELD_OUT)
        self.train, self.test = self.short(train), self.short(drawn)
        trained = {self.groups[row] for row in self.train}
        longer = {}  # the first row of each cluster of long sentences alone
        for row, count in enumerate(self.words):
            if LONGEST_TRAINED < count < EDGES[-1] and self.groups[row] not in trained:
                longer.setdefault(self.groups[row], row)
        self.test += longer.values()
        order = torch.randperm(
            len(self.pairs), generator=torch.Generator().manual_seed(0)
        ).tolist()
        self.random_test = self.short(order[:HELD_OUT])
        self.random_train = self.short(order[HELD_OUT:])
        self.pieces = {
            side: Pieces.learn(self.texts(side, self.train), MERGES[side])
            for side in MERGES
        }
        self.known = {
            word for pair in self.pairs for word in split_sentence(pair.spanish)
        }
        self.tokens = {}

    def short(self, rows):
        return [row for row in rows if self.words[row] <= LONGEST_TRAINED]

    def texts(self, side, rows):
        return [getattr(self.pairs[row], side) for row in rows]

    def encoded(self, side, row):
        """The numbers of one sentence's pieces, end mark included."""
        if (side, row) not in self.tokens:
            pieces = self.pieces[side].cut(getattr(self.pairs[row], side))
            numbers = self.pieces[side].vocabulary.encode(pieces)
            self.tokens[side, row] = torch.tensor([*numbers, Vocabulary.END])
        return self.tokens[side, row]

    def batches(self, rows, generator):
        """Batches without end: the rows in random order, then those of nearly the same length together."""
        while True:
            shift = torch.rand(len(rows), generator=generator).tolist()
            length = [
                len(self.encoded("spanish", row)) + by
                for row, by in zip(rows, shift, strict=True)
            ]
            order = sorted(range(len(rows)), key=length.__getitem__)
            starts = torch.randperm(len(rows) // BATCH, generator=generator) * BATCH
            for start in starts.tolist():
                chosen = [rows[i] for i in order[start : start + BATCH]]
                yield [
                    nn.utils.rnn.pad_sequence(
                        [self.encoded(side, row) for row in chosen], batch_first=True
                    )
                    for side in ("english", "spanish")
                ]

    def counts(self):
        here = {self.pairs[row].english for row in self.random_train}
        return {
            "pairs": len(self.pairs),
            "clusters": max(self.groups) + 1,
            "largest_cluster": max(Counter(self.groups).values()),
            "train": len(self.train),
            "held_out": len(self.test),
            "held_out_by_length": [
                sum(low <= self.words[row] < high for row in self.test)
                for low, high in pairwise(EDGES)
            ],
            "random_train": len(self.random_train),
            "random_held_out": len(self.random_test),
            "random_same_english_in_training": sum(
                self.pairs[row].english in here for row in self.random_test
            ),
        }


def train(model, batches, seconds, rate=RATE):
    """Adam for so many CPU seconds; the learning rate rises for a twentieth of them, then falls to 0 in a line."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    start, losses = time.process_time(), []
    while (done := (time.process_time() - start) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(done / 0.05, (1 - done) / 0.95)
        source, target = next(batches)
        loss = nn.functional.cross_entropy(
            model(source, target).flatten(0, 1),
            target.flatten(),
            ignore_index=Vocabulary.PAD,
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if len(losses) % 200 == 0:
            print(f"{done:.2f} {sum(losses[-200:]) / 200:.3f}", flush=True)
    model.eval()
    return losses


def translate(translator, texts):
    """All translations, a few hundred sentences of like length at a time."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    translations = [None] * len(texts)
    for start in range(0, len(order), 250):
        rows = order[start : start + 250]
        made = translator.translate([texts[i] for i in rows])
        for i, translation in zip(rows, made, strict=True):
            translations[i] = translation
    return translations


def names_found(translations):
    """Where the greatest weight lies when a model writes a name that the source has once: how far from the name."""
    offsets = Counter()
    for translation in translations:
        for name in NAMES:
            if translation.source.count(name) == translation.tokens.count(name) == 1:
                row = translation.weights[translation.tokens.index(name)]
                offsets[int(row.argmax()) - translation.source.index(name)] += 1
    return dict(sorted(offsets.items()))


def score(data, written, rows):
    """BLEU, and that it is sacrebleu's."""
    references = [split_sentence(text) for text in data.texts("spanish", rows)]
    ours = bleu(written, references)
    theirs = sacrebleu.corpus_bleu(
        [" ".join(words) for words in written],
        [[" ".join(words) for words in references]],
        tokenize="none",
        force=True,  # the full stops are words on purpose
    )
    if not math.isclose(ours, theirs.score, abs_tol=1e-9):
        raise ValueError(f"bleu: got {ours}, expected {theirs.score}, sacrebleu's")
    return ours


def run(data, name, setting, seed, split):
    """Train one model and score it."""
    random = split == "random split"
    rows = data.random_train if random else data.train
    translator = SentenceTranslator(
        DECODERS[name], data.pieces["english"], data.pieces["spanish"], HIDDEN, seed
    )
    for row in rows:
        data.encoded("english", row), data.encoded("spanish", row)
    generator = torch.Generator().manual_seed(seed)
    batches = data.batches(rows, generator)
    losses = train(translator.model, batches, setting["seconds"])
    half = {key: value.half() for key, value in translator.model.state_dict().items()}
    translator.model.load_state_dict(half)
    result = {
        "model": name,
        "seed": seed,
        "parameters": translator.num_parameters,
        "steps": len(losses),
        "sentences": len(losses) * BATCH,
        "loss": sum(losses[-200:]) / 200,
    }
    rows = data.random_test if random else data.test
    sources = data.texts("english", rows)
    translations = translate(translator, sources)
    written = [Pieces.join(made.tokens) for made in translations]
    short = [i for i, row in enumerate(rows) if data.words[row] <= LONGEST_TRAINED]
    result["bleu"] = score(
        data, [written[i] for i in short], [rows[i] for i in short]
    )  # of the lengths that were trained
    edges = EDGES[:-1] if random else EDGES
    result["bleu_by_length"] = bleu_by_length(
        sources, written, data.texts("spanish", rows), edges
    )
    if random:
        known = {data.groups[row] for row in data.random_train}
        for kind, inside in (("cluster_in_training", True), ("new_cluster", False)):
            chosen = [
                i for i, r in enumerate(rows) if (data.groups[r] in known) == inside
            ]
            result[kind] = {
                "sentences": len(chosen),
                "bleu": score(
                    data, [written[i] for i in chosen], [rows[i] for i in chosen]
                ),
            }
    every = [word for words in written for word in words if word[0].isalnum()]
    result["invented"] = sum(word not in data.known for word in every) / len(every)
    if translations[0].weights is not None:
        result["names"] = names_found(translations)
    if split == "long":
        save_file(half, weights_file(name))
    return result


def stored(data):
    """Held-out sentences for the page: the first few of each length, in the order in which they were drawn."""
    chosen = []
    for low, high in pairwise(EDGES):
        rows = [row for row in data.test if low <= data.words[row] < high]
        chosen += rows[:STORED]
    return [vars(data.pairs[row]) for row in chosen]


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    path = RECORDED / "spanish.json"
    record = json.loads(path.read_text("utf-8")) if path.exists() else {}
    settings, data = record.get("settings", {}), Data()
    record = {
        "what": "English to Spanish, one reference each, lower case, words and signs; "
        f"greedy, {HIDDEN} units, batches of {BATCH}, Adam, float32, by CPU time",
        "source": PACKAGES["tatoeba"].source,
        "licence": "the sentences: CC BY 2.0 FR, Tatoeba, by the authors named with each",
        "counts": data.counts(),
        "edges": EDGES,
        "versions": {
            "python": platform.python_version(),
            "torch": metadata.version("torch"),
            "sacrebleu": metadata.version("sacrebleu"),
        },
        "settings": settings,
        "held_out": record.get("held_out") or stored(data),
        "pieces": {
            side: {"characters": pieces.characters, "merges": pieces.merges}
            for side, pieces in data.pieces.items()
        },
    }
    for split in names or SETTINGS:
        setting = SETTINGS[split]
        runs = settings.setdefault(split, {**setting, "runs": []})["runs"]
        for seed, name in product(setting["seeds"], setting.get("models", DECODERS)):
            if any((r["model"], r["seed"]) == (name, seed) for r in runs):
                continue
            runs.append(run(data, name, setting, seed, split))
            print(split, json.dumps(runs[-1]), flush=True)
            write(path, record)
            if split == "long":
                add_written(record["held_out"], name)
                write(path, record)


def add_written(sentences, name):
    """What the recorded weights make of the stored sentences, in double precision as in the chapter."""
    torch.set_default_dtype(torch.float64)
    made = recorded_translator(name).translate([s["english"] for s in sentences])
    torch.set_default_dtype(torch.float32)
    for sentence, translation in zip(sentences, made, strict=True):
        words = Pieces.join(translation.tokens)
        sentence.setdefault("written", {})[name] = " ".join(words)


def write(path, record):
    done = record["settings"]
    ordered = {name: done[name] for name in SETTINGS if name in done}
    text = json.dumps({**record, "settings": ordered}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
