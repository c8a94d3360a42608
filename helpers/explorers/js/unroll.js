// A recurrent network reads a sentence step by step: its states, and the sum behind one unit.

import { Frame, colours, fit, fixed, h, number, softmax, write } from "./parts.js";
import { place, svg } from "./plot.js";

const CELL = 9, BOX = 44, GAP = 30, TOP = 62, PACE = 450; // px; ms a step when playing
const left = (i) => GAP + i * (BOX + GAP);
const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const visible = (token) => (token === " " ? "␣" : token);

/** Weights as rows, from the bytes in which W, U, b, V and c follow one another. */
function unpack(view, [d, tokens, outputs]) {
  let at = 0;
  const vector = (n) => Float64Array.from({ length: n }, () => view.getFloat32(4 * at++, true));
  const matrix = (rows, columns) => Array.from({ length: rows }, () => vector(columns));
  return { W: matrix(d, d), U: matrix(d, tokens), b: vector(d), V: matrix(outputs, d), c: vector(outputs) };
}

/** Every step of a sentence: h_t, and what b, W h_{t−1} and U x_t give to each unit of it. */
function run({ W, U, b, V, c }, indices) {
  let state = new Float64Array(b.length);
  return indices.map((x) => {
    const memory = W.map((row) => dot(row, state)), input = U.map((row) => row[x]);
    const sum = memory.map((m, j) => b[j] + m + input[j]);
    state = Float64Array.from(sum, Math.tanh);
    return { memory, input, sum, state, y: softmax(V.map((row, k) => c[k] + dot(row, state))) };
  });
}

