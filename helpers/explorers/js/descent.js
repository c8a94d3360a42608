// A point that descends a surface: contours, its path, the loss at each step.

import { ticks } from "d3-array";
import { Frame, colours, fit, fixed, h, number, write } from "./parts.js";
import { axis, linear, place, svg } from "./plot.js";
import { OPTIMIZERS, SURFACES, descend } from "./surfaces.js";

const MOST = 200; // steps
const LEFT = 34, BOTTOM = 26, HEIGHT = 250, RIGHT = 12, TOP = 12; // margins of both pictures, height of the lower one
const CELLS = 90, BANDS = 14; // of the contour picture
const LOST = 1e3; // so far out no optimizer comes back

/** Levels between which equally many of the values lie. */
function bands(values) {
  const sorted = Float64Array.from(values).sort();
  return Array.from({ length: BANDS - 1 }, (_, i) => sorted[Math.round(((i + 1) * sorted.length) / BANDS)]);
}

/** Where a line of this level cuts the sides of a cell with these values at its corners, in units of the cell. */
function cut([a, b, c, d], level) {
  const at = (from, to) => (from < level) !== (to < level) && (level - from) / (to - from);
  const [top, right, bottom, left] = [at(a, b), at(b, d), at(c, d), at(a, c)];
  return [top !== false && [top, 0], right !== false && [1, right], bottom !== false && [bottom, 1], left !== false && [0, left]].filter(Boolean);
}

/** Logarithmic in both directions, and 0 in the middle: what is smaller than 1e−6 counts as 0. */
const compress = (v) => Math.sign(v) * Math.log10(1 + Math.abs(v) / 1e-6);
const MARKS = [-1e8, -1e6, -1e4, -100, -1, 0, 1e-4, 0.01, 1, 100, 1e4, 1e6, 1e8];
const MARK_NAMES = ["−10⁸", "−10⁶", "−10⁴", "−100", "−1", "0", "10⁻⁴", "0.01", "1", "100", "10⁴", "10⁶", "10⁸"];

