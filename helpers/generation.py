"""A Transformer that writes: nothing but a stack of causal layers, and the ways to choose the next token.

Shapes throughout: B sequences in a batch, T steps, V tokens in the vocabulary, at most T_max in the context.
"""

from collections.abc import Sequence

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from helpers.data import Vocabulary
from helpers.training import RECORDED
from helpers.transformer import (
    KeyValueCache,
    LearnedPositions,
    TransformerEncoder,
    causal_mask,
)
from helpers.validation import require_finite, require_shape


class DecoderOnly(nn.Module):
    """Tokens in, logits of the next token out. A position sees itself and what came before.

    x_t = E[token_t] + P[t], pre-LN layers with GELU under a causal mask, o_t = E x_t:
    the matrix that reads tokens also writes them. E (V, d), P (T_max, d).
    Source: Radford et al. 2019 (GPT-2); one matrix for both ends: Press and Wolf 2017.
    """

    def __init__(
        self,
        num_tokens: int,
        d_model: int,
        num_heads: int,
        d_ff: int,
        num_layers: int,
        context: int,
    ):
        """context: T_max, the most tokens that it can see at a time."""
        super().__init__()
        for name, size in (("num_tokens", num_tokens), ("context", context)):
            if size < 1:
                raise ValueError(f"{name}: got {size}, expected at least 1")
        self.context = context
        self.embedding = nn.Embedding(num_tokens, d_model)
        self.positions = LearnedPositions(context, d_model)
        size = d_model, num_heads, d_ff, num_layers
        self.layers = TransformerEncoder(*size, norm_first=True, activation=F.gelu)
        for table in (self.embedding, self.positions.embedding):
            nn.init.normal_(table.weight, std=0.1)

    def caches(self) -> list[KeyValueCache]:
        """An empty cache for each layer."""
        return [KeyValueCache() for _ in self.layers.layers]

    def forward(self, tokens, caches=None, need_weights=False):
        """tokens (B, T) whole numbers
        → logits (B, T, V), and of each layer the weights (B, h, T, S) or None.

        caches: what `caches()` gave, to go on from the tokens read before; S counts
        these too.
        Raises ValueError for S > T_max and for other shapes.
        """
        require_shape("tokens", tokens, ("B", "T"))
        T = tokens.shape[1]
        S = T + (len(caches[0]) if caches else 0)
        x = self.embedding(tokens) + self.positions(S)[S - T :]  # (B, T, d)
        x, weights = self.layers(
            x, attn_mask=causal_mask(T, S), need_weights=need_weights, caches=caches
        )
        return F.linear(x, self.embedding.weight), weights


def next_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    """logits (…, V) → probabilities (…, V) from which the next token is drawn.

    temperature: first the softmax of logits / temperature.
    top_k: then only the k likeliest stay; of equals, the first.
    top_p: then, of these, the fewest likeliest that hold at least this share.
    What stays is scaled to sum to 1. Source: Fan et al. 2018 (top-k), Holtzman et al.
    2019 (top-p, the nucleus).
    Raises ValueError for NaN, temperature ≤ 0, top_k < 1, top_p outside (0, 1].
    """
    require_finite("logits", logits)
    if not temperature > 0:
        raise ValueError(f"temperature: got {temperature}, expected a positive number")
    if top_k is not None and (top_k < 1 or top_k != int(top_k)):
        raise ValueError(f"top_k: got {top_k}, expected a whole number from 1")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p: got {top_p}, expected more than 0, at most 1")
    p = torch.softmax(logits / temperature, dim=-1)
    p, order = p.sort(dim=-1, descending=True, stable=True)
    if top_k is not None:
        p[..., top_k:] = 0
        p = p / p.sum(dim=-1, keepdim=True)
    if top_p is not None and top_p < 1:
        before = p.cumsum(dim=-1) - p  # the probability of all likelier tokens
        p = p.where(before < top_p, 0)
        p = p / p.sum(dim=-1, keepdim=True)
    return torch.zeros_like(p).scatter(-1, order, p)  # back in the vocabulary's order


