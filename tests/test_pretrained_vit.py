"""The pretrained ViT: against `transformers`, with registers and without, at several sizes; files that do not fit."""

import re

import pytest
import torch

from helpers.data import fetch
from helpers.mobilenet import DEVIATION, MEAN, photo_tensor
from helpers.photos import photo
from helpers.pretrained_vit import from_weights, load, our_names, pretrained
from helpers.vit import attention_maps

D, LAYERS, SIDE = 128, 2, 3  # numbers a token, layers, patches a side

# The authors' names for the parts, and those of `transformers`.
THEIR_NAMES = (
    (r"^(cls|mask|register)_token", r"embeddings.\1_token"),
    (r"^pos_embed", "embeddings.position_embeddings"),
    (r"^patch_embed.proj", "embeddings.patch_embeddings.projection"),
    (r"^norm", "layernorm"),
    (r"^blocks", "encoder.layer"),
    (r"attn.proj", "attention.o_proj"),
    (r"attn", "attention"),
    (r"ls(\d).gamma", r"layer_scale\1.lambda1"),
)
# What some versions of `transformers` call them.
OTHER_NAMES = {
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
}


def original(registers=4, seed=0, dtype=torch.float64):
    """Random weights under the names and in the shapes of the authors' files, whose SIDE is 37 and D 384."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "cls_token": (1, 1, D),
        "pos_embed": (1, 1 + SIDE**2, D),
        "mask_token": (1, D),
        "patch_embed.proj.weight": (D, 3, 14, 14),
        "patch_embed.proj.bias": (D,),
        "norm.weight": (D,),
        "norm.bias": (D,),
    }
    if registers:
        shapes["register_tokens"] = (1, registers, D)
    for i in range(LAYERS):
        for part, size in {
            "norm1": (D,),
            "attn.qkv": (3 * D, D),
            "attn.proj": (D, D),
            "norm2": (D,),
            "mlp.fc1": (4 * D, D),
            "mlp.fc2": (D, 4 * D),
        }.items():
            shapes[f"blocks.{i}.{part}.weight"] = size
            shapes[f"blocks.{i}.{part}.bias"] = size[:1]
        for part in ("ls1", "ls2"):
            shapes[f"blocks.{i}.{part}.gamma"] = (D,)
    return {
        name: 0.1 * torch.randn(shape, generator=generator, dtype=dtype)
        for name, shape in shapes.items()
    }


def transformers_model(weights):
    """The `transformers` library's model with weights of the authors' layout."""
    from transformers import (
        Dinov2Config,
        Dinov2Model,
        Dinov2WithRegistersConfig,
        Dinov2WithRegistersModel,
    )

    d_model = weights["norm.weight"].shape[0]
    sizes = {
        "hidden_size": d_model,
        "num_hidden_layers": sum(name.endswith("ls1.gamma") for name in weights),
        "num_attention_heads": d_model // 64,
        "patch_size": 14,
        "image_size": 14 * round((weights["pos_embed"].shape[1] - 1) ** 0.5),
    }
    if "register_tokens" in weights:
        number = weights["register_tokens"].shape[1]
        config = Dinov2WithRegistersConfig(num_register_tokens=number, **sizes)
        model = Dinov2WithRegistersModel(config)
    else:
        model = Dinov2Model(Dinov2Config(**sizes))
    theirs = {}
    for name, weight in weights.items():
        for old, new in THEIR_NAMES:
            name = re.sub(old, new, name)
        if "qkv" in name:
            parts = zip(("q_proj", "k_proj", "v_proj"), weight.chunk(3), strict=True)
            theirs |= {name.replace("qkv", part): third for part, third in parts}
        else:
            theirs[name] = weight
    model = model.to(weights["norm.weight"].dtype).eval()
    if not theirs.keys() <= model.state_dict().keys():
        for new, other in OTHER_NAMES.items():
            theirs = {k.replace(new, other): v for k, v in theirs.items()}
    model.load_state_dict(theirs)
    model.set_attn_implementation("eager")  # the one that returns weights
    return model


def differences(weights, images):
    """Greatest differences of the states and of the maps, ours − theirs; images are from 0 to 1."""
    ours, theirs = from_weights(weights), transformers_model(weights)
    by_channel = [
        torch.tensor(v, dtype=images.dtype).view(3, 1, 1) for v in (MEAN, DEVIATION)
    ]
    with torch.no_grad():
        states, maps = ours.encode(images, need_weights=True)
        fused, none = ours.encode(images)
        expected = theirs(
            (images - by_channel[0]) / by_channel[1], output_attentions=True
        )
        assert set(none) == {None} and len(none) == len(maps)
        assert (states - fused).abs().max() < 1e-4
        assert torch.equal(ours(images), fused[:, 0])
    greatest = max(
        (mine - other).abs().max()
        for mine, other in zip(maps, expected.attentions, strict=True)
    )
    return (states - expected.last_hidden_state).abs().max(), greatest


@pytest.mark.slow
@pytest.mark.parametrize("size", [(42, 42), (28, 70), (84, 56)])
def test_with_registers_at_any_size_it_is_the_references(size):
    """Also where positions are interpolated, and where the image is no square."""
    images = torch.rand(2, 3, *size, dtype=torch.float64)
    if size == (42, 42):
        assert max(differences(original(), images)) < 1e-12
    else:  # the reference interpolates in float32, whatever the precision
        assert max(differences(original(), images)) < 1e-5


@pytest.mark.slow
def test_without_registers_too():
    images = torch.rand(2, 3, 42, 42, dtype=torch.float64)
    assert max(differences(original(registers=0), images)) < 1e-12


@pytest.mark.slow
def test_the_downloaded_weights_give_the_references_numbers():
    file = fetch("dinov2") / "dinov2s.pt"
    weights = torch.load(file, map_location="cpu", weights_only=True)
    weights = {name: weight.double() for name, weight in weights.items()}
    image = photo_tensor(photo("chelsea"), 224).double()
    states, maps = differences(weights, image)
    assert states < 1e-5 and maps < 1e-5, (states, maps)


def test_the_originals_layout_is_read_from_a_file(tmp_path):
    weights = original(dtype=torch.float32)
    torch.save(weights, tmp_path / "dinov2_vits14_reg4_pretrain.pth")
    model = load(tmp_path / "dinov2_vits14_reg4_pretrain.pth")
    assert (model.size, model.patch, model.prefix) == (14 * SIDE, 14, 5)
    assert not model.training and len(model.encoder.layers) == LAYERS
    assert len(our_names(weights)) == len(weights) - 1 + 4 * LAYERS  # qkv: one to three
    assert attention_maps(model, torch.rand(1, 3, 28, 42)).shape == (1, 2, 2, 11, 11)
    images = torch.rand(1, 3, 42, 42)
    assert model(images).dtype == torch.float32 and not model(images).isnan().any()


def test_the_model_that_is_downloaded_is_the_small_one():
    model = pretrained()
    assert (model.size, model.patch, model.prefix) == (518, 14, 5)
    assert model.positions.shape == (1 + 37**2, 384)
    assert [layer.attention.num_heads for layer in model.encoder.layers] == 12 * [6]
    assert sum(p.numel() for p in model.parameters()) == 22_057_728


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {}, "weights: got 0 without cls_token, pos_embed, patch_embed"),
        (lambda w: {**w, "head.weight": w["cls_token"]}, "weights: .*head.weight"),
        (
            lambda w: {k: v for k, v in w.items() if k != "blocks.1.mlp.fc2.bias"},
            "weights: .*encoder.layers.1.feed_forward.outer.0.bias",
        ),
        (lambda w: {**w, "norm.bias": w["norm.bias"][1:]}, "weights: .*encoder.norm"),
    ],
)
def test_weights_that_do_not_fit_are_named(change, message):
    with pytest.raises(ValueError, match="(?s)" + message):
        from_weights(change(original()))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing.pth")
