"""Where a convolutional network looks: how far a unit could see, how far it does, and which pixels made the class.

Shapes: B images in a batch, maps (B, C, H, W) with C channels. A field is (H, W), one number for each pixel.
"""

from difflib import get_close_matches

import torch
from einops import einsum, rearrange, reduce
from torch import nn
from torch.nn import functional as F

from helpers.resnet import require_images, require_maps
from helpers.validation import require_finite, require_shape

# ---------------------------------------------------------------------------------------------------------------------
# Class activation maps
# ---------------------------------------------------------------------------------------------------------------------


class PooledClassifier(nn.Module):
    """Features, their mean over the image, and one linear layer: the network that CAM was made for.

    features: (B, inputs, H, W) → (B, channels, h, w). Source: Lin et al. 2014, section 3.2; Zhou et al. 2016.
    """

    def __init__(self, features: nn.Module, channels: int, num_classes: int):
        super().__init__()
        self.features = features
        self.head = nn.Linear(channels, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images (B, inputs, H, W) → scores (B, num_classes), before a softmax."""
        pooled = reduce(self.features(images), "b c y x -> b c", "mean")
        return self.head(pooled)


class SmallCNN(PooledClassifier):
    """Three pairs of 3×3 convolutions with SiLU, halved in height and width between them.

    images (B, inputs, H, W) → scores (B, num_classes); `features` gives (B, 4 · width, H/4, W/4).
    Raises ValueError for images of other channels, not scaled, or less than 4 pixels high or wide.
    """

    def __init__(self, inputs: int, num_classes: int, width: int = 16):
        layers, before = [], inputs
        for stage, channels in enumerate((width, 2 * width, 4 * width)):
            if stage:
                layers.append(nn.AvgPool2d(2))
            for _ in range(2):
                conv = nn.Conv2d(before, channels, 3, padding=1, bias=False)
                layers += [conv, nn.BatchNorm2d(channels), nn.SiLU()]
                before = channels
        super().__init__(nn.Sequential(*layers), before, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images (B, inputs, H, W) → scores (B, num_classes)."""
        require_images("images", images, self.features[0].in_channels)
        if min(images.shape[-2:]) < 4:
            got = tuple(images.shape[-2:])
            raise ValueError(f"images: got {got} pixels, expected at least (4, 4)")
        return super().forward(images)


@torch.no_grad()
def class_activation_map(
    network: nn.Module,
    images: torch.Tensor,
    layer: str,
    head: str,
    classes: torch.Tensor | int | None = None,
) -> torch.Tensor:
    """How much each place speaks for a class: Σ_c W_kc A_c, with its sign. images (B, C, H, W) → maps (B, h, w).

    layer, head: the names of the last maps A and of the linear layer W on their mean. The mean of a map, plus the
    head's bias, is the score, and this is checked. classes: a number for each image, or one for all; the class of the
    greatest score if left out. Raises ValueError for a network of another build, names that it does not have, classes
    that it does not know, and images that it does not take. Source: Zhou et al. 2016, eq. 2.
    """
    linear = _module(network, "head", head)
    if not isinstance(linear, nn.Linear):
        raise ValueError(
            f"head: got {head!r}, a {type(linear).__name__}, expected the name of an nn.Linear"
        )
    images = require_batch(images)
    maps, scores = run_to_layer(network, images, layer, lambda output: output.detach())
    classes = _require_classes(classes, scores)
    fits = linear.weight.shape == (scores.shape[1], maps.shape[1])
    if fits:
        weight = linear.weight.detach()[classes]  # (B, C)
        heat = einsum(weight, maps, "b c, b c y x -> b y x")
        means = reduce(heat, "b y x -> b", "mean")
        if linear.bias is not None:
            means = means + linear.bias.detach()[classes]
        chosen = scores.detach()[torch.arange(len(classes)), classes]
        fits = torch.allclose(means, chosen, rtol=1e-3, atol=1e-4)
    if not fits:
        raise ValueError(
            f"network: got scores that are not {head!r} of the mean of {layer!r}, expected a mean over the image "
            "and then one linear layer; use grad_cam"
        )
    return heat


@torch.enable_grad()
def grad_cam(
    network: nn.Module,
    images: torch.Tensor,
    layer: str,
    classes: torch.Tensor | int | None = None,
) -> torch.Tensor:
    """How much each place speaks for a class, for any network: ReLU(Σ_c α_c A_c). images (B, C, H, W) → (B, h, w).

    A are the maps of the layer of that name, and α_c is the mean over the map of the gradient of the class's score. Of
    a mean and one linear layer the gradient is W_kc / (h·w), so that h·w times this map is ReLU(CAM). classes: as for
    `class_activation_map`. The network is evaluated as after `eval()` and left as it was; no gradient is kept.
    Raises ValueError for names that it does not have, a layer that does not run once or whose output is not
    (B, C, h, w), classes that it does not know, and images that it does not take.
    Source: Selvaraju et al. 2017, eq. 1 and 2.
    """
    # The graph begins at the layer: a leaf, and behind it a copy, which what follows may change in place.
    images = require_batch(images)
    maps, scores = run_to_layer(
        network, images, layer, lambda o: o.detach().requires_grad_()
    )
    classes = _require_classes(classes, scores)
    chosen = scores[torch.arange(len(classes)), classes]
    (gradient,) = torch.autograd.grad(chosen.sum(), maps)
    alpha = reduce(gradient, "b c y x -> b c", "mean")
    return F.relu(einsum(alpha, maps.detach(), "b c, b c y x -> b y x"))


def require_batch(images: torch.Tensor) -> torch.Tensor:
    require_shape("images", images, ("B", "C", "H", "W"))
    require_maps("images", images, images.shape[1])
    return images


def _module(network: nn.Module, what: str, name: str) -> nn.Module:
    modules = dict(network.named_modules())
    if name not in modules:
        known = [key for key in modules if key]
        like = get_close_matches(name, known, 3, 0.0)
        raise ValueError(
            f"{what}: got {name!r}, expected a name in network.named_modules(), such as {', '.join(map(repr, like))}"
        )
    return modules[name]


def run_to_layer(network, images, layer, keep) -> tuple[torch.Tensor, torch.Tensor]:
    """The output of a layer, as `keep` makes it, and that of the network, which is computed from the kept one."""
    kept = []

    def hook(_, __, output):
        shape = tuple(getattr(output, "shape", ()))
        if len(shape) != 4:
            got = f"one of shape {shape}" if shape else type(output).__name__
            raise ValueError(
                f"layer: got {layer!r}, whose output is {got}, expected (B, C, H, W)"
            )
        kept.append(keep(output))
        return kept[-1].clone()

    handle = _module(network, "layer", layer).register_forward_hook(hook)
    modes = {module: module.training for module in network.modules()}
    try:
        network.eval()
        scores = network(images)
    except RuntimeError as error:
        raise ValueError(
            f"images: got {images.dtype} of shape {tuple(images.shape)}, expected what the network takes; "
            f"it said: {error}"
        ) from error
    finally:
        handle.remove()
        for module, mode in modes.items():
            module.training = mode
    if len(kept) != 1:
        raise ValueError(
            f"layer: got {layer!r}, which ran {len(kept)} times, expected one that runs once"
        )
    return kept[0], scores


def _require_classes(classes, scores: torch.Tensor) -> torch.Tensor:
    """The classes (B,), after a look at the scores (B, K)."""
    require_shape("scores of the network", scores, ("B", "K"))
    if classes is None:
        return scores.argmax(dim=1)
    classes = torch.as_tensor(classes, device=scores.device)
    if classes.is_floating_point() or classes.dtype == torch.bool:
        raise ValueError(f"classes: got {classes.dtype}, expected integers")
    if classes.ndim == 0:
        classes = classes.expand(len(scores))
    require_shape("classes", classes, (len(scores),))
    if classes.min() < 0 or classes.max() >= scores.shape[1]:
        worst = int(classes.min() if classes.min() < 0 else classes.max())
        raise ValueError(f"classes: got {worst}, expected 0 to {scores.shape[1] - 1}")
    return classes


# ---------------------------------------------------------------------------------------------------------------------
# Do the maps point at what is there?
# ---------------------------------------------------------------------------------------------------------------------


def enlarge(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """maps (B, h, w) → (B, H, W), straight lines between the middles of the map's cells. size: (H, W)."""
    require_shape("maps", maps, ("B", "h", "w"))
    large = F.interpolate(rearrange(maps, "b y x -> b 1 y x"), size, mode="bilinear")
    return rearrange(large, "b 1 y x -> b y x")


def pointing_accuracy(
    maps: torch.Tensor, regions: torch.Tensor, tolerance: int = 0
) -> float:
    """The share of maps (B, h, w) whose greatest value lies in the true region: regions (B, H, W), boolean.

    The maps are enlarged to the regions' size. If several places share the greatest value, as in a map of only zeros,
    the map counts for the share of them that is inside: a constant map scores what pointing blindly would.
    tolerance: so many pixels beside a region still count. Raises ValueError for other shapes, types, NaN, an image
    without a region, and a negative tolerance. Source: the pointing game of Zhang et al. 2016 (arXiv 1608.00507).
    """
    maps = _require_pairs(maps, regions)
    if tolerance < 0:
        raise ValueError(f"tolerance: got {tolerance}, expected at least 0")
    wide = rearrange(regions, "b y x -> b 1 y x").to(maps.dtype)
    wide = F.max_pool2d(wide, 2 * tolerance + 1, 1, padding=tolerance)[:, 0]
    most = maps.amax(dim=(1, 2), keepdim=True)
    rounding = 8 * torch.finfo(maps.dtype).eps * most.abs()  # of the enlarging
    greatest = (maps >= most - rounding).to(maps.dtype)
    inside = (greatest * wide).sum(dim=(1, 2)) / greatest.sum(dim=(1, 2))
    return inside.mean().item()


def share_inside(maps: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    """How much of each map's positive part lies in its region: maps (B, h, w), regions (B, H, W) → (B,), from 0 to 1.

    A map without a positive number gets 0. Raises ValueError as `pointing_accuracy` does.
    Source: Wang et al. 2020 (arXiv 1910.01279), section 4.3.
    """
    positive = _require_pairs(maps, regions).clamp(min=0)
    inside = (positive * regions).sum(dim=(1, 2))
    total = positive.sum(dim=(1, 2))
    return inside / torch.where(total > 0, total, 1)


def _require_pairs(maps: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    """The maps in the regions' size, after a look at both."""
    require_shape("maps", maps, ("B", "h", "w"))
    require_finite("maps", maps)
    require_shape("regions", regions, (len(maps), "H", "W"))
    if regions.dtype != torch.bool:
        raise ValueError(
            f"regions: got {regions.dtype}, expected torch.bool with True where the object is"
        )
    if not (there := regions.any(dim=(1, 2))).all():
        raise ValueError(
            f"regions: got none for image {int((~there).nonzero()[0])}, expected a pixel with True in each"
        )
    return enlarge(maps, tuple(regions.shape[1:]))
