"""What a page weighs, and how soon it is ready."""

from statistics import median

import build
from reading import count_bytes, new_page, scroll_through

RUNS = 9
PLAIN = "book/using.html"
READY = """() => {
    const loaded = performance.getEntriesByType("navigation")[0].loadEventEnd;
    const explorers = performance.getEntriesByName("explorer-ready").map((mark) => mark.startTime);
    return Math.max(loaded, ...explorers);
}"""


def chapters():
    """The built chapters, as paths from the site's root."""
    return sorted(
        path.relative_to(build.SITE).as_posix()
        for path in build.SITE.glob("notebooks/*.html")
    )


def print_weights(browser, address):
    """Print the kilobytes transferred (compressed) when a page opens, and when it was read to its end."""
    print(
        "\n| page | explorers | kB at first | kB read to its end |\n|---|--:|--:|--:|"
    )
    for path in [PLAIN, *chapters()]:
        page, _ = new_page(browser, address)
        sizes = count_bytes(page)
        page.goto(f"/{path}", wait_until="networkidle")
        first, explorers = sum(sizes) / 1000, page.locator(".pa-place").count()
        scroll_through(page)
        page.wait_for_load_state("networkidle")
        print(
            f"| {path} | {explorers} | {first:.0f} | {sum(sizes) / 1000:.0f} |",
            flush=True,
        )
        page.context.close()


def ready_ms(browser, address, path, explorers=True):
    """Milliseconds until a page is loaded and the explorers in view are drawn, in a fresh browser profile."""
    page, _ = new_page(browser, address)
    if not explorers:
        page.route("**/explorer-loader.js*", lambda route: route.fulfill(body=""))
    page.goto(f"/{path}", wait_until="load")
    page.wait_for_function(
        "[...document.querySelectorAll('.pa-explorer')].every((e) => e.dataset.ready)"
    )
    page.wait_for_timeout(300)
    milliseconds = page.evaluate(READY)
    page.context.close()
    return milliseconds


def print_ready(browser, address):
    """Print when each chapter is ready, against a plain page and against itself without explorers, in turns."""
    print(
        f"\n| page | ready ms, median of {RUNS} | {PLAIN} | ratio | without explorers | ratio |\n"
        "|---|--:|--:|--:|--:|--:|"
    )
    for path in chapters():
        turns = [
            [
                ready_ms(browser, address, path),
                ready_ms(browser, address, PLAIN),
                ready_ms(browser, address, path, explorers=False),
            ]
            for _ in range(RUNS)
        ]
        chapter, plain, text = (median(times) for times in zip(*turns, strict=True))
        print(
            f"| {path} | {chapter:.0f} | {plain:.0f} | {chapter / plain:.2f} "
            f"| {text:.0f} | {chapter / text:.2f} |",
            flush=True,
        )
