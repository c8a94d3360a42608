"""The character language model of chapter 02: which character comes next in "Alice's Adventures in Wonderland"?"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from helpers.data import Vocabulary, book_text, split_text
from helpers.rnn import TokenRNN
from helpers.training import RECORDED
from helpers.validation import require_shape

HIDDEN_SIZE = 128  # of the recorded model


def alice() -> tuple[Vocabulary, dict[str, torch.Tensor]]:
    """The characters of "Alice in Wonderland" and its three parts: see `characters`."""
    return characters(book_text("carroll-alice"))


def characters(text: str) -> tuple[Vocabulary, dict[str, torch.Tensor]]:
    """The characters of a text and its three parts, "train", "validation" and "test", as whole numbers (T,).

    Raises ValueError for a text of too few paragraphs to be cut.
    """
    vocabulary = Vocabulary([text])
    parts = dict(zip(("train", "validation", "test"), split_text(text), strict=True))
    return vocabulary, {
        name: torch.tensor(vocabulary.encode(part)) for name, part in parts.items()
    }


def character_model(vocabulary: Vocabulary, hidden_size: int, seed: int) -> TokenRNN:
    """A recurrent network that predicts the next character, with fresh weights from `seed`."""
    torch.manual_seed(seed)
    return TokenRNN(len(vocabulary), hidden_size, len(vocabulary))


def recorded_model(vocabulary: Vocabulary) -> TokenRNN:
    """The model of 128 units that experiments/char_rnn.py trained with seed 0."""
    model = character_model(vocabulary, HIDDEN_SIZE, seed=0)
    model.load_state_dict(load_file(RECORDED / "char_rnn.safetensors"))
    return model.eval()


def batch_loss(
    model: TokenRNN, tokens: torch.Tensor, batch_size: int = 32, length: int = 64
) -> Callable[[torch.Generator], torch.Tensor]:
    """For `helpers.training.fit`: the mean −log p of the next character in random excerpts of `tokens` (T,)."""

    def loss(generator: torch.Generator) -> torch.Tensor:
        last = len(tokens) - length
        starts = torch.randint(last, (batch_size, 1), generator=generator)
        excerpts = tokens[starts + torch.arange(length + 1)]  # (B, length + 1)
        logits, _ = model(excerpts[:, :-1])
        return nn.functional.cross_entropy(
            logits.flatten(0, 1), excerpts[:, 1:].flatten()
        )

    return loss


@torch.no_grad()
def mean_loss(model: TokenRNN, tokens: torch.Tensor) -> float:
    """The mean −log p of each token but the first, in nats; the state is carried through all of `tokens` (T,)."""
    require_shape("tokens", tokens, ("T",))
    logits, _ = model(tokens[:-1].unsqueeze(0))
    return nn.functional.cross_entropy(logits.squeeze(0), tokens[1:]).item()


def perplexity(model: "TokenRNN | NGram", tokens: torch.Tensor) -> float:
    """exp of the mean −log p of each token but the first: among how many equal choices the model is as unsure."""
    if isinstance(model, NGram):
        return math.exp(model.mean_loss(tokens.tolist()))
    return math.exp(mean_loss(model, tokens))


@torch.no_grad()
def generate(
    model: TokenRNN,
    prefix: Sequence[int],
    length: int,
    temperature: float = 1.0,
    seed: int = 0,
) -> list[int]:
    """`length` tokens that go on from `prefix`, each drawn from softmax(o_t / τ) and given to the model as its next.

    Raises ValueError for an empty prefix and for a temperature that is not positive.
    """
    if not len(prefix):
        raise ValueError("prefix: got an empty one, expected at least one token")
    if not temperature > 0:
        raise ValueError(f"temperature: got {temperature}, expected a positive number")
    generator = torch.Generator().manual_seed(seed)
    tokens, state, written = torch.tensor([list(prefix)]), None, []
    for _ in range(length):
        logits, state = model(tokens, state)
        p = torch.softmax(logits[:, -1] / temperature, dim=-1)  # (1, tokens)
        tokens = torch.multinomial(p, 1, generator=generator)  # (1, 1)
        written.append(tokens.item())
    return written


class NGram:
    """Counts what follows the last n − 1 tokens, and mixes in what follows fewer of them.

    p(x | h) = (count(h x) + u(h) p(x | h')) / (count(h) + u(h)), where h' is h without
    its first token, u(h) the number of different tokens seen after h, and p = 1/K below
    the unigram. So every p is positive, and each distribution sums to 1.
    Source: Witten and Bell 1991, method C; interpolated as in Chen and Goodman 1999.
    """

    def __init__(self, tokens: Sequence[int], n: int, num_tokens: int):
        """Raises ValueError for n < 1 and for tokens outside 0 … num_tokens − 1."""
        if n < 1:
            raise ValueError(f"n: got {n}, expected at least 1")
        if not all(0 <= token < num_tokens for token in tokens):
            raise ValueError(f"tokens: expected numbers from 0 to {num_tokens - 1}")
        self.n, self.num_tokens = n, num_tokens
        self.counts = defaultdict(lambda: np.zeros(num_tokens))
        for t, token in enumerate(tokens):
            for k in range(min(n, t + 1)):
                self.counts[tuple(tokens[t - k : t])][token] += 1

    def probabilities(self, context: Sequence[int]) -> np.ndarray:
        """p of each token after `context`, (num_tokens,)."""
        p = np.full(self.num_tokens, 1 / self.num_tokens)
        for k in range(min(self.n, len(context) + 1)):
            counts = self.counts.get(tuple(context[len(context) - k :]))
            if counts is None:  # never seen: longer ones neither
                break
            different = np.count_nonzero(counts)
            p = (counts + different * p) / (counts.sum() + different)
        return p

    def mean_loss(self, tokens: Sequence[int]) -> float:
        """The mean −log p of each token but the first, in nats."""
        losses = [
            -math.log(self.probabilities(tokens[max(0, t - self.n + 1) : t])[tokens[t]])
            for t in range(1, len(tokens))
        ]
        return sum(losses) / len(losses)
