"""Show, Attend and Tell (Xu et al. 2015): a caption word by word, each with a look at the picture, soft or hard.

Shapes: B pictures in a batch, L places of the grid with D numbers each, the annotations; T words of a caption, H =
`hidden_size`. A look at the places is α, which sums to 1 over the L.
"""

from dataclasses import dataclass

import torch
from einops import einsum, rearrange
from torch import nn
from torch.nn import functional as F

from helpers.data import Vocabulary
from helpers.validation import require_choice, require_shape

# How a look becomes a context. "soft": the mean by α. "hard": one place drawn from α. "sharpest": the place of the
# greatest α. "blind": the mean of all places, whatever α says, which is what there was before attention.
LOOKS = ("soft", "hard", "sharpest", "blind")

# ---------------------------------------------------------------------------------------------------------------------
# From a picture to annotations
# ---------------------------------------------------------------------------------------------------------------------


class PictureEncoder(nn.Module):
    """A small convolutional network: a picture becomes a grid, an eighth as high and wide, of D = features + 2 numbers.

    The last two are where the place is, x and y from −1 to 1 (Liu et al. 2018, CoordConv): a convolution alone gives
    the same numbers wherever a thing lies. Xu et al. take a layer of VGG trained on ImageNet.
    """

    STRIDE = 8

    def __init__(self, features: int = 64):
        super().__init__()
        if features < 8 or features % 8:
            raise ValueError(f"features: got {features}, expected a multiple of 8")
        self.annotation_size = features + 2
        widths, strides = [3, 32, 64, features, features], [2, 2, 2, 1]
        layers: list[nn.Module] = []
        for before, after, stride in zip(widths, widths[1:], strides, strict=False):
            layers += [
                nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
                nn.GroupNorm(8, after),
                nn.GELU(),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images (B, 3, height, width), from 0 to 1 → annotations (B, L, D), row by row; L = height/8 · width/8.

        Raises ValueError for other channels, a size that 8 does not divide, another type than the weights', and values
        outside 0 to 1.
        """
        self._check(images)
        what = self.layers(images)
        b, _, rows, columns = what.shape
        x = torch.linspace(-1, 1, columns).to(what).expand(b, 1, rows, columns)
        y = torch.linspace(-1, 1, rows).to(what)[:, None].expand(b, 1, rows, columns)
        return rearrange(torch.cat([what, x, y], dim=1), "b d h w -> b (h w) d")

    def _check(self, images: torch.Tensor) -> None:
        require_shape("images", images, ("B", 3, "height", "width"))
        if images.shape[2] % self.STRIDE or images.shape[3] % self.STRIDE:
            got = tuple(images.shape[2:])
            raise ValueError(
                f"images: got height and width {got}, expected multiples of {self.STRIDE}"
            )
        wanted = self.layers[0].weight.dtype
        if images.dtype != wanted:
            raise ValueError(
                f"images: got {images.dtype}, expected {wanted} from 0 to 1"
            )
        low, high = images.min().item(), images.max().item()
        if not (low >= 0 and high <= 1):  # NaN is neither
            raise ValueError(
                f"images: got values from {low:.3g} to {high:.3g}, expected 0 to 1"
            )


class WhatIsThere(nn.Module):
    """What the encoder is taught before any caption: which labels a picture has, not where, nor what goes with what.

    Each place scores each label; a picture's score is the log-mean-exp over its places, near the greatest of them.
    Source: Pinheiro and Collobert 2015.
    """

    def __init__(self, encoder: PictureEncoder, num_labels: int):
        super().__init__()
        self.encoder = encoder
        self.score = nn.Linear(encoder.annotation_size - 2, num_labels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images (B, 3, height, width) → logits (B, labels)."""
        what = self.encoder(images)[..., :-2]  # not where it is
        scores = self.score(what)  # (B, L, labels)
        return scores.logsumexp(dim=1) - torch.tensor(scores.shape[1]).log()


# ---------------------------------------------------------------------------------------------------------------------
# From annotations to words
# ---------------------------------------------------------------------------------------------------------------------


class Look(nn.Module):
    """α = softmax(vᵀ tanh(W_q h + W_k a_i)), and the context ẑ that α makes of the annotations.

    Source: Xu et al. 2015, eq. 4 to 6, with the energy of Bahdanau et al. 2015; eq. 8 (hard) and 13 (soft).
    """

    def __init__(self, hidden_size: int, annotation_size: int, width: int = 32):
        super().__init__()
        self.query = nn.Linear(hidden_size, width, bias=False)
        self.key = nn.Linear(annotation_size, width, bias=False)
        self.v = nn.Linear(width, 1, bias=False)
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, state, annotations, keys, look: str, places=None, generator=None):
        """state (B, H), annotations (B, L, D), keys (B, L, width) = self.key(annotations)
        → context (B, D), weights (B, L), places (B,).

        places: for a hard look, where to look instead of drawing. What is returned as places is −1 where the look
        was at all places at once.
        """
        queries = rearrange(self.query(state), "b h -> b 1 h")
        energy = rearrange(self.v(torch.tanh(queries + keys)), "b l 1 -> b l")
        weights = self.softmax(energy)
        if look == "hard" and places is None:
            places = torch.multinomial(weights.detach(), 1, generator=generator)[:, 0]
        elif look == "sharpest":
            places = weights.argmax(dim=-1)
        elif look == "blind":
            weights = torch.full_like(weights, 1 / weights.shape[-1])
        if look in ("soft", "blind"):
            context = einsum(weights, annotations, "b l, b l d -> b d")
            return context, weights, torch.full_like(energy[:, 0], -1).long()
        context = annotations[torch.arange(len(places)), places]
        return context, weights, places


