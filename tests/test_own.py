"""A reader's own files: read as the chapters need them, errors that help, and the page's code runs as it stands."""

import ast
import re
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers import own

PAGE = Path(__file__).resolve().parents[1] / "book" / "own-data.md"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with the files that the page names."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    words = [
        "we",
        "write",
        "letters",
        "about",
        "the",
        "weather",
        "and",
        "the",
        "garden",
    ]
    paragraphs = [" ".join(random.choice(words, 20)) + "." for _ in range(60)]
    Path("letters.txt").write_text("\n\n".join(paragraphs))
    pixels = random.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("photo.jpg")
    rows = [f"2026-01-{t % 28 + 1:02};{np.sin(t / 5):.3f};{t % 7}" for t in range(200)]
    Path("series.csv").write_text("\n".join(["day;inside;outside", *rows]))
    return tmp_path


# --- text -----------------------------------------------------------------------------------------------------


def test_text(folder):
    Path("own.txt").write_bytes("\ufeffÜber uns\r\n\r\nund 你好\r".encode())
    assert own.text("own.txt") == "Über uns\n\nund 你好\n"


def test_text_that_is_none(folder):
    Path("old.txt").write_bytes("Über".encode("latin-1"))
    Path("empty.txt").write_text(" \n")
    with pytest.raises(
        ValueError, match=r"old\.txt: got byte 0xdc at place 0, .*UTF-8"
    ):
        own.text("old.txt")
    with pytest.raises(ValueError, match=r"empty\.txt: got no text"):
        own.text("empty.txt")
    missing = r"lettres\.txt: got no such file, .*empty\.txt, letters\.txt, old\.txt"
    with pytest.raises(ValueError, match=missing):
        own.text("lettres.txt")
    with pytest.raises(ValueError, match=r"got no such file, expected one$"):
        own.text("nowhere/letters.txt")


# --- photo ----------------------------------------------------------------------------------------------------


def test_photo_is_upright_and_in_colour(folder):
    picture = Image.new("L", (80, 40))
    picture.putpixel((0, 0), 255)
    exif = picture.getexif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter turn clockwise
    picture.save("turned.png", exif=exif)
    pixels = own.photo("turned.png")
    assert pixels.shape == (80, 40, 3) and pixels.dtype == np.uint8
    assert pixels[0, 39].tolist() == [255, 255, 255] and pixels.sum() == 3 * 255


def test_photo_as_a_square_is_the_middle(folder):
    pixels = np.zeros((60, 180, 3), dtype=np.uint8)
    pixels[:, 60:120] = 200
    Image.fromarray(pixels).save("wide.png")
    square = own.photo("wide.png", side=30)
    assert square.shape == (30, 30, 3) and square.min() > 150


def test_photo_that_is_none(folder):
    with pytest.raises(
        ValueError, match=r"letters\.txt: file: got \d+ bytes that are no image"
    ):
        own.photo("letters.txt")
    with pytest.raises(ValueError, match=r"phto\.jpg: got no such file, .*photo\.jpg"):
        own.photo("phto.jpg")
    with pytest.raises(ValueError, match="side: got 0, expected at least 1"):
        own.photo("photo.jpg", side=0)


# --- series ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("names", [True, False])
def test_series(folder, separator, names):
    rows = [["a", " b"]] * names + [["1", "2.5"], ["-3", "4e2"]]
    Path("s.csv").write_text("\n".join(map(separator.join, rows)) + "\n\n")
    assert own.series("s.csv").tolist() == [[1, 2.5], [-3, 400]]
    if names:
        assert own.series("s.csv", columns=["b"]).tolist() == [[2.5], [400]]


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        (
            "a;b\n1;2\n3;x",
            None,
            r"row 3, column 'b': got 'x', expected a finite number",
        ),
        ("1;2\n3;1,5", None, r"row 2, column 2: got '1,5', expected a finite number"),
        ("1;2\nnan;2", None, r"row 2, column 1: got 'nan'"),
        ("a;b\n1;2\n3", None, r"row 3: got 1 values, expected 2"),
        ("a;b\n", None, r"got a row of names alone"),
        ("a;b\n1;2", ["c"], r"columns: got \['c'\], expected some of \['a', 'b'\]"),
        ("a;b\n1;2", [], r"columns: got none"),
        (
            "1;2\n3;4",
            ["a"],
            r"columns: got \['a'\], expected some of a first row of names",
        ),
    ],
)
def test_series_that_is_none(folder, content, columns, message):
    Path("s.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        own.series("s.csv", columns)


# --- the page -------------------------------------------------------------------------------------------------


def blocks():
    return re.findall(
        r"^```python\n(.*?)^```",
        PAGE.read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )


def run(block, names):
    """Run a block as a cell, and return the value of its last line if that is an expression."""
    *statements, last = ast.parse(block).body
    exec(compile(ast.Module(statements, []), "own-data", "exec"), names)
    if isinstance(last, ast.Expr):
        return eval(compile(ast.Expression(last.value), "own-data", "eval"), names)
    exec(compile(ast.Module([last], []), "own-data", "exec"), names)


@pytest.mark.slow
def test_the_page_says_what_runs(folder, monkeypatch):
    from helpers.bert import pretrained

    pretrained()  # the weights are downloaded once, by the chapter; what follows needs no network

    def refuse(*address):
        raise AssertionError("something asks the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    names, shown = {}, []
    for block in blocks():
        shown.append(run(block.replace("steps=400", "steps=2"), names))
    kinds = [type(value).__name__ for value in shown if value is not None]
    assert kinds == [
        "AttentionExplorer",
        "TokenExplorer",
        "SamplingExplorer",
        "GateExplorer",
        "Figure",
    ]
    assert names["photo"].shape == (512, 512, 3)
    assert names["photos"].shape == (1, 3, 224, 224)
    assert names["table"].shape == (200, 2) and names["score"].shape == (100,)
    assert torch.is_tensor(names["parts"]["train"])
