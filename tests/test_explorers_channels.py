"""The explorers of channel attention: the browser's arithmetic is Python's; what they refuse."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from helpers.explorers import ChannelExplorer, PlaceExplorer
from helpers.explorers.channels import PARTS

RANDOM = np.random.default_rng(1)
OWN, TYPICAL = RANDOM.uniform(size=(3, 8)), RANDOM.uniform(size=(4, 8))
MAPS = RANDOM.normal(size=(3, 8, 5, 6))
TAIL = {
    "kernel": RANDOM.normal(size=(6, 8, 3, 3)) / 3,
    "bias": RANDOM.normal(size=6),
    "W_1": RANDOM.normal(size=(2, 6)),
    "W_2": RANDOM.normal(size=(6, 2)),
    "W": RANDOM.normal(size=(4, 6)),
    "b": RANDOM.normal(size=4),
}


def channels(**changes):
    given = {
        "photos": np.random.default_rng(3).uniform(size=(3, 6, 5)),
        "names": ["a", "b", "c"],
        "maps": MAPS,
        "weights": OWN,
        "typical": TYPICAL,
        "labels": [3, 0, 1],
        "tail": TAIL,
        "classes": ["p", "q", "r", "s"],
    }
    return ChannelExplorer(**given | changes)


def places(**changes):
    random = np.random.default_rng(2)
    maps = [
        {
            "weight": random.uniform(size=(2, *size)),
            "maximum": random.normal(size=(2, *size)),
            "mean": random.normal(size=(2, *size)),
        }
        for size in ((4, 6), (2, 3))
    ]
    given = {"photos": random.uniform(size=(2, 8, 12)), "names": ["a", "b"]}
    return PlaceExplorer(**given | {"maps": maps} | changes), maps


@pytest.fixture
def browser_says(in_node):
    """Runs a piece of the explorers' JavaScript on JSON and returns what it gives."""
    imports = """
        import * as channels from "./channels.js";
        import * as places from "./places.js";
        import { softmax } from "./parts.js";
        const view = (bytes) => new DataView(Uint8Array.from(bytes).buffer);"""
    return lambda code, **given: in_node(imports + code, given)


SETTINGS = [
    {},
    {"photo": 2, "gates": "class"},
    {"photo": 1, "gates": "all", "off": 3},
    {"gates": "open", "off": -5},
    {"off": 8},
    {"off": -8, "by_hand": [(2, 0.25), (7, 1.0)]},
]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_the_browser_gives_pythons_probabilities(browser_says, setting):
    widget = channels(**setting)
    expected = widget.numbers()
    found = browser_says(
        """
        const { photo, label, shape } = given, packed = {};
        for (const name of ["numbers", "rows", "maps"]) packed[name] = view(given[name]);
        const data = channels.unpack(packed, shape, 4);
        const weights = channels.chosen(data, photo, label, given);
        const said = channels.logits(data, data.maps(photo), weights);
        console.log(JSON.stringify([[...weights], [...softmax(said)]]));""",
        numbers=list(widget._numbers),
        rows=list(widget._rows),
        maps=list(widget._maps),
        shape=widget._shape,
        photo=widget.photo,
        label=widget._labels[widget.photo],
        gates=widget.gates,
        off=widget.off,
        byHand=widget.by_hand,
    )
    assert np.allclose(found[0], expected["weights"], atol=1e-12)
    assert np.allclose(found[1], expected["probabilities"], atol=1e-12)


def test_settings_do_what_they_say():
    own, typical = OWN, TYPICAL
    widget = channels()
    assert np.allclose(widget.numbers()["weights"], own[0])
    widget.off = 2
    off = widget.numbers()["weights"] == 0
    assert set(np.flatnonzero(off)) == set(np.argsort(-own[0])[:2])
    widget.off = -2
    off = widget.numbers()["weights"] == 0
    assert set(np.flatnonzero(off)) == set(np.argsort(own[0])[:2])
    widget.off, widget.gates = 0, "class"
    assert np.allclose(widget.numbers()["weights"], typical[3])
    widget.gates = "all"
    assert np.allclose(widget.numbers()["weights"], typical.mean(axis=0))
    widget.gates, widget.by_hand = "open", [[4, 0.5]]
    assert np.allclose(widget.numbers()["weights"], np.where(np.arange(8) == 4, 0.5, 1))


def test_the_browser_reads_the_maps(browser_says):
    widget, maps = places()
    for stage, kinds in enumerate(maps):
        for kind, name in enumerate(PlaceExplorer.KINDS):
            found = browser_says(
                """
                const { sizes, most, stage, kind } = given;
                const rows = places.unpack(view(given.maps), sizes, most, 2, stage, kind, 1);
                console.log(JSON.stringify(rows.map((row) => [...row])));""",
                maps=list(widget._maps),
                sizes=widget._sizes,
                most=widget._most,
                stage=stage,
                kind=kind,
            )
            step = np.ptp(kinds[name]) if kind else 1
            assert np.abs(np.array(found) - kinds[name][1]).max() <= 0.51 * step / 255


