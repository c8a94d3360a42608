"""A page with one explorer of every kind, so that each is tested whether a chapter uses it or not."""

import json
import shutil
from pathlib import Path

import ipywidgets
import numpy as np
import torch
from site_extension.outputs import bytes_apart

from helpers.data import Vocabulary
from helpers.decoding import beam_search
from helpers.documents import AspectClassifier
from helpers.explorers import (
    AnalogyExplorer,
    ArchitectureExplorer,
    AspectExplorer,
    AttentionExplorer,
    AttentionMap,
    BeamExample,
    BeamExplorer,
    CaptionExplorer,
    CellExplorer,
    ChannelExplorer,
    CharacterExplorer,
    ClassMap,
    ClassMapExplorer,
    ContextExplorer,
    ConvolutionExplorer,
    DescentExplorer,
    DetectedScene,
    DetectionExplorer,
    EnergyExplorer,
    GateExplorer,
    GraphExplorer,
    GuidedExplorer,
    GuidedScene,
    ImageAttentionExplorer,
    JacobianExplorer,
    Option,
    PatchExplorer,
    PatternExplorer,
    PhotoAttentionExplorer,
    PlaceExplorer,
    PositionExplorer,
    Question,
    Quiz,
    Reader,
    Reading,
    ReceptiveFieldExplorer,
    SamplingExplorer,
    SoftmaxExplorer,
    TokenExplorer,
    UnrollExplorer,
    WindowExplorer,
)
from helpers.seq2seq import cho
from helpers.transformer import Transformer

LOADER = (
    Path(__file__).resolve().parents[2] / "book" / "site_static" / "explorer-loader.js"
)

KNOWN = ["", "[UNK]", ",", ".", "bad", "bed", "dirty", "good", "near", "the", "was"]
PIECES = ["[UNK]", *"abcdehlnortuw,中文", *(f"##{c}" for c in "abcdehlnortuw")]
PIECES += ["un", "##heard", "he", "low", "##er", "new", "##est"]
NAMES = [
    "one",
    "two",
    "three",
    "red",
    "green",
    "blue",
    "cat",
    "dog",
    "cow",
    "king",
    "queen",
    "crown",
    "sea",
    "ship",
]


def beams():
    """Two sources through a translator with random weights, and all that beams up to 5 wide ask it."""
    torch.manual_seed(0)
    model, examples = cho(8, 8, 6).eval(), {}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    for name, source in {"long": [3, 4, 5, 2], "short": [6, 2]}.items():
        steps = {}
        for width in range(1, 6):
            beam_search(model, torch.tensor([source]), width, 9, steps)
        words = [NAMES[token] for token in source[:-1]]
        examples[name] = BeamExample(words, words, steps)
    return examples


def aspect_model():
    """Sharp enough that its weights differ in the second decimal."""
    torch.manual_seed(0)
    model = AspectClassifier(len(KNOWN), num_aspects=2, size=4, num_classes=2)
    with torch.no_grad():
        model.queries.mul_(30)
    return model


def detected(random, weights):
    """Two known things and three queries: two layers of two heads."""
    stack = [weights(3, 16) for _ in range(4)]
    return DetectedScene(
        random.uniform(size=(32, 32, 3)),
        [0, 1],
        np.array([(0.3, 0.3, 0.3, 0.4), (0.7, 0.6, 0.3, 0.3)]),
        random.uniform(0.2, 0.9, size=(3, 2)),
        np.array([(0.3, 0.35, 0.3, 0.4), (0.7, 0.6, 0.2, 0.3), (0.5, 0.5, 0.5, 0.5)]),
        np.reshape(stack, (2, 2, 3, 16)),
    )


def guided(random):
    """A picture with four boxes, the smaller the higher the threshold."""
    said = random.dirichlet([1, 1, 1], size=(4, 3))
    boxes = [(0, 0, 14, 14), (2, 2, 10, 10), (3, 3, 8, 9), (4, 5, 6, 7)]
    heat, image = random.uniform(size=(16, 16)), random.uniform(size=(16, 16, 3))
    return GuidedScene(image, 1, (3, 3, 9, 8), heat, boxes, said)


