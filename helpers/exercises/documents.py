"""The exercises of chapter 06a."""

import torch

from helpers.exercises import Exercise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


# ---- pooling --------------------------------------------------------------------------------------------------------


def pool(states, W, b, u):
    """states (T, d), W (d, d), b (d,), u (d,) → document vector (d,)"""
    # the solution begins
    energy = torch.tanh(states @ W.T + b) @ u  # (T,)
    weights = torch.softmax(energy, dim=0)  # (T,)
    return weights @ states  # (d,)
    # the solution ends


POOL = Exercise(
    title="attention pooling",
    difficulty=1,
    minutes=5,
    task="Write $e_t = \\mathbf{u}^\\top \\tanh(W\\mathbf{h}_t + \\mathbf{b})$, the softmax over the tokens, and the "
    "weighted sum of the *states*, for one document and without a loop.",
    hint="`states @ W.T` is $W\\mathbf{h}_t$ for every token at once, one row a token.",
    solution=pool,
    cases=[
        (_random(5, 3), _random(3, 3, seed=1), _random(3, seed=2), _random(3, seed=3)),
        (_random(2, 4), _random(4, 4, seed=4), _random(4, seed=5), _random(4, seed=6)),
    ],
    mistakes={
        lambda h, W, b, u: torch.softmax((h @ W.T + b) @ u, dim=0) @ h: (
            "The tanh is missing: without it W and u are one vector, and nothing is gained by having two."
        ),
        lambda h, W, b, u: (
            torch.softmax(torch.tanh(h @ W.T + b) @ u, dim=0) @ torch.tanh(h @ W.T + b)
        ): "The weighted sum takes the hidden layer. That layer is for the energies; what is mixed is the states.",
        lambda h, W, b, u: torch.softmax(torch.tanh(h @ W + b) @ u, dim=0) @ h: (
            "W is the wrong way round: row t of `states @ W.T` is W h_t; `states @ W` is its transpose's."
        ),
        lambda h, W, b, u: h.mean(dim=0): (
            "This is the plain mean: every token has the same weight. Let the energies decide."
        ),
    },
)


# ---- hierarchy ------------------------------------------------------------------------------------------------------


def word_shares(word_weights, sentence_weights):
    """word_weights (S, T), each row sums to 1; sentence_weights (S,), sum 1 → (S, T), all together sum to 1"""
    # the solution begins
    return sentence_weights[:, None] * word_weights
    # the solution ends


