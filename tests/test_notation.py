"""The symbols of the chapters' formulas stand on the page of notation, in the sections that a chapter draws on."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "book" / "notation.md").read_text()
CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))

# Besides "Everywhere".
SECTIONS = {
    "01_gradients": ["Gradients"],
    "02_rnn": ["Gradients", "Recurrent networks"],
    "03_bptt": ["Gradients", "Recurrent networks", "Gradients through time"],
    "04_lstm": ["Gradients", "Recurrent networks", "Gates"],
    "05_encoder_decoder": ["Sequences", "Attention"],
    "05a_tokens_and_embeddings": ["Gradients", "Gates", "Tokens and embeddings"],
    "06_attention": ["Sequences", "Attention"],
    "06a_attention_for_documents": ["Sequences", "Attention"],
    "07_transformer": ["Sequences", "Attention", "Transformer"],
    "07a_pretrained_bert": ["Attention", "Transformer"],
    "07b_attention_beyond_text": ["Attention", "Transformer", "Beyond text"],
    "07c_generation": ["Gradients", "Attention", "Generation"],
    "08_visual_attention": ["Pictures"],
    "08a_channel_attention": ["Gates", "Pictures", "Channel attention"],
    "08b_captioning": [
        "Gradients",
        "Gates",
        "Tokens and embeddings",
        "Attention",
        "Captioning",
    ],
    "08c_self_attention_in_vision": [
        "Attention",
        "Pictures",
        "Self-attention in vision",
    ],
    "09_vit": [
        "Gradients",
        "Attention",
        "Transformer",
        "Pictures",
        "The Vision Transformer",
    ],
    "09a_data_hunger": [],
}
SECTIONS = {name: SECTIONS[name] for name in CHAPTERS}

FORMULA = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$", re.DOTALL)
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
# Words, and environments, are no symbols.
WORDS = re.compile(r"\\(?:text|operatorname|mathrm|begin|end)\*?\s*\{[^{}]*\}")
ACCENTS = {"hat", "tilde", "dot"}
FONTS = {"mathbf", "boldsymbol", "mathcal", "mathbb"}
LETTERS = set(  # all that TeX has
    re.findall(
        r"\w+",
        "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi varpi rho "
        "varrho sigma varsigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi "
        "Psi Omega ell varnothing",
    )
)
TOKEN = re.compile(r"\\(?P<command>[A-Za-z]+)|(?P<letter>[A-Za-z])|(?P<other>\S)")


def symbols(formula):
    """The symbols in a formula: a letter with its font and its accent; what is above and below counts by itself.

    `\\hat{\\mathbf{z}}_t` holds ("hat", "bold", "z") and ("", "", "t").
    """
    found, accent, font = set(), "", ""
    for token in TOKEN.finditer(WORDS.sub(" ", formula)):
        command, letter = token["command"], token["letter"]
        if command in ACCENTS:
            accent = command
        elif command in FONTS:
            font = "bold" if command in ("mathbf", "boldsymbol") else command
        elif letter or command in LETTERS:
            found.add((accent, font, letter or command))
            accent = font = ""
        elif token["other"] not in ("{", None):
            accent = font = ""
    return found


def formulas(markdown):
    """What stands between dollar signs."""
    return [
        display or inline for display, inline in FORMULA.findall(CODE.sub("", markdown))
    ]


def listed(section):
    """The symbols in the first column of a section's table."""
    (body,) = re.findall(
        rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE
    )
    rows = re.findall(r"^\| (\$.*?) \|", body, re.MULTILINE)
    return set().union(*(symbols(f) for row in rows for f in formulas(row)))


def numbers(vectors):
    """What the numbers of vectors are called."""
    return {(accent, "", letter) for accent, font, letter in vectors if font == "bold"}


def used(chapter):
    """The symbols of a chapter, each with a formula that has it."""
    cells = json.loads((ROOT / "notebooks" / f"{chapter}.ipynb").read_text())["cells"]
    return {
        symbol: formula
        for cell in cells
        if cell["cell_type"] == "markdown"
        for formula in formulas("".join(cell["source"]))
        for symbol in symbols(formula)
    }


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (r"\hat{\mathbf{z}}_t", {("hat", "bold", "z"), ("", "", "t")}),
        (
            r"\boldsymbol\theta \cdot \mathbf x",
            {("", "bold", "theta"), ("", "bold", "x")},
        ),
        (r"\hat y_{\text{true}} + \tanh a", {("hat", "", "y"), ("", "", "a")}),
        (r"\operatorname{softmax}(e^{-\tau})", {("", "", "e"), ("", "", "tau")}),
    ],
)
def test_symbols_are_found(formula, expected):
    assert symbols(formula) == expected


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_symbols_of_a_chapter_come_from_the_page(chapter):
    known = set().union(*map(listed, ["Everywhere", *SECTIONS[chapter]]))
    known |= numbers(known)
    assert {s: formula for s, formula in used(chapter).items() if s not in known} == {}


def test_every_section_of_symbols_serves_a_chapter():
    titles = set(re.findall(r"^## (.*)$", PAGE, re.MULTILINE)) - {"Everywhere", "Code"}
    assert titles == set().union(*SECTIONS.values())


@pytest.mark.parametrize("section", sorted(set().union(*SECTIONS.values())))
def test_no_symbol_of_the_page_is_idle(section):
    chapters = [chapter for chapter in CHAPTERS if section in SECTIONS[chapter]]
    served = set().union(*map(used, chapters))
    idle = {s for s in listed(section) - served if not numbers({s}) & served}
    assert idle == set()
