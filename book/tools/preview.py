"""Photograph the first page for messengers and for the README: `preview.py`, into book/site_static/preview.png."""

import io
import threading

import build
import chromium
import serve
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

TARGET = build.ROOT / "book" / "site_static" / "preview.png"
SIZE = {"width": 1200, "height": 630}  # what messengers show
BARE = """.pa-explorer > :is(dl, .pa-legend, .pa-summary), .pa-controls button { display: none !important }
    .bd-article { position: fixed; inset: 0; z-index: 9999; padding: 0.8rem 11rem !important;
        background: var(--pst-color-background) }
    h1 { margin: 0 0 0.2rem !important } .pa-explorer { border: 0 !important; padding: 0 !important }
    .pa-explorer .pa-control { max-width: none } .pa-picture { gap: 1rem 5rem !important }"""


def photograph(browser: Browser, address: str) -> Image.Image:
    """Return the top of the first page of the site served at `address`: title, explorer, nothing else."""
    page = browser.new_page(viewport=SIZE, color_scheme="light")
    page.goto(f"{address}/book/intro.html")
    page.add_style_tag(content=BARE)
    page.locator(".pa-explorer[data-ready]").wait_for()
    page.wait_for_timeout(500)  # the explorer follows its new width
    picture = Image.open(io.BytesIO(page.screenshot()))
    page.close()
    return picture.convert("RGB").quantize(128)


def main() -> None:
    """Build the site if it is not current, and take the picture."""
    if not build.is_current():
        build.build()
    site = serve.server(build.SITE)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.main(), args=chromium.OPTIONS
        )
        picture = photograph(browser, f"http://127.0.0.1:{site.server_port}")
        browser.close()
    site.shutdown()
    picture.save(TARGET, optimize=True)
    print(f"{TARGET.relative_to(build.ROOT)}: {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
