"""Does a map say what a ViT needs? Patches are taken away, or given back, in the map's order, and the model is asked.

Shapes: B photos (B, H, W), P patches row by row; a map is scores (B, P), the greatest for the patch that matters most.
"""

from collections.abc import Callable

import torch
from einops import einsum, rearrange, reduce, repeat
from torch.nn import functional as F

from helpers.rollout import rollout
from helpers.validation import require_choice, require_shape
from helpers.vit import ViT, attention_maps

# ---------------------------------------------------------------------------------------------------------------------
# What stands in for a patch that is taken away
# ---------------------------------------------------------------------------------------------------------------------


def blur(photos: torch.Tensor, sigma: float = 4.0) -> torch.Tensor:
    """Photos (B, H, W) seen through a Gaussian of so many pixels, mirrored at the border; cut off at 3 sigma."""
    radius = int(3 * sigma)
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    weights = (weights / weights.sum()).to(photos.dtype)
    x = F.pad(photos[:, None], [radius] * 4, mode="reflect")
    x = F.conv2d(x, weights.view(1, 1, 1, -1))
    return F.conv2d(x, weights.view(1, 1, -1, 1))[:, 0]


ERASURES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "mean": lambda photos: reduce(photos, "b y x -> b 1 1", "mean").expand_as(photos),
    "blur": blur,
}

# ---------------------------------------------------------------------------------------------------------------------
# Maps
# ---------------------------------------------------------------------------------------------------------------------


@torch.enable_grad()
def token_grad_cam(
    model: ViT, photos: torch.Tensor, classes: torch.Tensor
) -> torch.Tensor:
    """Grad-CAM on the tokens that enter the last layer: ReLU(Σ_c α_c x_c), α_c the gradient's mean over the patches.

    photos (B, H, W), classes (B,) → (B, P). Not on what the last layer gives: from there
    only the class token is read, and the patches' gradient is 0.
    Source: Selvaraju et al. 2017, eq. 1 and 2; on tokens, Gildenblat 2021.
    """
    entering = []

    def begin(layer, inputs):
        entering.append(inputs[0].detach().requires_grad_())
        return tuple(entering)

    hook = model.encoder.layers[-1].register_forward_pre_hook(begin)
    try:
        logits = model(photos)
    finally:
        hook.remove()
    chosen = logits[torch.arange(len(classes)), classes]
    (gradient,) = torch.autograd.grad(chosen.sum(), entering)
    tokens, gradient = entering[0][:, model.prefix :], gradient[:, model.prefix :]
    alpha = reduce(gradient, "b p d -> b d", "mean")
    return F.relu(einsum(alpha, tokens.detach(), "b d, b p d -> b p"))


@torch.no_grad()
def occlusion(
    model: ViT, photos: torch.Tensor, classes: torch.Tensor, erasure: str = "mean"
) -> torch.Tensor:
    """How much probability the class loses if this one patch is taken away: (B, P). Source: Zeiler and Fergus 2014."""
    before = probability(model, photos, classes)
    erased, mask = ERASURES[erasure](photos), torch.eye(count_patches(model, photos))
    lost = [
        before
        - probability(
            model, torch.where(enlarge(model, one, photos), erased, photos), classes
        )
        for one in mask.bool()
    ]
    return torch.stack(lost, dim=1)


def last_attention(model, photos, classes):
    """Where the class token looks in the last layer, the mean of the heads: (B, P)."""
    return attention_maps(model, photos[:, None])[:, -1].mean(dim=1)[
        :, 0, model.prefix :
    ]


def class_rollout(model, photos, classes):
    """Rollout through all layers, mean of the heads, the class token's row: (B, P). Source: Abnar and Zuidema 2020."""
    weights = rearrange(attention_maps(model, photos[:, None]), "b n ... -> n b ...")
    return rollout(weights)[-1][:, 0, model.prefix :]


def brightness(model, photos, classes):
    """The mean pixel of each patch, which knows nothing of the model: (B, P)."""
    p = model.patch
    return reduce(photos, "b (y i) (x j) -> b (y x)", "mean", i=p, j=p)


def by_lot(model, photos, classes):
    """No patch before another: `curve` draws the order of equals. (B, P)."""
    return torch.zeros(len(photos), count_patches(model, photos))


# Each takes model, photos (B, H, W) and classes (B,); those that know the class use it.
MAPS: dict[str, Callable] = {
    "rollout": class_rollout,
    "attention": last_attention,
    "Grad-CAM": token_grad_cam,
    "occlusion": occlusion,
    "brightness": brightness,
    "random": by_lot,
}

# ---------------------------------------------------------------------------------------------------------------------
# Deletion and insertion
# ---------------------------------------------------------------------------------------------------------------------


def count_patches(model: ViT, photos: torch.Tensor) -> int:
    rows, columns = model.grid(photos)
    return rows * columns


def enlarge(model: ViT, patches: torch.Tensor, photos: torch.Tensor) -> torch.Tensor:
    """A value for each patch (…, P) → for each pixel (…, H, W)."""
    rows, _ = model.grid(photos)
    p = model.patch
    return repeat(patches, "... (y x) -> ... (y i) (x j)", y=rows, i=p, j=p)


@torch.no_grad()
def probability(model, photos, classes) -> torch.Tensor:
    """What the model gives to the class (B,) of each photo: (B,)."""
    return model(photos).softmax(dim=1)[torch.arange(len(classes)), classes]


def ranks(scores: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """0 for the greatest score of a row (B, P), 1 for the next …; among equals the lot decides."""
    lot = torch.rand(scores.shape, generator=generator).argsort(dim=1)
    order = scores.gather(1, lot).argsort(dim=1, descending=True, stable=True)
    return lot.gather(1, order).argsort(dim=1)


def curve(
    model: ViT,
    photos: torch.Tensor,
    classes: torch.Tensor,
    scores: torch.Tensor,
    generator: torch.Generator,
    erasure: str = "mean",
    insert: bool = False,
    points: int = 8,
) -> torch.Tensor:
    """The class's probability while patches go, those with the greatest scores first: (B, points), from none to all.

    insert: they come instead, into a photo of which nothing is left. Raises ValueError
    for another erasure, scores of another shape, or less than two points.
    Source: Petsiuk et al. 2018, section 3.1; Samek et al. 2017.
    """
    require_choice("erasure", erasure, ERASURES)
    count = count_patches(model, photos)
    require_shape("scores", scores, (len(photos), count))
    if points < 2:
        raise ValueError(f"points: got {points}, expected at least 2")
    erased, rank = ERASURES[erasure](photos), ranks(scores, generator)
    found = []
    for share in torch.linspace(0, 1, points):
        chosen = enlarge(model, rank < round(share.item() * count), photos)
        shown = torch.where(chosen == insert, photos, erased)
        found.append(probability(model, shown, classes))
    return torch.stack(found, dim=1)


def area(curves: torch.Tensor) -> torch.Tensor:
    """The area under curves (…, points) over shares from 0 to 1, by trapezoids: (…,)."""
    return torch.trapezoid(curves, dx=1 / (curves.shape[-1] - 1), dim=-1)
