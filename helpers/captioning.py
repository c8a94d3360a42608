"""Show, Attend and Tell (Xu et al. 2015): a caption word by word, each with a look at the picture, soft or hard.

Shapes: B pictures in a batch, L places of the grid with D numbers each, the annotations; T words of a caption, H =
`hidden_size`. A look at the places is α, which sums to 1 over the L.
"""

from collections.abc import Callable, Sequence
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
# The network
# ---------------------------------------------------------------------------------------------------------------------


class PictureEncoder(nn.Module):
    """A small convolutional network: a picture becomes a grid, an eighth as high and wide, of D numbers a place.

    Two channels are added to the picture, the coordinates x and y from −1 to 1 (Liu et al. 2018, CoordConv), so that
    what is left and right can be told from the annotations. Xu et al. take a layer of VGG trained on ImageNet.
    """

    STRIDE = 8

    def __init__(self, annotation_size: int = 96):
        super().__init__()
        if annotation_size < 8 or annotation_size % 8:
            raise ValueError(
                f"annotation_size: got {annotation_size}, expected a multiple of 8"
            )
        self.annotation_size = annotation_size
        widths = [5, 32, 64, annotation_size, annotation_size]
        strides = [2, 2, 2, 1]
        layers: list[nn.Module] = []
        for before, after, stride in zip(widths, widths[1:], strides, strict=False):
            layers += [
                nn.Conv2d(before, after, 3, stride, padding=1),
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
        b, _, height, width = images.shape
        x = torch.linspace(-1, 1, width).to(images).expand(b, 1, height, width)
        y = torch.linspace(-1, 1, height).to(images)[:, None]
        y = y.expand(b, 1, height, width)
        grid = self.layers(torch.cat([images, x, y], dim=1))
        return rearrange(grid, "b d h w -> b (h w) d")

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


class Look(nn.Module):
    """α = softmax(vᵀ tanh(W_q h + W_k a_i)), and the context ẑ that α makes of the annotations.

    Source: Xu et al. 2015, eq. 4 to 6, with the energy of Bahdanau et al. 2015; eq. 8 (hard) and 13 (soft).
    """

    def __init__(self, hidden_size: int, annotation_size: int):
        super().__init__()
        self.query = nn.Linear(hidden_size, hidden_size, bias=False)
        self.key = nn.Linear(annotation_size, hidden_size, bias=False)
        self.v = nn.Linear(hidden_size, 1, bias=False)
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, state, annotations, keys, look: str, places=None, generator=None):
        """state (B, H), annotations (B, L, D), keys (B, L, H) = self.key(annotations)
        → context (B, D), weights (B, L), places (B,).

        places: for a hard look, where to look instead of drawing. What is returned as places is −1 where the look
        was at all places at once. Raises ValueError for another look.
        """
        require_choice("look", look, LOOKS)
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
    """What `Captioner` returns: logits (B, T, tokens), weights (B, T, L) and places (B, T), −1 where there is none."""

    logits: torch.Tensor
    weights: torch.Tensor
    places: torch.Tensor


