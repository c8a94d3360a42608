"""Read a page as the tests do: note its problems, scroll through it, measure it."""

from pathlib import Path
from urllib.parse import urlsplit

AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
SIZES = {
    "desktop": {"width": 1280, "height": 900},
    "phone": {"width": 375, "height": 720},
}
# Without a limit, a test would wait for ever where the browser stands still.
FRAME = """() => new Promise((drawn, fail) => {
    requestAnimationFrame(drawn);
    setTimeout(() => fail(new Error("no frame for 20 s")), 20_000);
})"""


def new_page(browser, address):
    """Return a page whose relative addresses start at `address`, and the list that gathers its problems."""
    page = browser.new_context(base_url=address, viewport=SIZES["desktop"]).new_page()
    problems = []

    def on_request(request):
        url = urlsplit(request.url)
        if (
            url.scheme not in ("blob", "data")
            and url.netloc != urlsplit(address).netloc
        ):
            problems.append(f"request to another host: {request.url}")

    def on_console(message):
        if message.type == "error":
            problems.append(
                f"console: {message.text} {message.location.get('url', '')}"
            )

    page.on("request", on_request)
    page.on("console", on_console)
    page.on("pageerror", lambda error: problems.append(f"uncaught: {error}"))
    return page, problems


def scroll_through(page):
    """Open all that is folded and scroll to the end, so that everything which waits to be seen is drawn."""
    page.evaluate(
        f"const frame = {FRAME};"
        """(async () => {
            document.querySelectorAll("article details").forEach((details) => { details.open = true; });
            const root = document.documentElement;
            const most = 10 * root.scrollHeight;  // what is drawn may add to the page, but must come to an end
            for (let y = 0; y < root.scrollHeight; y += innerHeight / 2) {
                if (root.scrollHeight > most) throw new Error("the page grows as it is read");
                scrollTo(0, y);
                await frame();
            }
            scrollTo(0, 0);
        })()"""
    )
    drawn = """() => !document.querySelector('.pa-place:empty')
        && [...document.querySelectorAll('.pa-figure, .pa-explorer')].every((e) => e.dataset.ready)"""
    page.wait_for_function(drawn)


def count_bytes(page):
    """Return a list that gathers the bytes of each answer to the page from now on, as they were transferred."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    sizes = []
    session.on(
        "Network.loadingFinished",
        lambda event: sizes.append(event["encodedDataLength"]),
    )
    return sizes


def sideways(page):
    """By how many pixels the page can be scrolled sideways."""
    return page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )


def violations(page):
    """What axe-core finds, one line for each rule: its name, how often, where first and why."""
    page.add_script_tag(path=AXE)
    result = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    found = [
        (rule["id"], len(rule["nodes"]), rule["nodes"][0])
        for rule in result["violations"]
    ]
    return [
        f"{name}, {count}×: {first['target']} {first['failureSummary']}"
        for name, count, first in found
    ]


# The titles of figures that stand out of their figure by more than a pixel.
CUT_TITLES = """() => [...document.querySelectorAll(".pa-figure .gtitle")].filter((title) => {
    const [inner, outer] = [title, title.closest(".pa-figure")].map((e) => e.getBoundingClientRect());
    return inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.top < outer.top - 1;
}).map((title) => title.textContent)"""


def cut_titles(page):
    """Return the titles of figures that are cut, a frame after the last change."""
    page.evaluate(FRAME)
    return page.evaluate(CUT_TITLES)