@dataclass
class Told:
    """What `Captioner` returns: logits (B, T, tokens), weights (B, T, L), gates β (B, T), and the places looked at
    (B, T), −1 where the look was at all of them."""

    logits: torch.Tensor
    weights: torch.Tensor
    gates: torch.Tensor
    places: torch.Tensor


class Captioner(nn.Module):
    """Look and LSTM: h_t = LSTM([E y_{t−1}; β_t ẑ_t], h_{t−1}), logits = W_o (E y_{t−1} + W_h h_t + W_z β_t ẑ_t).

    The gate β_t = σ(wᵀh_{t−1}) lets a word do without the picture, such as "of". The first state is made of the mean
    annotation. Source: Xu et al. 2015, eq. 1 to 7 and section 4.2.1.
    """

    def __init__(self, num_tokens: int, annotation_size: int, hidden_size: int = 64):
        super().__init__()
        d, h = annotation_size, hidden_size
        self.look = Look(h, d)
        self.embedding = nn.Embedding(num_tokens, h, padding_idx=Vocabulary.PAD)
        self.first_state = nn.Linear(d, 2 * h)
        self.gate = nn.Linear(h, 1)
        self.cell = nn.LSTMCell(h + d, h)
        self.from_state = nn.Linear(h, h, bias=False)
        self.from_context = nn.Linear(d, h, bias=False)
        self.output = nn.Linear(h, num_tokens)

    def start(self, annotations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """annotations (B, L, D) → h_0 and c_0 (B, H)."""
        both = torch.tanh(self.first_state(annotations.mean(dim=1)))
        h, c = both.chunk(2, dim=-1)
        return h, c

    def step(
        self, previous, state, annotations, keys, look, places=None, generator=None
    ):
        """previous (B,) tokens y_{t−1}, state (h, c)
        → logits (B, tokens), state, weights (B, L), gate (B,), places (B,)."""
        h, c = state
        context, weights, places = self.look(
            h, annotations, keys, look, places, generator
        )
        gate = torch.sigmoid(self.gate(h))  # (B, 1)
        embedded = self.embedding(previous)
        h, c = self.cell(torch.cat([embedded, gate * context], dim=-1), (h, c))
        mixed = embedded + self.from_state(h) + self.from_context(gate * context)
        return self.output(mixed), (h, c), weights, gate[:, 0], places

    def forward(
        self,
        annotations: torch.Tensor,
        target: torch.Tensor,
        look: str = "soft",
        places: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Told:
        """annotations (B, L, D), target (B, T) tokens → what is expected of each word, given those before it.

        look: one of `LOOKS`. places (B, T): for a hard look, where to look instead of drawing with `generator`.
        Raises ValueError for another look, and another shape or type of annotations, target or places.
        """
        self._check(annotations, look)
        _require_tokens(target, len(annotations), self.output.out_features)
        if places is not None:
            require_shape("places", places, tuple(target.shape))
        keys, state = self.look.key(annotations), self.start(annotations)
        previous = F.pad(target[:, :-1], (1, 0), value=Vocabulary.BEGIN)
        steps = []
        for t, token in enumerate(previous.unbind(dim=1)):
            at = None if places is None else places[:, t]
            logits, state, *seen = self.step(
                token, state, annotations, keys, look, at, generator
            )
            steps.append((logits, *seen))
        return Told(*(torch.stack(x, dim=1) for x in zip(*steps, strict=True)))

    @torch.no_grad()
    def write(
        self,
        annotations: torch.Tensor,
        look: str = "soft",
        max_length: int = 12,
        generator: torch.Generator | None = None,
    ) -> tuple[torch.Tensor, Told]:
        """The likeliest word at each step: tokens (B, T) up to the last end mark, at most max_length, and their looks.

        Raises ValueError for max_length < 1, and as `forward` does.
        """
        self._check(annotations, look)
        if max_length < 1:
            raise ValueError(f"max_length: got {max_length}, expected at least 1")
        keys, state = self.look.key(annotations), self.start(annotations)
        token = torch.full((len(annotations),), Vocabulary.BEGIN)
        ended, steps = torch.zeros(len(annotations), dtype=torch.bool), []
        while len(steps) < max_length and not ended.all():
            logits, state, *seen = self.step(
                token, state, annotations, keys, look, None, generator
            )
            logits[:, [Vocabulary.PAD, Vocabulary.BEGIN]] = -torch.inf  # no words
            token = logits.argmax(dim=-1)
            ended |= token == Vocabulary.END
            steps.append((token, logits, *seen))
        tokens, *told = (torch.stack(x, dim=1) for x in zip(*steps, strict=True))
        return tokens, Told(*told)

    def _check(self, annotations: torch.Tensor, look: str) -> None:
        require_choice("look", look, LOOKS)
        size = self.look.key.in_features
        require_shape("annotations", annotations, ("B", "L", size))


def _require_tokens(target: torch.Tensor, rows: int, num_tokens: int) -> None:
    require_shape("target", target, (rows, "T"))
    if target.dtype != torch.long:
        raise ValueError(f"target: got {target.dtype}, expected torch.int64")
    low, high = int(target.min()), int(target.max())
    if low < 0 or high >= num_tokens:
        raise ValueError(
            f"target: got tokens from {low} to {high}, expected 0 to {num_tokens - 1}"
        )
