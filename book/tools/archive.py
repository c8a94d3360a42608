"""Pack the site into one archive that opens from a folder, without a server: `archive.py`.

It is _build/paying-attention.zip, the same bytes for the same site; the reader unpacks it and opens index.html.
"""

import sys
import zipfile
from pathlib import Path

import build

ARCHIVE = build.ROOT / "_build" / "paying-attention.zip"
FOLDER = "paying-attention"  # unpacking makes one folder
LEFT_OUT = {".buildinfo", "objects.inv"}  # for Sphinx alone


def pack(site: Path, archive: Path) -> None:
    """Write the files of a built site into an archive, replacing it only when all is written.

    Raises FileNotFoundError if there is no site.
    """
    if not (site / "index.html").is_file():
        raise FileNotFoundError(f"{site}: got no index.html, expected a built site")
    part = archive.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(path for path in site.rglob("*") if path.is_file()):
            name = path.relative_to(site)
            if str(name) not in LEFT_OUT and name.parts[0] != "_sources":
                entry = zipfile.ZipInfo(f"{FOLDER}/{name.as_posix()}")  # of 1980
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                packed.writestr(entry, path.read_bytes())
    part.replace(archive)


if __name__ == "__main__":
    if not build.is_current() and not build.build():
        sys.exit(
            f"The site was built with warnings: see {build.LOG.relative_to(build.ROOT)}"
        )
    pack(build.SITE, ARCHIVE)
    print(f"{ARCHIVE.relative_to(build.ROOT)}: {ARCHIVE.stat().st_size / 1e6:.1f} MB")
