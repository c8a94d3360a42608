"""Slips in the lectures that no chapter's cell shows: what the slide says, what holds, and that the two differ.

Each test is named in book/errata.md beside its slip. The second part sees to it that the page stays complete.
"""

import re

import pytest
import torch
from test_lecture_map import LECTURE_MAP, LINK, numbers, tables
from torch.utils.flop_counter import FlopCounterMode

from helpers.attention import Attention, ScaledDot, energy_function
from helpers.bptt import jacobians
from helpers.rnn import RNN

EXACT = {"rtol": 0, "atol": 1e-12}
VERDICTS = {
    "A matter of letters",
    "A simplification",
    "Lecturer's slip",
    "Lecturer's slip, or a handwritten note's",
    "Probably a misread scan",
    "Quoted from elsewhere",
    "Slip or misread scan, we cannot tell",
    "Too general",
}

pytestmark = pytest.mark.usefixtures("double_precision")


def recurrent(steps=4, seed=0):
    """A small RNN, its input (steps, 3) and its states h_0 … h_steps (steps + 1, 5), h_0 = 0."""
    torch.manual_seed(seed)
    rnn, x = RNN(3, 5), torch.randn(steps, 3)
    states = [torch.zeros(5)]
    for x_t in x:
        states.append(torch.tanh(rnn.b + rnn.W @ states[-1] + rnn.U @ x_t))
    torch.testing.assert_close(torch.stack(states[1:]), rnn(x[None])[0][0], **EXACT)
    return rnn, x, torch.stack(states)


def flops(function):
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def test_the_numbers_under_king_and_queen_do_not_add_up():
    king, woman, man, queen = torch.tensor(
        [
            [0.87, -0.11, 0.13],
            [-0.61, 0.54, -0.32],
            [0.42, 0.14, 0.77],
            [0.26, -0.46, 0.27],
        ]
    )
    assert ((king + woman - man - queen).abs() > 0.4).all()


def test_the_spread_depends_on_the_width_and_not_on_how_many_vectors():
    torch.manual_seed(0)

    def spread(number, width):
        energies = torch.randn(2000, 1, width) @ torch.randn(2000, width, number)
        return energies.var().item()

    assert abs(spread(4, 16) - 16) < 1 and abs(spread(64, 16) - 16) < 1
    assert abs(spread(4, 64) - 64) < 4


def test_a_map_squeezed_is_one_number():
    from helpers.channel_attention import SqueezeExcitation

    module = SqueezeExcitation(8, reduction=2)
    maps = torch.randn(2, 8, 5, 7)
    assert module.weights(maps).shape == (2, 8, 1, 1)  # T = 1
    assert module(maps).shape == maps.shape


def test_the_third_state_unrolled():
    rnn, x, states = recurrent(steps=3)

    def f(h, x_t):
        return torch.tanh(rnn.b + rnn.W @ h + rnn.U @ x_t)

    nested = f(f(f(torch.zeros(5), x[0]), x[1]), x[2])
    torch.testing.assert_close(nested, states[3], **EXACT)
    with pytest.raises(TypeError):  # as the copy has the brackets
        f(f(f(torch.zeros(5), x[0]), x[1], x[2]))


def test_w_by_w_needs_no_second_w():
    """∂h_k/∂h_{k−1}: the slide differentiates tanh(a_k) by h_{k−1} and multiplies by W once more."""
    rnn, x, h = recurrent()

    def step(before):
        return torch.tanh(rnn.b + rnn.W @ before + rnn.U @ x[2])

    jacobian = torch.autograd.functional.jacobian(step, h[2])
    (ours,) = jacobians(rnn.W, h[3:4])
    torch.testing.assert_close(jacobian, ours, **EXACT)
    assert (rnn.W @ jacobian - jacobian).norm() > 0.1
    last = torch.tanh(rnn.b + rnn.W @ h[2] + rnn.U @ x[3])  # x_t in place of x_k
    assert (last - h[3]).norm() > 0.1


@pytest.mark.parametrize("back", [0, 1, 2])
def test_one_step_back_is_one_jacobian(back):
    """The share in h_t of the W used at t − back: the slide has the formula without a product for 1, not for 0."""
    rnn, x, h = recurrent()
    copies = [rnn.W.detach().clone().requires_grad_() for _ in x]
    state = torch.zeros(5)
    for x_t, W in zip(x, copies, strict=True):
        state = torch.tanh(rnn.b.detach() + W @ state + rnn.U.detach() @ x_t)
    error = torch.randn(5)
    (share,) = torch.autograd.grad(state @ error, copies[-1 - back])

    reaches = error  # ∂L/∂h_t, and then through `back` Jacobians
    for J in reversed(list(jacobians(rnn.W, h[1:])[len(x) - back :])):
        reaches = J.T @ reaches
    used = len(x) - back  # h_used = tanh(… W h_{used−1} …)

    def without_product(error):
        return torch.outer(error * (1 - h[used] ** 2), h[used - 1])

    torch.testing.assert_close(share, without_product(reaches), **EXACT)
    if back:
        assert (share - without_product(error)).norm() > 0.1


