// The weights of a photo's channels, switched by hand; the rest of the network is computed anew.

import { Frame, colours, fit, fixed, greatest, h, number, softmax, write } from "./parts.js";
import { axis, linear, place, svg } from "./plot.js";

/** The data as rows of numbers; the maps of photo i are `maps(i)`. */
export function unpack({ numbers, rows, maps }, [n, , , C, height, width, O, r], classes) {
  let at = 0, place = 0;
  const row = (length) => Float64Array.from({ length }, () => numbers.getFloat32(4 * at++, true));
  const many = (count) => Array.from({ length: count }, () => row(C));
  const own = many(n), typical = many(classes), low = row(C), step = row(C), steps = [O, r, O, classes].map(row);
  const matrix = (scale, columns) => Array.from(scale, (unit) => Float64Array.from({ length: columns }, () => unit * rows.getInt8(place++)));
  const [kernel, W1, W2, W] = [C * 9, O, r, O].map((columns, i) => matrix(steps[i], columns));
  const size = height * width;
  const unpacked = (i) => Array.from({ length: C }, (_, c) => Float64Array.from({ length: size }, (_, p) => low[c] + step[c] * maps.getUint8((i * C + c) * size + p)));
  return { own, typical, kernel, W1, W2, W, bias: row(O), b: row(classes), maps: unpacked, height, width };
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

/** The error function: a series near 0, a continued fraction beyond. */
function erf(x) {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = a, sum = a;
    for (let n = 1; Math.abs(term) > 1e-16 * sum; n += 1) { term *= -(a * a) / n; sum += term / (2 * n + 1); }
    return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n -= 1) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + fraction)));
}

export const gelu = (x) => (x * (1 + erf(x / Math.SQRT2))) / 2;
const dot = (row, vector) => row.reduce((sum, x, i) => sum + x * vector[i], 0);

/** What the rest of the network says to maps with these weights. */
export function logits({ kernel, bias, W1, W2, W, b, height, width }, maps, weights) {
  const on = [...weights.keys()].filter((c) => weights[c]), down = Math.ceil(height / 2), along = Math.ceil(width / 2);
  const z = Float64Array.from(kernel, (row, o) => {
    let mean = 0;
    for (let i = 0; i < down; i += 1) for (let j = 0; j < along; j += 1) {
      let sum = bias[o];
      for (const c of on) {
        let part = 0;
        for (let u = 0; u < 3; u += 1) {
          const y = 2 * i + u - 1;
          if (y < 0 || y >= height) continue;
          for (let v = 0; v < 3; v += 1) {
            const x = 2 * j + v - 1;
            if (x >= 0 && x < width) part += row[9 * c + 3 * u + v] * maps[c][y * width + x];
          }
        }
        sum += weights[c] * part;
      }
      mean += gelu(sum);
    }
    return mean / (down * along);
  });
  const hidden = W1.map((row) => gelu(dot(row, z)));
  const scaled = z.map((x, o) => x / (1 + Math.exp(-dot(W2[o], hidden))));
  return W.map((row, k) => b[k] + dot(row, scaled));
}

const HEIGHT = 170, GATES = [["own", "its own"], ["class", "mean of its class"], ["all", "mean of all classes"], ["open", "all 1"]];

