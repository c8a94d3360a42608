"""The exercises of chapter 05."""

import torch

from helpers.exercises import Exercise


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


# ---- teacher forcing ------------------------------------------------------------------------------------------------


def previous_tokens(target, begin):
    """target (B, T) integers, begin: the number of the begin mark → (B, T), what the decoder reads at each step"""
    # the solution begins
    first = torch.full_like(target[:, :1], begin)  # (B, 1)
    return torch.cat([first, target[:, :-1]], dim=1)  # (B, T)
    # the solution ends


_TARGETS = torch.tensor([[7, 4, 9, 2], [5, 8, 2, 0]])

PREVIOUS_TOKENS = Exercise(
    title="what the teacher says",
    difficulty=1,
    minutes=5,
    task=(
        "Under teacher forcing the decoder reads, at step $t$, the *true* token $y_{t-1}$, and at the first "
        "step the begin "
        "mark. Make that input from the target."
    ),
    hint="It is the target moved one step to the right. Which token falls out, and what comes in at the left?",
    solution=previous_tokens,
    cases=[(_TARGETS, 1), (torch.tensor([[3, 6, 3, 8, 2]]), 9)],
    mistakes={
        lambda target, begin: target.clone(): (
            "At step t the decoder would read y_t, the very token that it has to write: it learns to copy, and at "
            "inference there is nothing to copy. Move the target one step to the right."
        ),
        lambda target, begin: torch.roll(target, 1, dims=1): (
            "The last token comes round to the front: the first step would read the end of the answer. Put the begin "
            "mark there."
        ),
        lambda target, begin: torch.cat(
            [target[:, 1:], torch.full_like(target[:, :1], begin)], dim=1
        ): (
            "The target is moved to the left: at step t the decoder would read y_{t+1}, a token of the future. Move it "
            "to the right."
        ),
        lambda target, begin: torch.cat(
            [torch.zeros_like(target[:, :1]), target[:, :-1]], dim=1
        ): "The first step reads 0, the padding. It must read the begin mark that is passed in.",
    },
)


# ---- a greedy step --------------------------------------------------------------------------------------------------


def greedy_step(logits, ended, pad):
    """logits (B, V), ended (B,) boolean, pad: the number of the padding → next tokens (B,)"""
    # the solution begins
    best = logits.argmax(dim=-1)  # (B,)
    return best.masked_fill(ended, pad)
    # the solution ends


_ENDED = torch.tensor([False, True, False, True, False])

GREEDY_STEP = Exercise(
    title="one greedy step",
    difficulty=1,
    minutes=5,
    task=(
        "A batch of sentences is written together, and they end at different steps. Give each sentence its "
        "most probable "
        "next token, and padding to those that have ended."
    ),
    hint="The most probable token has the greatest logit; no softmax is needed. `masked_fill` does the rest.",
    solution=greedy_step,
    cases=[(_random(5, 7), _ENDED, 0), (_random(5, 4, seed=1), ~_ENDED, 3)],
    mistakes={
        lambda logits, ended, pad: logits.argmax(dim=-1): (
            "Sentences that have ended go on writing. Give them padding."
        ),
        lambda logits, ended, pad: logits.argmax(dim=-1).masked_fill(~ended, pad): (
            "The mask is turned round: the padding goes to the sentences that have not ended."
        ),
        lambda logits, ended, pad: logits.argmin(dim=-1).masked_fill(ended, pad): (
            "These are the least probable tokens: take the greatest logit, not the smallest."
        ),
        lambda logits, ended, pad: logits.argmax(dim=-1) * ~ended: (
            "Ended sentences get token 0. That is the padding in this book's vocabularies, but the function is told "
            "which number pads: use it."
        ),
    },
)


# ---- clipped precision ----------------------------------------------------------------------------------------------


def clipped_precision(hypothesis, reference, num_tokens):
    """hypothesis (T,), reference (S,) integers below num_tokens → scalar, BLEU's precision of single tokens"""
    # the solution begins
    written = torch.bincount(hypothesis, minlength=num_tokens)  # (num_tokens,)
    wanted = torch.bincount(reference, minlength=num_tokens)  # (num_tokens,)
    return torch.minimum(written, wanted).sum() / len(hypothesis)
    # the solution ends