def test_rounding_to_bytes_costs_little():
    """What the network itself would say, from numbers that are not rounded."""
    x = torch.tensor(MAPS * OWN[:, :, None, None])
    kernel, bias, W_1, W_2, W, b = (torch.tensor(TAIL[name]) for name in PARTS)
    z = F.gelu(F.conv2d(x, kernel, bias, stride=2, padding=1)).mean(dim=(2, 3))
    s = torch.sigmoid(F.gelu(z @ W_1.T) @ W_2.T)
    expected = torch.softmax((z * s) @ W.T + b, dim=1).numpy()
    for photo in range(3):
        found = channels(photo=photo).numbers()["probabilities"]
        assert np.abs(found - expected[photo]).max() < 0.01


def test_gelu_is_the_exact_one(browser_says):
    x = np.linspace(-9, 9, 361)
    found = browser_says(
        "console.log(JSON.stringify(given.x.map(channels.gelu)));", x=x.tolist()
    )
    assert np.allclose(found, F.gelu(torch.tensor(x)).numpy(), atol=1e-13)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ["a", "a", "b"]}, "names: got .*, expected 3 different"),
        ({"names": ["a"]}, "names: got 1 strings, expected 3"),
        ({"maps": np.full((3, 8, 5, 6), np.nan)}, "maps: got 720 NaN"),
        ({"maps": MAPS[:2]}, "maps: got shape"),
        ({"weights": np.full((3, 8), 1.1)}, "weights: got 1.1, expected 0 to 1"),
        ({"typical": np.zeros((3, 8))}, "typical: got shape"),
        ({"typical": np.full((4, 8), -0.1)}, "typical: got -0.1"),
        ({"labels": [0, 1]}, "labels: got 2, expected 3"),
        ({"labels": [0, 1, 4]}, "labels: got 4, expected 0 to 3"),
        ({"tail": {"kernel": TAIL["kernel"]}}, "tail: got 'bias'"),
        ({"tail": TAIL | {"kernel": np.zeros((6, 7, 3, 3))}}, "'kernel'.: got shape"),
        ({"tail": TAIL | {"bias": np.zeros(5)}}, "'bias'.: got shape"),
        ({"tail": TAIL | {"W_1": np.zeros((2, 5))}}, "'W_1'.: got shape"),
        ({"tail": TAIL | {"W_2": np.zeros((6, 3))}}, "'W_2'.: got shape"),
        ({"tail": TAIL | {"W": np.zeros((4, 7))}}, "'W'.: got shape"),
        ({"tail": TAIL | {"b": np.zeros(3)}}, "'b'.: got shape"),
        ({"photos": np.full((3, 6, 5), 255.0)}, "photos: got 255"),
        ({"photo": 3}, "photo: got 3, expected 0 to 2"),
        ({"gates": "shut"}, "gates: got 'shut'"),
        ({"off": 9}, "off: got 9, expected -8 to 8"),
        ({"channel": 8}, "channel: got 8"),
        ({"by_hand": [(8, 0.5)]}, "by_hand: got 8"),
        ({"by_hand": [(0, 1.5)]}, "by_hand: got 1.5"),
    ],
)
def test_channels_that_are_none(changes, message):
    with pytest.raises(ValueError, match=message):
        channels(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ["a", "a"]}, "names: got .*, expected 2 different"),
        ({"maps": []}, "maps: got none"),
        ({"maps": [{"weight": np.zeros((2, 3, 3))}]}, r"maps\[0\]: got 'maximum'"),
        ({"photos": np.full((2, 4, 4), -0.5)}, "photos: got -0.5"),
        ({"ground": 2}, "ground: got 2"),
        ({"stage": 3}, "stage: got 3, expected 1 to 2"),
        ({"photo": 2}, "photo: got 2"),
        ({"show": "median"}, "show: got 'median'"),
    ],
)
def test_places_that_are_none(changes, message):
    with pytest.raises(ValueError, match=message):
        places(**changes)


def test_weights_of_places_lie_between_0_and_1():
    _, maps = places()
    maps[1]["weight"][0, 0, 0] = 1.2
    with pytest.raises(ValueError, match=r"maps: got 1\.2"):
        places(maps=maps)
    maps[1]["weight"] = maps[1]["weight"][:1]
    with pytest.raises(ValueError, match=r"maps\[1\]\['weight'\]: got shape"):
        places(maps=maps)


def test_representations_are_stable():
    assert repr(channels()) == "ChannelExplorer(3 photos, 8 channels)"
    assert repr(places()[0]) == "PlaceExplorer(2 photos, 2 stages)"
