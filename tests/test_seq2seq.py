"""Encoder, decoder without attention, and the model that joins them."""

import pytest
import torch

from helpers.attention import BahdanauDecoder, LuongDecoder
from helpers.data import Vocabulary
from helpers.seq2seq import (
    Encoder,
    FirstStateDecoder,
    FixedContextDecoder,
    ForwardEncoder,
    Seq2Seq,
    cho,
    sutskever,
)


def sutskever_gru(source_tokens, target_tokens, hidden_size):
    return sutskever(source_tokens, target_tokens, hidden_size, torch.nn.GRU)


DECODERS = [
    FixedContextDecoder,
    BahdanauDecoder,
    LuongDecoder,
    cho,
    sutskever,
    sutskever_gru,
]
LONG, SHORT = [5, 6, 7, 8, 2], [9, 4, 2]


def model(decoder, seed=0):
    torch.manual_seed(seed)
    if not isinstance(decoder, type):
        return decoder(12, 13, 6).double().eval()
    return Seq2Seq(Encoder(12, 6), decoder(13, 6)).double().eval()


def padded(*rows):
    return torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(row) for row in rows], batch_first=True
    )


@pytest.mark.parametrize("decoder", DECODERS)
def test_padding_changes_nothing(decoder):
    """A sequence gives the same logits, tokens and map alone as beside a longer one."""
    seq2seq, target = model(decoder), torch.tensor([[3, 4, 5, 2]])
    together = seq2seq(padded(LONG, SHORT), target.expand(2, -1))
    torch.testing.assert_close(
        together[1:], seq2seq(padded(SHORT), target), rtol=0, atol=1e-12
    )
    tokens, weights = seq2seq.translate(padded(LONG, SHORT), max_length=4)
    alone, weights_alone = seq2seq.translate(padded(SHORT), max_length=4)
    assert torch.equal(tokens[1, : alone.shape[1]], alone[0])
    if weights is not None:
        torch.testing.assert_close(
            weights[1, : alone.shape[1], :3], weights_alone[0], rtol=0, atol=1e-12
        )
        assert (weights[1, :, 3:] == 0).all()


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_target_token_never_sees_itself_or_the_future(decoder):
    seq2seq, source = model(decoder), padded(LONG)
    first = seq2seq(source, torch.tensor([[3, 4, 5, 6, 2]]))
    second = seq2seq(source, torch.tensor([[3, 4, 9, 9, 2]]))
    assert torch.equal(first[:, :3], second[:, :3])
    assert not torch.allclose(first[:, 3], second[:, 3])


@pytest.mark.parametrize("decoder", DECODERS)
def test_greedy_decoding_agrees_with_teacher_forcing_on_its_own_output(decoder):
    seq2seq, source = model(decoder, seed=2), padded(LONG)
    tokens, _ = seq2seq.translate(source, max_length=6)
    assert torch.equal(seq2seq(source, tokens).argmax(dim=-1), tokens)


class Script(torch.nn.Module):
    """A decoder that writes what it was given: rows of tokens, one row a sentence; its state counts the steps."""

    def __init__(self, *rows):
        super().__init__()
        self.rows = torch.tensor(rows)

    def start(self, summary):
        return 0

    def forward(self, previous, state, states, summary, mask):
        one_hot = torch.nn.functional.one_hot(self.rows[:, state], 13)
        return one_hot.unsqueeze(1).double(), state + 1, None


def test_writing_stops_when_each_sentence_has_ended_once():
    seq2seq = model(FixedContextDecoder)
    seq2seq.decoder = Script([Vocabulary.END, 5, 5, 5], [7, 7, Vocabulary.END, 5])
    tokens, _ = seq2seq.translate(padded(LONG, SHORT), max_length=4)
    assert tokens.tolist() == [[Vocabulary.END, 5, 5], [7, 7, Vocabulary.END]]
    tokens, _ = seq2seq.translate(padded(LONG, SHORT), max_length=2)
    assert tokens.shape == (2, 2)


