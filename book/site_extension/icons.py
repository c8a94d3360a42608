"""The icons' font, Font Awesome, with those icons alone that the site shows: 150 kB less on each page."""

import re
from pathlib import Path

from fontTools import subset

FONT = "_static/vendor/fontawesome/webfonts/fa-solid-900.woff2"
CODE = r'"\\([ef]\w{3})"'  # a character of the font, as style sheets write it
RULE = re.compile(
    r"((?:\.fa-[\w-]+:before,?)+)\{content:" + CODE + r"\}"
)  # of one icon


def shown(pages: str, styles: str) -> set[int]:
    """Characters of the icons that pages and scripts name (`fa-sun`) or style sheets draw by themselves."""
    named = set(re.findall(r"\bfa-[\w-]+", pages))
    icons = {
        int(code, 16)
        for selectors, code in RULE.findall(styles)
        if named & set(re.findall(r"fa-[\w-]+", selectors))
    }
    others = RULE.sub("", styles)
    drawn = {int(code, 16) for code in re.findall(CODE, others)}
    return icons | drawn | {ord(sign) for sign in re.findall("[\ue000-\uf8ff]", others)}


def keep_icons(site: Path) -> None:
    """Leave in the font of a built site what its pages show. Raises FileNotFoundError where the font is not."""

    def text(*patterns: str) -> str:
        files = (path for pattern in patterns for path in site.rglob(pattern))
        return "\n".join(path.read_text(encoding="utf-8") for path in files)

    options = subset.Options(flavor="woff2")
    font = subset.load_font(site / FONT, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=shown(text("*.html", "*.js"), text("*.css")))
    subsetter.subset(font)
    subset.save_font(font, site / FONT, options)
