"""The labelling task of chapter 02: which characters of a paragraph lie inside a quotation?"""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from safetensors.torch import load_file
from torch import nn

from helpers.data import Vocabulary, book_text
from helpers.rnn import TokenRNN, WindowMLP
from helpers.training import RECORDED
from helpers.validation import require_choice, require_shape

OPENS, CLOSES = "“", "”"


def quotation_paragraphs(shortest: int = 40, longest: int = 200):
    """Paragraphs of Jane Austen's "Emma", in the book's order: the first four fifths to train on, the rest held out.

    Lines are joined. The book's file has one straight mark for both ends of a quotation; here they are “ and ”, as in
    print, in turn. Paragraphs with an odd number of marks are left out (their quotation goes on in the next one), and
    those of fewer than `shortest` or more than `longest` characters.
    """
    every = (
        " ".join(part.split())
        for part in re.split(r"\n\s*\n", book_text("austen-emma"))
    )
    kept = [
        _typographic(paragraph)
        for paragraph in every
        if paragraph.count('"') % 2 == 0 and shortest <= len(paragraph) <= longest
    ]
    held_out = len(kept) // 5
    return kept[:-held_out], kept[-held_out:]


def _typographic(paragraph: str) -> str:
    pieces = paragraph.split('"')
    marks = [OPENS, CLOSES] * (len(pieces) // 2)
    return pieces[0] + "".join(
        mark + piece for mark, piece in zip(marks, pieces[1:], strict=True)
    )


def labeller(name: str, vocabulary: Vocabulary, seed: int) -> nn.Module:
    """The model called "RNN", "window 8" or "window 32", with fresh weights from `seed`; all have 16 hidden units.

    Raises ValueError for another name.
    """
    require_choice("name", name, ("RNN", "window 8", "window 32"))
    torch.manual_seed(seed)
    if name == "RNN":
        return TokenRNN(len(vocabulary), 16, 2)
    return WindowMLP(len(vocabulary), int(name.split()[1]), 16, 2)


def recorded_rnn(vocabulary: Vocabulary) -> TokenRNN:
    """The RNN that experiments/quotations.py trained with seed 0."""
    model = labeller("RNN", vocabulary, seed=0)
    model.load_state_dict(load_file(RECORDED / "quotations.safetensors"))
    return model.eval()


class Paragraphs:
    """Paragraphs as tensors, padded to the longest, T.

    tokens    (N, T) whole numbers, 0 where there is no character
    lengths   (N,)
    labels    (N, T) 1 inside a quotation, from its opening mark on, else 0
    distances (N, T) characters to the nearest clue on either side: a mark, or the beginning or end of the paragraph
    """

    def __init__(self, paragraphs: Sequence[str], vocabulary: Vocabulary):
        """Raises ValueError for no paragraphs and for characters outside the vocabulary."""
        if not paragraphs:
            raise ValueError("paragraphs: got none, expected at least one")
        rows = [torch.tensor(vocabulary.encode(text)) for text in paragraphs]
        self.tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        self.lengths = torch.tensor([len(row) for row in rows])
        opens, closes = vocabulary.encode(OPENS + CLOSES)
        turns = (self.tokens == opens).long() - (self.tokens == closes).long()
        self.labels = turns.cumsum(dim=1)
        self.there = self.tokens != Vocabulary.PAD
        self.distances = torch.zeros_like(self.tokens)
        for i, text in enumerate(paragraphs):
            marks = [t for t, c in enumerate(text) if c in (OPENS, CLOSES)]
            clues = torch.tensor([-1, *marks, len(text)])
            places = torch.arange(len(text)).unsqueeze(1)
            self.distances[i, : len(text)] = (places - clues).abs().amin(dim=1)

    def batch_loss(
        self, model: nn.Module, batch_size: int = 32
    ) -> Callable[[torch.Generator], torch.Tensor]:
        """For `helpers.training.fit`: the mean cross-entropy of the labels of a random batch, padding left out."""

        def loss(generator: torch.Generator) -> torch.Tensor:
            rows = torch.randint(len(self.tokens), (batch_size,), generator=generator)
            longest = self.lengths[rows].max()
            tokens, there = self.tokens[rows, :longest], self.there[rows, :longest]
            return nn.functional.cross_entropy(
                logits_of(model, tokens)[there], self.labels[rows, :longest][there]
            )

        return loss

    @torch.no_grad()
    def right(self, model: nn.Module) -> torch.Tensor:
        """(N, T) True where `model` gives the right label."""
        return logits_of(model, self.tokens).argmax(dim=-1) == self.labels


def logits_of(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """The logits (B, T, 2) of a `TokenRNN` or a `WindowMLP`."""
    out = model(tokens)
    return out[0] if isinstance(out, tuple) else out


def accuracy_by_distance(
    data: Paragraphs, right: torch.Tensor, edges: Sequence[int]
) -> list[float]:
    """The share of `right` (N, T) among the characters whose clue is eᵢ to eᵢ₊₁ − 1 characters away.

    Raises ValueError for another shape and for an empty bin.
    """
    require_shape("right", right, tuple(data.tokens.shape))
    shares = []
    for low, high in pairwise(edges):
        chosen = data.there & (low <= data.distances) & (data.distances < high)
        if not chosen.any():
            raise ValueError(
                f"edges: got no character with a clue {low} to {high - 1} characters away, expected at least one"
            )
        shares.append(right[chosen].double().mean().item())
    return shares
