"""The explorer of attention to a neighbourhood: its weights are the layer's, and bad input is named."""

import numpy as np
import pytest
import torch

from helpers.explorers import WindowExplorer
from helpers.vision_self_attention import LocalSelfAttention

pytestmark = pytest.mark.usefixtures("double_precision")


def explored(size=5, height=6, width=7):
    """An explorer of a layer and two pictures, and the layer's weights for each: (h, H·W, k²)."""
    torch.manual_seed(0)
    layer, seen = LocalSelfAttention(3, 8, size, num_heads=2), []
    layer.softmax.register_forward_hook(
        lambda module, inputs, output: seen.append(output)
    )
    pictures, weights = {}, {}
    for name in ("boot", "bag"):
        x = torch.randn(1, 3, height, width)
        layer(x)
        vectors = (
            project(x)[0].view(2, 4, -1).mT for project in (layer.query, layer.key)
        )
        pictures[name] = (torch.rand(height, width), *vectors)
        weights[name] = seen.pop()[0].detach().numpy()
    return WindowExplorer(pictures, layer.offsets()), weights


def test_the_weights_are_the_layer_s():
    explorer, weights = explored()
    for name, expected in weights.items():
        explorer.picture = name
        for explorer.head in (0, 1):
            for explorer.query in (0, 6, 16, 41):
                shown = explorer.window().ravel()
                wanted = expected[explorer.head, explorer.query]
                assert np.allclose(shown, wanted, atol=0.01)
                assert ((shown == 0) == (wanted == 0)).all()


def test_offsets_alone_do_not_see_the_keys_and_content_alone_not_the_place():
    explorer, _ = explored()
    explorer.query = 24
    explorer.part = "offsets"
    offsets = explorer.window()
    explorer.part = "content"
    content = explorer.window()
    product = content * offsets  # exp(a + b) = exp(a) exp(b)
    explorer.part = "both"
    assert np.allclose(explorer.window(), product / product.sum(), atol=1e-9)
    assert np.abs(content - offsets).max() > 0.01


def test_its_state_is_small_and_its_name_says_what_it_shows():
    explorer, _ = explored()
    assert repr(explorer) == (
        "WindowExplorer(2 pictures of 6 × 7 pixels, 2 heads, 5 × 5 neighbours)"
    )
    assert len(explorer._vectors) == 2 * 2 * 2 * 42 * 4 * 2
    assert len(explorer._images) == 2 * 42


IMAGE, VECTORS, OFFSETS = np.zeros((6, 7)), np.zeros((2, 42, 4)), np.zeros((2, 9, 4))


@pytest.mark.parametrize(
    ("pictures", "offsets", "message"),
    [
        ({}, OFFSETS, "pictures: got none"),
        ({"a": (IMAGE, VECTORS, VECTORS)}, np.zeros((2, 4, 4)), "got 4 neighbours"),
        ({"a": (IMAGE, VECTORS, VECTORS)}, np.zeros((9, 4)), "offsets: got shape"),
        ({"a": (IMAGE + 2, VECTORS, VECTORS)}, OFFSETS, "got 2 to 2, expected 0 to 1"),
        ({"a": (IMAGE + np.nan, VECTORS, VECTORS)}, OFFSETS, "42 NaN"),
        ({"a": (IMAGE, VECTORS[:, 1:], VECTORS)}, OFFSETS, "'a'., queries: got shape"),
        ({"a": (IMAGE, VECTORS, VECTORS[:1])}, OFFSETS, "'a'., keys: got shape"),
        (
            {"a": (IMAGE, VECTORS, VECTORS), "b": (IMAGE.T, VECTORS, VECTORS)},
            OFFSETS,
            "'b'.: got shape .7, 6., expected .6, 7.",
        ),
    ],
)
def test_bad_input_is_named(pictures, offsets, message):
    with pytest.raises(ValueError, match=message):
        WindowExplorer(pictures, offsets)


@pytest.mark.parametrize(
    ("trait", "value", "message"),
    [
        ("query", 42, "query: got 42, expected 0 to 41"),
        ("head", 2, "head: got 2, expected 0 to 1"),
        ("part", "none", "part: got 'none', expected one of"),
        ("picture", "coat", "picture: got 'coat', expected one of"),
    ],
)
def test_bad_values_are_named(trait, value, message):
    explorer, _ = explored()
    with pytest.raises(ValueError, match=message):
        setattr(explorer, trait, value)