function render(context) {
  const { model } = context, frame = new Frame(context, "UnrollExplorer");
  const sentences = frame.get("_sentences"), indices = frame.get("_indices"), outputs = frame.get("_outputs");
  const shape = frame.get("_shape"), [d] = shape, name = outputs[outputs.length - 1];
  const weights = unpack(model.get("_weights"), shape), runs = indices.map((each) => run(weights, each));
  const length = () => sentences[frame.get("sentence")].length, now = () => Math.min(frame.get("step"), length());
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  if (sentences.length > 1) {
    frame.select("sentence", "Sentence", sentences.map((each, i) => {
      const text = each.join("");
      return [i, text.length > 28 ? `${text.slice(0, 27)}…` : text];
    }), Number);
  } else frame.watch("sentence");
  const slider = frame.range("step", { label: "Step t", min: 1, max: length(), show: (t) => `${Math.min(t, length())} of ${length()}` });
  frame.range("unit", { label: "Unit j", min: 1, max: d });
  let timer;
  const stop = () => { clearInterval(timer); timer = undefined; write(play, still.matches ? "Next step" : "Play"); };
  const forward = () => { if (now() < length()) frame.set({ step: now() + 1 }); else stop(); };
  const play = h("button", { type: "button", "data-lm-suppress-shortcuts": "true", click: () => {
    if (timer) return stop();
    if (now() === length()) frame.set({ step: 1 });
    else forward();
    if (!still.matches) { timer = setInterval(forward, PACE); write(play, "Pause"); }
  } }, "Play");
  stop();
  frame.controls.append(play);
  frame.reset();

  // the network, unrolled over the last steps
  const title = h("p", { class: "pa-title" }), heights = d * CELL, bottom = TOP + heights;
  const unrolled = svg("svg", { role: "img", "aria-label": "The last steps, unrolled: token, state and output of each", height: bottom + 58 });
  const head = svg("marker", { id: `pa-head-${Math.random().toString(36).slice(2)}`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
    svg("path", { d: "M0 0L8 4L0 8Z", fill: "var(--pa-quiet)" }));
  const columns = svg("g");
  unrolled.append(svg("defs", {}, head), columns);
  const arrow = (x1, y1, x2, y2) => svg("line", { x1, y1, x2, y2, stroke: "var(--pa-quiet)", "stroke-width": 1.5, "marker-end": `url(#${head.id})` });
  const text = (x, y, content, more = {}) => svg("text", { x, y, "text-anchor": "middle", ...more }, content);
  const quiet = { style: "fill: var(--pa-quiet); font-size: 12px; font-style: italic" };

  function column(t, x, unit) {
    const { state, y } = runs[frame.get("sentence")][t - 1], middle = x + BOX / 2;
    const bars = [...state].map((value, j) => svg("rect", {
      x: middle + Math.min(0, value) * (BOX / 2 - 3), width: Math.max(0.5, Math.abs(value) * (BOX / 2 - 3)),
      y: TOP + j * CELL + 1.5, height: CELL - 3, style: `fill: var(${value < 0 ? "--pa-quiet" : "--pa-ink"})`,
    }));
    return svg("g", {},
      svg("rect", { x, y: TOP, width: BOX, height: heights, style: `fill: var(--pa-tint); stroke: var(${t === now() ? "--pa-text" : "--pa-line"})` }),
      svg("line", { x1: middle, x2: middle, y1: TOP, y2: bottom, style: "stroke: var(--pa-line)" }), ...bars,
      svg("rect", { x: x - 2, y: TOP + (unit - 1) * CELL, width: BOX + 4, height: CELL, style: "fill: none; stroke: var(--pa-text)" }),
      arrow(middle, bottom + 32, middle, bottom + 4), arrow(middle, TOP - 3, middle, TOP - 27),
      text(middle, bottom + 50, visible(sentences[frame.get("sentence")][t - 1]), { style: "font-weight: 700; font-size: 16px" }),
      text(middle, TOP - 34, fixed(y[y.length - 1], 2)),
      ...(t > 1 ? [arrow(x - GAP + 1, TOP + heights / 2, x - 2, TOP + heights / 2)] : []));
  }

  // all states so far
  const map = h("canvas", { "aria-hidden": "true" }), mapTitle = h("p", { class: "pa-title" }), box = h("div", { class: "pa-map" }, map);
  map.addEventListener("click", ({ offsetX, offsetY }) => frame.set({
    step: Math.max(1, Math.min(length(), Math.ceil(offsetX / (map.clientWidth / length())))), unit: Math.max(1, Math.min(d, Math.ceil(offsetY / 10))),
  }));

  // one unit, in numbers
  const names = ["bias b", "memory W hₜ₋₁", "input U xₜ", "sum aₜ", "state hₜ = tanh aₜ"].map((each) => {
    const value = number(), bar = h("i", {});
    return { value, bar, row: h("tr", {}, h("th", { scope: "row" }, each), h("td", { "aria-hidden": "true" }, bar), h("td", {}, value)) };
  });
  const caption = h("caption"), share = number();
  const table = h("table", { class: "pa-bars" }, caption, h("tbody", {}, ...names.map(({ row }) => row)));
  const facts = h("dl", {}, h("div", {}, h("dt", {}, `output ŷₜ: ${name}`), h("dd", {}, share)));
  const first = h("div", { class: "pa-wide" }, title, unrolled);
  frame.picture.classList.add("pa-beside");
  frame.picture.append(first, h("div", { class: "pa-wide" }, mapTitle, box), table, facts);
  frame.picture.after(h("p", { class: "pa-legend" }, h("span", {}, "Bars: right of the line positive, left of it negative, −1 to 1."),
    h("span", {}, `Above each state: probability of “${name}”.`), h("span", {}, "−1 ", h("i", { class: "pa-ramp" }), " +1 in the map; click to choose.")));

  let palette, shown = 0;
  const finish = frame.start((changed) => {
    const place0 = frame.get("sentence"), steps = runs[place0], t = now(), unit = frame.get("unit"), T = length();
    if (changed("sentence")) { slider.input.max = T; slider.refresh(); }
    if (changed("theme")) palette = colours(frame.root);
    const fits = Math.max(1, Math.floor((first.clientWidth - 6) / (BOX + GAP))), start = Math.max(1, t - fits + 1);
    place(unrolled, { width: first.clientWidth });
    columns.replaceChildren(...Array.from({ length: t - start + 1 }, (_, i) => column(start + i, left(i), unit)));
    for (let i = 1; i < t - start + 1; i += 1) columns.append(text(left(i) - GAP / 2, TOP + heights / 2 - 7, "W", quiet));
    const x = left(t - start) + BOX / 2;
    columns.append(text(x + 12, bottom + 24, "U", quiet), text(x + 12, TOP - 11, "V", quiet));
    if (t === shown + 1 && !still.matches) columns.children[t - start].animate([{ opacity: 0 }, { opacity: 1 }], 250);
    shown = t;
    write(title, start > 1 ? `Steps ${start} to ${t}, unrolled` : `Unrolled up to step ${t}`);

    const wide = box.clientWidth, context2d = fit(map, wide, d * 10 + 18), width = wide / T;
    context2d.font = `${Math.max(7, Math.min(13, width * 1.5))}px ${palette.font}`;
    context2d.textAlign = "center";
    for (let s = 0; s < T; s += 1) {
      for (let j = 0; s < t && j < d; j += 1) {
        context2d.fillStyle = palette.ramp((steps[s].state[j] + 1) / 2);
        context2d.fillRect(s * width, j * 10, Math.ceil(width * 10) / 10, 10);
      }
      context2d.fillStyle = s < t ? palette.text : palette.quiet;
      context2d.fillText(sentences[place0][s], (s + 0.5) * width, d * 10 + 13);
    }
    context2d.strokeStyle = palette.text;
    context2d.strokeRect((t - 1) * width, 0.5, width, d * 10 - 1);
    context2d.strokeRect(0.5, (unit - 1) * 10 + 0.5, t * width - 1, 9);
    write(mapTitle, `All states up to step ${t}: a row a unit`);

    const { memory, input, sum, state, y } = steps[t - 1], j = unit - 1, values = [weights.b[j], memory[j], input[j], sum[j], state[j]];
    const scale = Math.max(1, ...values.map(Math.abs));
    values.forEach((value, i) => {
      write(names[i].value, fixed(value, 3));
      const size = Math.abs(value) / scale / 2;
      names[i].bar.style.cssText = `margin-left: ${100 * (value < 0 ? 0.5 - size : 0.5)}%; width: ${100 * size}%; background: var(${value < 0 ? "--pa-quiet" : "--pa-ink"})`;
    });
    write(caption, `Unit ${unit} at step ${t}: b + W hₜ₋₁ + U xₜ`);
    write(share, fixed(y[y.length - 1], 3));
    write(frame.summary, `Step ${t} of ${T}, token “${visible(sentences[place0][t - 1])}”. Unit ${unit}: ${fixed(values[0], 3)} + ${
      fixed(values[1], 3)} + ${fixed(values[2], 3)} = ${fixed(values[3], 3)}, tanh ${fixed(values[4], 3)}. Probability of “${name}”: ${fixed(y[y.length - 1], 3)}.`);
  });
  return () => { stop(); finish(); };
}

export default { render };
