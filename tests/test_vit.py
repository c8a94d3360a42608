"""The Vision Transformer: patches, positions, the model against PyTorch's encoder, parameter counts, odd input."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from helpers.resnet import count_parameters
from helpers.vit import (
    ViT,
    attention_distance,
    attention_maps,
    convolutional_stem,
    cut,
    position_similarity,
    principal_colours,
    rearranged,
    resize_positions,
    vit,
)

pytestmark = pytest.mark.usefixtures("double_precision")


def tiny(seed=0, **options):
    """2 layers, d = 12, 3 heads, patches of 2 on 8 × 6 is no square grid; all weights far from their start."""
    torch.manual_seed(seed)
    sizes = {"size": 8, "patch": 2, "d_model": 12, "num_heads": 3, "num_layers": 2}
    model = ViT(**sizes | {"classes": 5} | options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model.eval()


def close(a, b):
    return torch.allclose(a, b, rtol=0, atol=1e-12)


# --- patches ----------------------------------------------------------------------------------------------------


def test_patches_are_cut_row_by_row_with_the_channels_outermost():
    image = torch.arange(24.0).view(1, 2, 3, 4).repeat_interleave(2, 2)  # (1, 2, 6, 4)
    patches = cut(image, 2)
    assert patches.shape == (1, 6, 8)
    assert patches[0, 0].tolist() == [0, 1, 0, 1, 12, 13, 12, 13]
    assert patches[0, 1].tolist() == [2, 3, 2, 3, 14, 15, 14, 15]
    assert patches[0, 2].tolist() == [4, 5, 4, 5, 16, 17, 16, 17]


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_the_embedding_is_unfold_and_a_linear_layer(patch):
    model = tiny(patch=patch)
    images = torch.rand(2, 3, 8, 12)
    expected = F.unfold(images, patch, stride=patch).mT  # PyTorch's own
    assert torch.equal(cut(images, patch), expected)
    embedded = model.embed(images).flatten(2).mT
    by_hand = expected @ model.embed.weight.flatten(1).T + model.embed.bias
    assert close(embedded, by_hand)


def test_another_order_of_the_patches():
    images = torch.rand(2, 3, 4, 6)
    order = torch.randperm(6)
    moved = rearranged(images, 2, order)
    assert torch.equal(cut(moved, 2), cut(images, 2)[:, order])
    assert torch.equal(rearranged(moved, 2, order.argsort()), images)


def test_the_convolutional_stem_has_the_shapes_of_patches():
    stem = convolutional_stem(3, 32, 8)
    assert stem(torch.rand(2, 3, 16, 24)).shape == (2, 32, 2, 3)
    widths = [m.out_channels for m in stem if isinstance(m, nn.Conv2d)]
    assert widths == [8, 16, 32, 32]
    model = tiny(patch=4, embed=convolutional_stem)
    assert model(torch.rand(2, 3, 8, 8)).shape == (2, 5)
    for patch, d_model in ((14, 28), (1, 8), (8, 12)):
        with pytest.raises(ValueError, match=f"got {patch} and {d_model}, expected a"):
            convolutional_stem(3, d_model, patch)


# --- positions --------------------------------------------------------------------------------------------------


def test_positions_of_the_same_grid_stay_and_others_are_a_resized_picture():
    positions = torch.randn(12, 5)
    assert resize_positions(positions, (3, 4), (3, 4)) is positions
    resized = resize_positions(positions, (3, 4), (6, 5))
    picture = positions.T.reshape(1, 5, 3, 4)
    expected = F.interpolate(picture, (6, 5), mode="bicubic", antialias=True)
    assert torch.equal(resized, expected[0].flatten(1).T)
    flat = resize_positions(torch.ones(16, 2), (4, 4), (3, 7))
    assert close(flat, torch.ones(21, 2))


def test_without_positions_the_class_token_does_not_notice_a_shuffle():
    images, order = (
        torch.rand(2, 3, 8, 8),
        torch.tensor([5, 3, *range(6, 16), 0, 1, 2, 4]),
    )
    model = tiny()
    change = model(images) - model(rearranged(images, 2, order))
    assert change.abs().max() > 1e-3
    with torch.no_grad():
        model.positions[1:] = 0
    assert close(model(images), model(rearranged(images, 2, order)))


def test_how_alike_positions_are():
    model = tiny()
    similar = position_similarity(model)
    assert similar.shape == (4, 4, 4, 4)
    p = model.positions
    expected = F.cosine_similarity(p[1 + 4 * 2 + 1], p[1 + 4 * 0 + 3], dim=0)
    assert similar[2, 1, 0, 3].item() == pytest.approx(expected.item())


# --- the model --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("registers", [0, 3])
def test_the_model_is_pytorchs_encoder_on_patches(registers):
    """With tokens made by hand, registers between the class token and the patches, without a position."""
    ours = tiny(registers=registers)
    theirs = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(
            12, 3, 48, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True
        ),
        2,
        nn.LayerNorm(12, 1e-6),
        enable_nested_tensor=False,
    ).eval()
    for mine, other in zip(ours.encoder.layers, theirs.layers, strict=True):
        projections = mine.attention.query, mine.attention.key, mine.attention.value
        weights = {
            "in_proj_weight": torch.cat([p.weight for p in projections]),
            "in_proj_bias": torch.cat([p.bias for p in projections]),
        }
        other.self_attn.load_state_dict(weights, strict=False)
        other.self_attn.out_proj.load_state_dict(mine.attention.output.state_dict())
        other.linear1.load_state_dict(mine.feed_forward.inner.state_dict())
        other.linear2.load_state_dict(mine.feed_forward.outer.state_dict())
        other.norm1.load_state_dict(mine.around_attention.norm.state_dict())
        other.norm2.load_state_dict(mine.around_feed_forward.norm.state_dict())
    theirs.norm.load_state_dict(ours.encoder.norm.state_dict())

    images = torch.rand(2, 3, 8, 8)
    kernel = ours.embed.weight.flatten(1)
    patches = cut(2 * images - 1, 2) @ kernel.T + ours.embed.bias + ours.positions[1:]
    first = (ours.class_token + ours.positions[0]).expand(2, 1, 12)
    tokens = torch.cat([first, ours.registers.expand(2, -1, -1), patches], dim=1)
    with torch.no_grad():
        states, weights = ours.encode(images, need_weights=True)
        assert close(ours.tokens(images), tokens)
        assert close(states, theirs(tokens))
        assert close(
            ours(images), states[:, 0] @ ours.classify.weight.T + ours.classify.bias
        )
        assert close(ours.encode(images)[0], states)  # the fused kernel
    assert len(weights) == 2 and ours.prefix == 1 + registers


def test_layer_scale_multiplies_what_each_sub_layer_adds():
    plain, scaled = tiny(), tiny(layer_scale=1.0)
    with torch.no_grad():
        scaled.load_state_dict(
            {
                name: plain.state_dict().get(
                    name.replace("output.0", "output").replace("outer.0", "outer"),
                    value,
                )
                for name, value in scaled.state_dict().items()
            }
        )
        for layer, other in zip(
            scaled.encoder.layers, plain.encoder.layers, strict=True
        ):
            for mine, theirs in (
                (layer.attention.output, other.attention.output),
                (layer.feed_forward.outer, other.feed_forward.outer),
            ):
                factor = mine[1].factor
                theirs.weight.mul_(factor[:, None])
                theirs.bias.mul_(factor)
        images = torch.rand(2, 3, 8, 8)
        assert close(scaled(images), plain(images))
    start = ViT(8, 2, 3, 12, 3, 1, layer_scale=1e-5).encoder.layers[0]
    assert start.attention.output[1].factor.tolist() == 12 * [1e-5]


def test_parameters_are_those_of_the_papers():
    """At 224 pixels and 1000 classes, as timm and torchvision have them."""
    expected = {
        "Ti/16": 5_717_416,
        "S/16": 22_050_664,
        "B/16": 86_567_656,
        "L/16": 304_326_632,
        "H/14": 632_045_800,
    }
    with torch.device("meta"):
        counts = {name: count_parameters(vit(name)) for name in expected}
    assert counts == expected


def test_other_sizes_and_shapes_of_images():
    model = tiny(registers=2)
    for height, width in ((8, 8), (4, 12), (2, 2), (16, 10)):
        images = torch.rand(2, 3, height, width)
        tokens = 3 + height * width // 4
        assert model.grid(images) == (height // 2, width // 2)
        assert model.tokens(images).shape == (2, tokens, 12)
        maps = attention_maps(model, images)
        assert maps.shape == (2, 2, 3, tokens, tokens)
        assert close(maps.sum(dim=-1), torch.ones(2, 2, 3, tokens))


def test_maps_are_those_that_a_hook_sees():
    model, images, seen = tiny().train(), torch.rand(1, 3, 8, 8), []
    for layer in model.encoder.layers:
        layer.attention.softmax.register_forward_hook(lambda _, __, o: seen.append(o))
    maps = attention_maps(model, images)
    assert torch.equal(maps, torch.stack(seen, dim=1)) and not maps.requires_grad
    assert not model.training


def test_pixels_are_scaled_by_channel():
    model = tiny(mean=(0.1, 0.2, 0.3), deviation=(0.5, 0.25, 1.0))
    seen = []
    model.embed.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.full((1, 3, 8, 8), 0.6))
    assert seen[0][0, :, 4, 1].tolist() == pytest.approx([1.0, 1.6, 0.3])


# --- what to look at ----------------------------------------------------------------------------------------------


def test_attention_distance_on_a_grid_of_two_by_three():
    prefix, grid = 2, (2, 3)
    maps = torch.zeros(8, 8)
    maps[:, :2] = 0.25  # what goes to class token and register does not count
    far = {0: 5, 1: 4, 2: 0, 3: 3, 4: 5, 5: 2}  # row by row
    for asks, asked in far.items():
        maps[2 + asks, 2 + asked] = 0.5
    expected = (5**0.5 + 1 + 2 + 0 + 1 + 1) / 6
    assert attention_distance(maps, prefix, grid).item() == pytest.approx(expected)
    stacked = maps.expand(4, 3, 8, 8)
    assert attention_distance(stacked, prefix, grid).shape == (4, 3)
    with pytest.raises(
        ValueError, match=r"maps: got shape \(8, 8\), expected \(9, 9\)"
    ):
        attention_distance(maps, 3, grid)


def test_the_first_colour_is_the_direction_of_the_greatest_difference():
    generator = torch.Generator().manual_seed(0)
    t = torch.linspace(-1, 1, 200)
    noise = torch.randn(200, 6, generator=generator) * 0.01
    direction = torch.tensor([0.0, 3, 0, 4, 0, 0])
    colours = principal_colours(t[:, None] * direction + noise)
    assert colours.shape == (200, 3) and colours.min() == 0 and colours.max() == 1
    along = torch.corrcoef(torch.stack([colours[:, 0], t]))[0, 1].abs()
    assert along > 0.99
    assert torch.corrcoef(torch.stack([colours[:, 1], t]))[0, 1].abs() < 0.2


# --- odd input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 3, 8, 7), "images: got 8 × 7 pixels, expected multiples of 2"),
        (torch.zeros(1, 1, 8, 8), r"images: got shape \(1, 1, 8, 8\), expected \(B, 3"),
        (torch.zeros(3, 8, 8), r"images: got shape \(3, 8, 8\), expected \(B, 3"),
        (torch.zeros(1, 3, 8, 8).long(), "images: got torch.int64, expected floating"),
        (torch.full((1, 3, 8, 8), torch.nan), "images: got 192 NaN or infinite"),
        (torch.full((1, 3, 8, 8), 255.0), "images: got values from 255 to 255, expec"),
        (torch.zeros(1, 3, 8, 0), r"images: got shape \(1, 3, 8, 0\)"),
    ],
)
def test_images_that_do_not_fit_are_named(images, message):
    with pytest.raises(ValueError, match=message):
        tiny()(images)


def test_models_that_cannot_be():
    for size, patch in ((224, 15), (8, 16), (8, 0)):
        with pytest.raises(ValueError, match=f"size: got {size}, expected a multiple"):
            ViT(size, patch, 3, 12, 3, 1)
    with pytest.raises(ValueError, match="d_model: got 12, expected a multiple of num"):
        ViT(8, 2, 3, 12, 5, 1)
    for name in ("XL/16", "B", "B/x", ""):
        with pytest.raises(
            ValueError, match=f"name: got '{name}', expected one of Ti, "
        ):
            vit(name)
    with pytest.raises(
        ValueError, match="images: got 4 × 6 pixels, expected multiples"
    ):
        cut(torch.zeros(1, 1, 4, 6), 4)
