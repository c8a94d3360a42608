"""Chapter 07: a Transformer beside the recurrent translators, five kinds of positions, and what a layer costs.

    python experiments/transformer.py [translation] [positions] [cost]

translation: German to English number words, with the data of chapter 06, by an RNN without attention, with attention
(Luong), and a Transformer of as many parameters; exact match of the held-out numbers by steps of training and by
seconds of processor time. The learning rate of the first two is chapter 06's, that of the Transformer the better of
0.005 and 0.01 at 600 steps. The models train in turns, so that what else the machine does meets all of them alike.
positions: two tasks on random digits that a machine can do only if it knows the order. "reverse" writes a sequence of
16 backwards; "three back" writes at each place the digit three places before, for sequences of 4 to 16 in training and
of 16, 32 and 64 in the test.
cost: milliseconds and multiplications of one layer, by length n and by width d.
Writes helpers/recorded/transformer.json, and the weights of the chapter's Transformer beside it; what is not run again
stays as it is. One thread; about a quarter of an hour on an idle core.
"""

import json
import platform
import sys
import time
from importlib import metadata
from statistics import mean, median

import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from helpers.attention import LuongDecoder
from helpers.data import number_pairs
from helpers.seq2seq import FixedContextDecoder
from helpers.training import fit
from helpers.transformer import (
    MultiHeadAttention,
    Transformer,
    TransformerEncoder,
    position_encoder,
)
from helpers.translation import (
    RECORDED,
    Translator,
    exact_match_by_length,
    recorded_weights,
)

# ---------------------------------------------------------------------------------------------------------------------
# Number words
# ---------------------------------------------------------------------------------------------------------------------

EDGES = [3, 6, 8, 10, 12, 14, 16, 18]  # as in chapter 06
STEPS = [75, 150, 300, 600]
SEEDS = [0, 1, 2]
SIZE = {"d_model": 32, "num_heads": 4, "d_ff": 128, "num_layers": 1}


def small_transformer(source_tokens: int, target_tokens: int, _: int) -> Transformer:
    return Transformer(source_tokens, target_tokens, **SIZE)


MODELS = {  # name: (decoder or model, greatest learning rate)
    "RNN": (FixedContextDecoder, 0.02),
    "RNN with attention": (LuongDecoder, 0.02),
    "Transformer": (small_transformer, 0.005),
}


def translation() -> dict:
    train, test = number_pairs(20_000, 200)
    sources, runs = [pair.source for pair in test], []
    for seed in SEEDS:
        for steps in STEPS:
            for name, (model, learning_rate) in MODELS.items():
                translator = Translator(model, train, 32, seed)
                start = time.process_time()
                loss = translator.batch_loss(train)
                fit(translator.model, loss, steps, learning_rate, seed, name)
                seconds = time.process_time() - start
                written = translator.translate(sources)
                right = [
                    w.tokens == p.target for w, p in zip(written, test, strict=True)
                ]
                runs.append(
                    {
                        "model": name,
                        "seed": seed,
                        "steps": steps,
                        "parameters": translator.num_parameters,
                        "exact_match": mean(right),
                        "by_length": exact_match_by_length(test, written, EDGES),
                        "cpu_seconds": round(seconds, 1),
                    }
                )
                print(runs[-1], flush=True)
                if name == "Transformer" and steps == 600 and seed == 0:
                    weights = translator.model.state_dict()
                    single = {key: value.float() for key, value in weights.items()}
                    save_file(single, recorded_weights(name))
    return {
        "what": "German to English number words, 20,000 training pairs, 1,200 held-out numbers, batches of 64, "
        "Adam, float64, one thread",
        "edges": EDGES,
        "size": SIZE,
        "learning_rates": {name: rate for name, (_, rate) in MODELS.items()},
        "runs": runs,
    }


# ---------------------------------------------------------------------------------------------------------------------
# Positions
# ---------------------------------------------------------------------------------------------------------------------

DIGITS, BLANK = 10, 10
LONGEST = 64
TASKS = {"reverse": [16], "three back": [16, 32, 64]}  # lengths of the test
KINDS = {  # name: (kind of position, the farthest distance that relative ones tell apart)
    "none": ("none", 0),
    "sinusoidal": ("sinusoidal", 0),
    "learned": ("learned", 0),
    "relative, 8": ("relative", 8),
    "relative, 16": ("relative", 16),  # a distance that training has not
    "continuous": ("continuous", 0),
}


class Labeller(nn.Module):
    """digits (B, T) → logits (B, T, 11): embedding, positions of one kind, two encoder layers, one output layer."""

    def __init__(self, kind: str, max_distance: int, d_model: int = 32):
        super().__init__()
        self.embedding = nn.Embedding(DIGITS, d_model)
        self.positions, options = position_encoder(kind, d_model, LONGEST, max_distance)
        self.encoder = TransformerEncoder(d_model, 4, 64, 2, norm_first=True, **options)
        self.output = nn.Linear(d_model, DIGITS + 1)

    def forward(self, digits: torch.Tensor) -> torch.Tensor:
        x = self.embedding(digits)
        if self.positions is not None:
            x = x + self.positions(digits.shape[1])
        return self.output(self.encoder(x)[0])


