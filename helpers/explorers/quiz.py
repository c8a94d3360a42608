"""A quiz with immediate feedback: every option says why it is right or wrong."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import traitlets

from helpers.explorers.base import HERE, Explorer


@dataclass(frozen=True)
class Option:
    """One answer, whether it is the right one, and the reason. `Backticks` set code."""

    text: str
    correct: bool
    why: str

    def __post_init__(self):
        for name, value in (("text", self.text), ("why", self.why)):
            if not value.strip():
                raise ValueError(f"{name}: got {value!r}, expected some words")


@dataclass(frozen=True)
class Question:
    """A question with at least two options, exactly one of them correct. `Backticks` set code."""

    text: str
    options: Sequence[Option]

    def __post_init__(self):
        if not self.text.strip():
            raise ValueError(f"text: got {self.text!r}, expected a question")
        correct = sum(option.correct for option in self.options)
        if len(self.options) < 2 or correct != 1:
            got = f"{len(self.options)} options, {correct} of them correct"
            raise ValueError(
                f"options: got {got}, expected at least 2, exactly 1 of them correct"
            )


class Quiz(Explorer):
    """Questions with one right answer each, the reason for every option, and a score.

    `answers` holds the index of the chosen option of each question, −1 where none is chosen.
    """

    _esm = HERE / "static" / "quiz.js"
    _questions = traitlets.List().tag(sync=True)
    answers = traitlets.List().tag(sync=True)

    def __init__(self, questions: Sequence[Question], label: str = "Quiz"):
        if not questions:
            raise ValueError("questions: got none, expected at least 1")
        super().__init__(
            _questions=[asdict(question) for question in questions],
            answers=[-1] * len(questions),
            label=label,
        )

    @property
    def score(self) -> int:
        """The number of right answers."""
        answered = zip(self._questions, self.answers, strict=True)
        return sum(
            question["options"][answer]["correct"]
            for question, answer in answered
            if answer >= 0
        )

    @traitlets.validate("answers")
    def _check_answers(self, proposal) -> list[int]:
        sizes = [len(question["options"]) for question in self._questions]
        fits = len(proposal.value) == len(sizes)
        if not fits or not all(
            -1 <= got < size for got, size in zip(proposal.value, sizes, strict=True)
        ):
            raise ValueError(
                f"answers: got {proposal.value}, expected indices below {sizes}, or -1"
            )
        return proposal.value

    def __repr__(self) -> str:
        return f"Quiz({len(self._questions)} questions)"
