"""Encoder, decoder without attention, and the model that joins them."""

import pytest
import torch

from helpers.attention import BahdanauDecoder, LuongDecoder
from helpers.data import Vocabulary
from helpers.seq2seq import Encoder, FixedContextDecoder, Seq2Seq

DECODERS = [FixedContextDecoder, BahdanauDecoder, LuongDecoder]
LONG, SHORT = [5, 6, 7, 8, 2], [9, 4, 2]


def model(decoder, seed=0):
    torch.manual_seed(seed)
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
