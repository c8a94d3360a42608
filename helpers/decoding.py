"""From probabilities to a sentence: beam search, and the exhaustive search that it stands in for.

Both look for the target y that a trained `Seq2Seq` gives the greatest log p(y | x) = Σ_t log p(y_t | y_<t, x). Greedy
search is `Seq2Seq.translate`, or a beam of width 1.
"""

from dataclasses import dataclass
from itertools import product

import torch

from helpers.data import Vocabulary
from helpers.seq2seq import Seq2Seq
from helpers.validation import require_shape


@dataclass(frozen=True)
class Hypothesis:
    """A target that the search found: its tokens, the end mark included if it came that far, and log p in nats."""

    tokens: tuple[int, ...]
    log_probability: float

    @property
    def ended(self) -> bool:
        return self.tokens[-1] == Vocabulary.END


@torch.no_grad()
def beam_search(
    model: Seq2Seq,
    source: torch.Tensor,
    width: int,
    max_length: int = 30,
    record: dict | None = None,
) -> list[Hypothesis]:
    """The hypotheses that a beam of `width` ends with, the best first.

    source (1, S) integers. Each step extends every open hypothesis by every token and keeps the best `width` of all
    these; those that end leave the beam. The search stops when no open hypothesis can still overtake: a longer one is
    never more probable. `record`, if given, gets the log-probabilities (tokens,) of the next token after each prefix
    that the search asked about. Raises ValueError for another shape, width < 1 or max_length < 1.
    """
    _check(source, width=width, max_length=max_length)
    states, summary = model.encoder(source)
    state = model.decoder.start(summary)  # one row an open hypothesis
    scores = summary.new_zeros(1)  # log p so far
    prefixes, ended = [()], []
    while prefixes:
        count = len(prefixes)
        last = [prefix[-1] if prefix else Vocabulary.BEGIN for prefix in prefixes]
        logits, state, _ = model.decoder(
            torch.tensor(last).unsqueeze(1),  # (count, 1)
            state,
            states.expand(count, -1, -1),
            summary.expand(count, -1),
            torch.ones(count, 1, source.shape[1], dtype=torch.bool),
        )
        steps = torch.log_softmax(logits.squeeze(1), dim=-1)  # (count, tokens)
        if record is not None:
            record.update(zip(prefixes, steps, strict=True))
        totals = (scores.unsqueeze(1) + steps).flatten()
        best, places = totals.topk(min(width, len(totals)))
        rows = places // steps.shape[1]  # whom it extends …
        tokens = places % steps.shape[1]  # … and by what
        grown = [
            (*prefixes[row], token)
            for row, token in zip(rows.tolist(), tokens.tolist(), strict=True)
        ]
        found = [
            Hypothesis(prefix, total)
            for prefix, total in zip(grown, best.tolist(), strict=True)
        ]
        full = len(grown[0]) == max_length
        ended += [each for each in found if each.ended or full]
        open_ = [i for i, each in enumerate(found) if not (each.ended or full)]
        greatest = max((each.log_probability for each in ended), default=-torch.inf)
        if open_ and best[open_[0]] <= greatest:
            break
        prefixes, scores, state = (
            [grown[i] for i in open_],
            best[open_],
            state[rows[open_]],
        )
    return sorted(ended, key=lambda each: -each.log_probability)


@torch.no_grad()
def log_probability(
    model: Seq2Seq, source: torch.Tensor, target: torch.Tensor
) -> torch.Tensor:
    """log p(target | source) of each row: source (B, S), target (B, T) with its end mark, padded → (B,)."""
    steps = torch.log_softmax(model(source, target), dim=-1)  # (B, T, tokens)
    chosen = steps.gather(-1, target.unsqueeze(-1)).squeeze(-1)  # (B, T)
    return chosen.masked_fill(target == Vocabulary.PAD, 0.0).sum(dim=1)


@torch.no_grad()
def exhaustive_search(
    model: Seq2Seq, source: torch.Tensor, num_tokens: int, max_length: int
) -> Hypothesis:
    """The most probable of *all* targets up to `max_length`: num_tokens ** max_length of them, so for tiny cases only.

    Raises ValueError for another shape than (1, S), and for more than 100,000 targets.
    """
    _check(source, num_tokens=num_tokens, max_length=max_length)
    if num_tokens**max_length > 100_000:
        raise ValueError(
            f"max_length: got {num_tokens} ** {max_length} targets, expected at most 100,000"
        )
    targets = set()
    for tokens in product(range(num_tokens), repeat=max_length):
        end = tokens.index(Vocabulary.END) + 1 if Vocabulary.END in tokens else None
        targets.add(tokens[:end])
    found = []
    for length in range(1, max_length + 1):
        rows = torch.tensor(sorted(t for t in targets if len(t) == length))
        steps = torch.log_softmax(model(source.expand(len(rows), -1), rows), dim=-1)
        scores = steps.gather(-1, rows.unsqueeze(-1)).sum(dim=(1, 2))
        best = int(scores.argmax())
        found.append(Hypothesis(tuple(rows[best].tolist()), float(scores[best])))
    return max(found, key=lambda each: each.log_probability)


def _check(source: torch.Tensor, **least_one: int) -> None:
    require_shape("source", source, (1, "S"))
    for name, value in least_one.items():
        if value < 1:
            raise ValueError(f"{name}: got {value}, expected at least 1")
