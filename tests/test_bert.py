"""The pretrained encoder: against `transformers`, on odd input; its heads' statistics, and the recorded comparisons."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from helpers.bert import Bert, PretrainedEncoder, our_names, pretrained
from helpers.data import fetch
from helpers.heads import (
    STATISTICS,
    Question,
    answers,
    book_sentences,
    chosen_and_tested,
    head_statistics,
    pronoun_questions,
    verb_questions,
    written,
)
from helpers.tokens import WordPiece
from helpers.training import RECORDED

pytestmark = pytest.mark.usefixtures("double_precision")
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdef.", *(f"##{c}" for c in "abcdef")]
SENTENCE = "The animal didn't cross the street because it was too tired."


def tiny(seed=0, **sizes):
    torch.manual_seed(seed)
    given = {"d_model": 12, "num_layers": 2, "num_heads": 3, "d_ff": 16}
    return Bert(len(PIECES), **given | {"max_length": 10} | sizes)


@pytest.fixture
def small():
    return PretrainedEncoder(tiny(), WordPiece(PIECES))


@pytest.fixture(scope="module")
def encoder():
    return pretrained()


def their_model(dtype=torch.float32, **sizes):
    """`transformers`' own model, with random weights."""
    from transformers import BertConfig, BertModel

    config = BertConfig(**sizes)
    model = BertModel(config, add_pooling_layer=False).eval().to(dtype)
    model.set_attn_implementation("eager")  # the one that returns weights
    return model


def their_states(model, tokens, segments=None):
    with torch.no_grad():
        return model(
            tokens,
            attention_mask=(tokens != 0).long(),
            token_type_ids=segments,
            output_hidden_states=True,
            output_attentions=True,
        )


# --- the architecture -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_random_weights_padding_and_segments_give_the_references_numbers():
    sizes = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3}
    theirs = their_model(
        torch.float64,
        vocab_size=17,
        intermediate_size=16,
        max_position_embeddings=10,
        **sizes,
    )
    with torch.no_grad():  # LayerNorm's weights are 1 at first, and would prove nothing
        for parameter in theirs.parameters():
            parameter.normal_()
    ours = tiny()
    ours.load_state_dict(our_names(theirs.state_dict()))
    tokens = torch.tensor([[2, 5, 6, 7, 3], [2, 8, 3, 0, 0]])
    segments = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 1, 0, 0]])
    expected = their_states(theirs, tokens, segments)
    states, weights = ours(tokens, segments, need_weights=True)
    kept = tokens != 0  # what padding says to itself is nobody's business
    for mine, other in zip(states, expected.hidden_states, strict=True):
        assert (mine - other)[kept].abs().max() < 1e-12
    for mine, other in zip(weights, expected.attentions, strict=True):
        assert (mine - other).transpose(1, 2)[kept].abs().max() < 1e-12


def test_the_fused_kernel_gives_the_same_states():
    tokens = torch.tensor([[2, 5, 6, 7, 3], [2, 8, 3, 0, 0]])
    with torch.no_grad():
        plain, weights = tiny()(tokens, need_weights=True)
        fused, none = tiny()(tokens)
    assert none == [None, None] and len(weights) == 2
    assert weights[0].shape == (2, 3, 5, 5)
    for one, other in zip(plain, fused, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.text("abcdef. ", max_size=7), st.text("abcdef. ", max_size=7))
def test_padding_changes_nothing(one, other):
    encoder = PretrainedEncoder(tiny(), WordPiece(PIECES))
    together = encoder.means([one, other])
    alone = torch.cat([encoder.means([one]), encoder.means([other])], dim=1)
    assert torch.allclose(together, alone, atol=1e-12)


def test_vectors_keep_the_order_of_the_texts_and_have_length_1(small):
    texts = ["abcdef", "a", "b a", "f. f."]
    vectors = small.vectors(texts, batch_size=2)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(4))
    for text, vector in zip(texts, vectors, strict=True):
        mean = small.read(text).states[-1].mean(dim=0)
        assert torch.allclose(vector, mean / mean.norm())


def test_the_model_knows_the_order_of_the_words(small):
    one, other = small.vectors(["a b", "b a"])
    assert (one - other).abs().max() > 1e-3


def test_what_is_read_of_odd_texts(small):
    assert small.tokenize("") == ["[CLS]", "[SEP]"]
    assert small.tokenize("abz 😀 A") == ["[CLS]", "[UNK]", "[UNK]", "a", "[SEP]"]
    reading = small.read("")
    assert reading.states.shape == (3, 2, 12)
    assert reading.weights.shape == (2, 3, 2, 2)
    assert torch.allclose(reading.weights.sum(dim=-1), torch.ones(()))


