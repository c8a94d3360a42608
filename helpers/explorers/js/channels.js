// The weights of a photo's channels, switched by hand: softmax(W (weights ⊙ means) + b) follows.

import { Frame, colours, fit, fixed, greatest, h, number, softmax, write } from "./parts.js";
import { axis, linear, place, svg } from "./plot.js";

/** Rows of float32 numbers as arrays, part after part: {name: rows}. */
export function unpack(view, [n, , , C], classes) {
  let at = 0;
  const row = (length) => Float64Array.from({ length }, () => view.getFloat32(4 * at++, true));
  const rows = (count) => Array.from({ length: count }, () => row(C));
  return { means: rows(n), own: rows(n), typical: rows(classes), W: rows(classes), b: row(classes) };
}

/** The weights as they are set: whose, then some switched off, then those set by hand. */
export function chosen({ own, typical }, photo, label, { gates, off, byHand }) {
  const C = own[photo].length;
  const weights = {
    own: () => Float64Array.from(own[photo]),
    class: () => Float64Array.from(typical[label]),
    all: () => Float64Array.from({ length: C }, (_, c) => typical.reduce((sum, row) => sum + row[c], 0) / typical.length),
    open: () => new Float64Array(C).fill(1),
  }[gates]();
  const order = [...own[photo].keys()].sort((a, b) => own[photo][b] - own[photo][a]);
  for (const c of off >= 0 ? order.slice(0, off) : order.slice(off)) weights[c] = 0;
  for (const [c, weight] of byHand) weights[c] = weight;
  return weights;
}

/** What the network would say. */
export const logits = ({ means, W, b }, photo, weights) =>
  b.map((bias, k) => weights.reduce((sum, weight, c) => sum + W[k][c] * weight * means[photo][c], bias));

const HEIGHT = 170, GATES = [["own", "its own"], ["class", "mean of its class"], ["all", "mean of all classes"], ["open", "all 1"]];