class Captioner(nn.Module):
    """Encoder, look and LSTM: h_t = LSTM([E y_{t−1}; β_t ẑ_t], h_{t−1}),
    logits = W_o (E y_{t−1} + W_h h_t + W_z β_t ẑ_t).

    The gate β_t = σ(wᵀh_{t−1}) lets a word do without the picture, such as "of". The first state is made of the mean
    annotation. Source: Xu et al. 2015, eq. 1 to 7 and section 4.2.1.
    """

    def __init__(
        self,
        num_tokens: int,
        annotation_size: int = 96,
        hidden_size: int = 96,
        encoder: nn.Module | None = None,
    ):
        super().__init__()
        d, h = annotation_size, hidden_size
        self.encoder = encoder or PictureEncoder(d)
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
        """previous (B,) tokens y_{t−1}, state (h, c) → logits (B, tokens), state, weights (B, L), places (B,)."""
        h, c = state
        context, weights, places = self.look(
            h, annotations, keys, look, places, generator
        )
        context = torch.sigmoid(self.gate(h)) * context
        embedded = self.embedding(previous)
        h, c = self.cell(torch.cat([embedded, context], dim=-1), (h, c))
        mixed = embedded + self.from_state(h) + self.from_context(context)
        return self.output(mixed), (h, c), weights, places

    def forward(
        self,
        images: torch.Tensor,
        target: torch.Tensor,
        look: str = "soft",
        places: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Told:
        """images (B, 3, height, width), target (B, T) tokens → what is expected of each word, given those before it.

        look: one of `LOOKS`. places (B, T): for a hard look, where to look instead of drawing with `generator`.
        Raises ValueError for images as `PictureEncoder` does, another look, and another shape or type of target.
        """
        require_choice("look", look, LOOKS)
        annotations = self.encoder(images)
        _require_tokens(target, len(images), self.output.out_features)
        if places is not None:
            require_shape("places", places, tuple(target.shape))
        keys, state = self.look.key(annotations), self.start(annotations)
        previous = F.pad(target[:, :-1], (1, 0), value=Vocabulary.BEGIN)
        steps = []
        for t, token in enumerate(previous.unbind(dim=1)):
            at = None if places is None else places[:, t]
            logits, state, weights, drawn = self.step(
                token, state, annotations, keys, look, at, generator
            )
            steps.append((logits, weights, drawn))
        return Told(*(torch.stack(x, dim=1) for x in zip(*steps, strict=True)))


def _require_tokens(target: torch.Tensor, rows: int, num_tokens: int) -> None:
    require_shape("target", target, (rows, "T"))
    if target.dtype != torch.long:
        raise ValueError(f"target: got {target.dtype}, expected torch.int64")
    low, high = int(target.min()), int(target.max())
    if low < 0 or high >= num_tokens:
        raise ValueError(
            f"target: got tokens from {low} to {high}, expected 0 to {num_tokens - 1}"
        )


# ---------------------------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------------------------


def log_likelihood(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """logits (B, T, tokens), target (B, T), padded at the end → (B,): log p(y) of each caption."""
    terms = F.cross_entropy(
        rearrange(logits, "b t v -> b v t"),
        target,
        ignore_index=Vocabulary.PAD,
        reduction="none",
    )
    return -terms.sum(dim=1)


def doubly_stochastic_penalty(
    weights: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """weights (B, T, L), mask (B, T), True where there is a word → (B,): Σ_i (1 − Σ_t α_ti)².

    It is 0 if every place was looked at as much as every other and once in all, which takes as many words as places.
    With T < L words it is at least L (1 − T/L)². As Σ_i Σ_t α_ti = T whatever the look, its gradient is that of
    Σ_i (Σ_t α_ti)²: it asks for looks that spread and do not return. Source: Xu et al. 2015, eq. 14.
    Raises ValueError for other shapes, and a mask that is not boolean.
    """
    require_shape("weights", weights, ("B", "T", "L"))
    require_shape("mask", mask, tuple(weights.shape[:2]))
    if mask.dtype != torch.bool:
        raise ValueError(
            f"mask: got {mask.dtype}, expected torch.bool with True where there is a word"
        )
    looked = (weights * mask[..., None]).sum(dim=1)  # (B, L)
    return (1 - looked).square().sum(dim=-1)


def soft_loss(
    model: Captioner,
    images: torch.Tensor,
    target: torch.Tensor,
    penalty: float = 0.01,
    look: str = "soft",
) -> torch.Tensor:
    """−log p(y) + λ Σ_i (1 − Σ_t α_ti)², the mean over the batch; λ = `penalty`.

    images (B, 3, height, width), target (B, T), padded at the end. Source: Xu et al. 2015, eq. 14.
    """
    told = model(images, target, look)
    penalties = doubly_stochastic_penalty(told.weights, target != Vocabulary.PAD)
    return (penalty * penalties - log_likelihood(told.logits, target)).mean()


class MovingBaseline:
    """b ← 0.9 b + 0.1 · mean log p(y | s): what a caption is worth on the average lately.

    Source: Xu et al. 2015, section 4.1.
    """

    def __init__(self, decay: float = 0.9):
        if not 0 <= decay < 1:
            raise ValueError(f"decay: got {decay}, expected 0 ≤ decay < 1")
        self.decay, self.value = decay, 0.0

    def update(self, rewards: torch.Tensor) -> None:
        mean = rewards.mean().item()
        self.value = self.decay * self.value + (1 - self.decay) * mean


def log_probability_of_places(
    weights: torch.Tensor, places: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """weights (B, T, L), places (B, T), mask (B, T) → (B,): Σ_t log α_{t, s_t} over the words."""
    chosen = weights.gather(-1, places[..., None])[..., 0]  # (B, T)
    return (chosen.log() * mask).sum(dim=1)


def entropy(weights: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """weights (B, T, L), mask (B, T) → (B,): Σ_t H[α_t] over the words, with H[α] = −Σ_i α_i log α_i."""
    terms = torch.special.entr(weights).sum(dim=-1)  # entr(0) = 0
    return (terms * mask).sum(dim=1)


def hard_loss(
    model: Captioner,
    images: torch.Tensor,
    target: torch.Tensor,
    baseline: MovingBaseline,
    score_weight: float = 1.0,
    entropy_weight: float = 0.01,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """A number whose gradient is REINFORCE's estimate; the number itself means nothing by itself.

    One path of places s is drawn for each caption. The gradient is that of
    −[log p(y | s) + λ_r (log p(y | s) − b) log p(s) + λ_e H[α]], with the bracket (log p(y | s) − b) held constant.
    For λ_r = 1 and λ_e = 0 its mean over the paths is the gradient of Σ_s p(s) log p(y | s) ≤ log p(y), for any b that
    does not hang on s; b only makes it less noisy. So the baseline moves on after it was used.
    Source: Xu et al. 2015, section 4.1; Williams 1992. They also look softly in half of the captions: here that is
    `soft_loss` on half of the batches.
    """
    told = model(images, target, "hard", generator=generator)
    mask = target != Vocabulary.PAD
    reward = log_likelihood(told.logits, target)
    advantage = reward.detach() - baseline.value
    score = log_probability_of_places(told.weights, told.places, mask)
    spread = entropy(told.weights, mask)
    baseline.update(reward.detach())
    return -(reward + score_weight * advantage * score + entropy_weight * spread).mean()


def gradient_noise(
    loss: Callable[[], torch.Tensor],
    parameters: Sequence[nn.Parameter],
    draws: int,
) -> tuple[float, float]:
    """→ ‖mean gradient‖² and the total variance, Σ of all parameters' variances, of `loss`() over so many draws.

    The variance is the unbiased one. Raises ValueError for fewer than 2 draws.
    """
    if draws < 2:
        raise ValueError(f"draws: got {draws}, expected at least 2")
    total = squares = 0.0
    for _ in range(draws):
        flat = torch.cat(
            [g.flatten() for g in torch.autograd.grad(loss(), [*parameters])]
        ).double()
        total, squares = total + flat, squares + flat.square()
    mean = total / draws
    variance = (squares / draws - mean.square()).clamp(min=0) * draws / (draws - 1)
    return mean.square().sum().item(), variance.sum().item()


# ---------------------------------------------------------------------------------------------------------------------
# Writing, and whether the looks were at what the words speak of
# ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Written:
    """A caption with its looks: the words, weights (T, h, w), a map for each, and T places, −1 where none."""

    words: list[str]
    weights: torch.Tensor
    places: list[int]


@torch.no_grad()
def write(
    model: Captioner,
    images: torch.Tensor,
    vocabulary: Vocabulary,
    look: str = "soft",
    max_length: int = 16,
    generator: torch.Generator | None = None,
) -> list[Written]:
    """The likeliest word at each step, until the end mark: a caption for each of the images (B, 3, height, width).

    Raises ValueError for max_length < 1, and as `Captioner` does.
    """
    require_choice("look", look, LOOKS)
    if max_length < 1:
        raise ValueError(f"max_length: got {max_length}, expected at least 1")
    annotations = model.encoder(images)
    keys, state = model.look.key(annotations), model.start(annotations)
    token = torch.full((len(images),), Vocabulary.BEGIN)
    ended, steps = torch.zeros(len(images), dtype=torch.bool), []
    while len(steps) < max_length and not ended.all():
        logits, state, weights, places = model.step(
            token, state, annotations, keys, look, None, generator
        )
        logits[:, [Vocabulary.PAD, Vocabulary.BEGIN]] = -torch.inf  # no words
        token = logits.argmax(dim=-1)
        ended |= token == Vocabulary.END
        steps.append((token, weights, places))
    tokens, weights, places = (torch.stack(x, dim=1) for x in zip(*steps, strict=True))
    maps = rearrange(
        weights, "b t (h w) -> b t h w", h=images.shape[2] // PictureEncoder.STRIDE
    )
    written = []
    for row, look_maps, at in zip(tokens.tolist(), maps, places.tolist(), strict=True):
        words = vocabulary.decode(row)
        written.append(Written(words, look_maps[: len(words)], at[: len(words)]))
    return written


def touched(
    boxes: Sequence[tuple[int, int, int, int]], image_size: int, cells: int
) -> torch.Tensor:
    """(cells, cells) booleans: which cells of the grid share a pixel with one of the boxes (left, top, right, bottom).

    Raises ValueError unless the cells divide the picture.
    """
    if cells < 1 or image_size % cells:
        raise ValueError(f"cells: got {cells}, expected a divisor of {image_size}")
    side = image_size // cells
    grid = torch.zeros(cells, cells, dtype=torch.bool)
    for left, top, right, bottom in boxes:
        grid[top // side : -(-bottom // side), left // side : -(-right // side)] = True
    return grid


@dataclass
class Pointing:
    """Of so many `words` that speak of something: the share whose greatest weight is on it, the share of all weight
    that is on it, and both for a look anywhere, the chance."""

    words: int
    hits: float
    weight: float
    chance: float


def pointing(
    maps: Sequence[torch.Tensor],
    boxes: Sequence[Sequence[Sequence[tuple[int, int, int, int]]]],
    image_size: int,
) -> Pointing:
    """Do the looks point at what the words speak of?

    maps: for each caption (T, h, h). boxes: for each caption and word, a list of (left, top, right, bottom). Words
    without a box do not count. A cell is on a box if they share a pixel. Source: the pointing game of Zhang et
    al. 2016, for words. Raises ValueError if no word has a box, and for other shapes.
    """
    hits, weight, chance = [], [], []
    if len(maps) != len(boxes):
        raise ValueError(f"boxes: got {len(boxes)} captions, expected {len(maps)}")
    for looks, words in zip(maps, boxes, strict=True):
        require_shape("maps", looks, (len(words), looks.shape[-1], looks.shape[-1]))
        for look, of_word in zip(looks, words, strict=True):
            if not of_word:
                continue
            right = touched(of_word, image_size, len(look))
            hits.append(right.flatten()[look.argmax()].item())
            weight.append(look[right].sum().item())
            chance.append(right.double().mean().item())
    if not hits:
        raise ValueError("boxes: got no word with a box, expected at least one")
    shares = (sum(x) / len(hits) for x in (hits, weight, chance))
    return Pointing(len(hits), *shares)
