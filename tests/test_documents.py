"""Document models against loops and against chapter 06; deleting words; the recorded results."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers.attention import Additive, Attention
from helpers.documents import (
    HAN,
    PAD,
    AspectClassifier,
    AttentionPooling,
    BiGRU,
    BiRNN,
    CharCNN,
    TextCNN,
    word_vectors,
)
from helpers.reviews import (
    ALPHABET,
    CHARACTERS,
    RECORDED,
    SENTENCE_WORDS,
    SENTENCES,
    FilmTask,
    bootstrap_interval,
    character_rows,
    deletion_drops,
    film_reviews,
    film_vocabulary,
    recorded_birnn,
    sentence_rows,
    split_sentences,
    without_top,
    word_rows,
    word_scores,
)
from helpers.training import fit

pytestmark = pytest.mark.usefixtures("double_precision")
TOKENS = torch.tensor([[3, 1, 4, 1, 5], [2, 6, 5, 0, 0]])


def test_pooling_is_chapter_06s_attention_with_a_learned_query():
    pooling, states = AttentionPooling(4), torch.randn(2, 5, 4)
    there = TOKENS != PAD
    additive = Additive(4, 4)
    with torch.no_grad():  # W_q q is the bias, if W_q = 1 and q = b
        additive.query.weight.copy_(torch.eye(4))
        additive.key.weight.copy_(pooling.hidden.weight)
        additive.v.weight.copy_(pooling.u.weight)
    query = pooling.hidden.bias.expand(2, 1, 4)
    expected, weights = Attention(additive)(query, states, states, there[:, None])
    z, alpha = pooling(states, there)
    torch.testing.assert_close(z, expected[:, 0])
    torch.testing.assert_close(alpha, weights[:, 0])
    assert (alpha[1, 3:] == 0).all()


def test_birnn_by_hand():
    model = BiRNN(7, size=3).eval()
    row = TOKENS[1:, :3]
    states, _ = model.encoder.gru(model.embedding(row))
    energy = model.pooling.u(torch.tanh(model.pooling.hidden(states)))[0, :, 0]
    weights = energy.exp() / energy.exp().sum()
    logits, alpha = model(TOKENS)
    torch.testing.assert_close(alpha[1, :3], weights)
    torch.testing.assert_close(logits[1], model.output(weights @ states[0]))


@pytest.mark.parametrize("make", [BiRNN, TextCNN, AspectClassifier])
def test_padding_changes_nothing(make):
    model = make(7, size=3).eval()
    padded = nn.functional.pad(TOKENS, (0, 9))
    for one, other in zip(model(TOKENS), model(padded), strict=True):
        if one is not None:
            torch.testing.assert_close(one, other[..., : one.shape[-1]])


def test_han_by_hand():
    model = HAN(7, size=3).eval()
    one, two = torch.tensor([[3, 1, 4]]), torch.tensor([[5, 2]])
    document = torch.zeros(1, 4, 5, dtype=torch.long)
    document[0, 0, :3], document[0, 1, :2] = one, two
    pooled, of_words = [], []
    for sentence in (one, two):
        states, _ = model.words.gru(model.embedding(sentence))
        z, weights = model.word_pooling(states, sentence != PAD)
        pooled.append(z)
        of_words.append(weights[0])
    states, _ = model.sentences.gru(torch.stack(pooled, dim=1))
    z, of_sentences = model.sentence_pooling(states, torch.ones(1, 2, dtype=torch.bool))
    logits, word_weights, sentence_weights = model(document)
    torch.testing.assert_close(logits, model.output(z))
    torch.testing.assert_close(word_weights[0, 1, :2], of_words[1])
    torch.testing.assert_close(sentence_weights[0, :2], of_sentences[0])
    assert (sentence_weights[0, 2:] == 0).all() and (word_weights[0, 2:] == 0).all()


def test_text_cnn_is_a_greatest_dot_product():
    model = TextCNN(7, size=3).eval()
    x = nn.functional.pad(model.embedding(TOKENS[:1])[0], (0, 0, 4, 4))  # (13, 3)
    five = model.filters[2]
    windows = [
        (five.weight * x[t : t + 5].T).sum(dim=(1, 2)) + five.bias for t in range(9)
    ]
    greatest = torch.stack(windows).clamp(min=0).amax(dim=0)
    seen = []
    model.output.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model(TOKENS[:1])
    torch.testing.assert_close(seen[0][0, 64:], greatest)


def test_text_cnn_does_not_hear_padding():
    """Every window with a word answers less than nothing; one of padding alone would answer 1, the bias."""
    model = TextCNN(7, size=3).eval()
    with torch.no_grad():
        model.embedding.weight[1:] = 1
        for f in model.filters:
            f.weight.fill_(-1)
            f.bias.fill_(1)
    torch.testing.assert_close(model(TOKENS)[0], model.output.bias.expand(2, 2))


def test_word_vectors_begin_small():
    weights = word_vectors(1000, 8).weight
    assert (weights[PAD] == 0).all()
    assert 0.09 < weights[1:].std() < 0.11


def test_char_cnn_reads_characters():
    model = CharCNN(len(ALPHABET) + 1, size=4).eval()
    rows = character_rows([["good", "😀", "film"], [*"שלום", "a"]])
    assert rows.shape == (2, CHARACTERS)
    assert rows[0, :4].tolist() == [ALPHABET.index(c) + 1 for c in "good"]
    assert (rows[1] != PAD).sum() == 5  # four spaces and one letter
    logits, weights = model(rows)
    assert logits.shape == (2, 2) and weights is None


def test_char_cnn_by_hand():
    """Padding is zeros, and each filter is asked for its greatest answer and for its mean."""
    model = CharCNN(5, size=4).eval()
    rows = torch.randint(1, 5, (1, 60))
    rows[0, 50:] = PAD
    one_hot = torch.zeros(1, 5, 60)
    for t, character in enumerate(rows[0, :50].tolist()):
        one_hot[0, character, t] = 1
    answers = model.layers(one_hot)[0]  # (d, 4 places)
    summary = torch.cat([answers.amax(dim=-1), answers.mean(dim=-1)])
    torch.testing.assert_close(model(rows)[0][0], model.output(summary))


def test_char_cnn_can_learn():
    """It stays at chance on the film reviews; not because it could not learn."""
    rows = character_rows([["xo" if i % 2 else "zo"] * 90 for i in range(16)])
    labels = torch.arange(16) % 2
    model = CharCNN(len(ALPHABET) + 1, size=8)

    def loss(generator):
        return nn.functional.cross_entropy(model(rows)[0], labels)

    history = fit(model, loss, 40, 0.01)
    assert history.loss[-1] < 0.4  # from 0.69


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (BiRNN, (2, 5)),
        (TextCNN, (2, 5)),
        (HAN, (2, 3, 5)),
        (CharCNN, (2, 60)),
        (AspectClassifier, (2, 5)),
    ],
)
def test_a_document_without_tokens_is_refused(make, shape):
    tokens = torch.ones(shape, dtype=torch.long)
    tokens[1] = PAD
    with pytest.raises(
        ValueError, match="got 1 of 2 without a token, expected at least one"
    ):
        make(7, size=4)(tokens)


def test_pooling_refuses_other_shapes():
    with pytest.raises(ValueError, match="there: got shape"):
        AttentionPooling(4)(torch.zeros(2, 5, 4), torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="states: got shape"):
        AttentionPooling(4)(torch.zeros(2, 4), torch.ones(2, 4, dtype=torch.bool))


def test_gru_states_end_with_the_sequence():
    states = BiGRU(3, 2)(torch.randn(2, 5, 3), torch.tensor([5, 3]))
    assert states.shape == (2, 5, 4) and (states[1, 3:] == 0).all()


def test_aspects_differ_in_the_query_alone():
    model = AspectClassifier(7, num_aspects=3, size=3).eval()
    logits, weights = model(TOKENS)
    assert logits.shape == (2, 3, 3) and weights.shape == (2, 3, 5)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 3))
    with torch.no_grad():
        model.queries[1] = model.queries[0]
    logits, weights = model(TOKENS)
    torch.testing.assert_close(logits[:, 0], logits[:, 1])
    assert not torch.allclose(logits[:, 0], logits[:, 2])


# --- rows ----------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["a", "b", ".", "!", "?"]), max_size=120))
def test_sentences_lose_no_word(words):
    sentences = split_sentences(words)
    joined = [word for sentence in sentences for word in sentence]
    assert joined == words[: len(joined)]
    assert all(1 <= len(sentence) <= SENTENCE_WORDS for sentence in sentences)
    assert len(sentences) == SENTENCES or joined == words


def test_sentences_end_at_their_marks():
    words = ["good", "film", ".", "really", "?", "!", "yes"]
    assert split_sentences(words) == [
        ["good", "film", "."],
        ["really", "?", "!"],
        ["yes"],
    ]
    assert split_sentences([]) == []
    assert len(split_sentences(["a", "."] * 20)) == SENTENCES


def test_rows():
    vocabulary = film_vocabulary([["b", "a", "b"], ["c"]], size=4)
    assert vocabulary == {"b": 2, "a": 3}
    assert film_vocabulary([["b", "a"]]) == {"a": 2, "b": 3}  # as frequent: by name
    assert word_rows([["a", "x"], ["b"]], vocabulary).tolist() == [[3, 1], [2, 0]]
    assert sentence_rows([["a", ".", "b"]], vocabulary)[0, :2, :2].tolist() == [
        [3, 1],
        [2, 0],
    ]
    with pytest.raises(ValueError, match="texts: got 1 without words"):
        word_rows([["a"], []], vocabulary)


# --- deleting words --------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(0, 1000))
def test_deleting_keeps_the_others_in_order(k, seed):
    scores = torch.rand(1, 5, generator=torch.Generator().manual_seed(seed))
    tokens = torch.tensor([[11, 12, 13, 14, 15]])
    gone = set(scores[0].topk(k).indices.tolist())
    expected = [t for i, t in enumerate(tokens[0].tolist()) if i not in gone]
    assert without_top(tokens, scores, k)[0].tolist() == expected + [PAD] * k


def test_deleting_never_touches_padding():
    tokens = torch.tensor([[3, 4, 5, 0, 0], [1, 2, 3, 4, 5]])
    scores = word_scores(BiRNN(7, size=3).eval(), tokens, torch.Generator())
    for score in scores.values():
        assert (score[0, 3:] == -torch.inf).all()
        assert (without_top(tokens, score, 2) != PAD).sum(dim=1).tolist() == [1, 3]
    with pytest.raises(ValueError, match="k: got 3, expected less than"):
        without_top(tokens, scores["random"], 3)


def test_gradient_times_input_is_the_derivative_of_scaling_a_word():
    model, tokens = BiRNN(7, size=3).eval(), TOKENS[:1]
    score = word_scores(model, tokens, torch.Generator())["gradient × input"]
    embedded, there = model.embedding(tokens).detach(), tokens != PAD
    for t in range(5):
        scale = torch.ones(1, 5, 1)
        log_p = []
        for step in (1e-5, -1e-5):
            scale[0, t] = 1 + step
            log_p.append(
                torch.log_softmax(model.read(embedded * scale, there)[0], -1).max()
            )
        numeric = (log_p[0] - log_p[1]) / 2e-5
        torch.testing.assert_close(score[0, t], numeric.detach(), atol=1e-7, rtol=1e-5)


def test_a_drop_is_measured_on_the_first_prediction():
    model = BiRNN(7, size=3).eval()
    scores = torch.tensor([[5.0, 4, 3, 2, 1], [5, 4, 3, -torch.inf, -torch.inf]])
    drops = deletion_drops(model, TOKENS, scores, (1, 2))
    before = torch.softmax(model(TOKENS)[0], dim=-1)[0]
    after = torch.softmax(model(TOKENS[:1, 2:])[0], dim=-1)[0]
    best = before.argmax()
    torch.testing.assert_close(drops[0, 1], (before - after)[best])


def test_bootstrap_interval_of_a_known_mean():
    values = torch.randn(2000, generator=torch.Generator().manual_seed(1)) + 3
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high
    error = float(values.std()) / 2000**0.5
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.08)


# --- real reviews and recorded results ---------------------------------------------------------------------------


@pytest.mark.slow
def test_no_review_is_in_two_parts():
    parts = film_reviews()
    assert [len(texts) for texts, _ in parts.values()] == [6000, 1000, 2000]
    every = [tuple(words) for texts, _ in parts.values() for words in texts]
    assert len(set(every)) == len(every)
    assert all(labels.double().mean() == 0.5 for _, labels in parts.values())
    with pytest.raises(ValueError, match="train, validation, test: got"):
        film_reviews(40_000, 2, 2)


@pytest.mark.slow
def test_recorded_weights_score_as_recorded():
    task = FilmTask.of("BiRNN")
    recorded = json.loads((RECORDED / "documents.json").read_text())
    run = recorded["models"]["BiRNN"]["runs"][0]
    assert task.accuracy(recorded_birnn(task)) == pytest.approx(
        run["accuracy"], abs=0.001
    )


def test_recorded_comparison_is_whole():
    recorded = json.loads((RECORDED / "documents.json").read_text())
    for model in recorded["models"].values():
        assert [run["seed"] for run in model["runs"]] == [0, 1, 2, 3, 4]
    for run in recorded["models"]["BiRNN"]["runs"]:
        for rows in run["deletion"].values():
            assert all(
                low <= row["mean"] <= high
                for row in rows
                for low, high in [row["interval"]]
            )
