"""The translation task that the chapters on sequences share: German number words into English ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from safetensors.torch import load_file
from torch import nn

from helpers.data import NumberPair, Vocabulary, true_alignment
from helpers.seq2seq import Encoder, Seq2Seq
from helpers.training import RECORDED
from helpers.validation import require_choice

RECORDED_MODELS = {
    "no attention": "translation_no_attention",
    "Bahdanau": "translation_bahdanau",
    "Luong": "translation_luong",
    "Cho": "encoder_decoder_cho",
    "Sutskever": "encoder_decoder_sutskever",
    "Transformer": "translation_transformer",
}


def recorded_weights(model: str):
    """The file with the weights of `model`, one of RECORDED_MODELS: seed 0 of its chapter's setting.

    Raises ValueError for another model.
    """
    require_choice("model", model, RECORDED_MODELS)
    return RECORDED / f"{RECORDED_MODELS[model]}.safetensors"


@dataclass(frozen=True)
class Translation:
    """What a model wrote for a source.

    weights: (len(tokens), len(source) + 1), one row for each written token, the last column for the end mark; or None.
    """

    source: tuple[str, ...]
    tokens: tuple[str, ...]
    weights: torch.Tensor | None


class Translator:
    """A sequence-to-sequence model together with its two vocabularies."""

    def __init__(
        self,
        decoder: type[nn.Module] | Callable[[int, int, int], Seq2Seq],
        pairs: Sequence[NumberPair],
        hidden_size: int = 32,
        seed: int = 0,
    ):
        """A fresh model: `pairs` give the vocabularies, `seed` the first weights.

        decoder: the class of a decoder for the bidirectional `Encoder`; or a function that makes the whole model, given
        the number of source tokens, of target tokens, and the hidden size.
        """
        self.source = Vocabulary(pair.source for pair in pairs)
        self.target = Vocabulary(pair.target for pair in pairs)
        torch.manual_seed(seed)
        if isinstance(decoder, type):
            self.model = Seq2Seq(
                Encoder(len(self.source), hidden_size),
                decoder(len(self.target), hidden_size),
            )
        else:
            self.model = decoder(len(self.source), len(self.target), hidden_size)
        self.num_parameters = sum(
            parameter.numel() for parameter in self.model.parameters()
        )

    def batch_loss(
        self, pairs: Sequence[NumberPair], batch_size: int = 64
    ) -> Callable[[torch.Generator], torch.Tensor]:
        """For `helpers.training.fit`: the mean cross-entropy of a random batch of `pairs`, padding left out."""
        sources = self.source.batch([pair.source for pair in pairs])
        targets = self.target.batch([pair.target for pair in pairs])

        def loss(generator: torch.Generator) -> torch.Tensor:
            rows = torch.randint(len(pairs), (batch_size,), generator=generator)
            source, target = _trim(sources[rows]), _trim(targets[rows])
            logits = self.model(source, target)
            return nn.functional.cross_entropy(
                logits.flatten(0, 1), target.flatten(), ignore_index=Vocabulary.PAD
            )

        return loss

    def load(self, model: str) -> None:
        """Take the recorded weights of `model`; see `recorded_weights`."""
        self.model.load_state_dict(load_file(recorded_weights(model)))
        self.model.eval()

    def translate(self, sources: Sequence[Sequence[str]]) -> list[Translation]:
        """Greedy translations. Raises ValueError for no source, an empty one, or a token outside the vocabulary."""
        written, weights = self.model.translate(self.source.batch(sources))
        translations = []
        for i, source in enumerate(sources):
            tokens = self.target.decode(written[i].tolist())
            rows = (
                None
                if weights is None
                else weights[i, : len(tokens), : len(source) + 1]
            )
            translations.append(Translation(tuple(source), tuple(tokens), rows))
        return translations


def _trim(tokens: torch.Tensor) -> torch.Tensor:
    """Cut the last columns that hold nothing but padding."""
    return tokens[:, : int((tokens != Vocabulary.PAD).sum(dim=1).max())]


def exact_match_by_length(
    pairs: Sequence[NumberPair],
    translations: Sequence[Translation],
    edges: Sequence[int],
) -> list[float]:
    """The share of translations that are right in every token, by number of source tokens.

    edges: e₀ < e₁ < …; the i-th share is of the pairs with eᵢ ≤ source tokens < eᵢ₊₁. Raises ValueError for an
    empty bin.
    """
    shares = []
    for low, high in pairwise(edges):
        right = [
            t.tokens == p.target
            for p, t in zip(pairs, translations, strict=True)
            if low <= len(p.source) < high
        ]
        if not right:
            raise ValueError(
                f"edges: got no pair with {low} to {high - 1} source tokens, expected at least one"
            )
        shares.append(sum(right) / len(right))
    return shares


@dataclass(frozen=True)
class AlignmentScore:
    """How far attention weights agree with the known alignment, over `tokens` written tokens that have a source."""

    accuracy: (
        float  # share of the tokens whose greatest weight is on the true source token
    )
    weight: float  # mean weight on the true source token
    diagonal: (
        float  # accuracy of a guess that ignores the model: the same relative position
    )
    tokens: int


def alignment_score(
    pairs: Sequence[NumberPair], translations: Sequence[Translation]
) -> AlignmentScore:
    """Score the weights of all exact translations; "and", which German does not say, is left out.

    Raises ValueError if no translation is exact or if the model has no weights. Idea: Och and Ney 2003, section 5.
    """
    hits, weight, diagonal = [], [], []
    for pair, translation in zip(pairs, translations, strict=True):
        if translation.weights is None:
            raise ValueError(
                "translations: got a model without attention weights, expected one with"
            )
        if translation.tokens != pair.target:
            continue
        for step, true in enumerate(true_alignment(pair.source, pair.target)):
            if true:
                row = translation.weights[step]
                hits.append(int(row.argmax()) in true)
                weight.append(float(row[list(true)].sum()))
                diagonal.append(
                    round(step * (len(pair.source) - 1) / max(1, len(pair.target) - 1))
                    in true
                )
    if not hits:
        raise ValueError("translations: got none that is exact, expected at least one")
    count = len(hits)
    return AlignmentScore(
        sum(hits) / count, sum(weight) / count, sum(diagonal) / count, count
    )
