// The inside of a trained LSTM over a text: a map of units and characters, and the curve of one unit.

import { ticks } from "d3-array";
import { Frame, colours, fit, fixed, h, number, write } from "./parts.js";
import { axis, linear, place, svg } from "./plot.js";

const KINDS = { f: "forget gate f", i: "input gate i", u: "output gate u", c: "cell, tanh c", h: "output h = u ⊙ tanh c" };
const LEFT = 46, RIGHT = 10, TOP = 12, BOTTOM = 132, HEIGHT = 170, MAP = 200; // px
const SHOWN = 25; // characters on each side of the chosen one

/** The correlation of two sequences; 0 if one of them is constant. */
function correlation(a, b) {
  const mean = (row) => row.reduce((sum, value) => sum + value, 0) / row.length, [ma, mb] = [mean(a), mean(b)];
  let ab = 0, aa = 0, bb = 0;
  a.forEach((value, t) => { ab += (value - ma) * (b[t] - mb); aa += (value - ma) ** 2; bb += (b[t] - mb) ** 2; });
  return aa && bb ? ab / Math.sqrt(aa * bb) : 0;
}

function render(context) {
  const frame = new Frame(context, "CellExplorer"), text = [...frame.get("_text")], T = text.length;
  const units = frame.get("_units"), N = units.length, feature = frame.get("_feature"), name = frame.get("_feature_name");
  const view = frame.get("_values"); // uint8: f, i, u from 0 to 1, tanh c from −1 to 1
  const at = (kind, t, n) => view.getUint8((kind * T + t) * N + n) / 255;
  const value = {
    f: (t, n) => at(0, t, n), i: (t, n) => at(1, t, n), u: (t, n) => at(2, t, n), c: (t, n) => 2 * at(3, t, n) - 1,
    h: (t, n) => value.u(t, n) * value.c(t, n),
  };

  frame.select("kind", "Show", Object.entries(KINDS));
  frame.range("row", { label: "Unit", min: 0, max: N - 1, show: (row) => String(units[row]) });
  frame.range("step", { label: "Character", min: 0, max: T - 1, show: (t) => String(t + 1) });
  frame.checkbox("shaded", `Shade: ${name}`);
  frame.reset();

  const canvas = h("canvas", { role: "img", "aria-label": "Units in rows, characters in columns; dark is high" });
  const over = svg("svg", { "aria-hidden": "true", height: MAP }), row = svg("rect", { style: "fill: none; stroke: var(--pa-accent); stroke-width: 2" });
  const column = svg("line", { y1: 0, y2: MAP, style: "stroke: var(--pa-accent); stroke-width: 2" });
  over.append(row, column);
  over.style.pointerEvents = "none";
  const map = h("div", { class: "pa-map" }, canvas, over), title = h("p", { class: "pa-title" });
  const plot = svg("svg", { role: "img", "aria-label": "The chosen unit over the characters", height: HEIGHT });
  const bands = svg("g"), side = svg("g", { transform: `translate(${LEFT},0)` }), below = svg("g", { transform: `translate(0,${BOTTOM})` });
  const line = svg("path", { class: "pa-line" }), here = svg("line", { class: "pa-here", y1: TOP, y2: BOTTOM }), point = svg("circle", { r: 5, class: "pa-query" });
  plot.append(bands, side, below, here, line, point);
  const around = h("p", { style: "font-family: ui-monospace, monospace; white-space: pre; overflow: hidden; text-align: center" });
  frame.picture.append(h("div", { class: "pa-wide" }, map, around, title, plot));
  const facts = ["value here", "mean over the text", "least", "greatest", `correlation with “${name}”`];
  const numbers = facts.map(number);
  frame.picture.after(
    h("p", { class: "pa-legend" }, h("span", {}, "low ", h("span", { class: "pa-ramp" }), " high"), h("span", {}, "rows: units"), h("span", {}, "columns: characters; click to choose")),
    h("dl", {}, ...facts.map((fact, i) => h("div", {}, h("dt", {}, fact), h("dd", {}, numbers[i])))));

  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect(), cut = (part, count) => Math.max(0, Math.min(count - 1, Math.floor(part * count)));
    frame.set({ step: cut((event.clientX - box.left) / box.width, T), row: cut((event.clientY - box.top) / box.height, N) });
  });

  let x, wide, size;
  function resize() {
    size = frame.picture.clientWidth;
    wide = size - LEFT - RIGHT;
    x = linear([-0.5, T - 0.5], [LEFT, size - RIGHT]);
    place(plot, { width: size });
    place(over, { width: wide });
    map.style.marginLeft = `${LEFT}px`;
    axis(below, "bottom", ticks(1, T, 6).filter((t) => t >= 1).map((t) => [x(t - 1), t]));
  }

  function paint(of, low, high) {
    const brush = fit(canvas, wide, MAP), { ramp } = colours(frame.root), across = wide / T, down = MAP / N;
    for (let n = 0; n < N; n += 1) {
      for (let t = 0; t < T; t += 1) {
        brush.fillStyle = ramp(Math.max(0, Math.min(1, (of(t, n) - low) / (high - low))));
        brush.fillRect(t * across, n * down, across + 0.5, down + 0.5);
      }
    }
  }

  function shade() {
    const runs = [];
    feature.forEach((on, t) => { if (on && !feature[t - 1]) runs.push([t, t]); if (on) runs.at(-1)[1] = t; });
    bands.replaceChildren(...(frame.get("shaded") ? runs : []).map(([from, to]) =>
      svg("rect", { x: x(from - 0.5), width: x(to + 0.5) - x(from - 0.5), y: TOP, height: BOTTOM - TOP, style: "fill: var(--pa-tint)" })));
  }

  return frame.start((changed) => {
    const kind = frame.get("kind"), of = value[kind], n = frame.get("row"), t = frame.get("step"), open = "fiu".includes(kind);
    const [low, high] = open ? [0, 1] : [-1, 1];
    if (changed("size")) resize();
    if (changed("size", "theme", "kind")) paint(of, low, high);
    if (changed("size", "shaded")) shade();
    const curve = text.map((_, at) => of(at, n)), y = linear([low, high], [BOTTOM, TOP]), marks = ticks(low, high, 4);
    axis(side, "left", marks.map((mark) => [y(mark), fixed(mark, 1)]), wide);
    place(line, { d: `M${curve.map((v, at) => `${x(at)},${y(v)}`).join("L")}` });
    place(here, { x1: x(t), x2: x(t) });
    place(point, { cx: x(t), cy: y(curve[t]) });
    place(row, { x: 0, width: wide, y: (n * MAP) / N, height: MAP / N });
    place(column, { x1: x(t) - LEFT, x2: x(t) - LEFT });
    const seen = (from, to) => text.slice(Math.max(0, from), to).join("").replaceAll("\n", "↵");
    around.replaceChildren(seen(t - SHOWN, t).padStart(SHOWN), h("b", { style: "outline: 2px solid var(--pa-accent)" }, seen(t, t + 1)), seen(t + 1, t + 1 + SHOWN).padEnd(SHOWN));
    write(title, `${KINDS[kind][0].toUpperCase()}${KINDS[kind].slice(1)}, unit ${units[n]}`);
    const r = correlation(curve, feature), mean = curve.reduce((sum, v) => sum + v, 0) / T;
    const shaded = frame.get("shaded") ? fixed(r, 2) : "not shown";
    [fixed(curve[t], 2), fixed(mean, 2), fixed(Math.min(...curve), 2), fixed(Math.max(...curve), 2), shaded].forEach((words, i) => write(numbers[i], words));
    write(frame.summary, `${KINDS[kind]} of unit ${units[n]} at character ${t + 1}, “${text[t] === "\n" ? "line end" : text[t]}”: ${fixed(curve[t], 2)}; over the text from ${
      fixed(Math.min(...curve), 2)} to ${fixed(Math.max(...curve), 2)}, correlation with “${name}” ${fixed(r, 2)}.`);
  });
}

export default { render };
