"""The reader's own data, from files on this computer: a text, a photo, a series. Nothing is sent anywhere.

Each function gives what the chapters' models and explorers take, or a ValueError that says what is wrong with the file.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MOST_BYTES, MOST_PIXELS, LEAST_SIDE = 20_000_000, 50_000_000, 32  # of a photo


def text(path: str | Path) -> str:
    """The text of a plain text file in UTF-8, its line ends made "\\n".

    Raises ValueError for a missing or empty file, and for bytes that are no UTF-8.
    """
    data = _file(path).read_bytes()
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: got byte {data[error.start]:#04x} at place {error.start}, expected plain text in UTF-8"
        ) from error
    if not content.strip():
        raise ValueError(f"{path}: got no text, expected at least one character")
    return content.replace("\r\n", "\n").replace("\r", "\n")


def photo(path: str | Path, side: int | None = None) -> np.ndarray:
    """The pixels of a picture in a file, (H, W, 3) in uint8; with `side`, its middle as a square of that many.

    Raises ValueError for a missing file, a side below 1, and as `read_photo` does.
    """
    if side is not None and side < 1:
        raise ValueError(f"side: got {side}, expected at least 1")
    data = _file(path).read_bytes()
    try:
        pixels = read_photo(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return middle(pixels, side) if side else pixels


def read_photo(data: bytes) -> np.ndarray:
    """The picture in an image file: bytes → (H, W, 3), uint8, upright, on white where it was transparent.

    Raises ValueError for what is no image or is damaged, moves, has fewer than 32 pixels a side, more than 50 million
    in all, or more than 20 MB.
    """
    if len(data) > MOST_BYTES:
        raise ValueError(
            f"file: got {len(data) / 1e6:.1f} MB, expected at most {MOST_BYTES / 1e6:.0f}"
        )
    try:
        picture = Image.open(io.BytesIO(data))
        width, height = picture.size  # known before anything is decoded
        if width * height > MOST_PIXELS:
            raise ValueError(
                f"photo: got {width} × {height} pixels, expected at most {MOST_PIXELS / 1e6:.0f} million"
            )
        if min(width, height) < LEAST_SIDE:
            raise ValueError(
                f"photo: got {width} × {height} pixels, expected {LEAST_SIDE} or more a side"
            )
        if (frames := getattr(picture, "n_frames", 1)) > 1:
            raise ValueError(f"photo: got {frames} frames, expected one still picture")
        picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip
            picture = Image.fromarray((np.asarray(picture) // 256).astype(np.uint8))
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture)
        return np.array(picture.convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError(
            f"file: got {len(data)} bytes that are no image, expected a photo, such as JPEG or PNG"
        ) from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"file: the image is damaged ({error})") from error


def middle(image: np.ndarray, side: int) -> np.ndarray:
    """The middle square of a picture (H, W, 3), as (side, side, 3), both in uint8."""
    height, width, _ = image.shape
    least = min(height, width)
    top, left = (height - least) // 2, (width - least) // 2
    square = Image.fromarray(image[top : top + least, left : left + least])
    return np.array(square.resize((side, side), Image.Resampling.BICUBIC))


def series(path: str | Path, columns: Sequence[str] | None = None) -> np.ndarray:
    """The numbers of a table in a file, (T, N): a row for each step, values between commas, semicolons or tabs.

    columns: which ones to take, by their names in the first row; without it all are taken, and a first row of names is
    passed over. Raises ValueError for a missing file, an unknown column, and what is no finite number, naming its row.
    """
    lines = [line for line in text(path).splitlines() if line.strip()]
    separator = max(";\t,", key=lines[0].count)
    table = [
        [cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)
    ]
    names = None if all(map(_is_number, table[0])) else table[0]
    if columns is not None:
        unknown = [name for name in columns if name not in (names or [])]
        if unknown or not columns:
            raise ValueError(
                f"columns: got {unknown or 'none'}, expected some of {names or 'a first row of names'}"
            )
    places = range(len(table[0])) if columns is None else map(names.index, columns)
    places, rows = list(places), []
    for number, row in enumerate(table[names is not None :], 1 + (names is not None)):
        if len(row) != len(table[0]):
            raise ValueError(
                f"{path}, row {number}: got {len(row)} values, expected {len(table[0])}"
            )
        for place in places:
            if not _is_number(row[place]):
                where = repr(names[place]) if names else place + 1
                raise ValueError(
                    f"{path}, row {number}, column {where}: got {row[place]!r}, expected a finite number, such as 3.5"
                )
        rows.append([float(row[place]) for place in places])
    if not rows:
        raise ValueError(f"{path}: got a row of names alone, expected numbers below it")
    return np.array(rows)


def _file(path: str | Path) -> Path:
    """The path, if there is a file. ValueError says what else is in the folder."""
    path = Path(path).expanduser()
    if not path.is_file():
        folder = path.parent
        there = (
            sorted(p.name for p in folder.iterdir() if p.is_file())
            if folder.is_dir()
            else []
        )
        beside = f"; in that folder are {', '.join(there[:9])}" if there else ""
        raise ValueError(f"{path}: got no such file, expected one{beside}")
    return path


def _is_number(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False
