"""The Transformer (Vaswani et al. 2017): attention with several heads, positions, masks, layers, the whole model.

Shapes: B sequences in a batch, T queries, S keys, d = d_model numbers a token, h heads of d / h numbers each.
Masks are boolean, True = may attend, as in `F.scaled_dot_product_attention`, or floats that are added to the energy;
they broadcast to (B, T, S), the same for every head, or to (B, h, T, S). `nn.MultiheadAttention` means the opposite by
True, "ignore", and reads a mask of three axes as (B·h, T, S).
"""

import math
from collections.abc import Callable

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F

from helpers.data import Vocabulary
from helpers.validation import require_choice, require_finite, require_shape

# ---------------------------------------------------------------------------------------------------------------------
# Masks
# ---------------------------------------------------------------------------------------------------------------------


def causal_mask(queries: int, keys: int | None = None) -> torch.Tensor:
    """(T, S) booleans: a query may attend to itself and to what came before it.

    The queries are the last T of the S keys. Raises ValueError for more queries than keys.
    """
    keys = queries if keys is None else keys
    if not 1 <= queries <= keys:
        raise ValueError(
            f"queries: got {queries}, expected 1 to {keys}, the number of keys"
        )
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)


def padding_mask(tokens: torch.Tensor, padding: int = Vocabulary.PAD) -> torch.Tensor:
    """tokens (B, S) integers → (B, 1, S) booleans, False where there is padding."""
    require_shape("tokens", tokens, ("B", "S"))
    return (tokens != padding).unsqueeze(1)


def _checked_mask(
    mask: torch.Tensor, shape: tuple[int, ...], dtype: torch.dtype
) -> torch.Tensor:
    """The mask with four axes that broadcast to `shape`, (B, h, T, S); floats as `dtype`."""
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise ValueError(
            f"attn_mask: got {mask.dtype}, expected torch.bool with True where a query may attend, "
            "or floats to add to the energy"
        )
    four = mask.unsqueeze(1) if mask.dim() == 3 else mask
    four = four[(None,) * (4 - four.dim())]
    try:
        four.expand(shape)
    except RuntimeError:
        b, h, t, s = shape
        raise ValueError(
            f"attn_mask: got shape {tuple(mask.shape)}, expected one that broadcasts to "
            f"(B, T, S) = ({b}, {t}, {s}) or (B, h, T, S) = ({b}, {h}, {t}, {s})"
        ) from None
    if mask.dtype == torch.bool:
        none_left = ~mask.any(dim=-1)
    else:
        if mask.isnan().any() or (mask == torch.inf).any():
            raise ValueError(
                "attn_mask: got NaN or +∞, expected finite numbers or −∞ to add to the energy"
            )
        none_left = (mask == -torch.inf).all(dim=-1)
    if none_left.any():
        raise ValueError(
            "attn_mask: got a query with every key masked, expected at least one key to attend to"
        )
    return four if mask.dtype == torch.bool else four.to(dtype)


# ---------------------------------------------------------------------------------------------------------------------
# Positions: a vector for each place in the sequence
# ---------------------------------------------------------------------------------------------------------------------


def sinusoidal_positions(length: int, d_model: int) -> torch.Tensor:
    """(length, d): sine and cosine at d/2 frequencies ω_i = 10000^(−2i/d), in turns.

    p[t, 2i] = sin(ω_i t), p[t, 2i + 1] = cos(ω_i t). Raises ValueError for an odd d.
    Source: Vaswani et al. 2017, 3.5.
    """
    if d_model < 2 or d_model % 2:
        raise ValueError(f"d_model: got {d_model}, expected an even number")
    frequency = 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)  # (d/2,)
    angle = torch.arange(length).unsqueeze(1) * frequency  # (length, d/2)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


class SinusoidalPositions(nn.Module):
    """`sinusoidal_positions` as a module without parameters: forward(length) → (length, d)."""

    def __init__(self, d_model: int):
        super().__init__()
        self.d_model = d_model

    def forward(self, length: int) -> torch.Tensor:
        return sinusoidal_positions(length, self.d_model)


