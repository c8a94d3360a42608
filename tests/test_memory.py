"""The memory tasks, the models of equal size, and what is recorded of them."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.memory import (
    CHANCE,
    MODELS,
    RECORDED,
    TASKS,
    accuracy_by_lag,
    adding,
    batch_loss,
    memory_model,
    recall,
    recorded_model,
)

pytestmark = pytest.mark.usefixtures("double_precision")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@settings(max_examples=30, deadline=None)
@given(lag=st.integers(1, 40), seed=st.integers(0, 1000))
def test_recall_asks_for_the_marked_symbol(lag, seed):
    x, y = recall(5, lag, generator(seed))
    assert x.shape == (5, lag + 1, 10)
    assert (x[:, 0, :8].argmax(dim=1) == y).all()
    assert (x[:, :-1, :8].sum(dim=2) == 1).all() and (x[:, -1, :8] == 0).all()
    assert (x[:, :, 8].sum(dim=1) == 1).all() and (x[:, 0, 8] == 1).all()
    assert (x[:, :, 9].sum(dim=1) == 1).all() and (x[:, -1, 9] == 1).all()


@settings(max_examples=30, deadline=None)
@given(lag=st.integers(1, 40), seed=st.integers(0, 1000))
def test_adding_marks_two_numbers_the_first_of_them_at_the_beginning(lag, seed):
    x, y = adding(5, lag, generator(seed))
    assert x.shape == (5, lag + 1, 2)
    marks = x[..., 1] == 1
    assert (marks.sum(dim=1) == 2).all() and marks[:, 0].all()
    torch.testing.assert_close((x[..., 0] * marks).sum(dim=1), y, rtol=0, atol=1e-12)
    assert x.min() >= 0 and x.max() <= 1


def test_chance_is_what_a_constant_answer_reaches():
    _, y = adding(100_000, 5, generator())
    assert ((y - 1).abs() < 0.1).double().mean().item() == pytest.approx(
        CHANCE["adding"], abs=0.01
    )
    assert (y - 1).square().mean().item() == pytest.approx(1 / 6, abs=0.005)
    _, y = recall(100_000, 5, generator())
    assert (y == 3).double().mean().item() == pytest.approx(CHANCE["recall"], abs=0.01)


def test_accuracy_counts_right_answers():
    class Oracle(torch.nn.Module):
        def forward(self, x):
            return (x[..., 0] * x[..., 1]).sum(dim=1, keepdim=True) + self.off

    oracle = Oracle()
    for oracle.off, expected in ((0.0, 1.0), (0.09, 1.0), (0.11, 0.0)):
        assert accuracy_by_lag("adding", oracle, [1, 7], seed=0) == [expected] * 2


@pytest.mark.parametrize("task", TASKS)
def test_all_models_have_about_as_many_parameters(task):
    counts = [
        sum(p.numel() for p in memory_model(task, name, 0).parameters())
        for name in MODELS
    ]
    assert max(counts) / min(counts) < 1.03


def test_first_weights_are_as_named():
    orthogonal = memory_model("adding", "RNN, orthogonal", 0).recurrent.W
    torch.testing.assert_close(
        orthogonal @ orthogonal.T, torch.eye(69), rtol=0, atol=1e-12
    )
    for name, bias in (("LSTM, bias 0", 0), ("LSTM, bias 1", 1)):
        lstm = memory_model("adding", name, 0).recurrent
        assert (lstm.b[lstm.rows("f")] == bias).all()
    chrono = memory_model("adding", "LSTM, chrono", 0).recurrent
    forget, write = chrono.b[chrono.rows("f")], chrono.b[chrono.rows("i")]
    assert (
        (forget == -write).all()
        and forget.exp().min() >= 1
        and forget.exp().max() <= 199
    )


def test_lags_of_the_batches_are_even_on_a_log_scale():
    lags = []

    class Spy(torch.nn.Module):
        def forward(self, x):
            lags.append(x.shape[1] - 1)
            return torch.zeros(len(x), 1)

    loss, draw = batch_loss("adding", Spy(), longest=200, batch_size=1), generator()
    for _ in range(600):
        loss(draw)
    assert min(lags) == 1 and max(lags) <= 200
    assert sum(lag < 14 for lag in lags) / 600 == pytest.approx(0.5, abs=0.06)


def test_bad_input_is_named():
    for task in TASKS.values():
        with pytest.raises(ValueError, match="lag: got 0, expected at least 1"):
            task(2, 0, generator())
    with pytest.raises(ValueError, match="name: got 'LSTM', expected one of 'RNN'"):
        memory_model("adding", "LSTM", 0)
    with pytest.raises(ValueError, match="task: got 'copy', expected one of 'recall'"):
        memory_model("copy", "GRU", 0)


def test_recorded_weights_give_the_recorded_accuracies():
    record = json.loads((RECORDED / "long_memory.json").read_text())
    for run in record["settings"]["adding"]["runs"]:
        if run["seed"] == 0 and run["model"] in ("LSTM, bias 1", "RNN, orthogonal"):
            model = recorded_model("adding", run["model"])
            again = accuracy_by_lag(
                "adding", model, record["lags"][:6], record["test_seed"]
            )
            assert again == pytest.approx(run["accuracy"][:6], abs=0.006)


def test_the_record_has_every_model_and_seed_and_the_best_rate():
    record = json.loads((RECORDED / "long_memory.json").read_text())
    for setting in record["settings"].values():
        names = setting.get("models", list(MODELS))
        assert {(r["model"], r["seed"]) for r in setting["runs"]} == {
            (name, seed) for name in names for seed in setting["seeds"]
        }
        for run in setting["runs"]:
            tried = [r for r in setting["tuning"] if r["model"] == run["model"]]
            best = max(sum(r["accuracy"]) for r in tried)
            chosen = [r for r in tried if r["learning_rate"] == run["learning_rate"]]
            assert sum(chosen[0]["accuracy"]) == best
