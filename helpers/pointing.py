"""Is a caption true, and did its looks point at what its words speak of? Scores for scenes whose contents are known."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from helpers.scenes import (
    COLOURS,
    COUNTS,
    Box,
    Caption,
    Scene,
    captions,
    matching_caption,
    plural,
)
from helpers.validation import require_choice, require_shape

KINDS = ("noun", "colour", "count", "direction", "function word")
DIRECTIONS = ("left", "right", "top", "bottom", "above", "below")


def word_kind(word: str, nouns: Sequence[str]) -> str:
    """One of `KINDS`."""
    if word in nouns or word in map(plural, nouns):
        return "noun"
    if word in COLOURS:
        return "colour"
    if word in COUNTS.values():
        return "count"
    return "direction" if word in DIRECTIONS else "function word"


# ---------------------------------------------------------------------------------------------------------------------
# Captions
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CaptionScore:
    """Shares of the captions: `true` of the scene in every word; with the right `nouns`; with the right `colours`.

    `directions`: of those captions whose nouns and colours are right, and whose scene asks for a direction, the share
    that is true; NaN if there is none. A guess among four directions would reach a quarter.
    """

    true: float
    nouns: float
    colours: float
    directions: float


def score_captions(
    scenes: Sequence[Scene], written: Sequence[Sequence[str]], nouns: Sequence[str]
) -> CaptionScore:
    """written: for each scene the words of its caption.

    Raises ValueError for no scene, and for another number of captions.
    """
    if not scenes or len(written) != len(scenes):
        raise ValueError(
            f"written: got {len(written)} captions, expected {max(1, len(scenes))}, one for each scene"
        )

    def said(words, kind):
        return sorted(word for word in words if word_kind(word, nouns) == kind)

    true, right, placed = [], {"noun": [], "colour": []}, []
    for scene, words in zip(scenes, written, strict=True):
        known = captions(scene)[0].words
        true.append(matching_caption(scene, words) is not None)
        for kind, found in right.items():
            found.append(said(words, kind) == said(known, kind))
        if said(known, "direction") and right["noun"][-1] and right["colour"][-1]:
            placed.append(true[-1])
    return CaptionScore(
        *(sum(x) / len(scenes) for x in (true, *right.values())),
        sum(placed) / len(placed) if placed else float("nan"),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Looks
# ---------------------------------------------------------------------------------------------------------------------


def touched(boxes: Sequence[Box], image_size: int, cells: int) -> torch.Tensor:
    """(cells, cells) booleans: which cells of the grid share a pixel with one of the boxes (left, top, right, bottom).

    Raises ValueError unless the cells divide the picture.
    """
    if cells < 1 or image_size % cells:
        raise ValueError(f"cells: got {cells}, expected a divisor of {image_size}")
    side = image_size // cells
    grid = torch.zeros(cells, cells, dtype=torch.bool)
    for left, top, right, bottom in boxes:
        grid[top // side : -(-bottom // side), left // side : -(-right // side)] = True
    return grid


def boxes_of(
    scene: Scene, caption: Caption, kind: str, nouns: Sequence[str]
) -> list[list[Box]]:
    """For each word of this kind the boxes of what it speaks of; a word that speaks of nothing, such as "of", gets the
    boxes of everything in the scene. No box for words of other kinds. Raises ValueError for another kind."""
    require_choice("kind", kind, KINDS)
    everything = [thing.box for thing in scene.objects]
    return [
        (own or everything) if word_kind(word, nouns) == kind else []
        for word, own in zip(caption.words, caption.boxes(scene), strict=True)
    ]


@dataclass(frozen=True)
class Pointing:
    """Of so many `words` with a box: the share whose greatest weight is on it, the share of all weight that is on it,
    and what both would be for a look anywhere, the chance."""

    words: int
    hits: float
    weight: float
    chance: float


def pointing(
    maps: Sequence[torch.Tensor],
    boxes: Sequence[Sequence[Sequence[Box]]],
    image_size: int,
) -> Pointing:
    """Do the looks point at what the words speak of?

    maps: for each caption (T, h, h). boxes: for each caption and word, a list of (left, top, right, bottom). Words
    without a box do not count. A cell is on a box if they share a pixel. Source: the pointing game of Zhang et
    al. 2016, for words. Raises ValueError if no word has a box, and for other shapes.
    """
    hits, weight, chance = [], [], []
    if len(maps) != len(boxes):
        raise ValueError(f"boxes: got {len(boxes)} captions, expected {len(maps)}")
    for looks, words in zip(maps, boxes, strict=True):
        require_shape("maps", looks, (len(words), looks.shape[-1], looks.shape[-1]))
        for look, of_word in zip(looks, words, strict=True):
            if not of_word:
                continue
            right = touched(of_word, image_size, len(look))
            hits.append(right.flatten()[look.argmax()].item())
            weight.append(look[right].sum().item())
            chance.append(right.double().mean().item())
    if not hits:
        raise ValueError("boxes: got no word with a box, expected at least one")
    shares = (sum(x) / len(hits) for x in (hits, weight, chance))
    return Pointing(len(hits), *shares)