def test_vectors_as_columns_make_n_the_width():
    """With K (n_k, d_k) and a key in each column, qᵀK / √n_k is the scaled dot product."""
    n_k, d_k = 6, 4  # width, number
    q, K = torch.randn(n_k), torch.randn(n_k, d_k)
    ours = ScaledDot(n_k, n_k)(q[None, None], K.T[None])[0, 0]
    torch.testing.assert_close(q @ K / n_k**0.5, ours, **EXACT)
    with pytest.raises(RuntimeError, match="shapes cannot"):  # keys as rows
        q @ K.T


def test_the_softmax_of_one_energy_is_one():
    energies = torch.randn(5)
    alone = torch.stack([energy[None].softmax(dim=0)[0] for energy in energies])
    assert (alone == 1).all()
    assert abs(energies.softmax(dim=0).sum() - 1) < 1e-12


def test_attention_costs_the_product_of_the_lengths():
    attention = Attention(energy_function("dot", 8, 8))

    def work(T, S):
        q, k = torch.randn(1, T, 8), torch.randn(1, S, 8)
        return flops(lambda: attention(q, k, k))

    assert work(20, 30) == 2 * work(10, 30) == 2 * work(20, 15) > 0
    assert work(20, 20) == 4 * work(10, 10)
    assert attention(torch.randn(1, 20, 8), *2 * [torch.randn(1, 30, 8)])[1].shape == (
        1,
        20,
        30,
    )


def test_without_projections_everybody_answers_as_they_ask():
    x = torch.randn(1, 5, 4)
    same = ScaledDot(4, 4)(x, x)
    torch.testing.assert_close(same, same.mT, **EXACT)
    W_Q, W_K = torch.randn(4, 4), torch.randn(4, 4)
    projected = ScaledDot(4, 4)(x @ W_Q.T, x @ W_K.T)
    assert (projected - projected.mT).abs().max() > 0.1


def test_the_output_needs_the_values():
    q, k, v = torch.randn(3, 4), torch.randn(5, 4), torch.randn(5, 2)
    weights = (q @ k.T / 4**0.5).softmax(dim=-1)
    assert weights.shape == (3, 5)  # what the copy calls Z
    reference = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(weights @ v, reference, **EXACT)


def test_a_query_is_multiplied_with_the_keys_and_scaled():
    """Attention(Q, K, V) = softmax(Q, Kᵀ)·V, read as a product, still lacks the root."""
    q, k, v = torch.randn(3, 64), torch.randn(5, 64), torch.randn(5, 2)
    reference = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    assert ((q @ k.T).softmax(dim=-1) @ v - reference).abs().max() > 0.01
    torch.testing.assert_close((q @ k.T / 8).softmax(dim=-1) @ v, reference, **EXACT)


def test_the_nearest_key_is_not_chosen_but_weighs_most():
    q, k = torch.tensor([[1.0, 0.5]]), torch.tensor([[1.0, 0.4], [0.5, 0.5], [-1, 0]])
    _, weights = Attention(energy_function("scaled_dot", 2, 2))(
        q[None], k[None], k[None]
    )
    assert weights.argmax() == 0 and (weights > 0.05).all() and weights.max() < 0.6


def test_one_fifteenth_is_another_model_than_the_best_one():
    """Dosovitskiy et al. 2021, table 2: accuracy on ImageNet in %, thousands of TPUv3-core-days of pretraining."""
    table = {
        "ViT-H/14": (88.55, 2.5),
        "ViT-L/16": (87.76, 0.68),
        "BiT-L": (87.54, 9.9),
        "Noisy Student": (88.4, 12.3),
    }
    accuracy = {name: row[0] for name, row in table.items()}
    cost = {name: row[1] for name, row in table.items()}
    assert 14 < cost["BiT-L"] / cost["ViT-L/16"] < 15
    assert accuracy["BiT-L"] < accuracy["ViT-L/16"] < accuracy["Noisy Student"]
    assert max(accuracy, key=accuracy.get) == "ViT-H/14"
    assert 3.9 < cost["BiT-L"] / cost["ViT-H/14"] < 4.1


# ---------------------------------------------------------------------------------------------------------------------
# The page
# ---------------------------------------------------------------------------------------------------------------------

TEST = re.compile(r"[Tt]est: \*([^*]+)\*")
ERRATA = {heading[0]: rows for heading, rows in tables("errata").items()}


def test_each_slip_names_slide_proof_and_whose_it_is():
    assert "".join(ERRATA) == "".join(LECTURE_MAP)
    for lecture, rows in ERRATA.items():
        known = {number for row in LECTURE_MAP[lecture] for number in numbers(row[0])}
        for slide, _, holds in rows:
            named = numbers(slide.partition(",")[0])
            assert named and set(named) <= known, (lecture, slide)
            text, _, verdict = holds.removesuffix(".*").rpartition("*")
            assert verdict in VERDICTS, (lecture, slide, verdict)
            shown = [path for _, path, _ in LINK.findall(text) if path]
            shown += TEST.findall(text)
            assert shown, (lecture, slide)


def test_each_test_named_is_there_and_each_test_here_is_named():
    named = {
        f"test_{name.replace(' ', '_')}"
        for rows in ERRATA.values()
        for row in rows
        for name in TEST.findall(row[2])
    }
    here = {name for name in globals() if name.startswith("test_")}
    assert named == here - {
        "test_each_slip_names_slide_proof_and_whose_it_is",
        "test_each_test_named_is_there_and_each_test_here_is_named",
    }
