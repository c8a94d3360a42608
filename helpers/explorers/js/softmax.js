// Softmax of dot products of growing width: weights, entropy and gradient, with and without √dₖ.

import { ticks } from "d3-array";
import { TEMPERATURE, Frame, entropy, fixed, greatest, h, number, softmax, write } from "./parts.js";
import { axis, linear, place, svg } from "./plot.js";

/** ‖∂α/∂e‖, the Frobenius norm of diag(α) − α αᵀ: how much of the gradient the softmax lets through. */
function gradient(row) {
  const squares = row.reduce((sum, w) => sum + w * w, 0), cubes = row.reduce((sum, w) => sum + w ** 3, 0);
  return Math.sqrt(Math.max(0, squares - 2 * cubes + squares ** 2));
}

const HEIGHT = 250, TOP = 22, BOTTOM = 206, LEFT = 40, RIGHT = 10; // px

const CURVES = {
  entropy: { of: entropy, name: "entropy in bits", digits: 2 },
  gradient: { of: gradient, name: "gradient size", digits: 3 },
};

function render(context) {
  const { model } = context, frame = new Frame(context, "SoftmaxExplorer"), widths = frame.get("_widths");
  const [draws, , n] = frame.get("_shape"), view = model.get("_scores");
  const scores = Float32Array.from({ length: view.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));

  frame.range("width", { label: "Key width dₖ", min: 0, max: widths.length - 1, show: (i) => String(widths[i]) });
  frame.range("temperature", TEMPERATURE);
  frame.checkbox("scaled", "Divide by √dₖ");
  if (draws > 1) frame.select("draw", "Random draw", Array.from({ length: draws }, (_, i) => [i, String(i + 1)]), Number);
  frame.select("curve", "Chart", Object.entries(CURVES).map(([key, { name }]) => [key, name]));
  frame.reset();

  const names = ["entropy", "greatest weight", "gradient size", "mean, not divided", "mean, divided by √dₖ"];
  const numbers = names.map(number);
  const [bars, chart] = ["The weights of the keys as bars", "Means over all draws against the key width, scaled and unscaled"].map((label) => {
    const title = h("p", { class: "pa-title" }), below = svg("g", { transform: `translate(0,${BOTTOM})` }), side = svg("g", { transform: `translate(${LEFT},0)` });
    const name = svg("text", { class: "pa-axis-name", y: HEIGHT - 5 });
    const plot = svg("svg", { role: "img", "aria-label": label, height: HEIGHT }, below, side, name);
    const box = h("div", {}, title, plot);
    return { box, title, plot, below, side, name };
  });
  bars.name.append("key");
  chart.name.append("key width dₖ");
  const columns = Array.from({ length: n }, () => svg("rect", { class: "pa-bar" }));
  const values = columns.map(() => svg("text", { class: "pa-bar-value" }));
  bars.plot.append(...columns, ...values);
  const here = svg("line", { class: "pa-here", y1: TOP, y2: BOTTOM }), point = svg("circle", { r: 6, class: "pa-query" });
  const lines = [["unscaled", "not divided"], ["scaled", "÷ √dₖ"]].map(([name, text]) =>
    ({ path: svg("path", { class: `pa-line pa-${name}` }), text: svg("text", { class: "pa-line-name" }, text) }));
  chart.plot.append(here, ...lines.flatMap(({ path, text }) => [path, text]), point);
  frame.picture.classList.add("pa-beside");
  frame.picture.append(bars.box, chart.box);
  frame.picture.after(h("dl", {}, ...names.map((name, i) => h("div", {}, h("dt", {}, name), h("dd", {}, numbers[i])))));

  const row = (draw, index, scaled) => {
    const start = (draw * widths.length + index) * n;
    return softmax(scores.subarray(start, start + n), frame.get("temperature") * (scaled ? Math.sqrt(widths[index]) : 1));
  };
  const weight = linear([0, 1], [BOTTOM, TOP]);
  let key, width;

  function resize() {
    const size = bars.box.clientWidth, wide = size - LEFT - RIGHT;
    for (const { plot, name } of [bars, chart]) {
      place(plot, { width: size });
      place(name, { x: LEFT + wide / 2 });
    }
    key = linear([-0.5, n - 0.5], [LEFT, size - RIGHT]);
    width = linear([0, widths.length - 1], [LEFT + 14, size - RIGHT - 14]);
    axis(bars.below, "bottom", columns.map((_, i) => [key(i), i + 1]));
    axis(bars.side, "left", ticks(0, 1, 5).map((mark) => [weight(mark), fixed(mark, 1)]), wide);
    axis(chart.below, "bottom", widths.map((d, i) => [width(i), d]));
    const thick = (0.8 * wide) / n;
    columns.forEach((column, i) => place(column, { x: key(i) - thick / 2, width: thick }));
    values.forEach((text, i) => place(text, { x: key(i) }));
  }

  function drawChart() {
    const { of, name, digits } = CURVES[frame.get("curve")], wide = bars.box.clientWidth - LEFT - RIGHT;
    const curves = [false, true].map((scaled) => widths.map((_, index) => {
      let sum = 0;
      for (let draw = 0; draw < draws; draw += 1) sum += of(row(draw, index, scaled));
      return sum / draws;
    }));
    const value = linear([0, 1.1 * Math.max(...curves.flat())], [BOTTOM, TOP]);
    const marks = ticks(0, value.invert(TOP), 5);
    axis(chart.side, "left", marks.map((mark) => [value(mark), fixed(mark, marks[1] < 0.1 ? 2 : 1)]), wide);
    write(chart.title, `${name[0].toUpperCase()}${name.slice(1)}, mean of ${draws} draws`);
    lines.forEach(({ path, text }, i) => {
      place(path, { d: `M${curves[i].map((mean, index) => `${width(index)},${value(mean)}`).join("L")}` });
      place(text, { x: width(widths.length - 1), y: value(Math.max(...curves[i].slice(-4))) - 10 });
    });
    return { curves, digits, value };
  }

  let drawn;
  return frame.start((changed) => {
    if (changed("size")) resize();
    if (changed("size", "temperature", "curve")) drawn = drawChart();
    const index = frame.get("width"), scaled = frame.get("scaled"), draw = frame.get("draw"), d = widths[index];
    const weights = row(draw, index, scaled), best = greatest(weights), at = drawn.curves[Number(scaled)][index];
    write(bars.title, `Weights, dₖ = ${d}${scaled ? ", ÷ √dₖ" : ""}`);
    weights.forEach((w, i) => {
      place(columns[i], { y: weight(w), height: BOTTOM - weight(w) });
      place(values[i], { y: weight(w) - 5 });
      write(values[i], w >= 0.005 ? fixed(w, 2) : "");
    });
    place(here, { x1: width(index), x2: width(index) });
    place(point, { cx: width(index), cy: drawn.value(at) });
    const bits = entropy(weights), size = gradient(weights);
    write(numbers[0], `${fixed(bits, 3)} bits`);
    write(numbers[1], fixed(weights[best], 3));
    write(numbers[2], fixed(size, 4));
    drawn.curves.forEach((curve, i) => write(numbers[3 + i], fixed(curve[index], drawn.digits)));
    write(frame.summary, `dₖ = ${d}, temperature ${fixed(frame.get("temperature"), 2)}, ${scaled ? "divided by √dₖ" : "not divided by √dₖ"}: entropy ${
      fixed(bits, 2)} of ${fixed(Math.log2(n), 2)} bits, greatest weight ${fixed(weights[best], 2)} on key ${best + 1}, gradient size ${fixed(size, 3)}.`);
  });
}

export default { render };