BAD = [
    (lambda e: e.tokenize("a" * 9), "text: got 11 tokens .*, expected at most 10"),
    (lambda e: e.read(3), "text: got int, expected a string"),
    (lambda e: e.batch("ab"), "texts: got 'ab', expected at least one in a list"),
    (lambda e: e.vectors([]), "texts: got \\[\\], expected at least one"),
    (lambda e: e.model(torch.tensor([[17]])), "tokens: got 17, expected 0 to 16"),
    (lambda e: e.model(torch.tensor([[-1]])), "tokens: got -1, expected 0 to 16"),
    (lambda e: e.model(torch.ones(1, 2)), "tokens: got torch.float64, expected int"),
    (lambda e: e.model(torch.tensor([2])), "tokens: got shape \\(1,\\), expected"),
    (
        lambda e: e.model(torch.full((1, 11), 2)),
        "length: got 11, expected at most 10",
    ),
    (
        lambda e: e.model(torch.tensor([[2, 3]]), torch.tensor([[0, 2]])),
        "segments: got 2, expected 0 to 1",
    ),
    (
        lambda e: e.model(torch.tensor([[2, 3]]), torch.tensor([[0]])),
        "segments: got shape",
    ),
]


@pytest.mark.parametrize(("ask", "message"), BAD)
def test_it_refuses(small, ask, message):
    with pytest.raises(ValueError, match=message):
        ask(small)


@pytest.mark.parametrize("count", [0, 5])
def test_heads_must_divide_the_width(count):
    with pytest.raises(ValueError, match="d_model: got 12, expected a multiple of"):
        tiny(num_heads=count)


# --- the pretrained weights -------------------------------------------------------------------------------------


def reference():
    theirs = their_model(hidden_size=384, num_hidden_layers=6, intermediate_size=1536)
    weights = load_file(fetch("minilm") / "model.safetensors")
    weights.pop("embeddings.position_ids")
    kept = {n: w for n, w in weights.items() if not n.startswith("pooler")}
    theirs.load_state_dict(kept)
    return theirs


@pytest.mark.slow
def test_270_sentences_and_a_page_give_the_references_states_and_attention(encoder):
    theirs = reference()
    texts = ["", SENTENCE, *(text for _, text in book_sentences())]
    lengths = set()
    for text in texts:
        reading = encoder.read(text)
        expected = their_states(theirs, encoder.batch([text]))
        lengths.add(len(reading.tokens))
        states, weights = torch.cat(expected.hidden_states), expected.attentions
        assert (states - reading.states).abs().max() <= 1e-5
        assert (torch.cat(weights) - reading.weights).abs().max() <= 1e-5
    assert len(texts) > 200 and len(lengths) > 50
    long = " ".join(text for _, text in book_sentences(27))
    long = " ".join(long.split()[:380])  # nearly all 512 positions, in float64
    ours = PretrainedEncoder(pretrained(torch.float64).model, encoder.tokenizer)
    reading = ours.read(long)
    assert 400 < len(reading.tokens) <= 512
    expected = their_states(theirs.double(), ours.batch([long]))
    states = torch.cat(expected.hidden_states)
    assert (states - reading.states).abs().max() <= 1e-12
    assert (torch.cat(expected.attentions) - reading.weights).abs().max() <= 1e-12


@pytest.mark.slow
def test_a_padded_batch_of_real_sentences(encoder):
    texts = [text for _, text in book_sentences(27)]
    tokens = encoder.batch(texts)
    expected = their_states(reference(), tokens)
    states, _ = encoder.model(tokens)
    kept = tokens != 0
    for mine, other in zip(states, expected.hidden_states, strict=True):
        assert (mine - other)[kept].abs().max() <= 1e-5


@pytest.mark.slow
def test_the_pieces_are_the_reference_tokenizers(encoder):
    from tokenizers import BertWordPieceTokenizer

    theirs = BertWordPieceTokenizer(str(fetch("minilm") / "vocab.txt"), lowercase=True)
    for _, text in book_sentences():
        assert encoder.batch([text])[0].tolist() == theirs.encode(text).ids


@pytest.mark.slow
def test_the_recorded_reference_sentence(encoder):
    stored = load_file(RECORDED / "pretrained.safetensors")
    reading = encoder.read(SENTENCE)
    assert (stored["states"] - reading.states).abs().max() <= 1e-5
    assert (stored["weights"] - reading.weights).abs().max() <= 1e-5
    assert sum(p.numel() for p in encoder.model.parameters()) == 22_565_376


# --- what the heads look at -------------------------------------------------------------------------------------


def test_statistics_of_maps_that_are_known():
    size = 6
    before = torch.eye(size).roll(-1, dims=1)  # row t: all on t - 1
    even = torch.full((size, size), 1 / size)
    first = torch.zeros(size, size)
    first[:, 0] = 1
    found = head_statistics(torch.stack([before, even, first]).unsqueeze(0))
    named = dict(zip(STATISTICS, found[:, 0], strict=True))
    assert torch.allclose(named["entropy"], torch.tensor([0, math.log2(6), 0]))
    rows = [sum(abs(s - t) for s in range(6)) / 6 for t in (1, 2, 3, 4)]
    assert torch.allclose(named["distance"], torch.tensor([1, np.mean(rows), 2.5]))
    assert torch.allclose(named["token before"], torch.tensor([1, 1 / 6, 0.25]))
    assert torch.allclose(named["[CLS]"], torch.tensor([0.25, 1 / 6, 1]))
    for name in ("[SEP]", "token itself", "token after"):
        assert torch.allclose(named[name], torch.tensor([0, 1 / 6, 0]))


