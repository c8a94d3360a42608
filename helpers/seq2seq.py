"""Encoder-decoder networks with a fixed context vector (Cho et al. 2014, Sutskever et al. 2014).

Shapes: B sequences in a batch, S source tokens, T target tokens, H = `hidden_size`.
"""

import torch
from torch import nn

from helpers.data import Vocabulary
from helpers.validation import require_shape


class Encoder(nn.Module):
    """A bidirectional GRU that reads the source: one state h_i a token, and one summary of the whole.

    Source: Bahdanau et al. 2015, section 3.2.
    """

    def __init__(self, num_tokens: int, hidden_size: int):
        super().__init__()
        self.embedding = nn.Embedding(
            num_tokens, hidden_size, padding_idx=Vocabulary.PAD
        )
        self.gru = nn.GRU(
            hidden_size, hidden_size, batch_first=True, bidirectional=True
        )

    def forward(self, source: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """source (B, S) integers, padded at the end → states (B, S, 2H), summary (B, 2H).

        The summary joins the last state of the forward and of the backward direction. Raises ValueError for another
        shape or a row without tokens.
        """
        require_shape("source", source, ("B", "S"))
        lengths = (source != Vocabulary.PAD).sum(dim=1)
        if not lengths.all():
            row = int(lengths.argmin())
            raise ValueError(
                f"source: got row {row} of padding alone, expected at least one token in each"
            )
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embedding(source),
            lengths.cpu(),
            batch_first=True,
            enforce_sorted=False,
        )
        states, last = self.gru(packed)  # last: (2, B, H)
        states, _ = nn.utils.rnn.pad_packed_sequence(states, batch_first=True)
        return states, last.transpose(0, 1).flatten(1)


class FixedContextDecoder(nn.Module):
    """A GRU that writes every token from the same context vector z, the encoder's summary.

    d_t = GRU([y_{t−1}; z], d_{t−1}),  logits = W [d_t; y_{t−1}; z].  Source: Cho et al. 2014, section 2.2.
    """

    def __init__(self, num_tokens: int, hidden_size: int):
        super().__init__()
        self.embedding = nn.Embedding(
            num_tokens, hidden_size, padding_idx=Vocabulary.PAD
        )
        self.first_state = nn.Linear(2 * hidden_size, hidden_size)
        self.gru = nn.GRU(3 * hidden_size, hidden_size, batch_first=True)
        self.output = nn.Linear(4 * hidden_size, num_tokens)

    def start(self, summary: torch.Tensor) -> torch.Tensor:
        """d_0 (B, H) = tanh(W z)."""
        return torch.tanh(self.first_state(summary))

    def forward(self, previous, state, states, summary, mask):
        """previous (B, T) tokens y_{t−1}, state d_0 (B, H) → logits (B, T, tokens), last state (B, H), None.

        `states` and `mask` are what the decoders with attention read; this one does not.
        """
        embedded = self.embedding(previous)  # (B, T, H)
        context = summary.unsqueeze(1).expand(-1, previous.shape[1], -1)  # (B, T, 2H)
        outputs, last = self.gru(
            torch.cat([embedded, context], dim=-1), state.unsqueeze(0)
        )
        return (
            self.output(torch.cat([outputs, embedded, context], dim=-1)),
            last.squeeze(0),
            None,
        )


class Seq2Seq(nn.Module):
    """An encoder and a decoder. `decoder` decides what each output step sees of the source."""

    def __init__(self, encoder: Encoder, decoder: nn.Module):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Teacher forcing: source (B, S), target (B, T) → logits (B, T, tokens), each given the true tokens so far."""
        states, summary = self.encoder(source)
        begin = target.new_full((len(target), 1), Vocabulary.BEGIN)
        previous = torch.cat([begin, target[:, :-1]], dim=1)
        logits, _, _ = self.decoder(
            previous,
            self.decoder.start(summary),
            states,
            summary,
            (source != Vocabulary.PAD).unsqueeze(1),
        )
        return logits

    @torch.no_grad()
    def translate(
        self, source: torch.Tensor, max_length: int = 30
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Greedy decoding: source (B, S) → tokens (B, T), attention weights (B, T, S) or None."""
        states, summary = self.encoder(source)
        mask = (source != Vocabulary.PAD).unsqueeze(1)  # (B, 1, S)
        state = self.decoder.start(summary)
        token = source.new_full((len(source), 1), Vocabulary.BEGIN)
        ended = torch.zeros(len(source), dtype=torch.bool)
        tokens, maps = [], []
        while not ended.all() and len(tokens) < max_length:
            logits, state, weights = self.decoder(token, state, states, summary, mask)
            token = logits.argmax(dim=-1)  # (B, 1)
            ended |= token.squeeze(1) == Vocabulary.END
            tokens.append(token)
            maps.append(weights)
        return torch.cat(tokens, dim=1), None if maps[0] is None else torch.cat(
            maps, dim=1
        )
