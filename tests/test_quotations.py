"""The labelling task: marks, labels and distances by hand, and the recorded models scored again."""

import json

import pytest
import torch

from helpers.data import Vocabulary
from helpers.quotations import (
    CLOSES,
    OPENS,
    RECORDED,
    Paragraphs,
    accuracy_by_distance,
    labeller,
    quotation_paragraphs,
    recorded_rnn,
)
from helpers.training import fit

TEXTS = ["a “bc” de", "“ab”", "plain"]


pytestmark = pytest.mark.usefixtures("double_precision")


def small():
    vocabulary = Vocabulary(TEXTS)
    return Paragraphs(TEXTS, vocabulary), vocabulary


def test_labels_lengths_and_distances():
    data, _ = small()
    assert data.lengths.tolist() == [9, 4, 5]
    assert data.there.sum(dim=1).tolist() == [9, 4, 5]
    assert data.labels.tolist() == [
        [0, 0, 1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0, 0, 0],
        9 * [0],
    ]
    assert data.distances.tolist() == [
        [1, 1, 0, 1, 1, 0, 1, 2, 1],
        [0, 1, 1, 0, 0, 0, 0, 0, 0],
        [1, 2, 3, 2, 1, 0, 0, 0, 0],
    ]


def test_accuracy_by_distance_counts_characters_that_are_there():
    data, _ = small()
    right = data.labels == 0  # says "outside" always
    assert accuracy_by_distance(data, right, [0, 1, 2, 4]) == [2 / 4, 6 / 10, 1.0]
    with pytest.raises(ValueError, match="edges: got no character with a clue 4 to 6"):
        accuracy_by_distance(data, right, [0, 4, 7])
    with pytest.raises(ValueError, match=r"right: got shape \(3, 8\), expected \(3, 9"):
        accuracy_by_distance(data, right[:, 1:], [0, 1])


def test_padding_counts_for_nothing():
    data, vocabulary = small()
    model = labeller("RNN", vocabulary, seed=0)
    generator = torch.Generator().manual_seed(0)
    one = data.batch_loss(model, batch_size=64)(generator)
    for text in ("tokens", "labels", "there"):  # more padding on the right
        setattr(data, text, torch.nn.functional.pad(getattr(data, text), (0, 5)))
    other = data.batch_loss(model, batch_size=64)(generator.manual_seed(0))
    assert abs(one - other) < 1e-12


def test_the_loss_is_the_mean_over_the_characters_that_are_there():
    data, vocabulary = small()
    model = labeller("RNN", vocabulary, seed=0)
    loss = data.batch_loss(model, batch_size=6)(torch.Generator().manual_seed(1))
    rows = torch.randint(3, (6,), generator=torch.Generator().manual_seed(1)).tolist()
    assert len(set(rows)) == 3
    losses = []
    for i in rows:
        length = data.lengths[i]
        log_p = model(data.tokens[i : i + 1, :length])[0][0].log_softmax(dim=-1)
        losses += [-log_p[t, data.labels[i, t]] for t in range(length)]
    assert abs(loss - sum(losses) / len(losses)) < 1e-12


def test_unknown_models_and_no_paragraphs():
    _, vocabulary = small()
    with pytest.raises(ValueError, match="name: got 'window 9', expected one of"):
        labeller("window 9", vocabulary, seed=0)
    with pytest.raises(ValueError, match="paragraphs: got none"):
        Paragraphs([], vocabulary)


@pytest.mark.slow
def test_paragraphs_are_the_books_with_marks_in_pairs():
    train, test = quotation_paragraphs()
    assert (len(train), len(test)) == (696, 174)
    assert not set(train) & set(test)
    for text in [*train, *test]:
        assert 40 <= len(text) <= 200 and '"' not in text and "\n" not in text
        marks = [c for c in text if c in OPENS + CLOSES]
        assert marks == [OPENS, CLOSES] * (len(marks) // 2)


@pytest.mark.slow
def test_what_is_recorded_holds_for_the_recorded_weights():
    train, test = quotation_paragraphs()
    vocabulary = Vocabulary([*train, *test])
    held_out = Paragraphs(test, vocabulary)
    record = json.loads((RECORDED / "quotations.json").read_text())
    run = next(r for r in record["runs"] if r["model"] == "RNN" and r["seed"] == 0)
    right = held_out.right(recorded_rnn(vocabulary))
    assert abs(right[held_out.there].double().mean().item() - run["accuracy"]) < 2e-4
    shares = accuracy_by_distance(held_out, right, record["edges"])
    assert (
        max(abs(a - b) for a, b in zip(shares, run["by_distance"], strict=True)) < 2e-3
    )
    for run in record["runs"]:
        if run["model"] == "window 8":  # the cliff
            assert min(run["by_distance"][:9]) > 0.95 > 0.8 > run["by_distance"][9]


@pytest.mark.slow
def test_a_window_learns_what_it_sees():
    train, _ = quotation_paragraphs()
    vocabulary = Vocabulary(train)
    data = Paragraphs(train[:200], vocabulary)
    model = labeller("window 8", vocabulary, seed=0)
    fit(model, data.batch_loss(model), 60, 0.03)
    near, far = accuracy_by_distance(data, data.right(model), [1, 5, 20, 100])[::2]
    assert near > 0.9 > far
