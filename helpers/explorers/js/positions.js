// Sinusoidal positions: a heatmap, and what a shift does to one position.

import { Frame, colours, fit, fixed, h, number, write } from "./parts.js";
import { axis, linear, place, svg } from "./plot.js";

/** p (d,): sine and cosine of t at d/2 frequencies base^(−2i/d), in turns. */
export function position(t, d, base) {
  return Float64Array.from({ length: d }, (_, j) => {
    const angle = t * base ** (-2 * Math.floor(j / 2) / d);
    return j % 2 ? Math.cos(angle) : Math.sin(angle);
  });
}

/** Every pair (sin, cos) turned by its own angle ω_i k: position t becomes position t + k, whatever t is. */
export function turned(p, k, base) {
  return p.map((value, j) => {
    const angle = k * base ** (-2 * Math.floor(j / 2) / p.length);
    return j % 2 ? Math.cos(angle) * value - Math.sin(angle) * p[j - 1] : Math.cos(angle) * value + Math.sin(angle) * p[j + 1];
  });
}

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);

function render(context) {
  const frame = new Frame(context, "PositionExplorer"), length = frame.get("_length"), widths = frame.get("_widths");
  frame.range("place", { label: "Position t", min: 0, max: length - 1 });
  frame.range("shift", { label: "Shift k", min: -(length - 1), max: length - 1, show: (k) => fixed(k, 0) });
  frame.range("width", { label: "Width d", min: 0, max: widths.length - 1, show: (i) => String(widths[i]) });
  frame.range("base", { label: "Base", min: 1, max: 5, step: 0.1, toSlider: Math.log10, fromSlider: (e) => Math.round(10 ** e), show: (b) => b.toLocaleString("en") });
  frame.reset();

  const map = h("canvas", { "aria-hidden": "true" }), box = h("div", { class: "pa-map" }, map);
  const first = h("div", { class: "pa-wide" }, h("p", { class: "pa-title" }, "A row a position, a column a number: sin and cos, fast at the left, slow at the right"), box);
  map.addEventListener("click", ({ offsetY }) => frame.set({ place: Math.max(0, Math.min(length - 1, Math.floor(offsetY / (map.clientHeight / length)))) }));

  const curve = svg("path", { class: "pa-line" }), here = svg("line", { class: "pa-here" }), there = svg("line", { class: "pa-here", "stroke-dasharray": "4 4" });
  const axes = [svg("g"), svg("g")], plot = svg("svg", { role: "img", "aria-label": "Similarity of the chosen position with all others", height: 230 });
  const mark = svg("circle", { r: 5, class: "pa-query" }), name = svg("text", { class: "pa-axis-name", y: 226 }, "position s");
  plot.append(...axes, here, there, curve, mark, name);
  const plotTitle = h("p", { class: "pa-title" });
  const terms = ["similarity pₜ · pₜ₊ₖ / (d/2)", "first pair (sin, cos) at t", "the same at t + k", "|turned pₜ − pₜ₊ₖ|", "slowest wave, positions a turn"].map((term) => ({ term, value: number() }));
  frame.picture.classList.add("pa-beside");
  frame.picture.style.gridTemplateColumns = "repeat(auto-fit, minmax(min(100%, 18rem), 1fr))";
  frame.picture.append(first, h("div", {}, plotTitle, plot), h("dl", {}, ...terms.map(({ term, value }) => h("div", {}, h("dt", {}, term), h("dd", {}, value)))));
  frame.picture.after(h("p", { class: "pa-legend" }, h("span", {}, "−1 ", h("i", { class: "pa-ramp" }), " +1"),
    h("span", {}, "solid outline: t; dashed: t + k; click a row to choose t")));

  let palette;
  return frame.start((changed) => {
    if (changed("theme")) palette = colours(frame.root);
    const d = widths[frame.get("width")], base = frame.get("base"), t = frame.get("place"), k = frame.get("shift"), other = t + k;
    const inside = other >= 0 && other < length, rows = Array.from({ length }, (_, s) => position(s, d, base));
    const wide = box.clientWidth, row = Math.max(4, Math.min(6, wide / 100)), cell = wide / d, context2d = fit(map, wide, length * row);
    rows.forEach((p, s) => p.forEach((value, j) => {
      context2d.fillStyle = palette.ramp((value + 1) / 2);
      context2d.fillRect(j * cell, s * row, Math.ceil(cell * 10) / 10, row);
    }));
    context2d.strokeStyle = palette.text;
    context2d.lineWidth = 2;
    context2d.strokeRect(1, t * row, wide - 2, row);
    if (inside) {
      context2d.setLineDash([6, 4]);
      context2d.strokeRect(1, other * row, wide - 2, row);
    }

    const size = plot.parentNode.clientWidth, at = linear([0, length - 1], [40, size - 10]), up = linear([-1, 1], [190, 10]);
    const now = position(t, d, base), shifted = position(other, d, base), similarity = (p) => dot(now, p) / (d / 2);
    place(plot, { width: size });
    place(axes[0], { transform: "translate(0,190)" });
    place(axes[1], { transform: "translate(40,0)" });
    axis(axes[0], "bottom", [0, 16, 32, 48, length - 1].map((s) => [at(s), s]));
    axis(axes[1], "left", [-1, 0, 1].map((value) => [up(value), fixed(value, 0)]), size - 50);
    place(name, { x: (size + 30) / 2 });
    place(curve, { d: `M${rows.map((p, s) => `${at(s)} ${up(similarity(p))}`).join("L")}` });
    place(here, { x1: at(t), x2: at(t), y1: 10, y2: 190 });
    place(there, { x1: at(other), x2: at(other), y1: 10, y2: 190 });
    place(mark, { cx: at(other), cy: up(similarity(shifted)) });
    for (const each of [there, mark]) each.style.display = inside ? "" : "none";
    write(plotTitle, `Similarity of position ${t} with every position s`);

    const moved = turned(now, k, base), gap = Math.hypot(...moved.map((value, j) => value - shifted[j]));
    const slowest = 2 * Math.PI * base ** ((d - 2) / d), pair = (p) => `(${fixed(p[0], 2)}, ${fixed(p[1], 2)})`;
    [fixed(similarity(shifted), 3), pair(now), pair(shifted), gap < 1e-9 ? "0 (below 10⁻⁹)" : gap.toExponential(1), Math.round(slowest).toLocaleString("en")]
      .forEach((text, i) => write(terms[i].value, text));
    write(frame.summary, `Position ${t}, width ${d}, base ${base}. Its similarity with position ${fixed(other, 0)}${inside ? "" : ", which is outside the picture,"} is ${fixed(similarity(shifted), 3)}. Each pair turned by its own angle gives that position exactly.`);
  });
}

export default { render };