@torch.no_grad()
def generate(
    model, prefix: Sequence[int], length: int, seed=0, cached=True, **choice
) -> list[int]:
    """`length` tokens that go on from `prefix`, each drawn from `next_probabilities(logits, **choice)`.

    cached: keep the keys and values of what was read, and read only the new token; otherwise read everything anew for
    each token. Both draw the same tokens. When the context is full, reading begins anew with its second half.
    Raises ValueError for an empty prefix, and as `next_probabilities`.
    """
    if not len(prefix):
        raise ValueError("prefix: got an empty one, expected at least one token")
    generator = torch.Generator().manual_seed(seed)
    tokens, caches = list(prefix), model.caches()
    # where the context begins, and where what was not read yet begins
    begin = read = max(0, len(tokens) - model.context)
    while len(tokens) < len(prefix) + length:
        if len(tokens) - begin > model.context:
            begin = read = len(tokens) - model.context // 2
            caches = model.caches()
        new = torch.tensor([tokens[read if cached else begin :]])
        logits, _ = model(new, caches if cached else None)
        read = len(tokens)
        p = next_probabilities(logits[0, -1], **choice)
        tokens.append(torch.multinomial(p, 1, generator=generator).item())
    return tokens[len(prefix) :]


@torch.no_grad()
def window_losses(model, tokens, stride=None):
    """tokens (T,) → −log p in nats, (windows, T_max): column i was predicted from the window's first i + 1 tokens.

    A window begins every `stride` tokens, T_max of them unless told otherwise; the last one ends with the text.
    Raises ValueError for a text of fewer than T_max + 1 tokens.
    """
    T_max = model.context
    require_shape("tokens", tokens, ("T",))
    if len(tokens) <= T_max:
        raise ValueError(
            f"tokens: got {len(tokens)}, expected more than {T_max}, the context"
        )
    stride = T_max if stride is None else stride
    if not 1 <= stride <= T_max:
        raise ValueError(f"stride: got {stride}, expected 1 to {T_max}")
    starts = list(range(0, len(tokens) - T_max, stride))
    if starts[-1] < len(tokens) - T_max - 1:
        starts.append(len(tokens) - T_max - 1)
    rows = []
    for part in torch.tensor(starts).split(64):
        windows = tokens[part[:, None] + torch.arange(T_max + 1)]  # (64, T_max + 1)
        logits, _ = model(windows[:, :-1])
        losses = F.cross_entropy(
            logits.transpose(1, 2), windows[:, 1:], reduction="none"
        )
        rows.append(losses)
    return torch.cat(rows)


def mean_loss(model, tokens, stride=None) -> float:
    """The mean −log p of each token but the first, in nats.

    Each is predicted from the T_max − stride to T_max tokens before it, or from all there are; `stride` is T_max/4
    unless told otherwise.
    """
    T_max = model.context
    stride = stride or max(1, T_max // 4)
    losses = window_losses(model, tokens, stride)  # (windows, T_max)
    last = (len(tokens) - 1 - T_max) % stride or stride  # what the last window adds
    parts = [
        losses[0],
        losses[1:-1, -stride:].flatten(),
        losses[1:][-1:, -last:].flatten(),
    ]
    return torch.cat(parts).mean().item()


# ---------------------------------------------------------------------------------------------------------------------
# The model of the chapter
# ---------------------------------------------------------------------------------------------------------------------


def writer(vocabulary: Vocabulary, seed: int) -> DecoderOnly:
    """A model of one layer for the characters of chapter 02, with fresh weights from `seed`."""
    torch.manual_seed(seed)
    return DecoderOnly(len(vocabulary), 48, 4, 192, 1, context=64)


def recorded_writer(vocabulary: Vocabulary) -> DecoderOnly:
    """The model that experiments/generation.py trained with seed 0."""
    model = writer(vocabulary, seed=0)
    model.load_state_dict(load_file(RECORDED / "generation.safetensors"))
    return model.eval()