@pytest.mark.parametrize("shape", [(1, 2, 3), (1, 1, 3, 4)])
def test_statistics_refuse_another_shape(shape):
    with pytest.raises(ValueError, match="weights: got shape"):
        head_statistics(torch.ones(shape))


def test_statistics_refuse_a_text_without_tokens():
    with pytest.raises(ValueError, match="weights: got 2 tokens, expected at least 3"):
        head_statistics(torch.ones(1, 1, 2, 2))


def test_the_sentences_are_balanced_and_answerable():
    pronouns, verbs = pronoun_questions(), verb_questions()
    assert (len(pronouns), len(verbs)) == (96, 240)
    firsts = 0
    for one, other in zip(pronouns[::2], pronouns[1::2], strict=True):
        assert (one.right, one.wrong) == (other.wrong, other.right)
        assert one.query == other.query and one.text != other.text
    for question in verbs:
        words = question.text.lower().rstrip(".").split()
        places = [words.index(w) for w in (question.right, question.wrong)]
        assert max(places) < words.index(question.query)
        firsts += places[0] < places[1]
        plural = question.right.endswith("s")
        assert (question.query in ("are", "were")) == plural
    assert firsts == 120
    assert verb_questions() == verbs and verb_questions(seed=1) != verbs


def test_meanings_share_words_with_the_wrong_sentence():
    for each in written("meanings"):
        words = {
            name: set(text.lower().rstrip(".").split()) for name, text in each.items()
        }
        same, alike = (len(words["text"] & words[n]) for n in ("same", "alike"))
        assert same < alike


def test_answers_are_the_weights(small):
    question = Question("a b. c", query="c", right="a", wrong="b")
    found = answers(small, [question, question])
    weights = small.read(question.text).weights
    assert found.shape == (2, 2, 2, 3)
    assert torch.equal(found[0, 0], weights[:, :, 4, 1])
    assert torch.equal(found[1, 1], weights[:, :, 4, 2])


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (Question("a b", "c", "a", "b"), "query: got 'c', 0 times in 'a b'"),
        (Question("a a b", "b", "a", "b"), "right: got 'a', 2 times"),
        (Question("a b", "b", "a", "d"), "wrong: got 'd', 0 times"),
    ],
)
def test_answers_need_each_token_once(small, question, message):
    with pytest.raises(ValueError, match=message):
        answers(small, [question])


def test_the_head_is_chosen_on_one_half_and_tested_on_the_other():
    right = torch.zeros(8, 1, 2)
    order = torch.randperm(4, generator=torch.Generator().manual_seed(3))
    chosen, tested = (2 * order[:2], 2 * order[2:])
    right[[*chosen, *(chosen + 1)], 0, 1] = 1
    right[tested, 0, 1] = 1
    right[[*tested, *(tested + 1)], 0, 0] = 1
    assert chosen_and_tested(right, seed=3) == ((0, 1), 1.0, 0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: verb_questions(3), "count: got 3, expected an even number"),
        (lambda: book_sentences(20), "count: got 20, expected a multiple of 27"),
    ],
)
def test_bad_counts(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- what was recorded ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded():
    return json.loads((RECORDED / "pretrained.json").read_text())


def test_the_record_is_of_these_sentences(recorded):
    kinds = {"pronouns": pronoun_questions(), "verbs": verb_questions()}
    for kind, questions in kinds.items():
        assert recorded["questions"][kind]["sentences"] == len(questions)
        runs = recorded["questions"][kind]
        assert len(runs["pretrained"]) == len(runs["untrained"]) == 20
    assert recorded["reference"]["sentences"] >= 200
    assert max(recorded["reference"][n] for n in ("states", "weights")) <= 1e-5


def test_the_recorded_reviews_say_what_the_chapter_says(recorded):
    runs = recorded["reviews"]["runs"]
    found = {(r["input"], r["labels"], r["seed"]): r["accuracy"] for r in runs}
    assert len(found) == len(runs) == 3 * 4 * 5
    for size in (10, 30, 100, 300):
        leads = {
            name: [
                found["pretrained encoder", size, seed] - found[name, size, seed]
                for seed in range(5)
            ]
            for name in ("its word embeddings", "bag of words")
        }
        assert min(leads["bag of words"]) > 0
        assert 0.02 < np.mean(leads["its word embeddings"]) < 0.04
        assert (min(leads["its word embeddings"]) < 0) == (size in (30, 100))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pronouns", "verbs"])
def test_the_recorded_heads_answer_again(encoder, recorded, kind):
    questions = {"pronouns": pronoun_questions, "verbs": verb_questions}[kind]()
    weights = answers(encoder, questions)
    right = weights[:, 0] > weights[:, 1]
    for seed, run in enumerate(recorded["questions"][kind]["pretrained"]):
        head, chosen, tested = chosen_and_tested(right, seed)
        assert list(head) == run["head"]
        assert chosen == pytest.approx(run["chosen"], abs=0.03)
        assert tested == pytest.approx(run["tested"], abs=0.03)