def _set_precision(hypothesis, reference, num_tokens):
    written = torch.bincount(hypothesis, minlength=num_tokens) > 0
    wanted = torch.bincount(reference, minlength=num_tokens) > 0
    return (written & wanted).sum() / written.sum()


CLIPPED_PRECISION = Exercise(
    title="BLEU's precision",
    difficulty=2,
    minutes=10,
    task=(
        "Which share of the written tokens is in the reference? A token counts at most as often as the "
        "reference has it, "
        "else *the the the* would be a perfect translation of anything with a *the*."
    ),
    hint="`torch.bincount` counts how often each number occurs. Of two counts, which one may be used?",
    solution=clipped_precision,
    cases=[
        (torch.tensor([4, 4, 4, 4, 6]), torch.tensor([4, 5, 4]), 8),
        (torch.tensor([1, 2, 3]), torch.tensor([3, 2, 2, 0, 1, 1]), 5),
        (torch.tensor([1, 1]), torch.tensor([0, 2]), 4),
    ],
    mistakes={
        lambda h, r, n: torch.isin(h, r).sum() / len(h): (
            "Every repetition counts: four times “4” against two in the reference gives four hits. Clip each count at "
            "that of the reference."
        ),
        lambda h, r, n: (
            torch.minimum(
                torch.bincount(h, minlength=n), torch.bincount(r, minlength=n)
            ).sum()
            / len(r)
        ): (
            "This is divided by the length of the reference: the recall. A precision is a share of what was written."
        ),
        _set_precision: (
            "Only different tokens are counted, so repetitions neither help nor harm. Count every occurrence, "
            "up to the "
            "reference's count."
        ),
    },
)


# ---- a beam step ----------------------------------------------------------------------------------------------------


def beam_step(scores, steps, width):
    """scores (K,) log p so far, steps (K, V) log p of each next token → (width, 2): which hypothesis, which token"""
    # the solution begins
    totals = (scores.unsqueeze(1) + steps).flatten()  # (K · V,)
    places = totals.topk(width).indices  # (width,), the best first
    return torch.stack([places // steps.shape[1], places % steps.shape[1]], dim=1)
    # the solution ends


def _choose(totals, width, columns):
    places = totals.flatten().topk(width).indices
    return torch.stack([places // columns, places % columns], dim=1)


def _own_best(scores, steps, width):
    totals = scores.unsqueeze(1) + steps
    best, tokens = totals.max(dim=1)
    rows = best.argsort(descending=True)[:width]
    return torch.stack([rows, tokens[rows]], dim=1)


_SCORES = torch.tensor([-0.1, -0.4, -2.0], dtype=torch.float64)
_STEPS = torch.log_softmax(2 * _random(3, 6, seed=4), dim=-1)
_LATER = torch.log_softmax(2 * _random(4, 5, seed=5), dim=-1)

BEAM_STEP = Exercise(
    title="one step of a beam",
    difficulty=3,
    minutes=15,
    task=(
        "A beam holds $K$ hypotheses. Extend each by every token and keep the best `width` of all $K \\cdot "
        "V$, the best "
        "first: return for each which hypothesis it extends and by which token."
    ),
    hint=(
        "Log-probabilities add. Flatten the (K, V) totals; place $i$ of the flat list is row `i // V`, column `i % V`."
    ),
    solution=beam_step,
    cases=[
        (_SCORES, _STEPS, 3),
        (torch.tensor([-3.0, -0.2, -1.0, -0.9], dtype=torch.float64), _LATER, 2),
    ],
    mistakes={
        lambda scores, steps, width: _choose(steps, width, steps.shape[1]): (
            "The log-probabilities so far are not used: a poor hypothesis with one sure next token would win."
        ),
        lambda scores, steps, width: _choose(
            scores.unsqueeze(1) * steps, width, steps.shape[1]
        ): "The scores are multiplied. Probabilities multiply; their logarithms add.",
        _own_best: (
            "Each hypothesis gives only its own best continuation. Two of the best may extend the same hypothesis: "
            "choose among all K · V."
        ),
        lambda scores, steps, width: beam_step(scores, steps, width).flip(1): (
            "The columns are exchanged: first which hypothesis, then which token."
        ),
    },
)


EXERCISES = [PREVIOUS_TOKENS, GREEDY_STEP, CLIPPED_PRECISION, BEAM_STEP]
