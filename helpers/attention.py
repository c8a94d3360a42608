"""Attention: energy functions, the softmax over them, and decoders that attend.

Shapes throughout: B sequences in a batch, T queries, S keys; d_q, d_k, d_v the widths of a query, a key, a value.
"""

import math

import torch
from einops import einsum, rearrange
from torch import nn

from helpers.data import Vocabulary
from helpers.validation import require_choice, require_finite, require_shape

# ---------------------------------------------------------------------------------------------------------------------
# Energy functions: how well does this key answer this query? One signature for all:
# query (B, T, d_q), key (B, S, d_k) → energy (B, T, S)
# ---------------------------------------------------------------------------------------------------------------------


class Dot(nn.Module):
    """e = q·k; needs d_q = d_k. Source: Luong et al. 2015, eq. 8."""

    def __init__(self, query_size: int, key_size: int):
        super().__init__()
        if query_size != key_size:
            raise ValueError(
                f"query_size: got {query_size}, expected {key_size}, the size of the keys it is multiplied with"
            )

    def forward(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return einsum(query, key, "b t d, b s d -> b t s")


class ScaledDot(Dot):
    """e = q·k / √d_k, so that the energy's spread does not grow with the width. Source: Vaswani et al. 2017, eq. 1."""

    def forward(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return super().forward(query, key) / math.sqrt(key.shape[-1])


class Cosine(Dot):
    """e = q·k / (‖q‖‖k‖): the angle alone, 0 for a zero vector. Source: Graves et al. 2014, eq. 6."""

    def forward(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return super().forward(
            nn.functional.normalize(query, dim=-1), nn.functional.normalize(key, dim=-1)
        )


class General(nn.Module):
    """e = qᵀWk: learns which part of a key answers which part of a query. Source: Luong et al. 2015, eq. 8."""

    def __init__(self, query_size: int, key_size: int):
        super().__init__()
        self.key = nn.Linear(key_size, query_size, bias=False)

    def forward(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return einsum(query, self.key(key), "b t d, b s d -> b t s")


class Additive(nn.Module):
    """e = vᵀ tanh(W_q q + W_k k): a network with one hidden layer. Source: Bahdanau et al. 2015, appendix A.1.2."""

    def __init__(self, query_size: int, key_size: int):
        super().__init__()
        self.query = nn.Linear(query_size, query_size, bias=False)
        self.key = nn.Linear(key_size, query_size, bias=False)
        self.v = nn.Linear(query_size, 1, bias=False)

    def forward(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        queries = rearrange(self.query(query), "b t h -> b t 1 h")
        keys = rearrange(self.key(key), "b s h -> b 1 s h")
        return rearrange(self.v(torch.tanh(queries + keys)), "b t s 1 -> b t s")


class Local(nn.Module):
    """General energy inside a window around a predicted position p: e = qᵀWk − (s − p)²/2σ², −∞ where |s − p| > 2σ.

    p = (S − 1) · sigmoid(vᵀ tanh(W q)) for key positions s = 0 … S − 1; S counts padding too, so give batches of one
    length. Source: Luong et al. 2015, section 3.2 ("local-p"), which multiplies the Gaussian after the softmax; added
    to the energy, before it, the weights keep the same proportions and still sum to 1.
    """

    def __init__(self, query_size: int, key_size: int, sigma: float = 1.0):
        super().__init__()
        if not sigma > 0:
            raise ValueError(
                f"sigma: got {sigma}, expected a positive number of positions"
            )
        self.base = General(query_size, key_size)
        self.position = nn.Sequential(
            nn.Linear(query_size, query_size),
            nn.Tanh(),
            nn.Linear(query_size, 1),
            nn.Sigmoid(),
        )
        self.sigma = sigma

    def forward(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        centre = (key.shape[1] - 1) * self.position(query)  # (B, T, 1)
        distance = torch.arange(key.shape[1], dtype=query.dtype) - centre  # (B, T, S)
        energy = self.base(query, key) - distance**2 / (2 * self.sigma**2)
        return energy.masked_fill(distance.abs() > 2 * self.sigma, -torch.inf)


ENERGIES = {
    "cosine": Cosine,
    "dot": Dot,
    "scaled_dot": ScaledDot,
    "general": General,
    "additive": Additive,
    "local": Local,
}


def energy_function(name: str, query_size: int, key_size: int) -> nn.Module:
    """The energy function called `name`, for queries and keys of these sizes. Raises ValueError for another name."""
    require_choice("name", name, ENERGIES)
    return ENERGIES[name](query_size, key_size)


# ---------------------------------------------------------------------------------------------------------------------
# Attention
# ---------------------------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    """α = softmax(energy(q, K)), z = Σ αᵢ vᵢ.

    The softmax is a module, so that a forward hook on it sees every map.
    Source: the general form A(q, K, V) of Chaudhari et al. 2019.
    """

    def __init__(self, energy: nn.Module):
        super().__init__()
        self.energy = energy
        self.softmax = nn.Softmax(dim=-1)

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """query (B, T, d_q), key (B, S, d_k), value (B, S, d_v)
        → output (B, T, d_v), weights (B, T, S).

        attn_mask: boolean, broadcast to (B, T, S), True = may attend, as in
        `F.scaled_dot_product_attention`; a masked key gets weight 0 exactly.
        Raises ValueError for other shapes, for NaN or infinite input, and for
        a query that may attend to nothing.
        """
        require_shape("query", query, ("B", "T", "d_q"))
        require_shape("key", key, (len(query), "S", "d_k"))
        require_shape("value", value, (len(query), key.shape[1], "d_v"))
        for name, tensor in (("query", query), ("key", key), ("value", value)):
            require_finite(name, tensor)
        energy = self.energy(query, key)  # (B, T, S)
        if attn_mask is not None:
            energy = energy.masked_fill(
                ~_broadcast_mask(attn_mask, energy.shape), -torch.inf
            )
        if (energy == -torch.inf).all(dim=-1).any():
            raise ValueError(
                "attn_mask: got a query with every key masked, "
                "expected at least one key to attend to"
            )
        weights = self.softmax(energy)
        return einsum(weights, value, "b t s, b s d -> b t d"), weights


def _broadcast_mask(attn_mask: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    if attn_mask.dtype != torch.bool:
        raise ValueError(
            f"attn_mask: got {attn_mask.dtype}, expected torch.bool with True where a query may attend"
        )
    try:
        return attn_mask.expand(shape)
    except RuntimeError:
        got, expected = tuple(attn_mask.shape), tuple(shape)
        raise ValueError(
            f"attn_mask: got shape {got}, expected one that broadcasts to (B, T, S) = {expected}"
        ) from None


# ---------------------------------------------------------------------------------------------------------------------
# Decoders that attend, for helpers.seq2seq.Seq2Seq. H = hidden_size; the encoder's states are (B, S, 2H).
# ---------------------------------------------------------------------------------------------------------------------


class BahdanauDecoder(nn.Module):
    """Looks before it steps: s_{t−1} asks, and the answer c_t helps to make s_t.

    c_t = A(s_{t−1}, h, h)
    s_t = GRU([y_{t−1}; c_t], s_{t−1})
    logits = W [s_t; y_{t−1}; c_t]
    Source: Bahdanau et al. 2015, section 3.1, without their maxout layer.
    """

    def __init__(self, num_tokens: int, hidden_size: int):
        super().__init__()
        self.embedding = nn.Embedding(
            num_tokens, hidden_size, padding_idx=Vocabulary.PAD
        )
        self.first_state = nn.Linear(2 * hidden_size, hidden_size)
        self.attention = Attention(Additive(hidden_size, 2 * hidden_size))
        self.cell = nn.GRUCell(3 * hidden_size, hidden_size)
        self.output = nn.Linear(4 * hidden_size, num_tokens)

    def start(self, summary: torch.Tensor) -> torch.Tensor:
        """summary (B, 2H) → s_0 (B, H)."""
        return torch.tanh(self.first_state(summary))

    def forward(self, previous, state, states, summary, mask):
        """previous (B, T) tokens y_{t−1}, state s_0 (B, H)
        → logits (B, T, tokens), last state (B, H), weights (B, T, S)."""
        embedded = self.embedding(previous)  # (B, T, H)
        features, maps = [], []
        for y in embedded.unbind(dim=1):
            context, weights = self.attention(
                state.unsqueeze(1), states, states, mask
            )  # (B, 1, 2H), (B, 1, S)
            context = context.squeeze(1)
            state = self.cell(torch.cat([y, context], dim=-1), state)
            features.append(torch.cat([state, y, context], dim=-1))
            maps.append(weights)
        return self.output(torch.stack(features, dim=1)), state, torch.cat(maps, dim=1)


class LuongDecoder(nn.Module):
    """Steps before it looks: the new state s_t asks, and the answer corrects it.

    s_t = GRU(y_{t−1}, s_{t−1})
    c_t = A(s_t, h, h)
    s̃_t = tanh(W_c [c_t; s_t])
    logits = W s̃_t
    Source: Luong et al. 2015, section 3.1: global attention, general energy, no input
    feeding. s̃_t has 2H units, which brings the number of parameters to that of the
    decoder without attention.
    """

    def __init__(self, num_tokens: int, hidden_size: int):
        super().__init__()
        self.embedding = nn.Embedding(
            num_tokens, hidden_size, padding_idx=Vocabulary.PAD
        )
        self.first_state = nn.Linear(2 * hidden_size, hidden_size)
        self.gru = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.attention = Attention(General(hidden_size, 2 * hidden_size))
        self.combine = nn.Linear(3 * hidden_size, 2 * hidden_size)
        self.output = nn.Linear(2 * hidden_size, num_tokens)

    def start(self, summary: torch.Tensor) -> torch.Tensor:
        """summary (B, 2H) → s_0 (B, H)."""
        return torch.tanh(self.first_state(summary))

    def forward(self, previous, state, states, summary, mask):
        """previous (B, T) tokens y_{t−1}, state s_0 (B, H)
        → logits (B, T, tokens), last state (B, H), weights (B, T, S)."""
        outputs, last = self.gru(
            self.embedding(previous), state.unsqueeze(0)
        )  # (B, T, H)
        context, weights = self.attention(
            outputs, states, states, mask
        )  # (B, T, 2H), (B, T, S)
        attentional = torch.tanh(
            self.combine(torch.cat([context, outputs], dim=-1))
        )  # (B, T, 2H)
        return self.output(attentional), last.squeeze(0), weights
