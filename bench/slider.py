"""How long after a key press a slider's picture has changed on the page."""

import asyncio
import tempfile
from contextlib import contextmanager
from pathlib import Path

import build
import nbformat
import refresh
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from reading import new_page

PRESSES = 100
CODE = """
import numpy as np
from helpers.explorers import AttentionExplorer, AttentionMap

weights = np.random.default_rng(0).dirichlet(np.ones(32), size=32)
tokens = [f"token {i}" for i in range(32)]
AttentionExplorer({"32 by 32": [AttentionMap(weights, tokens, tokens, "random")]})
"""
BARE = '<label>bare <input type="range" min="0" max="100" id="bare"></label> <output id="number">50</output>'
WATCH = """() => {
    window.latencies = [];
    document.querySelector("#bare").addEventListener("input", (event) => {
        document.querySelector("#number").textContent = event.target.value;
    });
    addEventListener("input", (event) => {
        requestAnimationFrame(() => {
            const { port1, port2 } = new MessageChannel();
            port1.onmessage = () => latencies.push(performance.now() - event.timeStamp);
            port2.postMessage(null);  // delivered once the frame is painted
        });
    }, { capture: true });
}"""


@contextmanager
def book():
    """Build a book with one explorer of 32 × 32 weights; gives the folder of its site."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for shared in ["_config.yml", "book", "node_modules", "helpers"]:
            (folder / shared).symlink_to(build.ROOT / shared)
        notebook = new_notebook(
            cells=[new_markdown_cell(f"# Slider\n\n{BARE}"), new_code_cell(CODE)]
        )
        asyncio.run(refresh.run(notebook, folder))
        refresh.tidy(notebook, "slider")
        nbformat.write(notebook, folder / "slider.ipynb")
        (folder / "_toc.yml").write_text(
            yaml.safe_dump({"format": "jb-book", "root": "slider"})
        )
        build.run(folder, folder, folder / "log")
        yield folder / "_build" / "html"


def latencies(page, slider):
    """Milliseconds from each key press on a slider to the painted picture, sorted."""
    page.evaluate("latencies = []")
    page.locator(slider).first.focus()
    for press in range(PRESSES):
        page.keyboard.press("ArrowRight" if press % 40 < 20 else "ArrowLeft")
        page.wait_for_timeout(40)
    return sorted(page.evaluate("latencies"))


def print_latency(browser, address):
    """Print the latencies of the explorer's sliders beside those of a bare slider: the machine's own noise."""
    page, _ = new_page(browser, address)
    page.goto("/slider.html")
    page.locator(".pa-explorer[data-ready]").wait_for()
    page.evaluate(WATCH)
    print(
        "\n| slider to paint, 32 × 32 | key presses | p50 ms | p95 ms |\n|---|--:|--:|--:|"
    )
    sliders = {
        "bare slider (noise)": "#bare",
        "output step": ".pa-controls input[type=range] >> nth=0",
        "temperature": ".pa-controls input[type=range] >> nth=1",
    }
    for name, slider in sliders.items():
        times = latencies(page, slider)
        p50, p95 = times[len(times) // 2], times[int(0.95 * len(times))]
        print(f"| {name} | {len(times)} | {p50:.1f} | {p95:.1f} |", flush=True)
    page.context.close()
