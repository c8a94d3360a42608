// One LSTM cell whose gates the reader drives by hand: signal, forget, input and output gate, cell and output.

import { ticks } from "d3-array";
import { Frame, fixed, h, number, write } from "./parts.js";
import { axis, linear, place, svg } from "./plot.js";

const GATES = [["f", "Forget gate f"], ["i", "Input gate i"], ["u", "Output gate u"]];
const LEFT = 62, RIGHT = 10, LANE = 34, GAP = 14, SIGNAL = [14, 84], CURVES = [260, 400], HEIGHT = 440; // px
const lane = (gate) => SIGNAL[1] + GAP + gate * (LANE + GAP); // the upper edge of a gate's lane

/** The gates of a preset: for every step the three valves, given the signal and its first pulse. */
const PRESETS = {
  open: { name: "everything open", of: () => [1, 1, 1] },
  closed: { name: "remember nothing (f = 0)", of: () => [0, 1, 1] },
  mean: { name: "fading mean (f = 0.9, i = 0.1)", of: () => [0.9, 0.1, 1] },
  reset: { name: "add up, start anew every 12 steps", of: (t) => [t % 12 ? 1 : 0, 1, 1] },
  first: { name: "remember the first pulse", of: (t, pulse, T) => [1, Number(t === pulse), Number(t === T - 1)] },
  own: { name: "by hand, all half open at first", of: () => [0.5, 0.5, 0.5] },
};

/** c_t = f_t c_{t−1} + i_t x_t and h_t = u_t tanh(c_t), from c = 0. */
function run(signal, [f, i, u]) {
  let c = 0;
  const cells = signal.map((x, t) => { c = f[t] * c + i[t] * x; return c; });
  return { cells, outputs: cells.map((value, t) => u[t] * Math.tanh(value)) };
}

