"""Encoder-decoder networks with a fixed context vector (Cho et al. 2014, Sutskever et al. 2014).

Shapes: B sequences in a batch, S source tokens, T target tokens, H = `hidden_size`, Z numbers in the context z.
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
        states, last = self.gru(_packed(self.embedding, source))  # last: (2, B, H)
        states, _ = nn.utils.rnn.pad_packed_sequence(states, batch_first=True)
        return states, last.transpose(0, 1).flatten(1)


def _packed(embedding: nn.Embedding, source: torch.Tensor):
    """The embedded source without its padding, as PyTorch's recurrent networks take it."""
    require_shape("source", source, ("B", "S"))
    lengths = (source != Vocabulary.PAD).sum(dim=1)
    if not lengths.all():
        row = int(lengths.argmin())
        raise ValueError(
            f"source: got row {row} of padding alone, expected at least one token in each"
        )
    return nn.utils.rnn.pack_padded_sequence(
        embedding(source), lengths.cpu(), batch_first=True, enforce_sorted=False
    )


class ForwardEncoder(nn.Module):
    """A GRU or an LSTM that reads the source once, from left to right. The context z is its last state.

    Source: Cho et al. 2014, section 2.2 (GRU); Sutskever et al. 2014, section 2 (LSTM).
    """

    def __init__(
        self, num_tokens: int, hidden_size: int, cell: type[nn.RNNBase] = nn.GRU
    ):
        super().__init__()
        self.embedding = nn.Embedding(
            num_tokens, hidden_size, padding_idx=Vocabulary.PAD
        )
        self.rnn = cell(hidden_size, hidden_size, batch_first=True)

    def forward(self, source: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """source (B, S) integers, padded at the end → states (B, S, H), z (B, Z).

        z is all that the last step hands on: Z = H for a GRU, and for an LSTM, [h; c], Z = 2H.
        Raises ValueError as `Encoder` does.
        """
        states, last = self.rnn(_packed(self.embedding, source))
        states, _ = nn.utils.rnn.pad_packed_sequence(states, batch_first=True)
        if isinstance(last, tuple):  # an LSTM's (h, c)
            last = torch.cat(last, dim=-1)
        return states, last.squeeze(0)


class FixedContextDecoder(nn.Module):
    """A GRU that writes every token from the same context vector z, the encoder's summary.

    s_t = GRU([y_{t−1}; z], s_{t−1}),  logits = W [s_t; y_{t−1}; z].  Source: Cho et al. 2014, section 2.2.
    `context_size` is Z; a bidirectional encoder's summary has 2H numbers, which is the default.
    """

    def __init__(
        self, num_tokens: int, hidden_size: int, context_size: int | None = None
    ):
        super().__init__()
        context_size = context_size or 2 * hidden_size
        self.embedding = nn.Embedding(
            num_tokens, hidden_size, padding_idx=Vocabulary.PAD
        )
        self.first_state = nn.Linear(context_size, hidden_size)
        self.gru = nn.GRU(hidden_size + context_size, hidden_size, batch_first=True)
        self.output = nn.Linear(2 * hidden_size + context_size, num_tokens)

    def start(self, summary: torch.Tensor) -> torch.Tensor:
        """s_0 (B, H) = tanh(W z)."""
        return torch.tanh(self.first_state(summary))

    def forward(self, previous, state, states, summary, mask):
        """previous (B, T) tokens y_{t−1}, state s_0 (B, H) → logits (B, T, tokens), last state (B, H), None.

        `states` and `mask` are what the decoders with attention read; this one does not.
        """
        embedded = self.embedding(previous)  # (B, T, H)
        context = summary.unsqueeze(1).expand(-1, previous.shape[1], -1)  # (B, T, Z)
        outputs, last = self.gru(
            torch.cat([embedded, context], dim=-1), state.unsqueeze(0)
        )
        return (
            self.output(torch.cat([outputs, embedded, context], dim=-1)),
            last.squeeze(0),
            None,
        )


class FirstStateDecoder(nn.Module):
    """A GRU or an LSTM that gets z once: z is its first state, and what it forgets is gone.

    s_0 = z,  s_t = f(y_{t−1}, s_{t−1}),  logits = W s_t.  Source: Sutskever et al. 2014, section 2.
    """

    def __init__(
        self, num_tokens: int, hidden_size: int, cell: type[nn.RNNBase] = nn.LSTM
    ):
        super().__init__()
        self.embedding = nn.Embedding(
            num_tokens, hidden_size, padding_idx=Vocabulary.PAD
        )
        self.rnn = cell(hidden_size, hidden_size, batch_first=True)
        self.output = nn.Linear(hidden_size, num_tokens)

    def start(self, summary: torch.Tensor) -> torch.Tensor:
        """s_0 (B, Z) = z."""
        return summary

    def forward(self, previous, state, states, summary, mask):
        """previous (B, T) tokens y_{t−1}, state s_0 (B, Z) → logits (B, T, tokens), last state (B, Z), None.

        `states`, `summary` and `mask` are what other decoders read; this one does not.
        """
        state = state.unsqueeze(0).contiguous()  # (1, B, Z)
        if isinstance(self.rnn, nn.LSTM):  # [h; c] → (h, c)
            state = tuple(half.contiguous() for half in state.chunk(2, dim=-1))
        outputs, last = self.rnn(self.embedding(previous), state)
        if isinstance(last, tuple):
            last = torch.cat(last, dim=-1)
        return self.output(outputs), last.squeeze(0), None


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


def cho(source_tokens: int, target_tokens: int, hidden_size: int) -> Seq2Seq:
    """The encoder-decoder of Cho et al. 2014: GRUs, and z goes into every step. Z = H."""
    return Seq2Seq(
        ForwardEncoder(source_tokens, hidden_size),
        FixedContextDecoder(target_tokens, hidden_size, context_size=hidden_size),
    )


def sutskever(
    source_tokens: int,
    target_tokens: int,
    hidden_size: int,
    cell: type[nn.RNNBase] = nn.LSTM,
) -> Seq2Seq:
    """The encoder-decoder of Sutskever et al. 2014, of one layer: LSTMs, and z is the first state. Z = 2H (GRU: H)."""
    return Seq2Seq(
        ForwardEncoder(source_tokens, hidden_size, cell),
        FirstStateDecoder(target_tokens, hidden_size, cell),
    )