def _soft(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.softmax(2 * _random(*shape, seed=seed), dim=-1)


WORD_SHARES = Exercise(
    title="one map from two",
    difficulty=1,
    minutes=5,
    task="The hierarchical network weighs the words inside each sentence, and the sentences. What share of the whole "
    "document's attention does each word have? All shares together must sum to 1.",
    hint="A word in a sentence that nobody looks at has no share, however great its weight in there.",
    solution=word_shares,
    cases=[(_soft(3, 4), _soft(3, seed=1)), (_soft(4, 4, seed=2), _soft(4, seed=3))],
    mistakes={
        lambda words, sentences: words / len(sentences): (
            "Every sentence gets the same share. Use the sentences' own weights."
        ),
        lambda words, sentences: (
            words * sentences
            if words.shape[1] == len(sentences)
            else words * sentences.mean()
        ): "The sentence weights were spread over the columns. A row is a sentence: give them the shape (S, 1).",
        lambda words, sentences: torch.softmax(
            (sentences[:, None] * words).flatten(), dim=0
        ).reshape(words.shape): (
            "A softmax over the products makes them nearly equal. They sum to 1 as they are: no softmax is needed."
        ),
        lambda words, sentences: (sentences[:, None] + words) / (2 * len(sentences)): (
            "Weights were added. A share of a share is a product."
        ),
    },
)


# ---- TextCNN --------------------------------------------------------------------------------------------------------


def greatest_answer(x, filter, bias):
    """x (T, d) word vectors, filter (width, d), bias () → max over t of relu(bias + Σ filter · x[t : t + width]), ()"""
    # the solution begins
    windows = x.unfold(0, len(filter), 1)  # (T − width + 1, d, width)
    answers = torch.einsum("t d w, w d -> t", windows, filter) + bias
    return torch.relu(answers).amax()
    # the solution ends


GREATEST_ANSWER = Exercise(
    title="a filter slides over the words",
    difficulty=2,
    minutes=10,
    task="TextCNN's filter is a small matrix laid over `width` neighbouring words. Write its greatest answer over all "
    "places where it fits, without padding. A loop over the places is fine.",
    hint="At place t: `(filter * x[t : t + width]).sum() + bias`. How many places are there?",
    solution=greatest_answer,
    cases=[
        (
            _random(6, 3, seed=seed),
            _random(width, 3, seed=seed + 9),
            torch.tensor(bias, dtype=torch.float64),
        )
        for seed, width, bias in (
            (0, 2, 0.1),
            (1, 3, 0.5),
            (2, 3, -0.4),
            (3, 1, 0.3),
            (4, 2, -20.0),
            (5, 6, 6.0),
        )
    ],
    mistakes={
        lambda x, f, b: (
            torch.einsum("t d w, w d -> t", x.unfold(0, len(f), 1), f).amax() + b
        ): "The relu is missing: an answer below 0 counts as 0.",
        lambda x, f, b: torch.relu(
            torch.einsum("t d w, w d -> t", x.unfold(0, len(f), 1), f) + b
        ).mean(): (
            "This is the mean over the places. A phrase counts wherever it stands, and once is enough: "
            "take the greatest."
        ),
        lambda x, f, b: torch.relu(
            torch.einsum("t d w, w d -> t", x.unfold(0, len(f), 1), f.flip(0)) + b
        ).amax(): "The filter is turned round in time. What these networks call convolution does not turn it.",
        lambda x, f, b: torch.relu(
            torch.einsum("t d w, w d -> t", x.unfold(0, len(f), 1), f)
        ).amax(): "The bias is missing.",
    },
)


# ---- deletion -------------------------------------------------------------------------------------------------------


def without_words(tokens, scores, k):
    """tokens (T,), scores (T,), k < T → (T − k,): without the k words of greatest score, the others in their order"""
    # the solution begins
    kept = scores.topk(len(tokens) - k, largest=False).indices
    return tokens[kept.sort().values]
    # the solution ends


def _unsorted(tokens, scores, k):
    return tokens[scores.argsort()[: len(tokens) - k]]


def _first(tokens, scores, k):
    return tokens[k:]


def _least(tokens, scores, k):
    return tokens[scores.topk(len(tokens) - k).indices.sort().values]


def _kept(tokens, scores, k):
    return torch.cat([tokens[scores.topk(k).indices.sort().values], tokens])[
        : len(tokens) - k
    ]


WITHOUT_WORDS = Exercise(
    title="delete what the model looked at",
    difficulty=3,
    minutes=15,
    task="For the deletion curve: remove the k words of greatest score. The order of the others must not change, for "
    "the model reads them in order.",
    hint="`topk` gives indices by score. Sort the indices of what is *kept*, then index the tokens with them.",
    solution=without_words,
    cases=[
        (torch.arange(10, 18), _random(8), 3),
        (torch.tensor([5, 5, 7, 2, 9]), _random(5, seed=1), 1),
        (torch.arange(9), _random(9, seed=2), 6),
    ],
    mistakes={
        _unsorted: "The words that are left stand in the order of their scores. Sort their indices first.",
        _first: "The first k words were deleted, whatever their scores.",
        _least: "The words of least score were deleted. topk takes the greatest unless largest=False.",
        _kept: "The words of greatest score were put in front instead of being left out.",
    },
)

EXERCISES = [POOL, WORD_SHARES, GREATEST_ANSWER, WITHOUT_WORDS]
