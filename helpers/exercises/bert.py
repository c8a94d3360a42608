"""The exercises of chapter 07a."""

import torch

from helpers.exercises import Exercise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def _soft(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.softmax(2 * _random(*shape, seed=seed), dim=-1)


# ---- mean_pool ------------------------------------------------------------------------------------------------------


def mean_pool(states, tokens):
    """states (B, T, d), tokens (B, T) integers, 0 for padding → one vector a sentence (B, d)"""
    # the solution begins
    kept = (tokens != 0).unsqueeze(-1).to(states.dtype)  # (B, T, 1)
    return (states * kept).sum(dim=1) / kept.sum(dim=1)
    # the solution ends


MEAN_POOL = Exercise(
    title="one vector for a sentence",
    difficulty=1,
    minutes=5,
    task="Take the mean of each sentence's states. The padding, token 0, must not count: neither in the sum nor in "
    "what it is divided by.",
    hint="`tokens != 0` is `True` where there is a token. As a number it is 1, and its sum is the length.",
    solution=mean_pool,
    cases=[
        (_random(2, 3, 4), torch.tensor([[101, 7, 102], [101, 102, 0]])),
        (_random(3, 5, 2, seed=1), torch.tensor([5 * [9], [9, 9, 0, 0, 0], 5 * [3]])),
    ],
    mistakes={
        lambda states, tokens: states.mean(dim=1): (
            "The padding is in the mean, so a sentence's vector depends on what it was batched with."
        ),
        lambda states, tokens: (
            (states * (tokens != 0).unsqueeze(-1)).sum(dim=1) / states.shape[1]
        ): "The sum is right, but it is divided by the length of the batch and not by that of the sentence.",
        lambda states, tokens: (states * (tokens != 0).unsqueeze(-1)).sum(dim=1): (
            "This is the sum. Divide it by the number of tokens of each sentence."
        ),
        lambda states, tokens: states[:, 0]: (
            "This is the state of [CLS] alone. Some models use it; this exercise, and this model, take the mean."
        ),
    },
)


# ---- share_before ---------------------------------------------------------------------------------------------------


def share_before(weights):
    """weights (N, h, T, T), rows sum to 1 → for each head the mean weight on the token before (N, h)"""
    # the solution begins
    return weights.diagonal(offset=-1, dim1=-2, dim2=-1).mean(dim=-1)
    # the solution ends


SHARE_BEFORE = Exercise(
    title="find the heads that look one token back",
    difficulty=1,
    minutes=5,
    task="For every head: the weight of query $t$ on key $t - 1$, averaged over the queries $1 \\dots T - 1$. "
    "(Query 0 has no token before it.)",
    hint="A query is a row and a key a column: these weights lie on the diagonal below the main one. "
    "`diagonal` takes `offset`, `dim1` and `dim2`.",
    solution=share_before,
    cases=[(_soft(2, 3, 5, 5),), (_soft(1, 2, 4, 4, seed=1),)],
    mistakes={
        lambda w: w.diagonal(offset=1, dim1=-2, dim2=-1).mean(dim=-1): (
            "This diagonal lies above the main one: it is the token after. Rows are queries, columns are keys."
        ),
        lambda w: w.diagonal(dim1=-2, dim2=-1).mean(dim=-1): (
            "This is the main diagonal: the weight of each token on itself."
        ),
        lambda w: w.diagonal(offset=-1, dim1=-2, dim2=-1).sum(dim=-1) / w.shape[-1]: (
            "The sum is divided by T, but there are T − 1 queries with a token before them."
        ),
    },
)


# ---- one_head -------------------------------------------------------------------------------------------------------


def one_head(weights, value, output, head):
    """weights (h, T, T), value (h, T, d/h), output (d, d) → what the head adds (T, d)"""
    # the solution begins
    width = value.shape[-1]
    mixed = weights[head] @ value[head]  # (T, d/h)
    return mixed @ output[:, head * width : (head + 1) * width].T  # (T, d)
    # the solution ends


def _all_heads(weights, value, output):
    joined = (weights @ value).transpose(0, 1).flatten(1)  # (T, d)
    return joined @ output.T


ONE_HEAD = Exercise(
    title="what one head adds",
    difficulty=2,
    minutes=15,
    task="The heads' outputs are joined and multiplied by $W_O$ (here `output`, as `F.linear` takes it). The same, "
    "written as a sum: each head has its own columns of $W_O$ and adds $A_h V_h W_{O,h}^\\top$ to the states. Compute "
    "this term for the head of the number given. With it you can take a head out of the model and see what it was "
    "good for.",
    hint="Joined, head $h$ fills the numbers from $h \\cdot d/h$ on. `F.linear(x, W)` is `x @ W.T`, so these numbers "
    "meet *columns* of `output`.",
    solution=one_head,
    cases=[
        (_soft(2, 4, 4), _random(2, 4, 3), _random(6, 6), 1),
        (_soft(3, 5, 5, seed=1), _random(3, 5, 2, seed=2), _random(6, 6, seed=3), 0),
    ],
    mistakes={
        lambda a, v, w, i: _all_heads(a, v, w): (
            "These are all heads together. Take the columns of one."
        ),
        lambda a, v, w, i: (
            a[i] @ v[i] @ w[i * v.shape[-1] : (i + 1) * v.shape[-1]]
        ): "The rows of W_O were taken. `F.linear` multiplies by its transpose: a head's numbers meet columns.",
        lambda a, v, w, i: (
            a[i].T @ v[i] @ w[:, i * v.shape[-1] : (i + 1) * v.shape[-1]].T
        ): "The map is turned round: row t holds the weights of query t, and `weights @ value` mixes the values by it.",
        lambda a, v, w, i: (
            a.mean(dim=0) @ v[i] @ w[:, i * v.shape[-1] : (i + 1) * v.shape[-1]].T
        ): "The mean map of all heads was used. Each head mixes its values by its own map.",
    },
)


# ---- rollout --------------------------------------------------------------------------------------------------------


def rollout(weights):
    """weights (N, T, T), for each layer the mean map of its heads → what each last state has of each token (T, T)"""
    # the solution begins
    total = torch.eye(weights.shape[-1], dtype=weights.dtype)
    for layer in weights:
        total = (layer + torch.eye(len(layer), dtype=layer.dtype)) / 2 @ total
    return total
    # the solution ends


def _product(weights, step):
    total = torch.eye(weights.shape[-1], dtype=weights.dtype)
    for layer in weights:
        total = step(layer, torch.eye(len(layer), dtype=layer.dtype), total)
    return total


ROLLOUT = Exercise(
    title="attention through all layers",
    difficulty=3,
    minutes=15,
    task="A map of layer 4 says which *states* of layer 3 were mixed, not which words. Abnar and Zuidema follow the "
    "words: a layer keeps half of a state by its residual path and mixes the other half by its map, so "
    "$\\tilde A = (A + I)/2$, and the layers multiply, $R = \\tilde A_N \\cdots \\tilde A_2 \\tilde A_1$. Compute $R$.",
    hint="Begin with the identity. Which side does the next layer's map go on? Its rows ask, so it goes on the left.",
    solution=rollout,
    cases=[(_soft(3, 4, 4),), (_soft(2, 5, 5, seed=1),)],
    mistakes={
        lambda w: _product(w, lambda a, eye, total: a @ total): (
            "The residual path is missing: each layer also passes on the state itself."
        ),
        lambda w: _product(w, lambda a, eye, total: total @ (a + eye) / 2): (
            "The layers are multiplied in the wrong order: the first one is on the right, next to the words."
        ),
        lambda w: _product(w, lambda a, eye, total: (a + eye) @ total): (
            "The rows sum to 2, 4, 8, …: half of a state stays, and half of it is mixed. Divide by 2."
        ),
        lambda w: w.mean(dim=0): (
            "The mean over the layers treats all maps as if they looked at the words. Only the first layer does."
        ),
    },
)


EXERCISES = [MEAN_POOL, SHARE_BEFORE, ONE_HEAD, ROLLOUT]
