"""Explorer of aspects: type a review, and see where each of a model's queries looks."""

from collections.abc import Sequence

import numpy as np
import torch
import traitlets

from helpers.documents import AspectClassifier
from helpers.explorers.base import HERE, Explorer, within, words
from helpers.explorers.tokens import packed

DIRECTION = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
REST = (
    *(f"encoder.gru.{name}" for name in DIRECTION),
    *(f"encoder.gru.{name}_reverse" for name in DIRECTION),
    "queries",
    "output.weight",
    "output.bias",
)  # what follows the word vectors, in float16


class AspectExplorer(Explorer):
    """Words coloured by the weight that a query gives them, for reviews to choose from and for what the reader types.

    model       an `AspectClassifier`, computed in the browser with its word vectors rounded to a byte and the rest to
                float16; a model that was stored like this stays as it is
    vocabulary  its words, sorted, after "" for padding and one for unknown words
    reviews     texts to choose from; aspects, verdicts: the names of the queries and of the classes
    review, aspect, text  the reader's choice

    Raises ValueError for a vocabulary, aspects or verdicts that do not fit the model, and for words not in order.
    """

    _esm = HERE / "static" / "aspects.js"
    _weights = traitlets.Bytes().tag(sync=True)
    _scale = traitlets.Float().tag(sync=True)
    _shape = traitlets.List().tag(sync=True)  # words, d, aspects, verdicts
    _words = traitlets.Bytes().tag(sync=True)  # sorted, front-coded, deflated
    _reviews = traitlets.List().tag(sync=True)
    _aspects = traitlets.List().tag(sync=True)
    _verdicts = traitlets.List().tag(sync=True)
    review = traitlets.Int().tag(sync=True)
    aspect = traitlets.Int().tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        model: AspectClassifier,
        vocabulary: Sequence[str],
        reviews: Sequence[str],
        aspects: Sequence[str],
        verdicts: Sequence[str],
        review: int = 0,
        aspect: int = 0,
        label: str = "One review, one query for each aspect",
    ):
        weights = {name: each.detach() for name, each in model.state_dict().items()}
        table = weights["embedding.weight"].double()
        known = words("vocabulary", vocabulary, len(table))[2:]
        if known != sorted(set(known)):
            raise ValueError(
                "vocabulary: got words out of order or twice, expected them sorted after the first two"
            )
        reviews = words("reviews", reviews)
        scale = float(table.abs().max() / 127)
        rest = torch.cat([weights[name].double().flatten() for name in REST])
        super().__init__(
            _weights=(table / scale).round().numpy().astype(np.int8).tobytes()
            + rest.numpy().astype("<f2").tobytes(),
            _scale=scale,
            _shape=[*table.shape, len(weights["queries"]), len(weights["output.bias"])],
            _words=packed(known),
            _reviews=reviews,
            _aspects=words("aspects", aspects, len(weights["queries"])),
            _verdicts=words("verdicts", verdicts, len(weights["output.bias"])),
            review=review,
            aspect=aspect,
            text=reviews[within("review", review, 0, len(reviews) - 1)],
            label=label,
        )

    @traitlets.validate("review")
    def _check_review(self, proposal) -> int:
        return within("review", proposal.value, 0, len(self._reviews) - 1)

    @traitlets.validate("aspect")
    def _check_aspect(self, proposal) -> int:
        return within("aspect", proposal.value, 0, len(self._aspects) - 1)

    def __repr__(self) -> str:
        return f"AspectExplorer({len(self._reviews)} reviews, {len(self._aspects)} aspects, {self._shape[0]} words)"
