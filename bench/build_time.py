"""How long the site takes to build from stored outputs when it has many chapters."""

import shutil
import tempfile
import time
from pathlib import Path

import build
import yaml

CHAPTERS = 20


def print_seconds():
    """Print the seconds for a book of copies of the first chapter."""
    chapter = min((build.ROOT / "notebooks").glob("*.ipynb"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for shared in ["_config.yml", "book", "node_modules"]:
            (folder / shared).symlink_to(build.ROOT / shared)
        (folder / "notebooks").mkdir()
        files = [f"notebooks/{number:02}_copy" for number in range(CHAPTERS)]
        for file in files:
            shutil.copy(chapter, folder / f"{file}.ipynb")
        chapters = [
            {"file": file} for file in ["book/notation", "book/references", *files]
        ]
        contents = {"format": "jb-book", "root": "book/using", "chapters": chapters}
        (folder / "_toc.yml").write_text(yaml.safe_dump(contents))
        start = time.perf_counter()
        build.run(folder, folder, folder / "log")
        seconds = time.perf_counter() - start
        pages = len(list((folder / "_build" / "html" / "notebooks").glob("*.html")))
    print(
        f"\n| notebooks in the site | seconds to build |\n|--:|--:|\n| {pages} | {seconds:.1f} |"
    )
