"""The simulated tank, its faults, the detectors and their scores."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.sensors import (
    FAULTS,
    NORMAL,
    RECORDED,
    RECOVERING,
    Labeller,
    Predictor,
    autoregression,
    autoregression_errors,
    average_precision,
    label_logits,
    precision_by_kind,
    precision_recall,
    prediction_errors,
    recorded_models,
    recordings,
    simulate,
    surprise,
    windows_loss,
)

pytestmark = pytest.mark.usefixtures("double_precision")


def test_the_tank_keeps_its_temperature_and_its_thermostat_remembers():
    values = simulate(3000, seed=0, faults=False).values
    temperature, heating = values[:, 3], values[:, 2] > 5
    assert temperature.min() > 53 and temperature.max() < 67
    between = (temperature > 58) & (temperature < 62)
    assert heating[between].any() and not heating[between].all()
    assert (~heating[temperature > 66]).all() and heating[temperature < 54].all()


def test_faults_are_marked_and_followed_by_recovery():
    kind = simulate(6000, seed=1, faults=True).kind
    assert set(np.unique(kind)) == {RECOVERING, NORMAL, 1, 2, 3, 4}
    ends = np.flatnonzero((kind[:-1] > 0) & (kind[1:] <= 0))
    assert (kind[ends + 1] == RECOVERING).all()
    assert (simulate(500, seed=1, faults=False).kind == NORMAL).all()


def test_each_fault_does_what_it_is_called():
    recording = simulate(20_000, seed=2, faults=True)
    flow, pressure, heater, temperature = recording.values.T
    inside = (recording.kind[1:] > 0) & (recording.kind[1:] == recording.kind[:-1])
    kind = np.where(inside, recording.kind[1:], NORMAL)
    of = {name: kind == number for number, name in enumerate(FAULTS, 1)}
    assert (np.diff(temperature)[of["stuck"]] == 0).all()
    assert np.abs(np.diff(heater)[of["lazy thermostat"]]).max() < 2  # noise alone
    quiet = np.abs(np.diff(pressure))
    assert quiet[of["slow pump"]].mean() < quiet[kind == NORMAL].mean()
    expected = 3.0 - 0.03 * flow[1:] ** 2
    assert (expected - pressure[1:])[of["leak"]].mean() > 0.1


def test_a_seed_is_a_recording_and_the_recordings_differ():
    assert np.array_equal(simulate(50, 3, True).values, simulate(50, 3, True).values)
    train, usual, test, labelled = recordings(0)
    assert not np.array_equal(test.values, labelled.values)
    np.testing.assert_allclose(train.values.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(train.values.std(axis=0), 1, atol=1e-9)
    assert (train.kind == NORMAL).all() and (usual.kind == NORMAL).all()


def test_autoregression_finds_the_rule_of_a_linear_series():
    random = np.random.default_rng(0)
    series = np.zeros((4000, 2))
    for t in range(2, 4000):
        series[t] = 0.5 * series[t - 1] - 0.3 * series[t - 2, ::-1]
        series[t] += random.normal(size=2)
    weights = autoregression(series, order=4)
    errors = autoregression_errors(weights, series, order=4)
    assert errors[4:].std() == pytest.approx(1, abs=0.03)
    assert (errors[:4] == 0).all()
    np.testing.assert_allclose(weights[6:8], 0.5 * np.eye(2), atol=0.05)
    np.testing.assert_allclose(weights[4:6], -0.3 * np.eye(2)[::-1], atol=0.05)


def test_prediction_errors_compare_a_reading_with_what_was_expected_before_it():
    predictor, series = Predictor(), np.random.default_rng(0).normal(size=(20, 4))
    with torch.no_grad():
        predictor.readout.weight.zero_()
        predictor.readout.bias.copy_(torch.tensor([1.0, 0, 0, 0]))
    errors = prediction_errors(predictor, series)
    np.testing.assert_allclose(errors[1:, 0], np.diff(series[:, 0]) - 1)
    np.testing.assert_allclose(errors[1:, 1], np.diff(series[:, 1]))


def test_no_score_looks_ahead():
    random = np.random.default_rng(0)
    series, usual = random.normal(size=(60, 4)), random.normal(size=(50, 4))
    changed = series.copy()
    changed[40:] += 5
    predictor, labeller = Predictor(), Labeller()
    linear = autoregression(usual)
    for score in (
        lambda x: surprise(x, usual),
        lambda x: surprise(prediction_errors(predictor, x), usual),
        lambda x: surprise(autoregression_errors(linear, x), usual),
        lambda x: label_logits(labeller, x),
    ):
        before, after = score(series), score(changed)
        np.testing.assert_allclose(before[:40], after[:40], rtol=0, atol=1e-9)
        assert np.abs(before[40:] - after[40:]).max() > 1e-3


def test_surprise_is_the_mean_of_squared_errors_in_usual_units():
    usual = np.array([[-1.0, -2.0], [1.0, 2.0]])
    errors = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    np.testing.assert_allclose(surprise(errors, usual, window=2), [0, 4.5, 6.5])


def test_average_precision_by_hand():
    score, wrong = (
        np.array([5.0, 4, 3, 2, 1]),
        np.array([True, False, True, False, False]),
    )
    precision, recall = precision_recall(score, wrong)
    np.testing.assert_allclose(precision, [1, 1 / 2, 2 / 3, 1 / 2, 2 / 5])
    np.testing.assert_allclose(recall, [1 / 2, 1 / 2, 1, 1, 1])
    assert average_precision(score, wrong) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision(np.zeros(5), wrong) == pytest.approx(2 / 5)  # all tied


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), rounded=st.booleans())
def test_average_precision_stays_the_same_under_monotone_maps_and_rewards_order(
    seed, rounded
):
    random = np.random.default_rng(seed)
    score, wrong = random.normal(size=30), random.random(30) < 0.3
    wrong[0] = True
    score = score.round() if rounded else score
    value = average_precision(score, wrong)
    assert average_precision(np.exp(score), wrong) == pytest.approx(value)
    assert average_precision(wrong.astype(float), wrong) == 1
    assert value <= 1


def test_precision_by_kind_leaves_recovery_and_other_kinds_out():
    kind = np.array([0, 0, 1, 2, RECOVERING])
    score = np.array([0.0, 1.0, 2.0, 0.5, 9.0])
    found = precision_by_kind(score, kind)
    assert list(found) == ["all", "leak", "stuck"]
    assert found["leak"] == 1 and found["stuck"] == 0.5
    assert found["all"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


@pytest.mark.parametrize("labelled", [False, True])
def test_training_lowers_the_loss(labelled):
    train = simulate(600, 0, True)
    series = (train.values - train.values.mean(axis=0)) / train.values.std(axis=0)
    model = Labeller() if labelled else Predictor()
    loss = windows_loss(model, series, train.kind if labelled else None)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    draw, losses = torch.Generator().manual_seed(0), []
    for _ in range(15):
        optimizer.zero_grad()
        value = loss(draw)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert losses[-1] < losses[0]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="steps: got 0, expected at least 1"):
        simulate(0, 0, False)
    with pytest.raises(ValueError, match="wrong: got no step with a fault"):
        average_precision(np.zeros(3), np.zeros(3, dtype=bool))


def test_recorded_weights_give_the_recorded_precisions():
    run = json.loads((RECORDED / "anomalies.json").read_text())["runs"][0]
    _, usual, test, _ = recordings(0)
    predictor, labeller = recorded_models()
    score = surprise(
        prediction_errors(predictor, test.values),
        prediction_errors(predictor, usual.values),
    )
    for name, values in (
        ("LSTM, surprise", score),
        ("LSTM, labels", label_logits(labeller, test.values)),
    ):
        again = precision_by_kind(values, test.kind)
        assert again == pytest.approx(run["precision"][name], abs=0.002)