def task(name: str, length: int, count: int, generator: torch.Generator):
    """digits (count, length) and what is to be written, (count, length); BLANK where nothing is three places back."""
    digits = torch.randint(DIGITS, (count, length), generator=generator)
    if name == "reverse":
        return digits, digits.flip(1)
    blanks = torch.full((count, 3), BLANK)
    return digits, torch.cat([blanks, digits[:, :-3]], dim=1)


def positions(steps: int = 500) -> dict:
    runs = []
    for name, lengths in TASKS.items():
        for kind in KINDS:
            for seed in SEEDS:
                torch.manual_seed(seed)
                model = Labeller(*KINDS[kind])

                def loss(generator, name=name, model=model):
                    length = 16
                    if name == "three back":
                        length = int(torch.randint(4, 17, (), generator=generator))
                    digits, labels = task(name, length, 32, generator)
                    logits = model(digits).flatten(0, 1)
                    return nn.functional.cross_entropy(logits, labels.flatten())

                start = time.process_time()
                fit(model, loss, steps, 0.005, seed, kind)
                seconds = time.process_time() - start
                accuracy = {}
                for length in lengths:
                    generator = torch.Generator().manual_seed(1000 + length)
                    digits, labels = task(name, length, 250, generator)
                    with torch.no_grad():
                        right = model(digits).argmax(dim=-1) == labels
                    accuracy[str(length)] = right.double().mean().item()
                runs.append(
                    {
                        "task": name,
                        "positions": kind,
                        "seed": seed,
                        "accuracy": accuracy,
                        "cpu_seconds": round(seconds, 1),
                    }
                )
                print(runs[-1], flush=True)
    return {
        "what": "random digits, two pre-LN encoder layers of width 32, 4 heads, batches of 32, Adam, float32",
        "steps": steps,
        "runs": runs,
    }


# ---------------------------------------------------------------------------------------------------------------------
# Cost
# ---------------------------------------------------------------------------------------------------------------------

KERNEL = 3
LENGTHS = [64, 128, 256, 512, 1024, 2048]
WIDTHS = [32, 64, 128, 256, 512, 1024]


class SelfAttention(MultiHeadAttention):
    """One head with its four projections, computed the plain way."""

    def __init__(self, d: int):
        super().__init__(d, 1)

    def forward(self, x):
        return super().forward(x, need_weights=True)[0]


class Recurrent(nn.RNN):
    def __init__(self, d: int):
        super().__init__(d, d, batch_first=True)

    def forward(self, x):
        return super().forward(x)[0]


class Convolution(nn.Conv1d):
    def __init__(self, d: int):
        super().__init__(d, d, KERNEL, padding="same")

    def forward(self, x):
        return super().forward(x.mT).mT


class AttentionCore(nn.Module):
    """softmax(x xᵀ/√d) x: attention without projections, which is what Table 1 counts."""

    def __init__(self, d: int):
        super().__init__()

    def forward(self, x):
        return torch.softmax(x @ x.mT / x.shape[-1] ** 0.5, dim=-1) @ x


LAYERS = {
    "attention alone": AttentionCore,
    "self-attention layer": SelfAttention,
    "RNN": Recurrent,
    "CNN": Convolution,
}


@torch.no_grad()
def measure(layer: type[nn.Module], n: int, d: int) -> tuple[float, int]:
    """Milliseconds of processor time for one forward pass of a sequence, the median of some; multiplications."""
    module, x = layer(d), torch.randn(1, n, d)
    with FlopCounterMode(display=False) as counter:
        module(x)
    times, begin = [], time.perf_counter()
    while len(times) < 5 or (len(times) < 50 and time.perf_counter() - begin < 1):
        start = time.process_time()
        module(x)
        times.append(1000 * (time.process_time() - start))
    return median(times), counter.get_total_flops() // 2


def cost() -> dict:
    runs = []
    for name, layer in LAYERS.items():
        for n, d in dict.fromkeys(
            [*((n, 64) for n in LENGTHS), *((256, d) for d in WIDTHS)]
        ):
            milliseconds, multiplications = measure(layer, n, d)
            runs.append(
                {
                    "layer": name,
                    "n": n,
                    "d": d,
                    "ms": round(milliseconds, 4),
                    "multiplications": multiplications,
                }
            )
            print(runs[-1], flush=True)
    return {
        "what": "one forward pass of one sequence, float32, one thread, median processor time",
        "kernel": KERNEL,
        "runs": runs,
    }


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    path = RECORDED / "transformer.json"
    experiments = {"translation": translation, "positions": positions, "cost": cost}
    for name in names:
        torch.set_default_dtype(
            torch.float64 if name == "translation" else torch.float32
        )
        result = experiments[name]()
        record = json.loads(path.read_text()) if path.exists() else {}
        record = {key: record[key] for key in experiments if key in record}
        record[name] = result
        record["versions"] = {
            "python": platform.python_version(),
            "torch": metadata.version("torch"),
        }
        path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or ["translation", "positions", "cost"])
