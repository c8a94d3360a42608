"""Exercises: the solution passes, the stub is met as unsolved, each typical mistake by its own message."""

import nbformat
import pytest
import torch

from helpers import exercises as machinery
from helpers.exercises import answer, check, exercises, find_fault, stub, sync, task

EVERY = exercises()
MISTAKES = [
    pytest.param(exercise, mistake, message, id=f"{exercise.name}-{i}")
    for exercise in EVERY.values()
    for i, (mistake, message) in enumerate(exercise.mistakes.items())
]


@pytest.mark.parametrize("exercise", EVERY.values(), ids=EVERY)
def test_solution_passes(exercise, capsys):
    check(exercise.solution)
    assert capsys.readouterr().out.startswith("✓ All checks passed")


@pytest.mark.parametrize("exercise", EVERY.values(), ids=EVERY)
def test_stub_runs_and_is_met_as_unsolved(exercise, capsys):
    exec(stub(exercise), {"check": check})
    assert capsys.readouterr().out.startswith("✗ Not solved yet")


@pytest.mark.parametrize("exercise", EVERY.values(), ids=EVERY)
def test_answer_shows_code_that_passes_and_the_stub_does_not_give_it_away(exercise):
    code = answer(exercise).split("```python\n")[1].split("```")[0]
    namespace = {"torch": torch}
    exec(code, namespace)
    assert find_fault(namespace[exercise.name], exercise) is None
    body = code.splitlines()[2].split("#")[0].strip()
    assert body in answer(exercise) and body not in stub(exercise)


@pytest.mark.parametrize(("exercise", "mistake", "message"), MISTAKES)
def test_each_mistake_meets_its_own_message(exercise, mistake, message):
    assert find_fault(mistake, exercise) == message


@pytest.mark.parametrize("exercise", EVERY.values(), ids=EVERY)
def test_at_least_three_mistakes_and_no_message_twice(exercise):
    messages = list(exercise.mistakes.values())
    assert len(messages) >= 3 and len(set(messages)) == len(messages)


ATTEND = EVERY["attend"]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda q, k, v: 3.0,
            "attend returned float, expected a tensor of shape (3,).",
        ),
        (
            lambda q, k, v: v,
            "attend returned shape (6, 3), expected (3,), given a tensor (4,)",
        ),
        (lambda q, k, v: k @ v, "attend raised RuntimeError: "),
        (
            lambda q, k, v: torch.ones(v.shape[1]),
            "attend returned [1.000, 1.000, 1.000], expected [",
        ),
        (lambda q, k, v: v.zero_()[0], "attend changed its input"),
    ],
)
def test_other_faults_are_named(function, message):
    assert find_fault(function, ATTEND).startswith(message)


def test_check_of_an_unknown_function():
    def attention(query):
        return query

    with pytest.raises(
        ValueError,
        match="function: got 'attention', expected one of the exercises attend, ",
    ):
        check(attention)


def cell(kind, name, source="old"):
    new = nbformat.v4.new_code_cell if kind == "stub" else nbformat.v4.new_markdown_cell
    return new(source, metadata={"tags": [f"exercise-{kind}-{name}"]})


def test_sync_rewrites_the_exercise_cells_alone():
    other = nbformat.v4.new_markdown_cell("mine")
    cells = [
        other,
        *(
            cell(kind, name)
            for name in ("temper", "attend")
            for kind in ("task", "stub", "answer")
        ),
    ]
    synced = sync(nbformat.v4.new_notebook(cells=cells))
    expected = [
        "mine",
        *(
            make
            for i, n in enumerate(("temper", "attend"), 1)
            for make in (task(EVERY[n], i), stub(EVERY[n]), answer(EVERY[n]))
        ),
    ]
    assert [c.source for c in synced.cells] == expected


def test_sync_of_an_unknown_exercise():
    with pytest.raises(
        ValueError,
        match="tags: got 'exercise-stub-nothing', expected the name of an exercise: attend,",
    ):
        sync(nbformat.v4.new_notebook(cells=[cell("stub", "nothing")]))


def test_cases_tell_a_constant_from_the_solution():
    """No exercise can be passed by ignoring its input."""
    for exercise in EVERY.values():
        first = exercise.solution(*exercise.cases[0])
        assert (
            find_fault(lambda *case, first=first: first.clone(), exercise) is not None
        )


def test_markers_stand_in_every_solution():
    for exercise in EVERY.values():
        assert machinery.BEGIN not in stub(exercise) + answer(exercise)
        assert isinstance(exercise.solution(*exercise.cases[0]), torch.Tensor)
