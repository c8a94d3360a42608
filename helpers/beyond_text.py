"""Attention beyond text: who may look at whom, on sound, on graphs, on pictures, and when n² is too much.

Shapes throughout: T queries and T keys of width d; "…" stands for any leading sizes, such as batch and heads. Masks are
boolean, True = may attend, as in `helpers.attention`.
"""

import math

import torch
from einops import einsum, rearrange
from torch import nn
from torch.nn import functional as F

from helpers.validation import require_choice, require_finite, require_shape

# ---------------------------------------------------------------------------------------------------------------------
# Patterns: (T, T) masks. Source: the taxonomy of Tay et al. 2022 (arXiv 2009.06732), section 2.
# ---------------------------------------------------------------------------------------------------------------------


def _full(offset, width):
    return torch.ones_like(offset, dtype=torch.bool)


def _window(offset, width):
    return offset.abs() <= width


def _dilated(offset, width):
    return (offset.abs() <= 2 * width) & (offset % 2 == 0)


def _blocks(offset, width):
    place = torch.arange(len(offset)) // (2 * width + 1)
    return place[:, None] == place


def _strided(offset, width):
    return _window(offset, width // 2) | (offset % (2 * width + 1) == 0)


def _global(offset, width):
    mask = _window(offset, width)
    mask[0] = mask[:, 0] = True
    return mask


def _random(offset, width):
    """Half a window, the first position, and for each query `width` keys by a fixed rule that looks random."""
    length = len(offset)
    mask = _global(offset, width // 2)
    query = torch.arange(length)[:, None]
    draw = torch.arange(width)
    mask[query, (query * 7919 + draw * 104729 + query * draw * 31) % length] = True
    return mask


PATTERNS = {
    "full": _full,  # Vaswani et al. 2017
    "window": _window,  # Povey et al. 2018, Beltagy et al. 2020
    "dilated": _dilated,  # every other key, twice as far: Beltagy et al. 2020
    "blocks": _blocks,  # Qiu et al. 2020
    "strided": _strided,  # Child et al. 2019
    "global": _global,  # window, and the first position: Beltagy et al. 2020
    "random": _random,  # window, global and random keys: Zaheer et al. 2020
}


def pattern_mask(
    name: str, length: int, width: int = 4, causal: bool = False
) -> torch.Tensor:
    """The (T, T) mask of a pattern, True = may attend; every position may look at itself.

    width: how far a window reaches to each side; the other patterns take about as many keys. causal: no key after the
    query. Raises ValueError for another name, length < 1 or width < 0.
    """
    require_choice("name", name, PATTERNS)
    for what, got, least in (("length", length, 1), ("width", width, 0)):
        if got < least:
            raise ValueError(f"{what}: got {got}, expected at least {least}")
    position = torch.arange(length)
    mask = PATTERNS[name](position[:, None] - position, width)
    return mask.tril() if causal else mask


def reach(mask: torch.Tensor, layers: int) -> torch.Tensor:
    """Which input positions can change which output after so many layers: (T, T) boolean.

    Raises ValueError for layers < 1 and for a mask that is not square and boolean.
    """
    if layers < 1:
        raise ValueError(f"layers: got {layers}, expected at least 1")
    _require_square(mask)
    step = (mask | torch.eye(len(mask), dtype=torch.bool)).double()  # residuals
    reached = step
    for _ in range(layers - 1):
        reached = (reached @ step).clamp(max=1)
    return reached > 0


def _require_square(mask: torch.Tensor) -> None:
    require_shape("mask", mask, ("T", len(mask) if mask.ndim else "T"))
    if mask.dtype != torch.bool:
        raise ValueError(
            f"mask: got {mask.dtype}, expected torch.bool with True where a query may attend"
        )


# ---------------------------------------------------------------------------------------------------------------------
# Truncated attention: only the keys of the window are ever multiplied
# ---------------------------------------------------------------------------------------------------------------------


def windowed_attention(query, key, value, left: int, right: int, bias=None):
    """query, key (…, T, d), value (…, T, d_v)
    → output (…, T, d_v), weights (…, T, w), with w = left + 1 + right.

    Weight j of query t belongs to key t − left + j, and is exactly 0 where there is
    no such key. bias: (heads, 1, w) or (w,), added to the energies, a number for each
    offset. The queries are cut into chunks of w, each beside the 2w − 1 keys that its
    windows cover: fewer than 2w · T dot products instead of T².
    Raises ValueError for other shapes, NaN, and a negative left or right.
    Source: Povey et al. 2018, whose layer the lecture notes L call truncated
    self-attention; chunks after Beltagy et al. 2020.
    """
    _require_alike(query, key, value)
    for what, got in (("left", left), ("right", right)):
        if got < 0:
            raise ValueError(f"{what}: got {got}, expected at least 0")
    length, w = query.shape[-2], left + 1 + right
    more = -length % w  # positions that fill the last chunk
    place = torch.arange(length + more).view(-1, w)  # (chunks, w): which query
    seen = (place[:, :1] - left + torch.arange(2 * w - 1))[:, None]  # which keys
    offset = seen - place[..., None] + left  # (chunks, w, 2w − 1)
    allowed = (offset >= 0) & (offset < w) & (seen >= 0) & (seen < length)
    allowed |= place[..., None] >= length  # their output is cut off again

    queries = F.pad(query, (0, 0, 0, more)).unflatten(-2, place.shape)
    keys, values = (
        F.pad(x, (0, 0, left, right + more)).unfold(-2, 2 * w - 1, w)
        for x in (key, value)
    )  # (…, chunks, d, 2w − 1), without a copy
    energy = queries @ keys / math.sqrt(query.shape[-1])  # (…, chunks, w, 2w − 1)
    if bias is not None:
        energy = energy + bias[..., offset[0].clamp(0, w - 1)]
    weights = torch.softmax(energy.masked_fill(~allowed, -torch.inf), dim=-1)
    output = (weights @ values.mT).flatten(-3, -2)[..., :length, :]
    row = torch.arange(w)[:, None]  # holds the columns row … row + w − 1
    band = (row + torch.arange(w)).expand(*weights.shape[:-1], w)
    weights = weights.gather(-1, band)
    return output, weights.flatten(-3, -2)[..., :length, :]


def _require_alike(query, key, value):
    if query.ndim < 2 or key.shape != query.shape:
        got, expected = tuple(key.shape), tuple(query.shape)
        raise ValueError(f"key: got shape {got}, expected the query's, {expected}")
    if value.shape[:-1] != query.shape[:-1]:
        got, expected = tuple(value.shape), tuple(query.shape[:-1])
        raise ValueError(f"value: got shape {got}, expected {expected} and d_v")
    for name, tensor in (("query", query), ("key", key), ("value", value)):
        require_finite(name, tensor)


class WindowedSelfAttention(nn.Module):
    """Self-attention of several heads within a window, with a learned bias for each head and offset.

    Raises ValueError if num_heads does not divide d_model, for a negative left or right, and for another shape.
    """

    def __init__(self, d_model: int, num_heads: int, left: int, right: int):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(
                f"num_heads: got {num_heads}, expected a divisor of d_model = {d_model}"
            )
        self.num_heads, self.left, self.right = num_heads, left, right
        self.query_key_value = nn.Linear(d_model, 3 * d_model)
        self.bias = nn.Parameter(torch.zeros(num_heads, 1, left + 1 + right))
        self.output = nn.Linear(d_model, d_model)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, T, d_model) → (B, T, d_model)."""
        require_shape("x", x, ("B", "T", self.output.in_features))
        query, key, value = rearrange(
            self.query_key_value(x), "b t (n h d) -> n b h t d", n=3, h=self.num_heads
        )
        mixed, _ = windowed_attention(
            query, key, value, self.left, self.right, self.bias
        )
        return self.output(rearrange(mixed, "b h t d -> b t (h d)"))


# ---------------------------------------------------------------------------------------------------------------------
# Graphs: only along edges
# ---------------------------------------------------------------------------------------------------------------------


class GraphAttention(nn.Module):
    """One layer of a graph attention network, on the edges alone.

    e_ij = LeakyReLU(a·[h_i ; h_j]) with h = W x, and z_i = Σ_j α_ij h_j for each
    head; the heads side by side. dynamic: LeakyReLU before a instead of after it, so
    that which neighbour gets most can depend on who asks (Brody et al. 2022).
    This is the dense form: all pairs, masked.
    Source: Veličković et al. 2018, eq. 1 to 5.
    """

    def __init__(
        self, input_size: int, output_size: int, num_heads: int = 1, dynamic=False
    ):
        super().__init__()
        if output_size % num_heads:
            raise ValueError(
                f"num_heads: got {num_heads}, expected a divisor of output_size = {output_size}"
            )
        self.num_heads, self.dynamic = num_heads, dynamic
        width = output_size // num_heads
        self.W = nn.Linear(input_size, output_size, bias=False)
        self.asks = nn.Parameter(torch.randn(num_heads, width) / width**0.5)
        self.answers = nn.Parameter(torch.randn(num_heads, width) / width**0.5)
        self.softmax = nn.Softmax(dim=-1)

    def energies(self, h: torch.Tensor) -> torch.Tensor:
        """h (heads, N, width) → (heads, N, N)."""
        if self.dynamic:
            pairs = F.leaky_relu(h[:, :, None] + h[:, None], 0.2)
            return einsum(pairs, self.answers, "h i j d, h d -> h i j")
        asks = einsum(h, self.asks, "h i d, h d -> h i")
        answers = einsum(h, self.answers, "h j d, h d -> h j")
        return F.leaky_relu(asks[:, :, None] + answers[:, None], 0.2)

    def forward(
        self, nodes: torch.Tensor, edges: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """nodes (N, d), edges (N, N) boolean, True = i may look at j
        → output (N, output_size), weights (heads, N, N), exactly 0 off the edges.

        Raises ValueError for other shapes or types, NaN, and a node without any edge:
        give each an edge to itself.
        """
        require_shape("nodes", nodes, (len(edges), self.W.in_features))
        require_finite("nodes", nodes)
        _require_edges(edges)
        h = rearrange(self.W(nodes), "n (h d) -> h n d", h=self.num_heads)
        energy = self.energies(h).masked_fill(~edges, -torch.inf)
        weights = self.softmax(energy)
        return rearrange(weights @ h, "h n d -> n (h d)"), weights


def _require_edges(edges: torch.Tensor) -> None:
    require_shape("edges", edges, ("N", len(edges)))
    if edges.dtype != torch.bool:
        raise ValueError(
            f"edges: got {edges.dtype}, expected torch.bool with True where i may look at j"
        )
    if not edges.any(dim=-1).all():
        alone = (~edges.any(dim=-1)).nonzero()[0].item()
        raise ValueError(
            f"edges: got none from node {alone}, expected at least one: an edge to itself"
        )


def attend_along_edges(
    layer: GraphAttention, nodes: torch.Tensor, edges: torch.Tensor
) -> torch.Tensor:
    """What `layer` computes, from a list of edges: E energies instead of N². Only for dynamic=False.

    The softmax of a node is a sum over its own edges: scatter-add. → (N, output_size)
    """
    i, j = edges.nonzero(as_tuple=True)  # (E,), (E,)
    h = rearrange(layer.W(nodes), "n (h d) -> n h d", h=layer.num_heads)
    energy = F.leaky_relu(
        (h[i] * layer.asks + h[j] * layer.answers).sum(-1), 0.2
    )  # (E, heads)
    grown = torch.exp(energy - energy.max())
    sums = torch.zeros(len(nodes), layer.num_heads, dtype=h.dtype).index_add(
        0, i, grown
    )
    weights = grown / sums[i]
    mixed = torch.zeros_like(h).index_add(0, i, weights[..., None] * h[j])
    return rearrange(mixed, "n h d -> n (h d)")


# ---------------------------------------------------------------------------------------------------------------------
# Linear attention: a sum that is carried along instead of a softmax over all pairs
# ---------------------------------------------------------------------------------------------------------------------


def feature_map(x: torch.Tensor) -> torch.Tensor:
    """φ(x) = elu(x) + 1, which is positive. Source: Katharopoulos et al. 2020, eq. 7."""
    return F.elu(x) + 1


def linear_attention(query, key, value, causal: bool = False) -> torch.Tensor:
    """z_t = φ(q_t)·Σ_s φ(k_s) v_sᵀ / φ(q_t)·Σ_s φ(k_s): (…, T, d), (…, T, d), (…, T, d_v) → (…, T, d_v).

    The sums are made once for all queries, or, if causal, up to each t: T · d · d_v multiplications, no T × T matrix.
    Raises ValueError for other shapes and NaN. Source: Katharopoulos et al. 2020, eq. 5 and 9.
    """
    _require_alike(query, key, value)
    q, k = feature_map(query), feature_map(key)
    if causal:
        memory = einsum(k, value, "... s d, ... s e -> ... s d e").cumsum(dim=-3)
        above = einsum(q, memory, "... t d, ... t d e -> ... t e")
        below = einsum(q, k.cumsum(dim=-2), "... t d, ... t d -> ... t")
    else:
        memory = einsum(k, value, "... s d, ... s e -> ... d e")
        above = einsum(q, memory, "... t d, ... d e -> ... t e")
        below = einsum(q, k.sum(dim=-2), "... t d, ... d -> ... t")
    return above / below[..., None]


class LinearAttentionCell:
    """The same causal attention as a recurrent network, one step for each position.

    The state does not grow: M = Σ_{s≤t} φ(k_s) v_sᵀ, (…, d, d_v), and
    n = Σ_{s≤t} φ(k_s), (…, d). Source: Katharopoulos et al. 2020, eq. 16 to 20.
    """

    def __init__(self):
        self.M, self.n = 0.0, 0.0

    def step(self, query, key, value) -> torch.Tensor:
        """query, key (…, d), value (…, d_v) → z (…, d_v), and the state moves on."""
        q, k = feature_map(query), feature_map(key)
        self.M = self.M + k[..., :, None] * value[..., None, :]
        self.n = self.n + k
        return einsum(q, self.M, "... d, ... d e -> ... e") / (q * self.n).sum(
            -1, keepdim=True
        )


class LowRankAttention(nn.Module):
    """Attention over `rank` mixtures of the keys and values instead of all T of them: T · rank energies.

    The mixtures are learned, so the length is fixed, and there is no causal form: each mixture holds every position.
    Source: Wang et al. 2020 (Linformer), eq. 7.
    """

    def __init__(self, length: int, rank: int):
        super().__init__()
        self.keys = nn.Parameter(torch.randn(rank, length) / length**0.5)
        self.values = nn.Parameter(torch.randn(rank, length) / length**0.5)

    def forward(self, query, key, value) -> torch.Tensor:
        """query, key (…, T, d), value (…, T, d_v) → (…, T, d_v). ValueError for another length than `length`."""
        _require_alike(query, key, value)
        if key.shape[-2] != self.keys.shape[1]:
            raise ValueError(
                f"key: got length {key.shape[-2]}, expected {self.keys.shape[1]}, for which the mixtures were made"
            )
        return F.scaled_dot_product_attention(
            query, self.keys @ key, self.values @ value
        )


# ---------------------------------------------------------------------------------------------------------------------
# A convolution, written as attention
# ---------------------------------------------------------------------------------------------------------------------


class ConvolutionAttention(nn.Module):
    """A layer of K² heads that computes the convolution with `kernel` (out, in, K, K), the better the greater alpha.

    The energy depends on the relative position δ = key − query alone: head Δ has vᵀr_δ with v = −α (1, −2Δ₁, −2Δ₂) and
    r_δ = (|δ|², δ₁, δ₂), which is −α|δ − Δ|² but for a constant. Values: head Δ multiplies by kernel[:, :, Δ].
    Where a kernel would reach over the border, a convolution sees zeros and attention the nearest pixels.
    Raises ValueError for a kernel that is not odd and square, and for alpha ≤ 0.
    Source: Cordonnier et al. 2020, theorem 1 and lemma 2.
    """

    def __init__(self, kernel: torch.Tensor, alpha: float):
        super().__init__()
        size = kernel.shape[-1]
        require_shape("kernel", kernel, ("out", "in", size, size))
        if size % 2 == 0:
            raise ValueError(
                f"kernel: got size {size}, expected an odd one, with a middle"
            )
        if not alpha > 0:
            raise ValueError(f"alpha: got {alpha}, expected a positive number")
        self.kernel, self.alpha = kernel, alpha
        steps = torch.arange(size) - size // 2
        self.shifts = torch.cartesian_prod(steps, steps)  # (K², 2): Δ of each head

    def weights(self, height: int, width: int) -> torch.Tensor:
        """(heads, T, T) for the T = height · width pixels, row by row."""
        pixels = torch.cartesian_prod(torch.arange(height), torch.arange(width))
        delta = pixels[None] - pixels[:, None]  # (T, T, 2): key − query
        r = torch.cat([(delta**2).sum(-1, keepdim=True), delta], dim=-1)  # (T, T, 3)
        v = F.pad(-2 * self.shifts, (1, 0), value=1).to(self.kernel)
        v = -self.alpha * v  # (heads, 3)
        return torch.softmax(einsum(v, r.to(v.dtype), "h c, t s c -> h t s"), dim=-1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """image (in, height, width) → (out, height, width)."""
        require_shape("image", image, (self.kernel.shape[1], "height", "width"))
        height, width = image.shape[1:]
        pixels = rearrange(image, "c y x -> (y x) c")
        heads = rearrange(self.kernel, "o c y x -> (y x) c o")  # a matrix for each head
        mixed = einsum(self.weights(height, width), pixels, "h t s, s c -> h t c")
        output = einsum(mixed, heads, "h t c, h c o -> o t")
        return rearrange(output, "o (y x) -> o y x", y=height)
