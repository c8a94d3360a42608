"""The Python side of the explorers: what they store, what they refuse, what they are called."""

import io
import re
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from helpers.explorers import (
    AttentionExplorer,
    AttentionMap,
    EnergyExplorer,
    ImageAttentionExplorer,
    Option,
    Question,
    Quiz,
    SoftmaxExplorer,
)

EYE = np.eye(2)
RANDOM = np.random.default_rng(0)
KEYS = [(1.0, 0.0), (0.0, 2.0), (-1.5, -0.5)]
PHOTO = RANDOM.integers(0, 256, (40, 60, 3), dtype=np.uint8)
RIGHT, WRONG = Option("yes", True, "It is."), Option("no", False, "It is not.")


def panel(weights=EYE, queries=("a", "b"), keys=("x", "y"), **more):
    return AttentionMap(weights, queries, keys, "model", **more)


def explorer(**more):
    return AttentionExplorer(
        {"first": [panel(), panel(None)], "second": [panel()]}, **more
    )


def soft(logits, temperature=1.0):
    grown = np.exp(
        logits / temperature - np.max(logits / temperature, axis=-1, keepdims=True)
    )
    return grown / grown.sum(axis=-1, keepdims=True)


# --- what they store ------------------------------------------------------------------------------------------


def test_attention_weights_travel_as_half_precision_logs():
    weights = soft(RANDOM.normal(size=(5, 7)) * 4)
    weights[0] = [0.25, 0.75, 0, 0, 0, 0, 0]
    stored = AttentionExplorer(
        {"e": [panel(weights, list("abcde"), list("tuvwxyz"))]}
    )._weights
    logs = np.frombuffer(stored, "<f2").reshape(5, 7).astype(float)
    for temperature in (0.5, 1.0, 3.0):
        expected = soft(
            np.log(weights, where=weights > 0, out=np.full_like(weights, -np.inf)),
            temperature,
        )
        assert np.abs(soft(logs, temperature) - expected).max() < 2e-3
    assert (np.exp(logs)[0, 2:] == 0).all()


def test_attention_maps_of_all_examples_follow_each_other():
    stored = AttentionExplorer(
        {"a": [panel(), panel(None), panel()], "b": [panel([[0.5, 0.5]], ["q"])]}
    )._weights
    logs = np.frombuffer(stored, "<f2").astype(float)
    assert np.allclose(np.exp(logs), [*EYE.ravel(), *EYE.ravel(), 0.5, 0.5], atol=1e-3)


def test_attention_takes_tensors_with_gradients():
    weights = torch.softmax(torch.randn(2, 2, requires_grad=True), dim=-1)
    assert np.allclose(panel(weights).weights, weights.detach().numpy())


def test_a_model_without_attention_says_so():
    assert "No attention" in panel(None).note
    assert panel(None, note="Its own words.").note == "Its own words."


def test_step_stays_within_the_chosen_example():
    long = [panel(np.full((3, 2), 0.5), list("abc"))]
    widget = AttentionExplorer({"long": long, "short": [panel()]}, step=2)
    widget.example = "short"
    assert (widget.step, widget.steps) == (1, 2)


@pytest.mark.parametrize("grid", [(14, 14), (16, 16)])
def test_image_attention_is_small_and_close(grid):
    patches = grid[0] * grid[1]
    weights = soft(RANDOM.normal(size=(patches, patches)) * 2)
    weights[:, 0] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    widget = ImageAttentionExplorer(data.astronaut(), weights, grid)
    assert len(widget._weights) + len(widget._image) <= 60_000
    levels = np.frombuffer(zlib.decompress(widget._weights), np.uint8).reshape(
        patches, patches
    )
    back = soft(np.where(levels == 255, -np.inf, -widget._depth * (levels / 90) ** 2))
    assert (back[:, 0] == 0).all()
    assert np.abs(back - weights).max() < 0.01
    assert Image.open(io.BytesIO(widget._image)).size == (300, 300)


def test_softmax_scores_are_dot_products_of_growing_width():
    widget = SoftmaxExplorer.from_seed(3, draws=400, keys=5, widths=(1, 16, 256))
    scores = np.frombuffer(widget._scores, "<f4").reshape(400, 3, 5)
    assert np.allclose(
        scores.var(axis=(0, 2)), [1, 16, 256], rtol=0.25
    )  # Var(q·k) = d_k
    again = SoftmaxExplorer.from_seed(3, draws=400, keys=5, widths=(1, 16, 256))
    assert widget._scores == again._scores


# --- the energies, against loops over single numbers ----------------------------------------------------------

W = [[0.5, -1.0], [2.0, 0.3]]
W_Q, W_K, V = (
    [[1.0, 0.2], [0.0, -1.0], [0.4, 0.4]],
    [[0.3, 0.0], [1.0, 1.0], [-0.6, 0.1]],
    [1.0, -2.0, 0.5],
)


