"""The character LSTM of chapter 04, and what its units have to do with the text that it reads."""

import re
from collections.abc import Callable

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from helpers.data import Vocabulary
from helpers.lstm import LSTM
from helpers.training import RECORDED
from helpers.validation import require_shape

HIDDEN_SIZE = 64
QUOTATION, LINE, CAPITAL = "inside a quotation", "place in the line", "capital letter"
FEATURES = (QUOTATION, LINE, CAPITAL)


class TokenLSTM(nn.Module):
    """Tokens in, logits of the next token out: an LSTM over one-hot vectors, and a linear layer."""

    def __init__(self, num_tokens: int, hidden_size: int):
        super().__init__()
        self.num_tokens = num_tokens
        self.lstm = LSTM(num_tokens, hidden_size)
        self.output = nn.Linear(hidden_size, num_tokens)

    def one_hot(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens (B, T) → (B, T, num_tokens)."""
        return nn.functional.one_hot(tokens, self.num_tokens).to(self.lstm.b.dtype)

    def forward(self, tokens, state=None):
        """tokens (B, T) whole numbers, state as for `LSTM` → logits (B, T, num_tokens), last state."""
        states, last = self.lstm(self.one_hot(tokens), state)
        return self.output(states), last


def token_lstm(vocabulary: Vocabulary, seed: int) -> TokenLSTM:
    """A model of 64 units with fresh weights from `seed`."""
    torch.manual_seed(seed)
    return TokenLSTM(len(vocabulary), HIDDEN_SIZE)


def recorded_lstm(vocabulary: Vocabulary) -> TokenLSTM:
    """The model that experiments/cells.py trained with seed 0."""
    model = token_lstm(vocabulary, seed=0)
    model.load_state_dict(load_file(RECORDED / "cells.safetensors"))
    return model.eval()


def streams_loss(
    model: TokenLSTM, tokens: torch.Tensor, streams: int = 32, length: int = 64
) -> Callable[[torch.Generator], torch.Tensor]:
    """For `helpers.training.fit`: the mean −log p of the next character, `tokens` (T,) being read as parallel streams.

    Each step reads the next `length` characters of every stream and goes on from the state of the step before, whose
    gradient is cut: truncated backpropagation. A model that always begins from an empty cell, at random places, would
    use the cell as a clock, which runs on for ever in a long text.
    """
    lines = tokens[: len(tokens) // streams * streams].view(streams, -1)
    at, state = 0, None

    def loss(_: torch.Generator) -> torch.Tensor:
        nonlocal at, state
        if at + length >= lines.shape[1]:
            at, state = 0, None
        piece = lines[:, at : at + length + 1]
        logits, state = model(piece[:, :-1], state)
        at, state = at + length, tuple(each.detach() for each in state)
        return nn.functional.cross_entropy(logits.flatten(0, 1), piece[:, 1:].flatten())

    return loss


def features(text: str) -> dict[str, np.ndarray]:
    """What is true at each of T characters of "Alice's Adventures in Wonderland": FEATURES → (T,).

    Inside a quotation: 1 from its opening mark to the character before its closing mark. The book's file has one sign,
    ', for both and for apostrophes too: it opens behind a space, a line's end, a hyphen or a bracket, if a quotation is
    not open yet; it closes, if one is open, unless a letter follows it. An empty line closes as well.
    """
    inside, place = np.zeros(len(text)), np.zeros(len(text))
    is_open, start = False, 0
    for t, character in enumerate(text):
        before, after = text[t - 1 : t] or "\n", text[t + 1 : t + 2] or "\n"
        if character == "\n":
            is_open &= before != "\n"
        elif character == "'":
            opens = bool(re.match(r"[\s\-(]", before)) and not after.isspace()
            is_open = after.isalpha() if is_open else opens
        inside[t], place[t] = is_open, t - start
        if character == "\n":
            start = t + 1
    capital = np.array([float(character.isupper()) for character in text])
    return {QUOTATION: inside, LINE: place, CAPITAL: capital}


def correlations(values: np.ndarray, feature: np.ndarray) -> np.ndarray:
    """values (T, N), feature (T,) → the correlation of each unit with the feature, (N,); 0 for a constant unit."""
    require_shape("feature", feature, (len(values),))
    centred, wanted = values - values.mean(axis=0), feature - feature.mean()
    sizes = np.linalg.norm(centred, axis=0) * np.linalg.norm(wanted)
    return np.divide(
        wanted @ centred, sizes, out=np.zeros(values.shape[1]), where=sizes > 0
    )


def chance(values: np.ndarray, feature: np.ndarray, shifts: int = 200, seed: int = 0):
    """The greatest |correlation| of any unit with the feature moved to another place of the text, for `shifts` places.

    The feature is turned round by at least 500 steps, so that it keeps its own rhythm and loses its text: what the
    best of N units reaches by chance.
    """
    random = np.random.default_rng(seed)
    moved = random.integers(500, len(feature) - 500, shifts)
    return np.array(
        [np.abs(correlations(values, np.roll(feature, by))).max() for by in moved]
    )