class LearnedPositions(nn.Module):
    """One free vector for each of max_length positions: forward(length) → (length, d). Source: Gehring et al. 2017."""

    def __init__(self, max_length: int, d_model: int):
        super().__init__()
        self.embedding = nn.Embedding(max_length, d_model)

    def forward(self, length: int) -> torch.Tensor:
        if length > self.embedding.num_embeddings:
            raise ValueError(
                f"length: got {length}, expected at most {self.embedding.num_embeddings}, the learned positions"
            )
        return self.embedding.weight[:length]


class ContinuousPositions(nn.Module):
    """Positions as a path with a learned velocity, dp/dt = f(p, t): forward(length) → (length, d).

    f is a network with one hidden layer; one Runge–Kutta step of order four a position. A small form of FLOATER: added
    to the input of the first layer alone. Source: Liu et al. 2020, section 3.1.
    """

    def __init__(self, d_model: int, hidden_size: int = 16):
        super().__init__()
        self.start = nn.Parameter(torch.randn(d_model))
        self.velocity = nn.Sequential(
            nn.Linear(d_model + 1, hidden_size),
            nn.Tanh(),
            nn.Linear(hidden_size, d_model),
        )

    def forward(self, length: int) -> torch.Tensor:
        def f(p: torch.Tensor, t: float) -> torch.Tensor:
            return self.velocity(torch.cat([p, p.new_tensor([t / 100])]))

        path = [self.start]
        for t in range(length - 1):
            p = path[-1]
            a = f(p, t)
            b = f(p + a / 2, t + 0.5)
            c = f(p + b / 2, t + 0.5)
            path.append(p + (a + 2 * b + 2 * c + f(p + c, t + 1)) / 6)
        return torch.stack(path)


POSITIONS = ["none", "sinusoidal", "learned", "relative", "continuous"]


def position_encoder(
    kind: str, d_model: int, max_length: int, max_distance: int = 8
) -> tuple[nn.Module | None, dict]:
    """What a kind of position, one of POSITIONS, adds to the input (or None), and the options it gives the layers.

    max_length: the number of learned positions; max_distance: the farthest distance that relative ones tell apart.
    """
    require_choice("kind", kind, POSITIONS)
    if kind == "relative":
        return None, {"max_distance": max_distance}
    modules = {
        "sinusoidal": lambda: SinusoidalPositions(d_model),
        "learned": lambda: LearnedPositions(max_length, d_model),
        "continuous": lambda: ContinuousPositions(d_model),
    }
    return (modules[kind]() if kind in modules else None), {}


# ---------------------------------------------------------------------------------------------------------------------
# Attention with several heads
# ---------------------------------------------------------------------------------------------------------------------