function render(context) {
  const frame = new Frame(context, "ChannelExplorer"), names = frame.get("_names"), classes = frame.get("_classes");
  const [n, rows, columns, C] = frame.get("_shape"), labels = frame.get("_labels"), pixels = frame.get("_photos");
  const data = unpack(frame.get("_numbers"), frame.get("_shape"), classes.length);
  const now = () => chosen(data, frame.get("photo"), labels[frame.get("photo")], { gates: frame.get("gates"), off: frame.get("off"), byHand: frame.get("by_hand") });

  frame.select("photo", "Photo", names.map((name, i) => [i, name]), Number);
  frame.select("gates", "Weights", GATES);
  frame.range("off", { label: "Switch off", min: -C, max: C, show: (k) => (k ? `${Math.abs(k)} ${k > 0 ? "greatest" : "least"}` : "none") });
  frame.range("channel", { label: "Channel", min: 0, max: C - 1 });
  const hand = frame.range("by_hand", {
    label: "Its weight", min: 0, max: 1, step: 0.01, toSlider: () => now()[frame.get("channel")], show: () => fixed(now()[frame.get("channel")], 2),
    fromSlider: (weight) => [...frame.get("by_hand").filter(([c]) => c !== frame.get("channel")), [frame.get("channel"), weight]],
  });
  frame.reset();

  const title = h("p", { class: "pa-title" }), photo = h("canvas", { role: "img", "aria-label": "The photo" });
  const lines = classes.map((name) => {
    const head = h("th", { scope: "row" }), bar = h("i"), value = number();
    return { name, head, bar, value, row: h("tr", {}, head, h("td", { "aria-hidden": "true" }, bar), h("td", {}, value)) };
  });
  const table = h("table", { class: "pa-bars" }, h("caption", {}, "Probabilities; • the right class"), h("tbody", {}, ...lines.map(({ row }) => row)));
  const chart = svg("svg", { role: "img", "aria-label": "The channels’ weights as bars, with the mean of the photo’s class" });
  const band = svg("rect", { fill: "var(--pa-tint)", y: 0, height: HEIGHT }), axes = [svg("g"), svg("g")];
  const bars = Array.from({ length: C }, () => svg("rect", { class: "pa-bar" }));
  const marks = Array.from({ length: C }, () => svg("line", { stroke: "var(--pa-text)", "stroke-width": 2 }));
  const dots = Array.from({ length: C }, () => svg("circle", { r: 3, fill: "var(--pa-paper)", stroke: "var(--pa-text)", "stroke-width": 1.5 }));
  const arrow = svg("path", { d: "M0 4L6 14L-6 14Z", fill: "var(--pa-text)" });
  chart.append(band, ...axes, ...bars, ...marks, ...dots, arrow);
  const map = h("div", { style: "margin: 0.5rem 0 1.8rem 1.8rem; cursor: pointer" }, chart);
  frame.picture.classList.add("pa-beside");
  frame.picture.append(h("div", {}, title, h("div", { class: "pa-map" }, photo)), h("div", {}, table), h("div", { class: "pa-wide" }, h("p", { class: "pa-title" }, "Weights of the channels"), map));
  const terms = ["weight of the channel", "mean of its class", "mean of its map", "it adds to the logit", "mean weight", "right class"].map((name) => [h("dt", {}, name), number()]);
  frame.picture.after(h("p", { class: "pa-legend" }, h("span", {}, "bar: weight as it is set"), h("span", {}, "— mean of the photo’s class"),
    h("span", {}, "○ set by hand"), h("span", {}, "▲ the chosen channel; click to choose")),
    h("dl", {}, ...terms.map(([name, value]) => h("div", {}, name, h("dd", {}, value)))));

  let x, width;
  const y = linear([0, 1], [HEIGHT, 0]);
  chart.addEventListener("click", (event) => {
    const c = Math.floor(x.invert(event.clientX - chart.getBoundingClientRect().left));
    frame.set({ channel: Math.max(0, Math.min(C - 1, c)) });
  });

  return frame.start((changed) => {
    const i = frame.get("photo"), label = labels[i], at = frame.get("channel"), weights = now();
    if (changed("size")) {
      width = map.clientWidth;
      x = linear([0, C], [0, width]);
      place(chart, { width, height: HEIGHT + 16 });
      axis(axes[0], "left", [0, 0.5, 1].map((tick) => [y(tick), fixed(tick, 1)]), width);
      place(band, { width: width / C });
    }
    if (changed("size", "theme", "photo")) {
      const side = Math.min(150, width), cell = side / columns, context = fit(photo, side, cell * rows), { ramp } = colours(frame.root);
      for (let r = 0; r < rows; r += 1) for (let s = 0; s < columns; s += 1) {
        context.fillStyle = ramp(pixels.getUint8((i * rows + r) * columns + s) / 255);
        context.fillRect(Math.floor(s * cell), Math.floor(r * cell), Math.ceil(cell), Math.ceil(cell));
      }
      write(title, names[i]);
    }
    hand.refresh();
    const byHand = new Set(frame.get("by_hand").map(([c]) => c)), gap = width / C;
    weights.forEach((weight, c) => {
      place(bars[c], { x: x(c) + 0.15 * gap, y: y(weight), width: 0.7 * gap, height: HEIGHT - y(weight) });
      place(marks[c], { x1: x(c), x2: x(c + 1), y1: y(data.typical[label][c]), y2: y(data.typical[label][c]) });
      place(dots[c], { cx: x(c + 0.5), cy: y(weight), visibility: byHand.has(c) ? "visible" : "hidden" });
    });
    place(band, { x: x(at) });
    place(arrow, { transform: `translate(${x(at + 0.5)},${HEIGHT})` });
    const said = logits(data, i, weights), p = softmax(said), best = greatest(p);
    lines.forEach(({ name, head, bar, value }, k) => {
      write(head, `${name}${k === label ? " •" : ""}`);
      head.classList.toggle("pa-strong", k === best);
      bar.style.transform = `scaleX(${p[k]})`;
      write(value, fixed(p[k], 4));
    });
    const adds = data.W[label][at] * weights[at] * data.means[i][at], mean = weights.reduce((a, b) => a + b, 0) / C;
    write(terms[0][0], `weight of channel ${at}`);
    write(terms[3][0], `it adds to “${classes[label]}”`);
    [fixed(weights[at], 3), fixed(data.typical[label][at], 3), fixed(data.means[i][at], 3), fixed(adds, 3), fixed(mean, 3), fixed(p[label], 4)].forEach((text, t) => write(terms[t][1], text));
    const off = weights.filter((weight) => weight === 0).length;
    write(frame.summary, `${names[i]}, ${off} of ${C} channels off: ${classes[best]} with probability ${fixed(p[best], 2)}${
      best === label ? ", which is right" : `; right would be ${classes[label]}, with ${fixed(p[label], 2)}`}. Channel ${at} has weight ${fixed(weights[at], 2)}, the mean of its class is ${fixed(data.typical[label][at], 2)}.`);
  });
}

export default { render };
