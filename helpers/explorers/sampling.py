"""Explorer of the choice of the next token: temperature, top-k and top-p on the logits that a model gave."""

from collections.abc import Mapping, Sequence

import numpy as np
import traitlets

from helpers.explorers.base import HERE, Explorer, finite_array, one_of, within, words

STEP = 1e-3  # logits travel as whole multiples of this many nats


class SamplingExplorer(Explorer):
    """Which characters may come next, and which one is drawn, at each place of a text.

    passages    {title: (text, logits)}: logits (T, characters) are what a model gave for each of the T characters of
                the text before it read it
    characters  one for each column of the logits
    passage, place   the reader's choice; the place counts from 1
    temperature, top_k, top_p   as in `helpers.generation.next_probabilities`; all characters and 1 mean: no limit
    sample      whole number that seeds the drawing

    Raises ValueError for wrong shapes, NaN, logits beyond ±32, a text with unknown characters.
    """

    _esm = HERE / "static" / "sampling.js"
    _logits = traitlets.Bytes().tag(sync=True)  # int16, multiples of STEP
    _passages = traitlets.List().tag(sync=True)
    _characters = traitlets.List().tag(sync=True)
    passage = traitlets.Unicode().tag(sync=True)
    place = traitlets.Int().tag(sync=True)
    temperature = traitlets.Float().tag(sync=True)
    top_k = traitlets.Int().tag(sync=True)
    top_p = traitlets.Float().tag(sync=True)
    sample = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        passages: Mapping[str, tuple[str, object]],
        characters: Sequence[str],
        place: int = 1,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        sample: int = 1,
        label: str = "Which character comes next",
    ):
        characters = words("characters", characters)
        if odd := [each for each in characters if len(each) != 1]:
            raise ValueError(f"characters: got {odd}, expected single characters")
        if not passages:
            raise ValueError("passages: got none, expected at least 1")
        described, packed = [], []
        for title, (text, logits) in passages.items():
            name = f"passages[{title!r}]"
            if unknown := sorted(set(text) - set(characters)):
                raise ValueError(
                    f"{name}: got {unknown}, expected only the given characters"
                )
            logits = finite_array(name, logits, (len(text), len(characters)))
            if (most := np.abs(logits).max()) > 32:
                raise ValueError(f"{name}: got a logit of {most:.1f}, expected ±32")
            described.append({"name": title, "text": text})
            packed.append(np.round(logits / STEP).astype("<i2").tobytes())
        super().__init__(
            _logits=b"".join(packed),
            _passages=described,
            _characters=characters,
            passage=described[0]["name"],
            place=place,
            temperature=temperature,
            top_k=len(characters) if top_k is None else top_k,
            top_p=top_p,
            sample=sample,
            label=label,
        )

    @property
    def length(self) -> int:
        """The number of characters of the chosen passage."""
        texts = {each["name"]: each["text"] for each in self._passages}
        return len(texts[self.passage])

    @traitlets.validate("passage")
    def _check_passage(self, proposal) -> str:
        return one_of(
            "passage", proposal.value, [each["name"] for each in self._passages]
        )

    @traitlets.observe("passage")
    def _keep_place(self, change) -> None:
        self.place = min(self.place, self.length)

    @traitlets.validate("place")
    def _check_place(self, proposal) -> int:
        return within("place", proposal.value, 1, self.length)

    @traitlets.validate("temperature")
    def _check_temperature(self, proposal) -> float:
        return within("temperature", proposal.value, 0.1, 10)

    @traitlets.validate("top_k")
    def _check_top_k(self, proposal) -> int:
        return within("top_k", proposal.value, 1, len(self._characters))

    @traitlets.validate("top_p")
    def _check_top_p(self, proposal) -> float:
        return within("top_p", proposal.value, 0.01, 1)

    @traitlets.validate("sample")
    def _check_sample(self, proposal) -> int:
        return within("sample", proposal.value, 1, 10**6)

    def __repr__(self) -> str:
        return f"SamplingExplorer({len(self._passages)} passages, {len(self._characters)} characters)"
