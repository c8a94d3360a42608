"""The training loop: it learns, repeats itself, and gives back what an interruption leaves."""

import time
from itertools import pairwise

import pytest
import torch
from jupyter_client.manager import start_new_kernel
from safetensors.torch import save_file
from torch import nn

from helpers.training import fit, load_part


def problem():
    torch.manual_seed(0)
    model, truth = nn.Linear(3, 1), torch.tensor([[1.0, -2.0, 0.5]])

    def loss(generator):
        x = torch.randn(16, 3, generator=generator)
        return ((model(x) - x @ truth.T) ** 2).mean()

    return model, loss


def test_fit_learns_and_the_seed_decides():
    histories = []
    for seed in (0, 0, 1):
        model, loss = problem()
        histories.append(fit(model, loss, steps=200, learning_rate=0.1, seed=seed).loss)
    assert len(histories[0]) == 200 and histories[0][-1] < 1e-3 * histories[0][0]
    assert histories[0] == histories[1] != histories[2]


def test_interruption_keeps_model_and_history(capsys):
    model, loss = problem()
    calls = []

    def interrupted(generator):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return loss(generator)

    before = model.weight.detach().clone()
    history = fit(model, interrupted, steps=50, learning_rate=0.1, description="line")
    assert (
        len(history.loss) == 5
        and not torch.equal(before, model.weight)
        and not model.training
    )
    assert "line: stopped after 5 of 50 steps" in capsys.readouterr().out


def test_interruption_with_early_stopping_gives_the_best_weights(capsys):
    model, weights, losses = nn.Linear(1, 1, bias=False), [], iter([2.0, 1.0, 3.0])

    def validate():
        if (loss := next(losses, None)) is None:
            raise KeyboardInterrupt
        weights.append(model.weight.item())
        return loss

    history = fit(
        model,
        lambda generator: ((model.weight - 5) ** 2).sum(),
        steps=100,
        learning_rate=0.01,
        validate=validate,
        every=10,
    )
    assert len(history.loss) == 40 and list(history.validation) == [10, 20, 30]
    assert model.weight.item() == weights[1] and not model.training
    said = "stopped after 40 of 100 steps; the model is at its least validation loss"
    assert said in capsys.readouterr().out


LONG = """
import time, torch
from torch import nn
from helpers.training import fit

model = nn.Linear(3, 1)

def loss(generator):
    time.sleep(0.01)
    return (model(torch.randn(16, 3, generator=generator)) ** 2).mean()

history = fit(model, loss, steps=100_000, learning_rate=0.01, description="long")
"""
KEPT = "0 < len(history.loss) < 100_000 and history.seconds > 0"


@pytest.mark.slow
def test_a_cell_that_is_interrupted_keeps_model_and_history():
    """With the stop button of a notebook, which sends the kernel a signal, wherever it is."""
    manager, client = start_new_kernel()
    try:
        client.execute(LONG)
        while True:  # until the bar moves
            message = client.get_iopub_msg(timeout=60)
            if "long:" in message["content"].get("text", ""):
                break
        time.sleep(0.5)
        manager.interrupt_kernel()
        asked = {"kept": KEPT, "usable": "model(torch.zeros(2, 3)).shape[0]"}
        reply = client.execute("", user_expressions=asked, reply=True, timeout=60)
        answers = reply["content"]["user_expressions"]
        said = {name: answer.get("data") for name, answer in answers.items()}
        assert said == {"kept": {"text/plain": "True"}, "usable": {"text/plain": "2"}}
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_early_stopping_keeps_the_best_weights():
    torch.manual_seed(0)
    model = nn.Linear(1, 1, bias=False)
    weights, losses = [], iter([3.0, 2.0, 2.5, 1.0, 1.5, 1.2, 1.1, 0.1])

    def validate():
        weights.append(model.weight.item())
        return next(losses)

    history = fit(
        model,
        lambda generator: ((model.weight - 5) ** 2).sum(),
        steps=100,
        learning_rate=0.01,
        validate=validate,
        every=10,
        patience=3,
    )
    assert list(history.validation) == [10, 20, 30, 40, 50, 60, 70]
    assert len(history.loss) == 70
    assert model.weight.item() == weights[3] != weights[-1]
    steps = [after - before for before, after in pairwise(weights)]
    assert min(steps) > 0.9 * max(steps)  # the learning rate stays as it is


def test_a_loss_that_is_not_finite_is_named():
    model, _ = problem()
    with pytest.raises(
        ValueError, match="loss: got nan at step 0, expected a finite number"
    ):
        fit(
            model,
            lambda generator: model.weight.sum() * torch.nan,
            steps=3,
            learning_rate=0.1,
        )


@pytest.mark.parametrize("steps", [0, -1])
def test_steps(steps):
    model, loss = problem()
    with pytest.raises(ValueError, match=f"steps: got {steps}, expected at least 1"):
        fit(model, loss, steps=steps, learning_rate=0.1)


def test_one_of_several_models_in_a_file(tmp_path):
    models = {name: nn.Linear(2, 1) for name in ("one", "one more")}
    weights = {
        f"{name}/{key}": w
        for name, model in models.items()
        for key, w in model.state_dict().items()
    }
    save_file(weights, tmp_path / "both.safetensors")
    loaded = load_part(nn.Linear(2, 1), tmp_path / "both.safetensors", "one")
    assert not loaded.training
    assert all(map(torch.equal, loaded.parameters(), models["one"].parameters()))
    with pytest.raises(RuntimeError, match="Missing key"):
        load_part(nn.Linear(2, 1), tmp_path / "both.safetensors", "two")


def test_the_progress_bar_is_not_drawn_at_every_step(capsys):
    """A cell that prints thousands of times outruns those who read what the kernel says."""
    fit(*problem(), 1000, 0.01)
    drawn = capsys.readouterr().err.count("\r")
    assert 0 < drawn < 300
