"""Write the cell with which each chapter begins, the same in all, without running anything: `first_cell.py`.

Where the book's code is installed the cell does nothing. In a checkout it finds the code beside the notebooks; alone,
as on Colab, it has pip bring the code, and what is missing of what that needs. All bounds in requirements.txt are lower
ones, so pip leaves alone what is there. `-qq`: it tells errors only, not that it runs as root or is old.
"""

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TAG = "remove-cell"  # the site does not show it
SOURCE = '''\
# The book's own code: found beside this folder, or, as on Colab, fetched with what else is missing.
try:
    import helpers  # noqa: F401
except ModuleNotFoundError:
    import sys
    from pathlib import Path

    if Path("../helpers/explorers").is_dir():
        sys.path.append(str(Path("..").resolve()))
    else:
        !{sys.executable} -m pip install -qq "git+REPOSITORY"'''


def source() -> str:
    """Return the cell's text, with the address of the repository that _config.yml names."""
    settings = (ROOT / "_config.yml").read_text(encoding="utf-8")
    (address,) = re.findall(r"^repository:\n  url: (\S+)$", settings, re.MULTILINE)
    return SOURCE.replace("REPOSITORY", address)


def write(path: Path) -> bool:
    """Make it the first code cell of the notebook at `path`; says whether the file changed.

    The cell runs without an output, so what is stored stays true. Raises ValueError if the first code cell is another.
    """
    before = path.read_text(encoding="utf-8")
    notebook = json.loads(before)
    cell = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    if "import helpers" not in "".join(cell["source"]):
        raise ValueError(
            f"{path.name}: got a first code cell {cell['source'][:1]}, expected one that imports helpers"
        )
    cell["source"] = source().splitlines(keepends=True)
    cell["metadata"] = {"tags": [TAG]}
    after = json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"
    if after != before:
        path.write_text(after, encoding="utf-8")
    return after != before


if __name__ == "__main__":
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        if write(path):
            print(path.name)
