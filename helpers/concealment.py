"""Filling gaps in speech, chapter 07b: frames got lost on the way, and a small network guesses them from its window."""

import torch
from torch import nn
from torch.nn import functional as F

from helpers.beyond_text import WindowedSelfAttention
from helpers.data import speech
from helpers.training import RECORDED, load_part

BANDS, TRAINED, CROP = 24, 800, 100  # numbers a frame; frames to train on, in a crop
LEFT, LAYERS = 10, 2
LOOKAHEADS = (0, 2, 5, 10)  # frames to the right that a layer sees
LONGEST = 10  # frames lost in a row


def bands(sound: torch.Tensor, rate: int) -> torch.Tensor:
    """The loudness in 24 bands, in decibels: sound (N,) → frames (T, 24), of 25 ms every 10 ms.

    The bands are triangles of equal width on the mel scale, from 60 to 7,600 Hz: narrow where the ear is fine.
    Source: Davis and Mermelstein 1980, and O'Shaughnessy's 2595 log10(1 + f/700).
    """
    sound = sound.to(torch.get_default_dtype())
    window, hop = rate * 25 // 1000, rate * 10 // 1000
    frames = sound.unfold(0, window, hop) * torch.hann_window(window)
    power = torch.fft.rfft(frames).abs() ** 2  # (T, window // 2 + 1)
    low, high = (2595 * torch.log10(1 + torch.tensor(f) / 700) for f in (60.0, 7600.0))
    edges = 700 * (10 ** (torch.linspace(low, high, BANDS + 2) / 2595) - 1)
    frequency = torch.linspace(0, rate / 2, power.shape[1])
    below, middle, above = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (frequency - below) / (middle - below)
    falling = (above - frequency) / (above - middle)
    triangles = torch.minimum(rising, falling).clamp(min=0)  # (24, frequencies)
    return 10 * torch.log10(power @ triangles.T / triangles.sum(dim=1) + 1e-4)


def speech_bands() -> tuple[torch.Tensor, torch.Tensor, float]:
    """Frames (T, 24) of the recording to train on (the first 8 seconds) and to test on, standardised, and their scale:
    decibels for a step of 1."""
    frames = bands(*speech())
    mean, scale = frames.mean(), frames.std()
    frames = (frames - mean) / scale
    return frames[:TRAINED], frames[TRAINED:], scale.item()


def lose(frames: torch.Tensor, generator: torch.Generator, gap: int | None = None):
    """Lose frames in gaps of 1 to 10, or of `gap`: frames (B, T, 24) → x (B, T, 25), lost (B, T) boolean.

    x holds the last frame that arrived in the place of each lost one, and a mark: 1 where a frame was lost.
    """
    batch_size, length, _ = frames.shape
    lost = torch.zeros(batch_size, length, dtype=torch.bool)
    for row in lost:
        t = int(torch.randint(5, 25, (), generator=generator))
        while t < length - LONGEST:
            n = gap or int(torch.randint(1, LONGEST + 1, (), generator=generator))
            row[t : t + n] = True
            t += n + int(torch.randint(15, 30, (), generator=generator))
    last = torch.where(lost, 0, torch.arange(length)).cummax(dim=1).values
    held = frames.gather(1, last[..., None].expand_as(frames))
    return torch.cat([held, lost[..., None].to(frames.dtype)], dim=-1), lost


class Layer(nn.Module):
    """A pre-norm layer with windowed self-attention of four heads.

    The bias of each head begins as −slope · |offset|, slopes 1, 1/2, 1/4, 1/8, so that a wide window begins by looking
    near (Press et al. 2022); it is then trained.
    """

    def __init__(self, d_model: int, left: int, right: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.attention = WindowedSelfAttention(d_model, 4, left, right)
        slopes = 0.5 ** torch.arange(4)[:, None, None]
        with torch.no_grad():
            self.attention.bias.copy_(-slopes * torch.arange(-left, right + 1).abs())
        self.feed_forward = nn.Sequential(
            nn.Linear(d_model, 2 * d_model), nn.GELU(), nn.Linear(2 * d_model, d_model)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.feed_forward(self.norm2(x))


class Concealer(nn.Module):
    """Corrects the frames that were held: x (B, T, 25) → frames (B, T, 24). It begins by correcting nothing."""

    def __init__(self, right: int, left: int = LEFT, d_model: int = 32):
        super().__init__()
        self.embedding = nn.Linear(BANDS + 1, d_model)
        self.layers = nn.Sequential(
            *(Layer(d_model, left, right) for _ in range(LAYERS))
        )
        self.correction = nn.Linear(d_model, BANDS)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[..., :BANDS] + self.correction(self.layers(self.embedding(x)))


def concealer(right: int, seed: int) -> Concealer:
    """A fresh model."""
    torch.manual_seed(seed)
    return Concealer(right)


def recorded_concealer(right: int) -> Concealer:
    """The model that experiments/efficient_attention.py trained with seed 0, for one of `LOOKAHEADS`."""
    file = RECORDED / "concealment.safetensors"
    return load_part(concealer(right, 0), file, str(right))


def batch_loss(model: Concealer, frames: torch.Tensor, batch_size: int = 8):
    """For `helpers.training.fit`: crops of a second, louder or softer by some decibels, with random gaps."""

    def loss(generator: torch.Generator) -> torch.Tensor:
        starts = torch.randint(TRAINED - CROP, (batch_size,), generator=generator)
        y = torch.stack([frames[start : start + CROP] for start in starts])
        y = y + 0.3 * torch.randn(batch_size, 1, 1, generator=generator)
        x, lost = lose(y, generator)
        return F.mse_loss(model(x)[lost], y[lost])

    return loss


def interpolate(x: torch.Tensor, lost: torch.Tensor) -> torch.Tensor:
    """A straight line over each gap, from the frame before to the frame after: x (B, T, 25) → frames (B, T, 24)."""
    length = lost.shape[1]
    here = torch.arange(length)
    before = torch.where(lost, 0, here).cummax(dim=1).values
    after = torch.where(lost, length - 1, here).flip(1).cummin(dim=1).values.flip(1)
    share = ((here - before) / (after - before).clamp(min=1))[..., None]
    frames = x[..., :BANDS]
    first, second = (
        frames.gather(1, at[..., None].expand_as(frames)) for at in (before, after)
    )
    return (1 - share) * first + share * second


@torch.no_grad()
def error(model, frames: torch.Tensor, scale: float, gap: int, seed: int = 1000):
    """Root mean squared error on the lost frames, in decibels, over 20 random ways to lose gaps of this length.

    model: called with x and, if it is a function, with `lost`.
    """
    y = frames.expand(20, -1, -1)
    x, lost = lose(y, torch.Generator().manual_seed(seed), gap)
    guess = model(x) if isinstance(model, nn.Module) else model(x, lost)
    return scale * F.mse_loss(guess[lost], y[lost]).sqrt().item()
