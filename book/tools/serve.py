"""Build the site if something changed, serve it on localhost and print the address: `serve.py PORT`."""

import contextlib
import errno
import functools
import gzip
import http.server
import io
import sys
from pathlib import Path

import build
import environment

COMPRESSED = {".html", ".css", ".js", ".json", ".svg", ".txt", ".inv"}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of one folder, text compressed as a real host would send it, nothing cached, no log."""

    def send_head(self):
        """Send a compressed answer for text that the browser takes compressed, a plain one otherwise."""
        path = Path(self.translate_path(self.path))
        accepted = "gzip" in self.headers.get("Accept-Encoding", "")
        if not accepted or path.suffix not in COMPRESSED or not path.is_file():
            return super().send_head()
        body = compressed(path, path.stat().st_mtime_ns)
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return io.BytesIO(body)

    def end_headers(self):
        """Let the browser ask again each time: the next build may have changed the file."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *args):
        """Say nothing."""


@functools.lru_cache(maxsize=256)
def compressed(path: Path, modified: int) -> bytes:
    """Return the file's content compressed; its time of change makes the cache see a new one."""
    return gzip.compress(path.read_bytes())


def server(folder: Path, port: int = 0) -> http.server.ThreadingHTTPServer:
    """Return a server of the folder, bound to localhost; port 0 takes any free one."""
    return http.server.ThreadingHTTPServer(
        ("127.0.0.1", port), functools.partial(Handler, directory=folder)
    )


def main(port: int) -> None:
    """Take the port first, so that a taken one is known before anything is installed or built."""
    try:
        site = server(build.SITE, port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.exit(f"Port {port} is taken. Choose another one: make book PORT={port + 1}")
    environment.ensure("site")
    if not build.is_current():
        print("Building the site …", flush=True)
        if not build.build():
            print(f"Some pages have warnings: see {build.LOG.relative_to(build.ROOT)}")
    print(f"The book is at http://localhost:{port}/ (stop with Ctrl+C)", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        site.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
