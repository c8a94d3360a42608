"""Small networks for photos of clothes, to compare by the number of photos they are trained on: a CNN and ViTs.

Shapes: B photos (B, 28, 28) with pixels from 0 to 1 → logits (B, 10), which number `helpers.data.CLOTHES`.
"""

import json
from collections.abc import Callable

import torch
from torch import nn

from helpers.data import CLOTHES
from helpers.small_cnn import SmallCNN, batch_loss
from helpers.training import RECORDED, fit, load_part
from helpers.validation import require_choice, require_shape
from helpers.vit import ViT, convolutional_stem

SIZES = (250, 1000, 4000, 16000, 54946)  # photos to train on; the last is all there are
BATCH_SIZE = 64
SHIFT = 2  # pixels, at most, by which augmentation moves a photo


class PhotoViT(ViT):
    """A ViT of 28 × 28 grey pixels that takes photos without a channel: (B, 28, 28) → logits (B, 10)."""

    def __init__(self, patch: int, d_model: int, num_layers: int, d_ff: int, **options):
        super().__init__(
            size=28,
            patch=patch,
            channels=1,
            d_model=d_model,
            num_heads=4,
            num_layers=num_layers,
            classes=len(CLOTHES),
            d_ff=d_ff,
            **options,
        )

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        """photos (B, 28, 28) → logits (B, 10). Raises ValueError as `ViT.tokens` does."""
        return super().forward(photos.unsqueeze(-3))


def _stem(channels: int, d_model: int, patch: int) -> nn.Sequential:
    """28 × 28 pixels → 14 × 14 → 7 × 7 → 4 × 4 places, as many as there are patches of 7 × 7."""
    return convolutional_stem(channels, d_model, 8)


# The first three have equally many parameters, within 1 %.
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "CNN": lambda: SmallCNN(nn.Identity, (16, 30, 53), strides=(2, 2, 2)),
    "ViT": lambda: PhotoViT(7, 32, 2, 64),
    "ViT, convolutional stem": lambda: PhotoViT(7, 32, 2, 22, embed=_stem),
    "ViT, small patches": lambda: PhotoViT(4, 32, 3, 64),
}


def build(name: str, seed: int) -> nn.Module:
    """One of `NETWORKS`, with the weights of this seed. Raises ValueError for another name."""
    require_choice("name", name, NETWORKS)
    torch.manual_seed(seed)
    return NETWORKS[name]()


def draw_photos(
    part: tuple[torch.Tensor, torch.Tensor], count: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """`count` photos of a part and their classes, by lot; more of one seed contain the fewer.

    Raises ValueError unless 1 ≤ count ≤ the photos of the part.
    """
    photos, classes = part
    if not 1 <= count <= len(photos):
        raise ValueError(f"count: got {count}, expected 1 to {len(photos)}")
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(photos), generator=generator)[:count]
    return photos[rows], classes[rows]


def augment(photos: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Every photo moved by −2 to 2 pixels each way, black moving in, and every second one or so seen in a mirror.

    photos (B, H, W) → the same shape. Raises ValueError for another one.
    """
    require_shape("photos", photos, ("B", "H", "W"))
    count, height, width = photos.shape

    def draw(most):
        return torch.randint(most + 1, (count, 1), generator=generator)

    padded = nn.functional.pad(photos, [SHIFT] * 4)
    rows = torch.arange(height) + draw(2 * SHIFT)  # (B, H)
    columns = torch.arange(width) + draw(2 * SHIFT)  # (B, W)
    columns = torch.where(draw(1) == 1, columns.flip(1), columns)
    photo = torch.arange(count)[:, None, None]
    return padded[photo, rows[:, :, None], columns[:, None, :]]


def train(
    name: str,
    photos: torch.Tensor,
    classes: torch.Tensor,
    steps: int,
    learning_rate: float,
    seed: int = 0,
    augmented: bool = False,
) -> nn.Module:
    """One of `NETWORKS`, trained for so many steps of 64 photos; augmented: each draw of a photo is changed anew."""
    model = build(name, seed)
    changes = torch.Generator().manual_seed(seed + 1)
    network = (lambda drawn: model(augment(drawn, changes))) if augmented else model
    loss = batch_loss(network, photos, classes, BATCH_SIZE)
    fit(model, loss, steps, learning_rate, seed, description=name)
    return model


def recorded(what: str = "data_hunger") -> dict:
    """What experiments/data_hunger.py, or with "vit" experiments/vit.py, wrote down."""
    require_choice("what", what, ("data_hunger", "vit"))
    return json.loads((RECORDED / f"{what}.json").read_text())


def load(name: str, photos: int, seed: int = 0) -> nn.Module:
    """The "CNN" or the "ViT" that was trained on so many photos with seed 0 and the fewer steps, not augmented."""
    file = RECORDED / "data_hunger.safetensors"
    return load_part(build(name, seed), file, f"{name}/{photos}/{seed}")


def load_small_patches(seed: int) -> PhotoViT:
    """The "ViT, small patches" that experiments/vit.py trained on all photos."""
    name = "ViT, small patches"
    return load_part(build(name, seed), RECORDED / "vit.safetensors", f"{name}/{seed}")