def test_encoder_sees_both_directions_and_its_summary_is_the_last_states():
    encoder = model(FixedContextDecoder).encoder
    states, summary = encoder(padded(LONG))
    assert states.shape == (1, 5, 12)
    torch.testing.assert_close(
        summary,
        torch.cat([states[:, -1, :6], states[:, 0, 6:]], dim=-1),
        rtol=0,
        atol=0,
    )


def test_the_fixed_context_is_all_that_the_decoder_reads():
    decoder = model(FixedContextDecoder).decoder
    summary, previous = torch.randn(1, 12).double(), torch.tensor([[1, 3]])
    logits, _, weights = decoder(previous, decoder.start(summary), None, summary, None)
    assert logits.shape == (1, 2, 13) and weights is None


@pytest.mark.parametrize("cell", [torch.nn.GRU, torch.nn.LSTM])
def test_the_context_is_the_encoders_last_state(cell):
    torch.manual_seed(0)
    encoder = ForwardEncoder(12, 6, cell).double()
    states, z = encoder(padded(LONG, SHORT))
    assert z.shape == (2, 12 if cell is torch.nn.LSTM else 6)
    last = torch.stack([states[0, len(LONG) - 1], states[1, len(SHORT) - 1]])
    torch.testing.assert_close(z[:, :6], last, rtol=0, atol=0)


def by_hand(cell, x, state):
    """One step of PyTorch's cell with the same weights."""
    one = {torch.nn.GRU: torch.nn.GRUCell, torch.nn.LSTM: torch.nn.LSTMCell}
    step = one[type(cell)](cell.input_size, cell.hidden_size).double()
    step.load_state_dict(
        {name.removesuffix("_l0"): value for name, value in cell.state_dict().items()}
    )
    if isinstance(cell, torch.nn.LSTM):
        return torch.cat(step(x, state.chunk(2, dim=-1)), dim=-1)
    return step(x, state)


@pytest.mark.parametrize("build", [sutskever, sutskever_gru])
def test_sutskevers_decoder_starts_from_z_and_never_sees_it_again(build):
    seq2seq = model(build)
    decoder, (_, z) = seq2seq.decoder, seq2seq.encoder(padded(LONG))
    assert isinstance(decoder, FirstStateDecoder) and decoder.start(z) is z
    state, logits = z, []
    for token in (Vocabulary.BEGIN, 3, 4):
        state = by_hand(decoder.rnn, decoder.embedding(torch.tensor([token])), state)
        logits.append(decoder.output(state[:, :6]))
    expected = seq2seq(padded(LONG), torch.tensor([[3, 4, 5]]))
    torch.testing.assert_close(expected, torch.stack(logits, 1), rtol=0, atol=1e-12)


def test_chos_decoder_sees_z_at_every_step():
    seq2seq = model(cho)
    decoder, (_, z) = seq2seq.decoder, seq2seq.encoder(padded(LONG))
    state, logits = torch.tanh(decoder.first_state(z)), []
    for token in (Vocabulary.BEGIN, 3, 4):
        y = decoder.embedding(torch.tensor([token]))
        state = by_hand(decoder.gru, torch.cat([y, z], dim=-1), state)
        logits.append(decoder.output(torch.cat([state, y, z], dim=-1)))
    expected = seq2seq(padded(LONG), torch.tensor([[3, 4, 5]]))
    torch.testing.assert_close(expected, torch.stack(logits, 1), rtol=0, atol=1e-12)


def test_bad_source():
    with pytest.raises(
        ValueError, match=r"source: got shape \(4,\), expected \(B, S\)"
    ):
        model(FixedContextDecoder)(torch.tensor([3, 4, 5, 2]), torch.tensor([[3]]))
    with pytest.raises(
        ValueError,
        match=r"source: got row 1 of padding alone, expected at least one token in each",
    ):
        model(FixedContextDecoder).encoder(
            torch.tensor([[3, 2], [Vocabulary.PAD, Vocabulary.PAD]])
        )
    with pytest.raises(ValueError, match="source: got row 0 of padding alone"):
        model(cho).encoder(torch.tensor([[Vocabulary.PAD]]))
