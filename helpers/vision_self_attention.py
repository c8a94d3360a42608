"""Self-attention between the pixels of a feature map: with all of them, or with a neighbourhood.

Shapes: B images, C channels, H × W pixels, h heads of d = C / h numbers each, k × k pixels in a neighbourhood.
"""

from collections.abc import Callable

import torch
from einops import einsum, rearrange
from torch import nn
from torch.nn import functional as F

from helpers.resnet import ResNet, SmallStem, require_maps, resnet
from helpers.training import RECORDED, read_part
from helpers.validation import require_choice


def _require_positive(**sizes: int) -> None:
    for name, got in sizes.items():
        if got < 1:
            raise ValueError(f"{name}: got {got}, expected at least 1")


def _require_heads(channels: int, num_heads: int) -> None:
    """Each head has as many numbers for the row as for the column."""
    if num_heads < 1 or channels % (2 * num_heads):
        raise ValueError(
            f"num_heads: got {num_heads}, expected one of which 2 · num_heads divides {channels}, the channels"
        )


# ---------------------------------------------------------------------------------------------------------------------
# With all pixels: the non-local block
# ---------------------------------------------------------------------------------------------------------------------


class Mean(nn.Module):
    """Divides by the number of keys: what stands in the softmax's place for "dot product"."""

    def forward(self, energy: torch.Tensor) -> torch.Tensor:
        """energy (…, S) → (…, S)."""
        return energy / energy.shape[-1]


