"""The book's figures: one style, an alt text each, bands that hold every run."""

import pytest

from helpers.figures import figure, lines


def test_alt_text_is_kept_and_required():
    assert figure("two lines", title="t").layout.meta["alt"] == "two lines"
    with pytest.raises(ValueError, match="alt: got ' ', expected a description"):
        figure(" ")


def test_lines_draw_means_and_bands():
    drawing = lines([1, 2], {"a": [[0.0, 2.0], [1.0, 4.0]], "b": [[5.0, 6.0]]}, alt="x")
    band, mean, single = drawing.data
    assert list(mean.y) == [0.5, 3.0] and list(single.y) == [5.0, 6.0]
    assert list(band.x) == [1, 2, 2, 1] and list(band.y) == [1.0, 4.0, 2.0, 0.0]
    assert (
        mean.line.dash != single.line.dash
        and mean.marker.symbol != single.marker.symbol
    )


def test_a_run_of_another_length_is_named():
    with pytest.raises(
        ValueError, match=r"series\['a'\]: got a run of 3 values, expected 2"
    ):
        lines([1, 2], {"a": [[1.0, 2.0, 3.0]]}, alt="x")
