"""Measure the site, the recurrent networks and the Transformer, and print tables: `make bench`.

Times depend on the machine; ratios and counts hardly.
"""

import threading
from contextlib import contextmanager

import attention_speed
import build
import build_time
import chromium
import pages
import rnn_speed
import serve
import slider
from playwright.sync_api import sync_playwright


@contextmanager
def serving(folder):
    """Serve a folder; gives its address."""
    server = serve.server(folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def main():
    """Measure one thing after the other: at the same time they would measure each other."""
    if not build.is_current():
        build.build()
    with slider.book() as small_site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.main(), args=chromium.OPTIONS
        )
        with serving(build.SITE) as address:
            pages.print_weights(browser, address)
            pages.print_ready(browser, address)
        with serving(small_site) as address:
            slider.print_latency(browser, address)
        browser.close()
    build_time.print_seconds()
    rnn_speed.print_ratios()
    attention_speed.print_ratios()


main()