class NonLocal(nn.Module):
    """Every pixel adds what it found in all the others: z = x + W_z Σ_j w_ij g(x_j).

    kind "embedded gaussian": w_i = softmax_j(θ(x_i)·φ(x_j)), self-attention without
    the 1/√d; "dot product": w_ij = θ(x_i)·φ(x_j) / (H·W), which may be negative and
    does not sum to 1. A hook on `weigh` sees the map (B, H·W, H·W), a row for each
    pixel that asks. W_z starts at 0: put into a trained network, the block changes
    nothing at first. inner: channels of θ, φ and g, half of C if left out.
    Raises ValueError for another kind, and for a map of other channels or with NaN.
    Source: Wang et al. 2018, eq. 3, 4 and 6.
    """

    def __init__(
        self, channels: int, inner: int | None = None, kind: str = "embedded gaussian"
    ):
        super().__init__()
        inner = max(1, channels // 2) if inner is None else inner
        _require_positive(channels=channels, inner=inner)
        ways = {"embedded gaussian": nn.Softmax(dim=-1), "dot product": Mean()}
        require_choice("kind", kind, ways)
        self.channels = channels
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        self.weigh = ways[kind]
        self.output = nn.Conv2d(inner, channels, 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, C, H, W) → (B, C, H, W)."""
        require_maps("x", x, self.channels)
        asks, answers, gives = (
            rearrange(project(x), "b c y x -> b (y x) c")
            for project in (self.theta, self.phi, self.g)
        )
        weights = self.weigh(asks @ answers.mT)  # (B, H·W, H·W)
        found = rearrange(weights @ gives, "b (y x) c -> b c y x", x=x.shape[-1])
        return x + self.output(found)

    def multiply_adds(self, x: torch.Tensor) -> int:
        """Those outside the convolutions: energies and weighted sums."""
        batch, _, height, width = x.shape
        return 2 * batch * (height * width) ** 2 * self.theta.out_channels


# ---------------------------------------------------------------------------------------------------------------------
# With a neighbourhood: stand-alone self-attention
# ---------------------------------------------------------------------------------------------------------------------


class LocalSelfAttention(nn.Module):
    """What may stand where a k × k convolution stood: every pixel attends to those around it.

    y_i = Σ_j softmax_j(q_i·k_j + q_i·r_{j−i}) v_j over the k × k pixels j around i,
    where r = [row offset; column offset], each of d/2 numbers, learned. The product
    q·k is summed over the channels of a head: one weight for each head and pixel, not
    one for each channel. Pixels beyond the border get exactly 0. As in the paper
    there is no 1/√d, no bias and no output projection.
    A hook on `softmax` sees the weights (B, h, H·W, k²), neighbours row by row.
    Raises ValueError for an even k, heads that do not divide the channels by an even
    number, and a map of other channels, type, or with NaN.
    Source: Ramachandran et al. 2019, eq. 2 and 3.
    """

    def __init__(
        self, in_channels: int, out_channels: int, size: int = 7, num_heads: int = 8
    ):
        super().__init__()
        _require_positive(in_channels=in_channels, out_channels=out_channels)
        _require_heads(out_channels, num_heads)
        if size < 1 or size % 2 == 0:
            raise ValueError(
                f"size: got {size}, expected an odd number, with a pixel in the middle"
            )
        self.in_channels, self.size, self.num_heads = in_channels, size, num_heads
        self.query = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.key = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.value = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        half = out_channels // num_heads // 2
        self.row = nn.Parameter(torch.randn(num_heads, size, half) * half**-0.5)
        self.column = nn.Parameter(torch.randn(num_heads, size, half) * half**-0.5)
        self.softmax = nn.Softmax(dim=-1)

    def offsets(self) -> torch.Tensor:
        """r, one vector for each head and neighbour: (h, k², d)."""
        k = self.size
        row = self.row[:, :, None].expand(-1, -1, k, -1)  # (h, k, k, d/2)
        column = self.column[:, None].expand(-1, k, -1, -1)
        return torch.cat([row, column], dim=-1).flatten(1, 2)

    def inside(self, height: int, width: int) -> torch.Tensor:
        """(H·W, k²) booleans: which neighbours of a pixel are in the picture."""
        ones = torch.ones(1, 1, height, width, device=self.row.device)
        return F.unfold(ones, self.size, padding=self.size // 2)[0].mT > 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, in, H, W) → (B, out, H, W)."""
        require_maps("x", x, self.in_channels)
        height, width = x.shape[-2:]
        q = rearrange(self.query(x), "b (h d) y x -> b h (y x) d", h=self.num_heads)
        k, v = (
            rearrange(
                F.unfold(project(x), self.size, padding=self.size // 2),
                "b (h d k) n -> b h n k d",
                h=self.num_heads,
                k=self.size**2,
            )
            for project in (self.key, self.value)
        )  # the neighbours of each of the n = H·W pixels
        energy = einsum(q, k, "b h n d, b h n k d -> b h n k")  # the sum over channels
        energy = energy + einsum(q, self.offsets(), "b h n d, h k d -> b h n k")
        energy = energy.masked_fill(~self.inside(height, width), -torch.inf)
        weights = self.softmax(energy)
        found = einsum(weights, v, "b h n k, b h n k d -> b h n d")
        return rearrange(found, "b h (y x) d -> b (h d) y x", x=width)

    def multiply_adds(self, x: torch.Tensor) -> int:
        """Those outside the convolutions: q·k, q·r and the weighted sum, for each pair of neighbours."""
        batch, _, height, width = x.shape
        return 3 * batch * height * width * self.size**2 * self.query.out_channels


class AttentionStem(nn.Module):
    """The first layer as attention: colours alone say little, so values know their place.

    The picture is cut into blocks of k × k pixels; each pixel attends to those of its
    block. The value of the pixel at (a, b) of a block is Σ_m p(a, b, m) W_m x_ab, with
    p(a, b, ·) = softmax_m((row_a + column_b)·ν_m): m mixtures, the same for all heads,
    that let the layer find edges as a convolution would. Energies as in
    `LocalSelfAttention`, offsets included.
    A hook on `softmax` sees the weights (B, blocks, h, k², k²).
    Raises ValueError for H or W that k does not divide, and as `LocalSelfAttention`.
    The paper does not say whether offsets take part here: with them the FLOPs of its
    table 1 come out within 0.1 G, without them 0.1 to 0.2 G too low.
    Source: Ramachandran et al. 2019, section 3.2 and appendix.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 64,
        size: int = 4,
        num_heads: int = 4,
        mixtures: int = 4,
    ):
        super().__init__()
        _require_positive(
            in_channels=in_channels,
            out_channels=out_channels,
            size=size,
            mixtures=mixtures,
        )
        _require_heads(out_channels, num_heads)
        self.in_channels, self.size, self.num_heads = in_channels, size, num_heads
        self.query = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.key = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.values = nn.Conv2d(in_channels, mixtures * out_channels, 1, bias=False)
        half = out_channels // num_heads // 2
        far = 2 * size - 1  # offsets from 1 − k to k − 1
        self.row = nn.Parameter(torch.randn(num_heads, far, half) * half**-0.5)
        self.column = nn.Parameter(torch.randn(num_heads, far, half) * half**-0.5)
        self.place_row = nn.Parameter(torch.randn(size, out_channels))
        self.place_column = nn.Parameter(torch.randn(size, out_channels))
        self.nu = nn.Parameter(torch.randn(mixtures, out_channels) * out_channels**-0.5)
        self.softmax = nn.Softmax(dim=-1)

    def mixtures(self) -> torch.Tensor:
        """p, the share of each W_m at each place of a block: (k², m), rows sum to 1."""
        place = self.place_row[:, None] + self.place_column  # (k, k, out)
        return torch.softmax(place.flatten(0, 1) @ self.nu.mT, dim=-1)

    def offsets(self) -> torch.Tensor:
        """r for each head, pixel that asks and pixel asked: (h, k², k², d)."""
        place = torch.arange(self.size, device=self.row.device)
        y, x = (i.flatten() for i in torch.meshgrid(place, place, indexing="ij"))
        far = self.size - 1
        row = self.row[:, y - y[:, None] + far]  # (h, k², k², d/2)
        column = self.column[:, x - x[:, None] + far]
        return torch.cat([row, column], dim=-1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, in, H, W) → (B, out, H, W)."""
        require_maps("x", x, self.in_channels)
        height, width = x.shape[-2:]
        if height % self.size or width % self.size:
            raise ValueError(
                f"x: got {height} × {width} pixels, expected multiples of {self.size}, the size of a block"
            )
        blocks = "b (h d) (y i) (x j) -> b (y x) h (i j) d"
        size = {"i": self.size, "j": self.size}
        q = rearrange(self.query(x), blocks, h=self.num_heads, **size)
        k = rearrange(self.key(x), blocks, h=self.num_heads, **size)
        v = rearrange(
            self.values(x),
            "b (m h d) (y i) (x j) -> b (y x) h (i j) m d",
            m=len(self.nu),
            h=self.num_heads,
            **size,
        )
        v = einsum(self.mixtures(), v, "k m, b n h k m d -> b n h k d")
        energy = q @ k.mT + einsum(q, self.offsets(), "b n h q d, h q k d -> b n h q k")
        found = self.softmax(energy) @ v
        return rearrange(
            found,
            "b (y x) h (i j) d -> b (h d) (y i) (x j)",
            x=width // self.size,
            **size,
        )

    def multiply_adds(self, x: torch.Tensor) -> int:
        """Those outside the convolutions: q·k, q·r and the weighted sum, and the mixing of the values."""
        batch, _, height, width = x.shape
        each = self.query.out_channels * (3 * self.size**2 + len(self.nu))
        return batch * height * width * each + self.place_row.numel() * (
            self.size * len(self.nu)
        )


# ---------------------------------------------------------------------------------------------------------------------
# The networks of the paper's table 1
# ---------------------------------------------------------------------------------------------------------------------


def spatial_attention(
    size: int = 7, num_heads: int = 8
) -> Callable[[int, int], nn.Module]:
    """What makes the layer in a 3×3 convolution's place: `resnet(50, spatial=spatial_attention())`.

    Where the convolution had a stride, a mean over as many pixels follows. Source: Ramachandran et al. 2019, 4.1.
    """

    def layer(width: int, stride: int) -> nn.Module:
        attention = LocalSelfAttention(width, width, size, num_heads)
        if stride == 1:
            return attention
        return nn.Sequential(attention, nn.AvgPool2d(stride, ceil_mode=True))

    return layer


def attention_stem(channels: int, width: int) -> nn.Module:
    """`AttentionStem`, BatchNorm and the maximum of each block: (B, channels, H, W) → (B, width, H/4, W/4)."""
    return nn.Sequential(
        AttentionStem(channels, width), nn.BatchNorm2d(width), nn.MaxPool2d(4)
    )


VARIANTS = ["convolution", "convolution stem, attention", "attention"]


def attention_resnet(depth: int, variant: str = "attention", **options) -> ResNet:
    """A row of table 1: ResNet-26, 38 or 50 as one of VARIANTS; options: further ones of `ResNet`.

    Raises ValueError for another depth or variant. Source: Ramachandran et al. 2019, table 1.
    """
    require_choice("variant", variant, VARIANTS)
    if variant != "convolution":
        options["spatial"] = spatial_attention()
    if variant == "attention":
        options["stem"] = attention_stem
    return resnet(depth, **options)


# ---------------------------------------------------------------------------------------------------------------------
# The same on a small scale
# ---------------------------------------------------------------------------------------------------------------------

SMALL = {  # name → size of the window; None: a 3×3 convolution
    "convolution 3×3": None,
    "attention 3×3": 3,
    "attention 5×5": 5,
    "attention 5×5, no offsets": 5,
}


def small_resnet(name: str, seed: int = 0) -> ResNet:
    """A ResNet of two blocks for pictures of 14 × 14 pixels, ten classes; its spatial layers are one of SMALL.

    The stem is a convolution for all. "no offsets": they are 0 and stay so. Raises ValueError for another name.
    """
    require_choice("name", name, SMALL)
    torch.manual_seed(seed)
    size = SMALL[name]
    model = ResNet(
        (2,),
        classes=10,
        channels=1,
        width=8,
        spatial=spatial_attention(size, num_heads=2) if size else None,
        stem=lambda channels, width: SmallStem(channels, width, nn.GELU),
        activation=nn.GELU,
    )
    if name.endswith("no offsets"):
        for layer in model.modules():
            if isinstance(layer, LocalSelfAttention):
                for offset in (layer.row, layer.column):
                    nn.init.zeros_(offset).requires_grad_(False)
    return model


def _recorded(begin: str) -> dict[str, torch.Tensor]:
    return read_part(RECORDED / "window_attention.safetensors", begin)


def recorded_photos() -> dict[str, torch.Tensor]:
    """What is on it → a photo (14, 14) from 0 (ground) to 1, not trained on. Source: Fashion-MNIST."""
    dtype = torch.get_default_dtype()
    return {
        name: photo.to(dtype) for name, photo in sorted(_recorded("photo/").items())
    }


def recorded_small(name: str) -> ResNet:
    """Seed 0's network after training, in evaluation mode. Made by experiments/window_attention.py."""
    model = small_resnet(name)
    model.load_state_dict(_recorded(f"{name}/"))
    return model.to(torch.get_default_dtype()).eval()