class KeyValueCache:
    """Keys and values (B, h, S, d/h) of the tokens so far, so that writing one more does not compute them again."""

    def __init__(self):
        self.key = self.value = None

    def __len__(self) -> int:
        return 0 if self.key is None else self.key.shape[2]

    def append(
        self, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add those of the new tokens; returns all of them."""
        if self.key is not None:
            key = torch.cat([self.key, key], dim=2)
            value = torch.cat([self.value, value], dim=2)
        self.key, self.value = key, value
        return key, value


class MultiHeadAttention(nn.Module):
    """h attentions side by side, each on d/h numbers of its own, joined by W_O.

    head_i = softmax(Q_i K_iᵀ / √(d/h)) V_i,  output = [head_1; …; head_h] W_O
    The softmax is a module: a hook on it sees every map. Without weights to return,
    PyTorch's fused kernel computes the same. Source: Vaswani et al. 2017, 3.2.

    max_distance: adds q_i·r_{s−t} to the energy, one learned vector r for each
    distance, those beyond max_distance sharing the last one. Source: Shaw et al. 2018,
    eq. 4, keys only.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        bias: bool = True,
        max_distance: int | None = None,
    ):
        super().__init__()
        if num_heads < 1 or d_model % num_heads:
            raise ValueError(
                f"d_model: got {d_model}, "
                f"expected a multiple of num_heads = {num_heads}"
            )
        if max_distance is not None and max_distance < 1:
            raise ValueError(
                f"max_distance: got {max_distance}, expected at least 1 or None"
            )
        self.d_model, self.num_heads = d_model, num_heads
        self.query = nn.Linear(d_model, d_model, bias)
        self.key = nn.Linear(d_model, d_model, bias)
        self.value = nn.Linear(d_model, d_model, bias)
        self.output = nn.Linear(d_model, d_model, bias)
        self.softmax = nn.Softmax(dim=-1)
        self.relative = None
        if max_distance is not None:
            self.relative = nn.Embedding(2 * max_distance + 1, d_model // num_heads)

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor | None = None,
        value: torch.Tensor | None = None,
        attn_mask: torch.Tensor | None = None,
        need_weights: bool = False,
        cache: KeyValueCache | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """query (B, T, d), key and value (B, S, d)
        → output (B, T, d), weights (B, h, T, S) or None.

        Self-attention: leave key and value out. Raises ValueError for other shapes,
        for NaN or infinite input, for a mask that does not fit, and for a query that
        may attend to nothing.
        """
        key = query if key is None else key
        value = key if value is None else value
        self._check(query, key, value)
        q, k, v = (
            rearrange(project(x), "b t (h d) -> b h t d", h=self.num_heads)
            for project, x in (
                (self.query, query),
                (self.key, key),
                (self.value, value),
            )
        )
        if cache is not None:
            k, v = cache.append(k, v)
        if attn_mask is not None:
            attn_mask = _checked_mask(attn_mask, (*q.shape[:3], k.shape[2]), q.dtype)
        if self.relative is not None:
            attn_mask = self._relative_energy(q, k.shape[2], attn_mask)
        if need_weights:
            energy = q / math.sqrt(q.shape[-1]) @ k.mT  # (B, h, T, S)
            if attn_mask is not None and attn_mask.dtype == torch.bool:
                energy = energy.masked_fill(~attn_mask, -torch.inf)
            elif attn_mask is not None:
                energy = energy + attn_mask
            weights = self.softmax(energy)
            heads = weights @ v  # (B, h, T, d/h)
        else:
            weights = None
            heads = F.scaled_dot_product_attention(q, k, v, attn_mask)
        return self.output(rearrange(heads, "b h t d -> b t (h d)")), weights

    def _check(self, query, key, value):
        require_shape("query", query, ("B", "T", self.d_model))
        require_finite("query", query)
        if key is not query:
            require_shape("key", key, (len(query), "S", self.d_model))
            require_finite("key", key)
        if value is not key:
            require_shape("value", value, (len(query), key.shape[1], self.d_model))
            require_finite("value", value)

    def _relative_energy(self, q, keys, attn_mask):
        """What the distances add to the energy, and the mask with it, (B, h, T, S).

        The queries are the last of the keys.
        """
        most = self.relative.num_embeddings // 2
        position = torch.arange(keys, device=q.device)
        distance = position - position[keys - q.shape[2] :].unsqueeze(1)  # (T, S)
        index = distance.clamp(-most, most) + most
        energy = q @ self.relative.weight.mT / math.sqrt(q.shape[-1])
        energy = energy.gather(-1, index.expand(*q.shape[:2], -1, -1))
        if attn_mask is None:
            return energy
        if attn_mask.dtype == torch.bool:
            return energy.masked_fill(~attn_mask, -torch.inf)
        return energy + attn_mask


# ---------------------------------------------------------------------------------------------------------------------
# Layers
# ---------------------------------------------------------------------------------------------------------------------


class FeedForward(nn.Module):
    """The same small network for every token: d → d_ff → d.

    Source: Vaswani et al. 2017, eq. 2.
    """

    def __init__(self, d_model: int, d_ff: int, activation: Callable = F.relu):
        super().__init__()
        self.inner = nn.Linear(d_model, d_ff)
        self.activation = activation
        self.outer = nn.Linear(d_ff, d_model)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, T, d) → (B, T, d)."""
        return self.outer(self.activation(self.inner(x)))


class Residual(nn.Module):
    """The frame of a sub-layer f. Post-LN: LN(x + f(x)); pre-LN: x + f(LN(x)).

    Source: Vaswani et al. 2017, 5.4; for pre-LN, Xiong et al. 2020.
    """

    def __init__(self, d_model: int, dropout: float, norm_first: bool, eps: float):
        super().__init__()
        self.norm = nn.LayerNorm(d_model, eps)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first

    def forward(self, x: torch.Tensor, sublayer: Callable) -> tuple:
        """x (B, T, d); sublayer(x) → (output (B, T, d), anything) → (the same)."""
        output, weights = sublayer(self.norm(x) if self.norm_first else x)
        x = x + self.dropout(output)
        return (x if self.norm_first else self.norm(x)), weights


class EncoderLayer(nn.Module):
    """Every token asks all the others, then thinks by itself.

    attention: further options of `MultiHeadAttention`.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        dropout: float = 0.0,
        norm_first: bool = False,
        activation: Callable = F.relu,
        eps: float = 1e-5,
        **attention,
    ):
        super().__init__()
        self.attention = MultiHeadAttention(d_model, num_heads, **attention)
        self.feed_forward = FeedForward(d_model, d_ff, activation)
        self.around_attention = Residual(d_model, dropout, norm_first, eps)
        self.around_feed_forward = Residual(d_model, dropout, norm_first, eps)

    def forward(
        self,
        x: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        need_weights: bool = False,
        cache: KeyValueCache | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """x (B, T, d) → x (B, T, d), weights (B, h, T, S) or None.

        With a causal mask it is the block of a decoder-only model.
        """
        x, weights = self.around_attention(
            x,
            lambda y: self.attention(
                y, attn_mask=attn_mask, need_weights=need_weights, cache=cache
            ),
        )
        x, _ = self.around_feed_forward(x, lambda y: (self.feed_forward(y), None))
        return x, weights


class DecoderLayer(nn.Module):
    """As `EncoderLayer`, and in between every token asks the source's."""

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        dropout: float = 0.0,
        norm_first: bool = False,
        activation: Callable = F.relu,
        eps: float = 1e-5,
        **attention,
    ):
        super().__init__()
        self.attention = MultiHeadAttention(d_model, num_heads, **attention)
        self.cross_attention = MultiHeadAttention(
            d_model, num_heads, attention.get("bias", True)
        )
        self.feed_forward = FeedForward(d_model, d_ff, activation)
        self.around_attention = Residual(d_model, dropout, norm_first, eps)
        self.around_cross_attention = Residual(d_model, dropout, norm_first, eps)
        self.around_feed_forward = Residual(d_model, dropout, norm_first, eps)

    def forward(
        self,
        x: torch.Tensor,
        memory: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        memory_mask: torch.Tensor | None = None,
        need_weights: bool = False,
        cache: KeyValueCache | None = None,
    ) -> tuple[torch.Tensor, tuple]:
        """x (B, T, d), memory (B, S, d), the encoder's output
        → x (B, T, d), the weights (B, h, T, T) to itself and (B, h, T, S) to memory,
        or None and None."""
        x, own = self.around_attention(
            x,
            lambda y: self.attention(
                y, attn_mask=attn_mask, need_weights=need_weights, cache=cache
            ),
        )
        x, cross = self.around_cross_attention(
            x,
            lambda y: self.cross_attention(
                y, memory, attn_mask=memory_mask, need_weights=need_weights
            ),
        )
        x, _ = self.around_feed_forward(x, lambda y: (self.feed_forward(y), None))
        return x, (own, cross)