function render(context) {
  const frame = new Frame(context, "ChannelExplorer"), names = frame.get("_names"), classes = frame.get("_classes");
  const [, rows, columns, C, height, wide] = frame.get("_shape"), labels = frame.get("_labels"), pixels = frame.get("_photos");
  const data = unpack({ numbers: frame.get("_numbers"), rows: frame.get("_rows"), maps: frame.get("_maps") }, frame.get("_shape"), classes.length);
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

  const panel = (label) => {
    const title = h("p", { class: "pa-title" }), canvas = h("canvas", { role: "img", "aria-label": label });
    return { title, canvas, box: h("div", {}, title, h("div", { class: "pa-map" }, canvas)) };
  };
  const panels = [panel("The photo"), panel("The map of the chosen channel, times its weight")];
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
  frame.picture.append(h("div", { style: "display: grid; grid-template-columns: 1fr 1fr; gap: 1rem" }, ...panels.map(({ box }) => box)), h("div", {}, table), h("div", { class: "pa-wide" }, h("p", { class: "pa-title" }, "Weights of the channels"), map));
  const terms = ["weight of the channel", "mean of its class", "greatest value of its map", "mean weight", "right class", "most likely"].map((name) => [h("dt", {}, name), number()]);
  frame.picture.after(h("p", { class: "pa-legend" }, h("span", {}, "bar: weight as it is set"), h("span", {}, "— mean of the photo’s class"),
    h("span", {}, "○ set by hand"), h("span", {}, "▲ the chosen channel; click to choose")),
    h("dl", {}, ...terms.map(([name, value]) => h("div", {}, name, h("dd", {}, value)))));

  let x, width, maps;
  function paint(canvas, height, width, value) {
    const side = Math.min(150, panels[0].box.clientWidth), cell = side / width, context = fit(canvas, side, cell * height), { ramp, quiet } = colours(frame.root);
    for (let r = 0; r < height; r += 1) for (let s = 0; s < width; s += 1) {
      context.fillStyle = ramp(Math.max(0, Math.min(1, value(r, s))));
      context.fillRect(Math.floor(s * cell), Math.floor(r * cell), Math.ceil(cell), Math.ceil(cell));
    }
    context.strokeStyle = quiet;
    context.strokeRect(0.5, 0.5, side - 1, cell * height - 1);
  }
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
    if (changed("photo")) maps = data.maps(i);
    if (changed("size", "theme", "photo")) {
      paint(panels[0].canvas, rows, columns, (r, s) => pixels.getUint8((i * rows + r) * columns + s) / 255);
      write(panels[0].title, names[i]);
    }
    const top = Math.max(...maps[at]);
    paint(panels[1].canvas, height, wide, (r, s) => (weights[at] * maps[at][r * wide + s]) / (top > 0 ? top : 1));
    write(panels[1].title, `channel ${at}`);
    hand.refresh();
    const byHand = new Set(frame.get("by_hand").map(([c]) => c)), gap = width / C;
    weights.forEach((weight, c) => {
      place(bars[c], { x: x(c) + 0.15 * gap, y: y(weight), width: 0.7 * gap, height: HEIGHT - y(weight) });
      place(marks[c], { x1: x(c), x2: x(c + 1), y1: y(data.typical[label][c]), y2: y(data.typical[label][c]) });
      place(dots[c], { cx: x(c + 0.5), cy: y(weight), visibility: byHand.has(c) ? "visible" : "hidden" });
    });
    place(band, { x: x(at) });
    place(arrow, { transform: `translate(${x(at + 0.5)},${HEIGHT})` });
    const said = logits(data, maps, weights), p = softmax(said), best = greatest(p);
    lines.forEach(({ name, head, bar, value }, k) => {
      write(head, `${name}${k === label ? " •" : ""}`);
      head.classList.toggle("pa-strong", k === best);
      bar.style.transform = `scaleX(${p[k]})`;
      write(value, fixed(p[k], 4));
    });
    const mean = weights.reduce((a, b) => a + b, 0) / C;
    write(terms[0][0], `weight of channel ${at}`);
    [fixed(weights[at], 3), fixed(data.typical[label][at], 3), fixed(top, 2), fixed(mean, 3), fixed(p[label], 4), classes[best]].forEach((text, t) => write(terms[t][1], text));
    const off = weights.filter((weight) => weight === 0).length;
    write(frame.summary, `${names[i]}, ${off} of ${C} channels off: ${classes[best]} with probability ${fixed(p[best], 2)}${
      best === label ? ", which is right" : `; right would be ${classes[label]}, with ${fixed(p[label], 2)}`}. Channel ${at} has weight ${fixed(weights[at], 2)}, the mean of its class is ${fixed(data.typical[label][at], 2)}.`);
  });
}

export default { render };
