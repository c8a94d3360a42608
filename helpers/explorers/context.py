"""Explorers of the encoder-decoder: a beam search step by step, and what can be read from the context vector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import traitlets

from helpers.explorers.base import HERE, Explorer, finite_array, one_of, within, words

WIDEST = 5  # hypotheses in the widest beam, so as many continuations of each are enough
NONE = 0xFFFF  # no node


@dataclass(frozen=True)
class BeamExample:
    """One source, its true target, and the model's log-probabilities (tokens,) after every prefix of token numbers.

    `steps` must hold what the beams of all widths from 1 to 5 ask for; `helpers.decoding.beam_search` records it.
    """

    source: Sequence[str]
    expected: Sequence[str]
    steps: Mapping[tuple[int, ...], Sequence[float]]


class BeamExplorer(Explorer):
    """The tree of a beam search over recorded probabilities: choose the width, go through the steps.

    examples     name → BeamExample
    tokens       the target vocabulary; `end` is the number of its end mark
    max_length   where a hypothesis is cut
    width        hypotheses that are kept, 1 to 5; step: how far the search has gone, from 1

    Raises ValueError for NaN, wrong shapes, more than 255 tokens, and prefixes that a search would miss.
    """

    _esm = HERE / "static" / "beam.js"
    _tokens = traitlets.List().tag(sync=True)
    _end = traitlets.Int().tag(sync=True)
    _longest = traitlets.Int().tag(sync=True)
    _examples = traitlets.List().tag(sync=True)
    _next = traitlets.Bytes().tag(sync=True)  # uint8: the best next tokens of a node
    _logs = traitlets.Bytes().tag(sync=True)  # float32: their log-probabilities
    _children = traitlets.Bytes().tag(sync=True)  # uint16: the nodes that they lead to
    example = traitlets.Unicode().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    step = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        examples: Mapping[str, BeamExample],
        tokens: Sequence[str],
        end: int = 2,
        max_length: int = 30,
        width: int = 3,
        step: int = 4,
        label: str = "A beam search, step by step",
    ):
        if not examples:
            raise ValueError("examples: got none, expected at least 1")
        tokens = words("tokens", tokens)
        within("number of tokens", len(tokens), WIDEST, 255)
        described, following, logs, children = [], [], [], []
        for name, example in examples.items():
            prefixes = sorted(example.steps, key=lambda prefix: (len(prefix), prefix))
            place = {prefix: i for i, prefix in enumerate(prefixes)}
            described.append(
                {
                    "name": name,
                    "source": " ".join(words("source", example.source)),
                    "expected": " ".join(words("expected", example.expected)),
                    "first": sum(map(len, following)) // WIDEST,
                }
            )
            rows = [example.steps[prefix] for prefix in prefixes]
            rows = np.stack(
                [finite_array(f"steps[{name!r}]", row, (len(tokens),)) for row in rows]
            )
            best = np.argsort(-rows, axis=1, kind="stable")[:, :WIDEST]
            following.append(best.ravel())
            logs.append(np.take_along_axis(rows, best, axis=1).ravel())
            children.append(
                [
                    place.get((*prefix, token), NONE)
                    for prefix, row in zip(prefixes, best.tolist(), strict=True)
                    for token in row
                ]
            )
        super().__init__(
            _tokens=tokens,
            _end=end,
            _longest=max_length,
            _examples=described,
            _next=np.concatenate(following).astype(np.uint8).tobytes(),
            _logs=np.concatenate(logs).astype("<f4").tobytes(),
            _children=np.concatenate(children).astype("<u2").tobytes(),
            example=next(iter(examples)),
            width=width,
            step=step,
            label=label,
        )
        for name in examples:
            for each in range(1, WIDEST + 1):
                self.hypotheses(name, each)

    def hypotheses(
        self, name: str | None = None, width: int | None = None
    ) -> list[tuple[str, float]]:
        """What the search ends with, the best first: text and log-probability; the same as in beam.js."""
        name, width = name or self.example, width or self.width
        example = next(each for each in self._examples if each["name"] == name)
        following = np.frombuffer(self._next, np.uint8).reshape(-1, WIDEST)
        logs = np.frombuffer(self._logs, "<f4").astype(float).reshape(-1, WIDEST)
        children = np.frombuffer(self._children, "<u2").reshape(-1, WIDEST)
        beam, ended, length = [((), 0.0, 0)], [], 0
        while beam:
            length += 1
            candidates = []
            for tokens, total, node in beam:
                if node == NONE:
                    raise ValueError(
                        f"steps[{name!r}]: got none after {tokens}, expected all that a beam of {width} asks for"
                    )
                row = example["first"] + node
                for token, log, child in zip(
                    following[row].tolist(),
                    logs[row],
                    children[row].tolist(),
                    strict=True,
                ):
                    candidates.append(((*tokens, token), total + log, child))
            kept = sorted(candidates, key=lambda each: -each[1])[:width]
            full = length == self._longest
            ended += [each for each in kept if each[0][-1] == self._end or full]
            beam = [each for each in kept if each[0][-1] != self._end and not full]
            if beam and ended and beam[0][1] <= max(each[1] for each in ended):
                break
        ended.sort(key=lambda each: -each[1])
        return [
            (" ".join(self._tokens[t] for t in tokens if t != self._end), total)
            for tokens, total, _ in ended
        ]

    @traitlets.validate("example")
    def _check_example(self, proposal) -> str:
        return one_of("example", proposal.value, [e["name"] for e in self._examples])

    @traitlets.validate("width")
    def _check_width(self, proposal) -> int:
        return within("width", proposal.value, 1, WIDEST)

    @traitlets.validate("step")
    def _check_step(self, proposal) -> int:
        return within("step", proposal.value, 1, self._longest)

    def __repr__(self) -> str:
        return f"BeamExplorer({len(self._examples)} examples)"


@dataclass(frozen=True)
class Reader:
    """An encoder as a probe sees it: weights (places · 10, Z), bias (places · 10,), contexts (numbers, lengths, Z)."""

    weights: object
    bias: object
    contexts: object


class ContextExplorer(Explorer):
    """What linear probes read from the context vector of a number, digit by digit, as the number gets longer.

    readers   name → Reader, each with the same numbers and lengths
    numbers   whole numbers of 4 to 9 digits without a 0; contexts[i, j] is the vector of the last `lengths[j]` digits
              of numbers[i]
    place     the decimal place that is looked at, units = 0

    Raises ValueError for NaN, wrong shapes and numbers that do not fit.
    """

    _esm = HERE / "static" / "context.js"
    _numbers = traitlets.List().tag(sync=True)
    _lengths = traitlets.List().tag(sync=True)
    _readers = traitlets.List().tag(sync=True)  # name, Z
    _values = traitlets.Bytes().tag(sync=True)  # float32: W, b, contexts of each reader
    number = traitlets.Int().tag(sync=True)
    digits = traitlets.Int().tag(sync=True)
    place = traitlets.Int().tag(sync=True)
    reader = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        readers: Mapping[str, Reader],
        numbers: Sequence[int],
        lengths: Sequence[int] = tuple(range(4, 10)),
        number: int | None = None,
        digits: int | None = None,
        place: int = 0,
        label: str = "What a linear probe reads from the context vector",
    ):
        if not readers or not numbers:
            raise ValueError(
                f"readers, numbers: got {len(readers)} and {len(numbers)}, expected at least 1 of each"
            )
        lengths = list(lengths)
        if lengths != list(range(lengths[0], lengths[-1] + 1)):
            raise ValueError(f"lengths: got {lengths}, expected neighbours, rising")
        for each in numbers:
            if len(str(each)) != lengths[-1] or "0" in str(each):
                raise ValueError(
                    f"numbers: got {each}, expected {lengths[-1]} digits and no 0"
                )
        values, described, places = [], [], lengths[-1]
        for name, reader in readers.items():
            weights = finite_array("weights", reader.weights, (places * 10, "Z"))
            size = weights.shape[1]
            contexts = (len(numbers), len(lengths), size)
            values += [
                weights,
                finite_array("bias", reader.bias, (places * 10,)),
                finite_array("contexts", reader.contexts, contexts),
            ]
            described.append([name, size])
        super().__init__(
            _numbers=list(numbers),
            _lengths=lengths,
            _readers=described,
            _values=b"".join(array.astype("<f4").tobytes() for array in values),
            number=numbers[0] if number is None else number,
            digits=lengths[0] if digits is None else digits,
            place=place,
            reader=described[0][0],
            label=label,
        )

    def probabilities(self) -> np.ndarray:
        """(digits, 10): for each place of the chosen number, units first, what the probe gives each digit."""
        flat, at = np.frombuffer(self._values, "<f4").astype(float), 0
        places, count = self._lengths[-1] * 10, len(self._numbers) * len(self._lengths)
        for name, size in self._readers:
            if name == self.reader:
                weights = flat[at : at + places * size].reshape(places, size)
                bias = flat[at + places * size :][:places]
                start = at + places * (size + 1)
                contexts = flat[start : start + count * size].reshape(count, size)
            at += places * (size + 1) + count * size
        row = self._numbers.index(self.number) * len(self._lengths)
        z = contexts[row + self.digits - self._lengths[0]]
        logits = (weights @ z + bias).reshape(-1, 10)[: self.digits]
        grown = np.exp(logits - logits.max(axis=1, keepdims=True))
        return grown / grown.sum(axis=1, keepdims=True)

    @traitlets.validate("number")
    def _check_number(self, proposal) -> int:
        return one_of("number", proposal.value, self._numbers)

    @traitlets.validate("digits")
    def _check_digits(self, proposal) -> int:
        return within("digits", proposal.value, self._lengths[0], self._lengths[-1])

    @traitlets.validate("place")
    def _check_place(self, proposal) -> int:
        return within("place", proposal.value, 0, self._lengths[-1] - 1)

    @traitlets.validate("reader")
    def _check_reader(self, proposal) -> str:
        return one_of("reader", proposal.value, [name for name, _ in self._readers])

    def __repr__(self) -> str:
        return f"ContextExplorer({len(self._numbers)} numbers)"