# ---------------------------------------------------------------------------------------------------------------------
# The whole
# ---------------------------------------------------------------------------------------------------------------------


class _Stack(nn.Module):
    """num_layers layers of one kind; with pre-LN, one more norm at the end, for the sum that no layer normed."""

    layer: type[nn.Module]

    def __init__(
        self, d_model: int, num_heads: int, d_ff: int, num_layers: int, **layer
    ):
        """layer: further options of the layers."""
        super().__init__()
        self.layers = nn.ModuleList(
            self.layer(d_model, num_heads, d_ff, **layer) for _ in range(num_layers)
        )
        self.norm = nn.Identity()
        if layer.get("norm_first"):
            self.norm = nn.LayerNorm(d_model, layer.get("eps", 1e-5))

    def forward(self, x, *inputs, need_weights=False, caches=None, **masks):
        """x (B, T, d) → x (B, T, d), and a list of what each layer says of its weights.

        inputs, masks: those of the layer; caches: one `KeyValueCache` for each layer.
        """
        maps = []
        for layer, cache in zip(
            self.layers, caches or [None] * len(self.layers), strict=True
        ):
            x, weights = layer(
                x, *inputs, need_weights=need_weights, cache=cache, **masks
            )
            maps.append(weights)
        return self.norm(x), maps


