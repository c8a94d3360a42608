"""What VS Code draws widgets with, in a bare page: every explorer appears, and a moved control tells Python.

VS Code brings its own bundle of ipywidgets, and loads anywidget's script for RequireJS beside it. VS Code itself and
its way to the kernel are not here: a page in place of both opens each explorer and keeps what is sent.
"""

import json
import shutil
import sys
from pathlib import Path

import gallery
import ipywidgets
from playwright.sync_api import expect
from reading import new_page

from helpers.download import Package, fetch

BUNDLE = Package(
    registry="npm",
    name="@vscode/jupyter-ipywidgets8",
    version="1.0.9",
    archive="vscode-jupyter-ipywidgets8-1.0.9.tgz",
    megabytes=1,
    sha256="9c0680c126bae81427625a8dae4c9edfaa408c8c694a20641002b5d7d77d1ca8",
    files=("package/dist/ipywidgets.js",),
    licence="MIT",
    source="https://github.com/microsoft/vscode-jupyter-ipywidgets",
)
ANYWIDGET = Path(sys.prefix, "share", "jupyter", "nbextensions", "anywidget")
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Widgets</title><link rel="icon" href="data:,">
<main></main>
<script type="module">
import { activate } from "./ipywidgets.js";

// As much of RequireJS as the two scripts use.
const modules = new Map();
window.define = (first, make) => typeof first === "string"
  ? modules.set(first, make())
  : modules.set("anywidget", make(...first.map((name) => modules.get(name))));
window.requirejs = ([name], found) => found(modules.get(name));

activate();
window.vscIPyWidgets8.load();

const signal = { connect() {} }, open = {};
const kernel = {
  id: "", status: "idle", statusChanged: signal, connectionStatusChanged: signal, iopubMessage: signal,
  registerCommTarget(name, target) { open[name] = target; },
  async requestCommInfo() { return { content: { comms: {} } }; },
};
const scripts = {
  widgetsRegisteredInRequireJs: new Set(),
  loadWidgetScript(name) {
    this.widgetsRegisteredInRequireJs.add(name); // each is loaded once
    return new Promise((onload) => {
      document.head.append(Object.assign(document.createElement("script"), { src: `${name}.js`, onload }));
    });
  },
};
const main = document.querySelector("main");
const manager = new window.vscIPyWidgets.WidgetManager(kernel, main, scripts, () => {});
window.sent = [];

const bytes = (base64) => new DataView(Uint8Array.from(atob(base64), (each) => each.charCodeAt(0)).buffer);
const models = await (await fetch("state.json")).json();
for (const [id, model] of Object.entries(models)) {
  const { model_name, model_module, model_module_version, state, buffers = [] } = model;
  const comm = { commId: id, send(data) {
    window.sent.push([id, data]);
    return { msg: { header: { msg_id: String(window.sent.length) } } };
  } };
  const named = { _model_name: model_name, _model_module: model_module, _model_module_version: model_module_version };
  const data = { state: { ...state, ...named }, buffer_paths: buffers.map(({ path }) => path) };
  await open["jupyter.widget"](comm, {
    content: { comm_id: id, data }, metadata: { version: "2.1.0" }, buffers: buffers.map(({ data }) => bytes(data)),
  });
  if (!state._view_name || model_name === "LayoutModel") continue;
  const view = await manager.create_view(await manager.get_model(id));
  await manager.display_view({}, view, { node: main });
}
window.shown = true;
</script></html>"""


def test_every_explorer_appears_and_a_moved_control_tells_python(
    browser, serving, tmp_path
):
    explorers = list(gallery.explorers().values())
    states = ipywidgets.Widget.get_manager_state()["state"]
    ids = [part.model_id for each in explorers for part in (each.layout, each)]
    (tmp_path / "state.json").write_text(json.dumps({id: states[id] for id in ids}))
    (tmp_path / "index.html").write_text(PAGE)
    shutil.copy(fetch(BUNDLE) / "ipywidgets.js", tmp_path)
    shutil.copy(ANYWIDGET / "index.js", tmp_path / "anywidget.js")

    page, problems = new_page(browser, serving(tmp_path))
    page.goto("/index.html")
    page.wait_for_function("window.shown")
    drawn = page.locator(".pa-explorer[data-ready=true]")
    expect(drawn).to_have_count(len(explorers))
    kinds = drawn.evaluate_all("all => all.map(each => each.dataset.explorer)")
    assert kinds == [type(each).__name__ for each in explorers]

    place = kinds.index("SoftmaxExplorer")
    before = explorers[place].get_state()
    drawn.nth(place).get_by_role("slider").first.press("ArrowRight")
    page.wait_for_function("window.sent.length")
    id, message = page.evaluate("window.sent[0]")
    assert id == explorers[place].model_id and message["method"] == "update"
    explorers[place].set_state(message["state"])
    assert explorers[place].get_state() != before
    page.context.close()
    assert problems == []