def by_hand(name, q, k, i, centre=1.2, sigma=0.7):
    dot = q[0] * k[0] + q[1] * k[1]
    if name == "cosine":
        lengths = np.hypot(*q) * np.hypot(*k)
        return dot / lengths if lengths else 0
    if name == "dot":
        return dot
    if name == "scaled_dot":
        return dot / 2**0.5
    if name == "general":
        return sum(q[a] * W[a][b] * k[b] for a in (0, 1) for b in (0, 1))
    if name == "additive":
        hidden = [
            np.tanh(
                W_Q[h][0] * q[0]
                + W_Q[h][1] * q[1]
                + W_K[h][0] * k[0]
                + W_K[h][1] * k[1]
            )
            for h in range(3)
        ]
        return sum(v * x for v, x in zip(V, hidden, strict=True))
    if abs(i - centre) > 2 * sigma:
        return -np.inf
    return by_hand("general", q, k, i) - (i - centre) ** 2 / (2 * sigma**2)


@pytest.mark.parametrize("query", [(0.0, 0.0), (1.3, -0.4)])
@pytest.mark.parametrize(
    "energy", ["cosine", "dot", "scaled_dot", "general", "additive", "local"]
)
def test_energy_numbers(energy, query):
    parameters = {
        "general": {"W": W},
        "additive": {"W_q": W_Q, "W_k": W_K, "v": V},
        "local": {"base": "general"},
    }
    keys, values = [*KEYS, (0.0, 0.0)], [(0, 1), (2, 3), (4, 5), (6, 7)]
    widget = EnergyExplorer(
        keys,
        values,
        query=query,
        energy=energy,
        parameters=parameters,
        centre=1.2,
        sigma=0.7,
    )
    numbers = widget.numbers()
    energies = [by_hand(energy, query, key, i) for i, key in enumerate(keys)]
    assert np.allclose(numbers["energies"], energies, atol=1e-12)
    exponentials = [np.exp(e) for e in energies]
    weights = [x / sum(exponentials) for x in exponentials]
    assert np.allclose(numbers["weights"], weights, atol=1e-12)
    output = [
        sum(w * v[a] for w, v in zip(weights, values, strict=True)) for a in (0, 1)
    ]
    assert np.allclose(numbers["output"], output, atol=1e-12)


# --- what they are called: stored notebooks compare these -----------------------------------------------------


def test_names_are_stable():
    assert repr(panel()) == "AttentionMap('model', 2 queries × 2 keys)"
    assert repr(explorer()) == "AttentionExplorer(2 examples × 1 or 2 maps)"
    assert (
        repr(ImageAttentionExplorer(PHOTO, np.eye(6), (2, 3)))
        == "ImageAttentionExplorer(2×3 patches)"
    )
    assert repr(EnergyExplorer(KEYS)) == "EnergyExplorer(3 keys)"
    assert (
        repr(SoftmaxExplorer(np.zeros((4, 2, 3)), [1, 2]))
        == "SoftmaxExplorer(4 draws × 2 widths × 3 keys)"
    )
    assert repr(Quiz([Question("Is it?", [RIGHT, WRONG])])) == "Quiz(1 questions)"


def test_quiz_score():
    quiz = Quiz(
        [Question("Is it?", [RIGHT, WRONG]), Question("Really?", [WRONG, RIGHT])]
    )
    assert quiz.score == 0
    quiz.answers = [0, -1]
    assert quiz.score == 1
    quiz.answers = [1, 1]
    assert quiz.score == 1


# --- what they refuse -----------------------------------------------------------------------------------------

