"""Ask every other host that the built site links to whether the page is there: `links.py`.

Links within the site are the business of tests/site. A host that refuses robots (401, 403, 429) or is down for the
moment (5xx, no answer) is named but is no failure; a page that is gone (404, 410), or a host without an address, is.
"""

import re
import socket
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path

import build

AGENT = {"User-Agent": "Mozilla/5.0 (link check of the book Paying Attention)"}
GONE = {404, 410}
TIMEOUT = 30


def links(site: Path) -> dict[str, str]:
    """Return the addresses that the pages link to, each with the first page that does."""
    found = {}
    for page in sorted(site.rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        for address in re.findall(r'<a\b[^>]*\bhref="(https?://[^"#]+)', text):
            found.setdefault(unescape(address), page.relative_to(site).as_posix())
    return found


def ask(address: str) -> tuple[bool, str]:
    """Return whether the link may stay, and what was the answer."""
    request = urllib.request.Request(address, headers=AGENT)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return True, str(answer.status)
    except urllib.error.HTTPError as error:
        return error.code not in GONE, str(error.code)
    except urllib.error.URLError as error:
        return not isinstance(error.reason, socket.gaierror), str(error.reason)
    except (OSError, ValueError) as error:
        return True, str(error)


def check(site: Path) -> bool:
    """Print each link that did not answer with a page, and return whether all may stay."""
    found = links(site)
    with ThreadPoolExecutor(8) as pool:
        answers = dict(zip(found, pool.map(ask, found), strict=True))
    for address, (fine, answer) in answers.items():
        if answer != "200":
            word = "cannot say" if fine else "GONE"
            print(f"{word}: {answer}: {address} in {found[address]}")
    print(f"{len(found)} links, {sum(not fine for fine, _ in answers.values())} gone")
    return all(fine for fine, _ in answers.values())


if __name__ == "__main__":
    if not build.is_current():
        build.build()
    sys.exit(not check(build.SITE))
