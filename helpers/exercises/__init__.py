"""Exercises that check themselves. The solution is the source: stub, answer and checks are all made from it.

An exercise is a solution function, whose body stands between the two marker comments, and what belongs to it. `stub`
and `answer` turn it into the notebook's cells, `sync` keeps a notebook's cells up to date, and `check` judges a
reader's function: it tells the typical mistakes apart, because each is here as code with its own message.
Idea: scikit-learn-mooc (exercises generated from solutions), ARENA (checks that say what differs).
"""

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

import torch

BEGIN, END = "# the solution begins", "# the solution ends"


@dataclass(frozen=True)
class Exercise:
    """One coding exercise.

    solution: the right function, its body between the markers. difficulty: 1 to 3. cases: argument tuples for the
    checks. mistakes: wrong functions, each with the message that its author should read.
    """

    title: str
    difficulty: int
    minutes: int
    task: str
    hint: str
    solution: Callable[..., torch.Tensor]
    cases: Sequence[tuple]
    mistakes: Mapping[Callable[..., torch.Tensor], str]

    @property
    def name(self) -> str:
        return self.solution.__name__


def exercises() -> dict[str, Exercise]:
    """All exercises of the book by name, chapter by chapter."""
    chapters = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))
    every = [
        exercise
        for chapter in chapters
        for exercise in import_module(f"{__name__}.{chapter}").EXERCISES
    ]
    return {exercise.name: exercise for exercise in every}


# ---------------------------------------------------------------------------------------------------------------------
# Checking
# ---------------------------------------------------------------------------------------------------------------------


def check(function: Callable[..., torch.Tensor]) -> None:
    """Check a reader's `function` against the exercise of the same name, and print what is wrong or that it passed.

    Raises ValueError if no exercise has that name.
    """
    known = exercises()
    name = getattr(function, "__name__", repr(function))
    if name not in known:
        raise ValueError(
            f"function: got {name!r}, expected one of the exercises {', '.join(known)}"
        )
    fault = find_fault(function, known[name])
    print(
        f"✗ {fault}"
        if fault
        else f"✓ All checks passed: {name} gives the right result on {len(known[name].cases)} inputs."
    )


def find_fault(function: Callable[..., torch.Tensor], exercise: Exercise) -> str | None:
    """What is wrong with `function`, in one or two sentences; None if nothing is."""
    name, results = exercise.name, []
    for case in exercise.cases:
        given = deepcopy(case)
        try:
            result = function(*given)
        except (
            Exception
        ) as error:  # whatever the reader's code raises is the answer to show
            return f"{name} raised {type(error).__name__}: {error}. It was given {_describe(case)}."
        if result is None or result is ...:
            return f"Not solved yet: {name} returned {result}. Write its body and run this cell again."
        expected = exercise.solution(*deepcopy(case))
        if not isinstance(result, torch.Tensor):
            return f"{name} returned {type(result).__name__}, expected a tensor of shape {tuple(expected.shape)}."
        if result.shape != expected.shape:
            got, want = tuple(result.shape), tuple(expected.shape)
            return f"{name} returned shape {got}, expected {want}, given {_describe(case)}."
        if not all(
            _same(before, after) for before, after in zip(case, given, strict=True)
        ):
            return f"{name} changed its input in place; work on a new tensor instead (masked_fill, not masked_fill_)."
        results.append((result, expected))
    if all(_same(result, expected) for result, expected in results):
        return None
    for mistake, message in exercise.mistakes.items():
        wrong = [mistake(*deepcopy(case)) for case in exercise.cases]
        if all(
            _same(result, other)
            for (result, _), other in zip(results, wrong, strict=True)
        ):
            return message
    result, expected = next(pair for pair in results if not _same(*pair))
    return f"{name} returned {_numbers(result)}, expected {_numbers(expected)}."


def _same(a: object, b: object) -> bool:
    if not isinstance(a, torch.Tensor):
        return a == b
    return a.shape == b.shape and torch.allclose(
        a.double(), b.double(), atol=1e-5, equal_nan=True
    )


def _describe(case: tuple) -> str:
    return ", ".join(
        f"a tensor {tuple(a.shape)}" if isinstance(a, torch.Tensor) else repr(a)
        for a in case
    )


def _numbers(tensor: torch.Tensor) -> str:
    values = tensor.flatten().tolist()
    return f"[{', '.join(f'{value:.3f}' for value in values[:6])}{', …' if len(values) > 6 else ''}]"


# ---------------------------------------------------------------------------------------------------------------------
# The notebook's cells
# ---------------------------------------------------------------------------------------------------------------------


def task(exercise: Exercise, number: int) -> str:
    """The markdown that poses the exercise."""
    dots = "●" * exercise.difficulty + "○" * (3 - exercise.difficulty)
    return f"### Exercise {number}: {exercise.title}\n\n{dots} · {exercise.minutes} minutes\n\n{exercise.task}"


def stub(exercise: Exercise) -> str:
    """The code cell that the reader completes: the solution without its body, and the check."""
    lines = textwrap.dedent(inspect.getsource(exercise.solution)).rstrip().splitlines()
    begin, end = (
        next(i for i, line in enumerate(lines) if marker in line)
        for marker in (BEGIN, END)
    )
    body = [*lines[:begin], "    ...  # your code here", *lines[end + 1 :]]
    return "\n".join([*body, "", "", f"check({exercise.name})"])


def answer(exercise: Exercise) -> str:
    """The markdown with the hint and the solution, each folded away."""
    lines = textwrap.dedent(inspect.getsource(exercise.solution)).rstrip().splitlines()
    code = "\n".join(line for line in lines if BEGIN not in line and END not in line)
    return (
        f"<details><summary>Hint</summary>\n\n{exercise.hint}\n\n</details>\n"
        f"<details><summary>Solution</summary>\n\n```python\n{code}\n```\n\n</details>"
    )


def sync(notebook):
    """Rewrite the exercise cells of `notebook` (an nbformat node) from the exercises, and return it.

    A cell belongs to an exercise by a tag: exercise-task-NAME, exercise-stub-NAME or exercise-answer-NAME.
    Raises ValueError for an unknown name.
    """
    known, numbers = exercises(), {}
    for cell in notebook.cells:
        for tag in cell.metadata.get("tags", []):
            if match := re.fullmatch("exercise-(task|stub|answer)-(.*)", tag):
                kind, name = match.groups()
                if name not in known:
                    raise ValueError(
                        f"tags: got {tag!r}, expected the name of an exercise: {', '.join(known)}"
                    )
                number = numbers.setdefault(name, len(numbers) + 1)
                make = {
                    "task": partial(task, number=number),
                    "stub": stub,
                    "answer": answer,
                }[kind]
                cell.source = make(known[name])
    return notebook