NAN = [[0.5, np.nan], [0.5, 0.5]]
SOFT = np.zeros((4, 2, 3))
BAD = {
    # attention maps
    "weights: got 1 NaN or infinite values in shape (2, 2)": lambda: panel(NAN),
    "weights: got shape (2, 2), expected (2, 3)": lambda: panel(keys=["x", "y", "z"]),
    "weights: got row 1 of shape (2, 2) with sum 0.9000": lambda: panel(
        [[1, 0], [0.4, 0.5]]
    ),
    "weights: got -0.5 in shape (2, 2), expected none below 0": lambda: panel(
        [[1.5, -0.5], [0, 1]]
    ),
    "weights: got str, expected numbers of shape (2, 2)": lambda: panel("no"),
    "queries: got 0 strings, expected at least 1": lambda: panel(np.zeros((0, 2)), []),
    "keys: got [1, 2], expected a list of strings": lambda: panel(keys=[1, 2]),
    "keys: got 'xy', expected a list of strings": lambda: panel(keys="xy"),
    "truth: got 1 sets, expected 2": lambda: panel(truth=[{0}]),
    "truth[1]: got 2, expected 0 to 1": lambda: panel(truth=[{0}, {2}]),
    # the explorer of tokens
    "examples: got none": lambda: AttentionExplorer({}),
    "examples['e']: got [], expected one AttentionMap": lambda: AttentionExplorer(
        {"e": []}
    ),
    "step: got 2, expected 0 to 1": lambda: explorer(step=2),
    "temperature: got 0.0, expected 0.1 to 10": lambda: explorer(temperature=0.0),
    "temperature: got nan, expected 0.1 to 10": lambda: explorer(
        temperature=float("nan")
    ),
    "view: got 'graph', expected one of 'matrix', 'lines'": lambda: explorer(
        view="graph"
    ),
    "example: got 'third', expected one of": lambda: setattr(
        explorer(), "example", "third"
    ),
    # the explorer of patches
    "weights: got shape (4, 4), expected (6, 6)": lambda: ImageAttentionExplorer(
        PHOTO, np.eye(4), (2, 3)
    ),
    "image: got float64 of shape": lambda: ImageAttentionExplorer(
        PHOTO / 255, np.eye(6), (2, 3)
    ),
    "image: got uint8 of shape (40, 60)": lambda: ImageAttentionExplorer(
        PHOTO[..., 0], np.eye(6), (2, 3)
    ),
    "grid: got 0, expected 1 to 64": lambda: ImageAttentionExplorer(
        PHOTO, np.eye(6), (0, 3)
    ),
    "foreground: got shape (3, 2)": lambda: ImageAttentionExplorer(
        PHOTO, np.eye(6), (2, 3), np.ones((3, 2))
    ),
    "query: got 6, expected 0 to 5": lambda: ImageAttentionExplorer(
        PHOTO, np.eye(6), (2, 3), query=6
    ),
    # the explorer of energies
    "keys: got shape (2, 3), expected (n, 2)": lambda: EnergyExplorer(np.ones((2, 3))),
    "keys: got shape (0, 2), expected (n, 2)": lambda: EnergyExplorer(np.ones((0, 2))),
    "values: got shape (2, 2), expected (3, 2)": lambda: EnergyExplorer(KEYS, EYE),
    "labels: got 2 strings, expected 3": lambda: EnergyExplorer(
        KEYS, labels=["a", "b"]
    ),
    "labels: got 0 strings, expected 3": lambda: EnergyExplorer(KEYS, labels=[]),
    "query: got 1 NaN": lambda: EnergyExplorer(KEYS, query=(0, np.nan)),
    "energy: got 'cosinus', expected one of 'cosine', 'dot'": lambda: EnergyExplorer(
        KEYS, energy="cosinus"
    ),
    "sigma: got 0.0, expected 0.5 to 4": lambda: EnergyExplorer(KEYS, sigma=0),
    "centre: got 3.0, expected 0 to 2": lambda: EnergyExplorer(KEYS, centre=3),
    "parameters: got 'dot'": lambda: EnergyExplorer(KEYS, parameters={"dot": {}}),
    "parameters['general']: got 'V'": lambda: EnergyExplorer(
        KEYS, parameters={"general": {"V": W}}
    ),
    "['general']['W']: got shape (3, 2)": lambda: EnergyExplorer(
        KEYS, parameters={"general": {"W": W_Q}}
    ),
    "['additive']['W_k']: got shape (2, 2), expected (3, 2)": lambda: EnergyExplorer(
        KEYS, parameters={"additive": {"W_q": W_Q, "W_k": W, "v": V}}
    ),
    "['local']['base']: got 'local'": lambda: EnergyExplorer(
        KEYS, parameters={"local": {"base": "local"}}
    ),
    # the explorer of the softmax
    "scores: got shape (4, 2, 3), expected (draws, 3, keys)": lambda: SoftmaxExplorer(
        SOFT, [1, 2, 4]
    ),
    "scores: got 24 NaN": lambda: SoftmaxExplorer(SOFT * np.nan, [1, 2]),
    "widths: got [2, 1], expected": lambda: SoftmaxExplorer(SOFT, [2, 1]),
    "width: got 2, expected 0 to 1": lambda: SoftmaxExplorer(SOFT, [1, 2], width=2),
    "draw: got 4, expected 0 to 3": lambda: SoftmaxExplorer(SOFT, [1, 2], draw=4),
    "curve: got 'sum', expected one of 'entropy', 'gradient'": lambda: SoftmaxExplorer(
        SOFT, [1, 2], curve="sum"
    ),
    # the quiz
    "questions: got none": lambda: Quiz([]),
    "options: got 2 options, 2 of them correct": lambda: Question(
        "Is it?", [RIGHT, RIGHT]
    ),
    "options: got 1 options, 1 of them correct": lambda: Question("Is it?", [RIGHT]),
    "text: got ' ', expected a question": lambda: Question(" ", [RIGHT, WRONG]),
    "why: got '', expected some words": lambda: Option("yes", True, ""),
    "answers: got [5]": lambda: setattr(
        Quiz([Question("Is it?", [RIGHT, WRONG])]), "answers", [5]
    ),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message):
    with pytest.raises(ValueError, match=re.escape(message)):
        BAD[message]()
