"""A JupyterLab server, which serves Notebook 7 too, and a chapter open in it."""

import ast
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from jupyter_client import BlockingKernelClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
VIEW = "application/vnd.jupyter.widget-view+json"
SETTINGS = {
    # All cells are in the page, not only those in sight.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
# The traits that readers move, of every explorer that Python knows: {model id: [class, {trait: value}]}.
TRAITS = """{
    id: [type(w).__name__, {k: repr(getattr(w, k)) for k in w.keys if k[0] != "_" and k not in common}]
    for common in [__import__("ipywidgets").DOMWidget.class_trait_names()]
    for id, w in __import__("ipywidgets").widgets.widget._instances.items()
    if isinstance(w, __import__("anywidget").AnyWidget)
}"""
# The notebook as the page holds it. An idle kernel has sent all outputs of the cells that it has run.
CELLS = "[...jupyterapp.shell.currentWidget.content.model.cells].filter(cell => cell.type === 'code')"
OUTPUTS = f"{CELLS}.flatMap(cell => cell.outputs.toJSON())"
ERRORS = f"{OUTPUTS}.filter(output => output.output_type === 'error').map(error => error.evalue)"
IDLE = "jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
FINISHED = (
    f"{IDLE} && ({CELLS}.every(cell => cell.executionCount) || {ERRORS}.length > 0)"
)
# Of explorers; another widget brings its own HTML, for pages without a kernel.
EXPLORERS = f"{OUTPUTS}.filter(output => !output.data?.['text/html'])"
MODEL_IDS = f"{EXPLORERS}.flatMap(output => output.data?.['{VIEW}']?.model_id ?? [])"
START_SECONDS = 120
RUN_SECONDS = 900


class Lab:
    """A running JupyterLab server; `root` is the folder it shows."""

    def __init__(self, root, home):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url, self.token = f"http://127.0.0.1:{port}", secrets.token_hex(8)
        self.root, self.runtime = root, home / "runtime"
        for name, settings in SETTINGS.items():
            file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True)
            file.write_text(json.dumps(settings))
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "JUPYTER_RUNTIME_DIR": str(self.runtime),
            "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        }
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": port,
            "ServerApp.allow_root": True,
            "ServerApp.root_dir": root,
            "IdentityProvider.token": self.token,
            "LabApp.news_url": None,
            "LabApp.expose_app_in_browser": True,
            "JupyterNotebookApp.expose_app_in_browser": True,
            "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        }
        command = [sys.executable, "-m", "jupyterlab", "--no-browser"]
        command += [f"--{name}={value}" for name, value in options.items()]
        with (home / "lab.log").open("w") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log
            )

    def is_up(self):
        try:
            return self.ask("status")
        except OSError:
            return None

    def wait(self):
        """Wait until the server answers."""
        wait_for(self.is_up, START_SECONDS, "JupyterLab to answer")

    def ask(self, what, method="GET"):
        """Return what the server's REST interface answers."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(
            f"{self.url}/api/{what}", method=method, headers=headers
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or "null")

    def session(self, name):
        """Return the session of a notebook, or None."""
        return next(
            (session for session in self.ask("sessions") if session["path"] == name),
            None,
        )

    def stop(self):
        """Stop the server, which stops its kernels."""
        self.process.terminate()
        self.process.wait(START_SECONDS)


class Chapter:
    """A notebook that is open: `page` is its browser page; its cells were told to run.

    `where` is the part of the address that decides what opens it: JupyterLab or, with "notebooks", Notebook 7.
    """

    def __init__(self, lab, browser, path, where=None):
        self.lab, self.name = lab, path.name
        stored = nbformat.read(path, as_version=4)
        code = [cell for cell in stored.cells if cell.cell_type == "code"]
        self.views = sum(
            VIEW in output.get("data", {}) for cell in code for output in cell.outputs
        )
        for cell in code:
            cell.update(outputs=[], execution_count=None)
        stored.metadata.pop("widgets", None)
        nbformat.write(stored, lab.root / path.name)

        self.page = browser.new_page(viewport={"width": 1280, "height": 900})
        where = where or f"doc/workspaces/{path.stem}/tree"
        self.page.goto(f"{lab.url}/{where}/{path.name}?token={lab.token}&reset")
        self.page.locator(".jp-NotebookPanel").wait_for(timeout=START_SECONDS * 1000)
        wait_for(self.is_ready, START_SECONDS, f"the kernel of {path.name}")
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_text("Run All Cells", exact=True).click()

    def is_ready(self):
        session = self.lab.session(self.name)
        return (
            session
            and session["kernel"]["execution_state"] == "idle"
            and session["kernel"]["connections"] > 0
        )

    def finish(self):
        """Wait until every cell has run or one has failed, and return the failures' texts."""
        self.page.wait_for_function(FINISHED, timeout=RUN_SECONDS * 1000)
        return self.page.evaluate(ERRORS)

    def connect(self):
        """Speak to the chapter's kernel, as a second front end beside the page."""
        kernel = self.lab.session(self.name)["kernel"]["id"]
        self.client = BlockingKernelClient(
            connection_file=str(self.lab.runtime / f"kernel-{kernel}.json")
        )
        self.client.load_connection_file()
        self.client.start_channels()

    def traits(self):
        """Return what Python knows of each explorer: {model id: [class, {trait: value as text}]}."""
        ask = {"traits": TRAITS}
        reply = self.client.execute(
            "", silent=True, user_expressions=ask, reply=True, timeout=60
        )
        return ast.literal_eval(
            reply["content"]["user_expressions"]["traits"]["data"]["text/plain"]
        )

    def explorers(self):
        """Return the explorers on the page, once all are drawn: [(locator, model id)]."""
        found = self.page.locator(".jp-OutputArea section.pa-explorer[data-ready=true]")
        wait_for(
            lambda: found.count() == self.views,
            60,
            f"{self.views} explorers to be drawn",
        )
        return list(zip(found.all(), self.page.evaluate(MODEL_IDS), strict=True))

    def close(self):
        self.client.stop_channels()
        self.page.close()
        self.lab.ask(f"sessions/{self.lab.session(self.name)['id']}", "DELETE")


def wait_for(condition, seconds, what):
    """Return the first true answer of `condition`, asked again and again; fail after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.1)
    pytest.fail(f"waited {seconds} s for {what}", pytrace=False)