function render(context) {
  const frame = new Frame(context, "DescentExplorer");
  frame.select("surface", "Surface", Object.entries(SURFACES).map(([key, { name }]) => [key, name]), (key) => {
    frame.set({ start: SURFACES[key].start, learning_rate: SURFACES[key].rate }); // what makes sense there
    return key;
  });
  frame.select("optimizer", "Optimizer", Object.keys(OPTIMIZERS).map((key) => [key, key]));
  frame.range("learning_rate", {
    label: "Learning rate η", min: -4, max: 0.6, step: 0.02, toSlider: Math.log10, fromSlider: (x) => 10 ** x,
    show: (rate) => fixed(rate, rate < 0.01 ? 5 : rate < 0.1 ? 4 : 3),
  });
  const momentum = frame.range("momentum", { label: "Momentum μ, β₁", min: 0, max: 0.99, step: 0.01, show: (m) => fixed(m, 2) });
  const decay = frame.range("weight_decay", { label: "Weight decay λ", min: 0, max: 1, step: 0.01, show: (d) => fixed(d, 2) });
  frame.range("step", { label: "Step", min: 0, max: MOST });
  const starts = ["Start x", "Start y"].map((label, i) => frame.range("start", {
    label, min: -10, max: 10, step: 0.01, toSlider: (start) => start[i], show: (start) => fixed(start[i], 2),
    fromSlider: (x) => frame.get("start").map((old, j) => (j === i ? x : old)),
  }));
  frame.reset();

  // the surface from above
  const field = h("canvas", { "aria-hidden": "true" });
  const plane = svg("svg", { role: "img", "aria-label": "Contours, with the path from the start" });
  const inside = svg("svg", { x: LEFT, y: TOP, style: "overflow: hidden" }), below = svg("g"), side = svg("g");
  const trail = svg("path", { class: "pa-line", style: "stroke: var(--pa-text); stroke-width: 1.5" });
  const halo = svg("path", { class: "pa-line", style: "stroke: var(--pa-paper); stroke-width: 4; opacity: 0.7" });
  const dots = svg("path", { class: "pa-line", style: "stroke: var(--pa-text); stroke-width: 5; stroke-linecap: round" });
  const flat = svg("g", { style: "stroke: var(--pa-text); stroke-width: 2.5" });
  const begin = svg("circle", { r: 7, class: "pa-query" }), handle = svg("circle", { r: 20, class: "pa-handle" });
  const end = svg("path", { d: "M0-8L8 0L0 8L-8 0Z", class: "pa-output" });
  const shout = svg("text", { class: "pa-key-name pa-strong", y: 24, style: "font-size: 16px" });
  inside.append(flat, halo, trail, dots, begin, end, shout, handle);
  plane.append(below, side, inside);
  const map = h("div", { class: "pa-map" }, field, plane);

  // the loss at each step
  const title = h("p", { class: "pa-title" });
  const curve = svg("path", { class: "pa-line pa-unscaled", style: "stroke-width: 1.5" }), done = svg("path", { class: "pa-line" });
  const here = svg("line", { class: "pa-here", y1: TOP, y2: HEIGHT - BOTTOM - 14 }), now = svg("path", { d: "M0-7L7 0L0 7L-7 0Z", class: "pa-output" });
  const stepAxis = svg("g", { transform: `translate(0,${HEIGHT - BOTTOM - 14})` }), lossAxis = svg("g", { transform: `translate(${LEFT + 8},0)` });
  const stepName = svg("text", { class: "pa-axis-name", y: HEIGHT - 5 }, "step");
  const chart = svg("svg", { role: "img", "aria-label": "The loss at each step", height: HEIGHT }, stepAxis, lossAxis, stepName, here, curve, done, now);
  const names = ["f here", "size of the gradient", "lowest f so far", "point"], numbers = names.map(number);
  const facts = h("dl", {}, ...names.map((name, i) => h("div", {}, h("dt", {}, name), h("dd", {}, numbers[i]))));
  const chartBox = h("div", {}, title, chart, facts);
  frame.picture.classList.add("pa-beside");
  frame.picture.append(map, chartBox);
  frame.picture.after(h("p", { class: "pa-legend" }, ...["● start; drag it or click", "◇ step shown", "+ lowest point", "× saddle",
    "stronger colour: lower; each band has the same area", "dashed: the steps to come"].map((text) => h("span", {}, text))));

  let surface, x, y, size, wide;
  const drag = (event) => {
    const box = inside.getBoundingClientRect(), [ex, ey] = surface.edges;
    const keep = (value, [low, high]) => Math.max(low, Math.min(high, Math.round(value * 100) / 100));
    const px = event.clientX - plane.getBoundingClientRect().left - LEFT, py = event.clientY - plane.getBoundingClientRect().top - TOP;
    if (box.width) frame.set({ start: [keep(x.invert(px), ex), keep(y.invert(py), ey)] });
  };
  plane.addEventListener("click", (event) => event.target !== handle && drag(event));
  handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
  handle.addEventListener("pointermove", (event) => handle.hasPointerCapture(event.pointerId) && drag(event));

  function paint() {
    const context2d = fit(field, size + LEFT, size + TOP + BOTTOM), { ramp, text } = colours(frame.root), cell = size / CELLS;
    const grid = Array.from({ length: CELLS + 1 }, (_, j) => Array.from({ length: CELLS + 1 }, (_, i) => surface.value(x.invert(i * cell), y.invert(j * cell))));
    const levels = bands(grid.flat());
    context2d.translate(LEFT, TOP);
    grid.forEach((row, j) => row.forEach((value, i) => {
      const band = levels.filter((level) => value >= level).length; // 0: lowest
      context2d.fillStyle = ramp(0.42 * (1 - band / (BANDS - 1)));
      const [left, top, right, bottom] = [i - 0.5, j - 0.5, i + 0.5, j + 0.5].map((at) => Math.round(Math.max(0, Math.min(size, at * cell))));
      context2d.fillRect(left, top, right - left, bottom - top);
    }));
    context2d.strokeStyle = text;
    context2d.globalAlpha = 0.4;
    context2d.beginPath();
    for (let j = 0; j < CELLS; j += 1) {
      for (let i = 0; i < CELLS; i += 1) {
        const corners = [grid[j][i], grid[j][i + 1], grid[j + 1][i], grid[j + 1][i + 1]];
        const low = Math.min(...corners), high = Math.max(...corners);
        for (const level of levels) {
          if (level <= low || level > high) continue;
          const points = cut(corners, level);
          for (let k = 0; k + 1 < points.length; k += 2) {
            context2d.moveTo((i + points[k][0]) * cell, (j + points[k][1]) * cell);
            context2d.lineTo((i + points[k + 1][0]) * cell, (j + points[k + 1][1]) * cell);
          }
        }
      }
    }
    context2d.stroke();
    context2d.clearRect(size, -TOP, 9, size + TOP + BOTTOM);
    context2d.clearRect(-LEFT, size, size + LEFT, BOTTOM);
  }

  function resize() {
    size = Math.min(map.clientWidth, 440) - LEFT - 1;
    wide = chartBox.clientWidth;
    [x, y] = [linear(surface.edges[0], [0, size]), linear(surface.edges[1], [size, 0])];
    place(plane, { width: size + LEFT, height: size + TOP + BOTTOM });
    place(inside, { width: size, height: size });
    place(below, { transform: `translate(${LEFT},${TOP + size})` });
    place(side, { transform: `translate(${LEFT},${TOP})` });
    axis(below, "bottom", ticks(...surface.edges[0], 5).map((mark) => [x(mark), fixed(mark, 0)]));
    axis(side, "left", ticks(...surface.edges[1], 5).map((mark) => [y(mark), fixed(mark, 0)]));
    flat.replaceChildren(
      ...surface.lowest.map(([a, b]) => svg("path", { d: "M-7 0H7M0-7V7", transform: `translate(${x(a)},${y(b)})` })),
      ...surface.saddles.map(([a, b]) => svg("path", { d: "M-5-5L5 5M-5 5L5-5", transform: `translate(${x(a)},${y(b)})` })));
    place(chart, { width: wide });
    place(stepName, { x: (wide + LEFT) / 2 });
    place(shout, { x: size / 2 });
  }

  /** What became of the descent until this step, in words; the first ones also stand in the picture. */
  function verdict(path, step, losses, gone) {
    if (gone && step === path.length - 1) {
      return losses[step] < surface.floor ? [`fell out of the picture by step ${step}`, "This surface has no lowest point: it falls without end, and so did the descent."]
        : [`diverged by step ${step}`, "Diverged: the steps grew and grew, because the learning rate is too large."];
    }
    const [a, b] = path[step], slope = Math.hypot(...surface.gradient(a, b)), near = ([c, d]) => Math.hypot(a - c, b - d) < 0.05;
    if (losses[step] > losses[0] + 1e-9) return ["higher than the start", "The loss is higher than where it began: the learning rate is too large here."];
    if (surface.lowest.some(near)) return ["", slope < 0.01 ? "It has arrived at a lowest point." : "It is close to a lowest point."];
    if (losses[step] < surface.floor - 1e-9) return ["below the lowest point marked", "It has left the hollow; beyond the ridge this surface falls without end."];
    if (surface.saddles.some(near)) return ["", "It is close to a saddle, where the gradient is nearly 0 and nothing pushes it on."];
    return ["", slope < 0.01 ? "It is almost flat here." : "It is still on its way."];
  }

  return frame.start((changed) => {
    const optimizer = frame.get("optimizer"), rate = frame.get("learning_rate"), start = frame.get("start");
    surface = SURFACES[frame.get("surface")];
    if (changed("surface")) {
      starts.forEach(({ input, refresh }, i) => {
        [input.min, input.max] = surface.edges[i];
        refresh();
      });
    }
    if (changed("optimizer")) {
      momentum.box.hidden = optimizer === "SGD";
      decay.box.hidden = optimizer !== "AdamW";
    }
    if (changed("size", "surface")) resize();
    if (changed("size", "theme", "surface")) paint();

    const all = descend(frame.get("surface"), start, optimizer, MOST, { rate, momentum: frame.get("momentum"), decay: frame.get("weight_decay") });
    const lost = all.findIndex((point) => Math.max(...point.map(Math.abs)) > LOST), gone = lost >= 0 || all.length <= MOST;
    const path = lost >= 0 ? all.slice(0, lost + 1) : all, losses = path.map(([a, b]) => surface.value(a, b));
    if (path.length > 1 && !Number.isFinite(losses.at(-1))) [path, losses].forEach((list) => list.pop());
    const step = Math.min(frame.get("step"), path.length - 1);
    const pixel = (scale, value) => Math.max(-1e4, Math.min(1e4, scale(value))).toFixed(1);
    const points = path.slice(0, step + 1).map(([a, b]) => `${pixel(x, a)},${pixel(y, b)}`);
    for (const line of [halo, trail]) place(line, { d: `M${points.join("L")}` });
    place(dots, { d: points.map((point) => `M${point}h0`).join("") });
    for (const mark of [begin, handle]) place(mark, { cx: x(start[0]), cy: y(start[1]) });
    place(end, { transform: `translate(${points.at(-1)})` });

    const heights = losses.map((loss) => Math.max(-15, Math.min(15, compress(loss - surface.floor))));
    const low = Math.min(0, ...heights), high = Math.max(...heights) + 0.5;
    const across = linear([0, MOST], [LEFT + 8, wide - RIGHT]), up = linear([low, high], [HEIGHT - BOTTOM - 14, TOP]);
    const marks = MARKS.map((mark, i) => [compress(mark), MARK_NAMES[i]]).filter(([at]) => at >= low && at <= high);
    axis(stepAxis, "bottom", ticks(0, MOST, 5).map((mark) => [across(mark), mark]));
    axis(lossAxis, "left", marks.map(([at, name]) => [up(at), name]), wide - RIGHT - LEFT - 8);
    const line = (values, from = 0) => `M${values.map((value, i) => `${across(from + i)},${up(value)}`).join("L")}`;
    place(curve, { d: line(heights.slice(step), step) });
    place(done, { d: line(heights.slice(0, step + 1)) });
    place(here, { x1: across(step), x2: across(step) });
    place(now, { transform: `translate(${across(step)},${up(heights[step])})` });
    write(title, surface.floor ? `f ${surface.floor < 0 ? "+" : "−"} ${Math.abs(surface.floor)} at each step` : "f at each step");

    const [short, long] = verdict(path, step, losses, gone), [a, b] = path[step], show = (v) => (Math.abs(v) < 1e4 ? fixed(v, 4) : v.toExponential(1).replace("-", "−"));
    write(shout, short);
    write(numbers[0], show(losses[step]));
    write(numbers[1], show(Math.hypot(...surface.gradient(a, b))));
    write(numbers[2], show(Math.min(...losses.slice(0, step + 1))));
    write(numbers[3], `(${[a, b].map(show).join(", ")})`);
    write(frame.summary, `${optimizer} on the surface “${surface.name}”, learning rate ${fixed(rate, 4)}, from (${fixed(start[0], 2)}, ${fixed(start[1], 2)}). After ${
      step} steps f = ${show(losses[step])}. ${long}`);
  });
}

export default { render };