def explorers():
    """The explorers of the gallery, from random numbers: {name: explorer}."""
    random = np.random.default_rng(0)

    def weights(queries, keys):
        grown = np.exp(2 * random.normal(size=(queries, keys)))
        return grown / grown.sum(axis=1, keepdims=True)

    def bell(side):
        row = np.exp(-(np.linspace(-2, 2, side) ** 2)) + 0.1 * random.uniform(size=side)
        return np.outer(row, row)

    def network(d, tokens, outputs):
        shapes = ((d, d), (d, tokens), (d,), (outputs, d), (outputs,))
        return [random.normal(size=shape) for shape in shapes]

    source, right = ["zwei", "und", "vierzig", "."], ["forty", "two", "."]
    maps = [
        AttentionMap(
            None, ["forty", "four", "four", "."], source, "without", expected=right
        ),
        AttentionMap(
            weights(3, 4), right, source, "with", truth=[{2}, {0}, {3}], expected=right
        ),
    ]
    tokens = [f"t{i}" for i in range(32)]
    large = [AttentionMap(weights(32, 32), tokens, tokens, "32 × 32")]

    def heads(*tokens):
        stack = [weights(len(tokens), len(tokens)) for _ in range(6)]
        stack = np.reshape(stack, (2, 3, len(tokens), len(tokens)))
        return [AttentionMap(stack, tokens, tokens, "encoder")]

    keys = [(1.5, 0.5), (0.5, 1.5), (-1, 1), (-1.5, -1), (0.5, -1.5)]
    parameters = {
        "additive": {"W_q": [[1, 0.5]], "W_k": [[-0.5, 1]], "v": [2]},
        "local": {"base": "general"},
    }
    readers = {
        name: Reader(
            random.normal(size=(50, 4)),
            random.normal(size=50),
            random.normal(size=(2, 3, 4)),
        )
        for name in ("trained", "random")
    }
    trace = {name: random.uniform(size=(40, 6)) for name in "fiu"}
    trace["c"] = random.normal(size=(40, 6))
    pulses = [0.0] * 3 + [0.8] + [0.0] * 12 + [-0.5] + [0.0] * 15
    numerals = Vocabulary([NAMES])
    photo = random.integers(0, 256, (60, 90, 3), dtype=np.uint8)
    yes, no = (
        Option("`softmax`", True, "Yes: it sums to 1."),
        Option("tanh", False, "No: it may be negative."),
    )
    return {
        "tokens": AttentionExplorer({"short": maps, "large": large}, label="Tokens"),
        "heads": AttentionExplorer(
            {"it": heads("[CLS]", "it", "is", "[SEP]"), "so": heads("so", "it")},
            layer=1,
            label="Heads",
        ),
        "patches": ImageAttentionExplorer(
            photo, weights(24, 24), (4, 6), np.eye(4, 6), query=9, label="Patches"
        ),
        "energies": EnergyExplorer(
            keys, np.roll(keys, 1, axis=0), parameters=parameters, label="Energies"
        ),
        "softmax": SoftmaxExplorer.from_seed(0, draws=4, label="Softmax"),
        "jacobian": JacobianExplorer(label="Jacobians"),
        "descent": DescentExplorer(
            optimizer="momentum", learning_rate=0.03, label="Descent"
        ),
        "gates": GateExplorer({"pulses": pulses, "wave": 32 * [0.5]}, label="Gates"),
        "cell": CellExplorer(
            trace,
            "it was 'so odd' that she, said\n'Oh' and ",
            [*8 * [0], *32 * [1]],
            "late",
        ),
        "unroll": UnrollExplorer(
            *network(6, 4, 2),
            tokens=list("ab c"),
            sentences=["abba cab a b", "a cab"],
            outputs=["no", "yes"],
            step=3,
            label="Unrolled",
        ),
        "character": CharacterExplorer(
            *network(12, 5, 5), list("abc \n"), prefix="ab", label="Characters"
        ),
        "pieces": TokenExplorer(
            ["unheard, he heard", "low low lower newest newest", "😀 שלום 中文 été"],
            PIECES,
            merges=2,
            label="Pieces",
        ),
        "analogies": AnalogyExplorer(
            NAMES,
            random.normal(size=(len(NAMES), 8)),
            [tuple(NAMES[:3]), tuple(NAMES[5:8])],
            label="Analogies",
        ),
        "beam": BeamExplorer(beams(), NAMES[:8], max_length=9, step=1, label="Beam"),
        "context": ContextExplorer(readers, [41523, 98765], (3, 4, 5), label="Context"),
        "aspects": AspectExplorer(
            aspect_model(),
            KNOWN,
            ["the bed was dirty , near the beach .", "good staff. 😀 bad bed"],
            ["place", "staff"],
            ["bad", "good"],
            label="Aspects",
        ),
        "sampling": SamplingExplorer(
            {
                text: (text, 2 * random.normal(size=(len(text), 5)))
                for text in ("abc cab\nbac ab cba", "cab abc")
            },
            list("abc \n"),
            place=3,
            label="Sampling",
        ),
        "architecture": ArchitectureExplorer(
            Transformer(len(numerals), len(numerals), 8, 4, 12, 1),
            numerals,
            numerals,
            {"one": (NAMES[:3], NAMES[3:6]), "two": (NAMES[6:8], NAMES[8:12])},
            label="Architecture",
        ),
        "positions": PositionExplorer(label="Positions"),
        "patterns": PatternExplorer(label="Patterns"),
        "convolution": ConvolutionExplorer(
            random.integers(0, 256, (24, 32)), label="Convolution"
        ),
        "graph": GraphExplorer(
            random.normal(size=(6, 2)),
            [0, 0, 1, 1, 0, 1],
            np.stack([weights(6, 6), weights(6, 6)]),
            ["left", "right"],
            node=2,
            label="Graph",
        ),
        "channels": ChannelExplorer(
            random.uniform(size=(3, 10, 8)),
            ["a", "b", "c"],
            random.normal(size=(3, 16, 6, 5)),
            random.uniform(0.1, 0.9, size=(3, 16)),
            random.uniform(0.1, 0.9, size=(4, 16)),
            [3, 0, 1],
            {
                "kernel": random.normal(size=(8, 16, 3, 3)) / 3,
                "bias": random.normal(size=8),
                "W_1": random.normal(size=(2, 8)),
                "W_2": random.normal(size=(8, 2)),
                "W": random.normal(size=(4, 8)),
                "b": random.normal(size=4),
            },
            ["p", "q", "r", "s"],
            channel=5,
            label="Channels",
        ),
        "places": PlaceExplorer(
            random.uniform(size=(2, 8, 8)),
            ["a", "b"],
            [
                {
                    kind: random.uniform(size=(2, side, side))
                    for kind in PlaceExplorer.KINDS
                }
                for side in (8, 4, 2)
            ],
            ground=0.5,
            label="Places",
        ),
        "detection": DetectionExplorer(
            {name: detected(random, weights) for name in ("one", "two")},
            ["cat", "dog"],
            (4, 4),
            layer=1,
            threshold=0.4,
            label="Detection",
        ),
        "guided": GuidedExplorer(
            {name: guided(random) for name in ("one", "two")},
            ["cat", "dog", "cow"],
            [0.2, 0.4, 0.6, 0.8],
            threshold=1,
            label="Guided",
        ),
        "receptive field": ReceptiveFieldExplorer(
            {
                "random": {
                    (k, n): bell(n * (k - 1) + 1)
                    for k in (3, 5)
                    for n in (5, 10, 20, 40)
                },
                "after training": {(3, n): bell(41) for n in (5, 10, 20, 40)},
            },
            label="Receptive field",
        ),
        "class map": ClassMapExplorer(
            {
                name: ClassMap(
                    random.integers(0, 256, (60, 60, 3), dtype=np.uint8),
                    ["cat", "dog", "cow"],
                    [0.7, 0.2, 0.1],
                    random.normal(size=(3, 7, 7)),
                    np.stack([np.eye(14) * on for on in (1, 1, 0)]),
                )
                for name in ("one", "two")
            },
            label="Class map",
        ),
        "window": WindowExplorer(
            {
                name: (
                    random.uniform(size=(6, 7)),
                    *random.normal(size=(2, 3, 42, 4)),
                )
                for name in ("boot", "bag")
            },
            random.normal(size=(3, 9, 4)),
            query=16,
            label="Window",
        ),
        "captions": CaptionExplorer(
            {
                name: random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
                for name in ("one", "two")
            },
            {
                name: {
                    look: Reading(
                        name.split() + ["red", "3", "left"][:count],
                        np.reshape(weights(1 + count, 64), (1 + count, 8, 8)),
                        random.uniform(size=1 + count),
                        [[], *[[(5, 9, 20, 30)]] * count],
                        look == "soft",
                        random.integers(0, 64, 1 + count) if look == "hard" else (),
                        "one red 3",
                    )
                    for look in ("soft", "hard")
                }
                for name, count in (("one", 3), ("two", 2))
            },
            word=1,
            label="Captions",
        ),
        "patches of a photo": PatchExplorer(
            {
                name: random.integers(0, 256, (48, 48, 3), dtype=np.uint8)
                for name in ("one", "two")
            },
            (8, 12, 16),
            d_model=16,
            patch=8,
            lifted=5,
            label="Patches of a photo",
        ),
        "photo attention": PhotoAttentionExplorer(
            {
                name: (
                    random.integers(0, 256, (60, 80, 3), dtype=np.uint8),
                    np.reshape(weights(9 * 51, 51), (3, 3, 51, 51)),
                )
                for name in ("one", "two")
            },
            (6, 8),
            stride=2,
            query=5,
            layer=0,
            ratio=1,
            label="Photo attention",
        ),
        "quiz": Quiz(
            [
                Question("What gives weights?", [yes, no]),
                Question("And now?", [no, yes]),
            ],
            label="Quiz",
        ),
    }


def write(folder, shown):
    """Write the page of these explorers, stored the way myst-nb stores them; a name without explorer has no state."""
    states = ipywidgets.Widget.get_manager_state()["state"]
    stored = {name: states[widget.model_id] for name, widget in shown.items() if widget}
    state = json.dumps(
        {"version_major": 2, "version_minor": 0, "state": stored}
    ).replace("</script>", r"<\/script>")
    views = "".join(
        f'<script type="application/vnd.jupyter.widget-view+json">{{"model_id": "{name}"}}</script>'
        for name in shown
    )
    page, scripts = bytes_apart(
        f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Gallery</title>
        <link rel="icon" href="data:,">
        <script type="application/vnd.jupyter.widget-state+json">{state}</script>
        <script defer src="explorer-loader.js"></script><main><h1>Gallery</h1>{views}</main></html>"""
    )
    (folder / "index.html").write_text(page)
    (folder / "explorers").mkdir()
    for name, script in scripts.items():
        (folder / "explorers" / f"{name}.js").write_text(script)
    shutil.copy(LOADER, folder)