class TransformerEncoder(_Stack):
    """forward(x (B, T, d), attn_mask=None, need_weights=False, caches=None) → x (B, T, d), weights of each layer."""

    layer = EncoderLayer


class TransformerDecoder(_Stack):
    """forward(x (B, T, d), memory (B, S, d), attn_mask=…, memory_mask=…, need_weights=False, caches=None)
    → x (B, T, d), and for each layer its weights (own, cross)."""

    layer = DecoderLayer


class Transformer(nn.Module):
    """Tokens in, tokens out: embeddings, positions, encoder, decoder, logits.

    positions: a module, positions(length) → (length, d); sinusoidal if left out.
    layer: options of the layers. Source: Vaswani et al. 2017, figure 1.
    """

    def __init__(
        self,
        source_tokens: int,
        target_tokens: int,
        d_model: int,
        num_heads: int,
        d_ff: int,
        num_layers: int,
        positions: nn.Module | None = None,
        **layer,
    ):
        super().__init__()
        pad = Vocabulary.PAD
        self.source_embedding = nn.Embedding(source_tokens, d_model, padding_idx=pad)
        self.target_embedding = nn.Embedding(target_tokens, d_model, padding_idx=pad)
        self.positions = positions or SinusoidalPositions(d_model)
        self.dropout = nn.Dropout(layer.get("dropout", 0.0))
        size = d_model, num_heads, d_ff, num_layers
        self.encoder = TransformerEncoder(*size, **layer)
        self.decoder = TransformerDecoder(*size, **layer)
        self.output = nn.Linear(d_model, target_tokens)
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=d_model**-0.5)
            nn.init.zeros_(embedding.weight[pad])

    def _embed(self, embedding, tokens, start=0):
        """tokens (B, T), of which the first is at position `start` → (B, T, d)."""
        x = embedding(tokens) * math.sqrt(embedding.embedding_dim)
        positions = self.positions(start + tokens.shape[1])[start:]
        return self.dropout(x + positions)

    def encode(self, source, need_weights=False):
        """source (B, S) integers → memory (B, S, d), weights of each layer."""
        x = self._embed(self.source_embedding, source)
        return self.encoder(
            x, attn_mask=padding_mask(source), need_weights=need_weights
        )

    def decode(self, previous, memory, memory_mask, need_weights=False, caches=None):
        """previous (B, T) integers, the tokens so far, or with caches the new ones,
        memory (B, S, d) → logits (B, T, tokens), weights of each layer."""
        start = len(caches[0]) if caches else 0
        x = self._embed(self.target_embedding, previous, start)
        x, maps = self.decoder(
            x,
            memory,
            attn_mask=causal_mask(x.shape[1], start + x.shape[1]),
            memory_mask=memory_mask,
            need_weights=need_weights,
            caches=caches,
        )
        return self.output(x), maps

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Teacher forcing: source (B, S), target (B, T) → logits (B, T, tokens),
        each given the true tokens so far."""
        memory, _ = self.encode(source)
        begin = target.new_full((len(target), 1), Vocabulary.BEGIN)
        previous = torch.cat([begin, target[:, :-1]], dim=1)
        logits, _ = self.decode(previous, memory, padding_mask(source))
        return logits

    @torch.no_grad()
    def translate(
        self, source: torch.Tensor, max_length: int = 30
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Greedy decoding: source (B, S) → tokens (B, T), weights (B, T, S): those of
        the last layer to the source, their mean over the heads."""
        memory, _ = self.encode(source)
        caches = [KeyValueCache() for _ in self.decoder.layers]
        token = source.new_full((len(source), 1), Vocabulary.BEGIN)
        ended = torch.zeros(len(source), dtype=torch.bool)
        tokens, rows = [], []
        while not ended.all() and len(tokens) < max_length:
            logits, maps = self.decode(
                token, memory, padding_mask(source), need_weights=True, caches=caches
            )
            token = logits.argmax(dim=-1)  # (B, 1)
            ended |= token.squeeze(1) == Vocabulary.END
            tokens.append(token)
            rows.append(maps[-1][1].mean(dim=1))  # (B, 1, S)
        return torch.cat(tokens, dim=1), torch.cat(rows, dim=1)
