"""The explorer of attention where maps have layers and heads: what it stores, and what it refuses."""

import zlib

import numpy as np
import pytest
import torch

from helpers.exercises.bert import rollout
from helpers.explorers import AttentionExplorer, AttentionMap

RANDOM = np.random.default_rng(0)
TOKENS = ["[CLS]", "it", "is", "[SEP]"]


def soft(*shape):
    grown = np.exp(3 * RANDOM.normal(size=shape))
    return grown / grown.sum(axis=-1, keepdims=True)


def panel(weights=None, tokens=TOKENS):
    if weights is None:
        weights = soft(3, 2, len(tokens), len(tokens))
    return AttentionMap(weights, tokens, tokens, "encoder")


def explorer(**more):
    return AttentionExplorer(
        {"one": [panel()], "two": [panel(tokens=list("ab"))]}, **more
    )


@pytest.fixture
def fused(in_node):
    """What the browser's code makes of stored bytes, by layer, head and fusion."""
    program = """
        import { fromLevels, fuse } from "./attention.js";
        const { levels, shape: [layers, heads, queries, keys], asked } = given;
        const weights = fromLevels(Uint8Array.from(levels), keys);
        answer(asked.map(([layer, head, fusion]) =>
            fuse(weights, [layers, heads], queries * keys, keys, layer, head, fusion)));"""

    def run(widget, shape, asked):
        levels = list(zlib.decompress(widget._levels))
        given = {"levels": levels, "shape": shape, "asked": asked}
        return np.reshape(in_node(program, given), (len(asked), *shape[2:]))

    return run


def test_the_browsers_maps_are_pythons(fused):
    weights = soft(3, 2, 4, 4)
    widget = AttentionExplorer({"one": [panel(weights)]})
    asked = [(layer, head, "head") for layer in range(3) for head in range(2)]
    maps = fused(widget, weights.shape, asked).reshape(weights.shape)
    assert np.abs(maps - weights).max() < 5e-3
    mean = maps.mean(axis=1)
    top = maps.max(axis=1)
    for layer in range(3):
        asked = [(layer, 1, fusion) for fusion in ("mean", "max", "rollout")]
        found = fused(widget, weights.shape, asked)
        expected = [mean[layer], top[layer] / top[layer].sum(axis=-1, keepdims=True)]
        expected.append(rollout(torch.tensor(mean[: layer + 1])).numpy())
        assert np.allclose(found, expected, atol=1e-6)


def test_a_map_need_not_be_square(fused):
    weights = soft(2, 2, 3, 5)
    given = AttentionMap(weights, list("abc"), list("vwxyz"), "cross")
    widget = AttentionExplorer({"one": [given]})
    found = fused(widget, weights.shape, [(1, 0, "head"), (1, 0, "mean")])
    assert np.abs(found - [weights[1, 0], weights[1].mean(axis=0)]).max() < 5e-3


def test_a_byte_a_weight_and_examples_follow_each_other():
    widget = explorer()
    levels = np.frombuffer(zlib.decompress(widget._levels), np.uint8)
    assert len(levels) == 3 * 2 * (16 + 4) and widget._weights == b""
    last = (levels[96:].reshape(-1, 2) / 255.0) ** 2
    assert np.allclose(last.sum(axis=1), 1, atol=0.01)


def test_maps_without_heads_are_stored_as_before():
    widget = AttentionExplorer(
        {"one": [AttentionMap(np.eye(2), list("ab"), list("cd"), "m")]}
    )
    assert widget._levels == b"" and widget._heads == []
    assert len(widget._weights) == 8


def test_it_says_how_many_heads():
    name = "AttentionExplorer(2 examples × 1 maps, 3 layers × 2 heads)"
    assert repr(explorer()) == name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: panel(soft(3, 2, 4, 3)),
            r"weights: got shape \(3, 2, 4, 3\), expected \(N, h, 4, 4\)",
        ),
        (lambda: panel(soft(2, 4, 4)), r"weights: got shape \(2, 4, 4\)"),
        (lambda: panel(2 * soft(1, 1, 4, 4)), "weights: got row . .* sum 2.0000"),
        (
            lambda: AttentionExplorer({"a": [panel()], "b": [panel(soft(2, 2, 4, 4))]}),
            "examples: got maps with .* expected as many in each",
        ),
        (lambda: explorer(layer=3), "layer: got 3, expected 0 to 2"),
        (lambda: explorer(head=-1), "head: got -1, expected 0 to 1"),
        (lambda: explorer(fusion="sum"), "fusion: got 'sum', expected one of"),
        (lambda: setattr(explorer(), "head", 2), "head: got 2, expected 0 to 1"),
    ],
)
def test_it_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()