function render(context) {
  const frame = new Frame(context, "GateExplorer"), signals = frame.get("_signals"), names = Object.keys(signals);
  const T = signals[names[0]].length, first = (x) => x.findIndex((value) => Math.abs(value) >= 0.3);
  const preset = (name, x) => {
    const rows = x.map((_, t) => PRESETS[name].of(t, first(x), T));
    return GATES.map((_, gate) => rows.map((row) => row[gate]));
  };
  const stretch = () => [frame.get("step"), Math.max(frame.get("step"), frame.get("until"))];
  /** Set a gate from one step to another. */
  const turn = (gate, value, [from, to]) => ({
    preset: "own", gates: frame.get("gates").map((row, g) => (g === gate ? row.map((old, t) => (t >= from && t <= to ? value : old)) : row)),
  });

  frame.select("signal", "Signal", names.map((name) => [name, name]));
  frame.select("preset", "Gates", Object.entries(PRESETS).map(([key, { name }]) => [key, name]));
  frame.range("step", { label: "From step", min: 0, max: T - 1, show: (t) => String(t + 1) });
  frame.range("until", { label: "To step", min: 0, max: T - 1, show: (t) => String(t + 1) });
  const sliders = GATES.map(([, label], gate) => {
    const slider = frame.range("gates", {
      label, min: 0, max: 1, step: 0.05, toSlider: (gates) => gates[gate][frame.get("step")],
      show: (gates) => fixed(gates[gate][frame.get("step")], 2),
      fromSlider: (value) => turn(gate, value, stretch()).gates,
    });
    slider.input.addEventListener("input", () => frame.set({ preset: "own" }));
    return slider;
  });
  frame.reset();

  const plot = svg("svg", { role: "img", "aria-label": "Signal, gates, cell and output over time", height: HEIGHT });
  const chosen = svg("rect", { y: SIGNAL[0], height: CURVES[1] - SIGNAL[0], style: "fill: var(--pa-tint)" });
  const bars = (count) => Array.from({ length: count }, () => svg("rect", { class: "pa-bar" }));
  const stems = bars(T), valves = GATES.map(() => bars(T)), side = svg("g"), below = svg("g", { transform: `translate(0,${CURVES[1]})` });
  const frames = GATES.map((_, gate) => svg("rect", { y: lane(gate), height: LANE, style: "fill: none; stroke: var(--pa-line)" }));
  const zero = svg("line", { class: "pa-here" }), base = svg("line", { class: "pa-here" });
  const labels = [["signal", (SIGNAL[0] + SIGNAL[1]) / 2], ...GATES.map(([letter], gate) => [letter, lane(gate) + LANE / 2])]
    .map(([text, y]) => svg("text", { class: "pa-line-name", x: LEFT - 10, y, dy: "0.35em" }, text));
  const cell = svg("path", { class: "pa-line" }), output = svg("path", { class: "pa-line pa-unscaled" });
  const points = [svg("circle", { r: 5, class: "pa-query" }), svg("rect", { width: 9, height: 9, class: "pa-output" })];
  const time = svg("text", { class: "pa-axis-name", y: HEIGHT - 4 }, "step");
  const lanes = GATES.map((_, gate) => svg("rect", { y: lane(gate), height: LANE, class: "pa-handle", "data-gate": gate }));
  plot.append(chosen, base, ...stems, ...frames, ...valves.flat(), ...labels, side, below, zero, cell, output, ...points, time, ...lanes);
  frame.picture.append(h("div", { class: "pa-wide" }, plot));

  const facts = ["signal xₜ", "cell cₜ", "output hₜ", "cell at the end", "first pulse kept", "heard before the end", "score"];
  const numbers = facts.map(number);
  frame.picture.after(
    h("p", { class: "pa-legend" }, h("span", {}, "━ ● cell c"), h("span", {}, "╍ ■ output h"), h("span", {}, "shaded: the steps that the sliders set"),
      h("span", {}, "or draw in the lanes of f, i and u")),
    h("dl", {}, ...facts.map((name, i) => h("div", {}, h("dt", {}, name), h("dd", {}, numbers[i])))));

  let x, wide;
  const draw = (event, gate) => {
    const box = plot.getBoundingClientRect(), t = Math.floor(x.invert(event.clientX - box.left) + 0.5);
    const level = (lane(gate) + LANE - (event.clientY - box.top)) / LANE;
    if (t < 0 || t >= T) return;
    frame.set({ ...turn(gate, Math.max(0, Math.min(1, Math.round(level * 20) / 20)), [t, t]), step: t, until: t });
  };
  lanes.forEach((area, gate) => {
    area.addEventListener("pointerdown", (event) => { area.setPointerCapture(event.pointerId); draw(event, gate); });
    area.addEventListener("pointermove", (event) => area.hasPointerCapture(event.pointerId) && draw(event, gate));
  });

  function resize() {
    const size = frame.picture.clientWidth;
    wide = size - LEFT - RIGHT;
    x = linear([-0.5, T - 0.5], [LEFT, size - RIGHT]);
    place(plot, { width: size });
    place(time, { x: LEFT + wide / 2 });
    for (const box of [...frames, ...lanes]) place(box, { x: LEFT, width: wide });
    for (const line of [zero, base]) place(line, { x1: LEFT, x2: size - RIGHT });
    axis(below, "bottom", Array.from({ length: T }, (_, t) => t).filter((t) => t % 8 === 0 || t === T - 1).map((t) => [x(t), t + 1]));
  }

  return frame.start((changed) => {
    const name = frame.get("signal"), signal = signals[name];
    if (changed("preset") && !changed("gates")) { frame.set({ gates: preset(frame.get("preset"), signal) }); return; }
    if (changed("signal") && !changed("gates") && frame.get("preset") === "first") { frame.set({ gates: preset("first", signal) }); return; }
    if (changed("step")) sliders.forEach(({ refresh }) => refresh());
    if (changed("size")) resize();
    const gates = frame.get("gates"), { cells, outputs } = run(signal, gates), step = frame.get("step"), [from, to] = stretch();
    const thick = Math.max(1.5, 0.7 * (wide / T)), up = linear([-1, 1], [SIGNAL[1], SIGNAL[0]]);
    place(base, { y1: up(0), y2: up(0) });
    signal.forEach((value, t) => place(stems[t], { x: x(t) - thick / 2, width: thick, y: Math.min(up(0), up(value)), height: Math.abs(up(value) - up(0)) }));
    gates.forEach((row, gate) => row.forEach((value, t) =>
      place(valves[gate][t], { x: x(t) - thick / 2, width: thick, y: lane(gate) + LANE * (1 - value), height: LANE * value })));
    place(chosen, { x: x(from - 0.5), width: x(to + 0.5) - x(from - 0.5) });
    const most = Math.max(1, ...cells.map(Math.abs)), y = linear([-1.1 * most, 1.1 * most], [CURVES[1], CURVES[0]]);
    const marks = ticks(-most, most, 5);
    axis(side, "left", marks.map((mark) => [y(mark), fixed(mark, marks[1] - marks[0] < 1 ? 1 : 0)]), wide);
    side.setAttribute("transform", `translate(${LEFT},0)`);
    place(zero, { y1: y(0), y2: y(0) });
    for (const [path, values] of [[cell, cells], [output, outputs]]) place(path, { d: `M${values.map((value, t) => `${x(t)},${y(value)}`).join("L")}` });
    place(points[0], { cx: x(step), cy: y(cells[step]) });
    place(points[1], { x: x(step) - 4.5, y: y(outputs[step]) - 4.5 });

    const pulse = signal[first(signal)] ?? 0, end = cells[T - 1];
    const kept = 100 * Math.max(0, 1 - Math.abs(end - pulse) / Math.abs(pulse));
    const heard = outputs.slice(0, -1).reduce((sum, value) => sum + Math.abs(value), 0) / (T - 1);
    const spoken = 1 - Math.min(1, Math.abs(outputs[T - 1] - Math.tanh(pulse)) / Math.abs(Math.tanh(pulse)));
    const score = 100 * spoken * (1 - Math.min(1, heard));
    [fixed(signal[step], 2), fixed(cells[step], 3), fixed(outputs[step], 3), fixed(end, 3), `${fixed(kept, 0)} %`, fixed(heard, 3), `${fixed(score, 0)} of 100`]
      .forEach((text, i) => write(numbers[i], text));
    write(frame.summary, `${name}, step ${step + 1}: f = ${fixed(gates[0][step], 2)}, i = ${fixed(gates[1][step], 2)}, u = ${fixed(gates[2][step], 2)}; cell ${
      fixed(cells[step], 2)}, output ${fixed(outputs[step], 2)}. At the end the cell holds ${fixed(end, 2)}; the first pulse was ${fixed(pulse, 2)}. Score ${fixed(score, 0)} of 100.`);
  });
}

export default { render };
