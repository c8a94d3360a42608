// A query dragged among keys in the plane: energies, weights, output.

import { ticks } from "d3-array";
import { Frame, fit, fixed, greatest, h, number, softmax, write } from "./parts.js";
import { axis, linear, place, svg } from "./plot.js";

const FIELD = 120; // pixels of the field along one side

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const times = (matrix, vector) => matrix.map((row) => dot(row, vector));

/** The energy functions: (query, key, index) → energy, with the fixed parts and what the reader chose. */
const ENERGIES = {
  cosine: () => (q, k) => dot(q, k) / (Math.hypot(...q) * Math.hypot(...k)) || 0,
  dot: () => dot,
  scaled_dot: () => (q, k) => dot(q, k) / Math.sqrt(q.length),
  general: ({ general: { W } }) => (q, k) => dot(q, times(W, k)),
  additive: ({ additive: { W_q, W_k, v } }) => (q, k) => {
    const b = times(W_k, k);
    return dot(v, times(W_q, q).map((a, i) => Math.tanh(a + b[i])));
  },
  local: (parameters, { centre, sigma }) => {
    const base = ENERGIES[parameters.local.base](parameters);
    return (q, k, i) => (Math.abs(i - centre) > 2 * sigma ? -Infinity : base(q, k) - (i - centre) ** 2 / (2 * sigma ** 2));
  },
};

const NAMES = {
  cosine: "cosine", dot: "dot product", scaled_dot: "scaled dot product", general: "general (Luong)",
  additive: "additive (Bahdanau)", local: "local (Luong)",
};

const FORMULAS = {
  cosine: () => ["q·k / (|q| |k|)"], dot: () => ["q·k"], scaled_dot: () => ["q·k / √d"], general: () => ["q·(W k)"],
  additive: () => ["v·tanh(W", h("sub", {}, "q"), " q + W", h("sub", {}, "k"), " k)"],
  local: ({ local: { base } }) => [...FORMULAS[base](), " − (i−p)²/2σ², for |i−p| ≤ 2σ"],
};

/** As many hues as keys, of one lightness and strength. */
const hue = (i, n, lightness = 0.62, strength = 0.13) => `oklch(${lightness} ${strength} ${Math.round(20 + (360 * i) / n)})`;

function render(context) {
  const frame = new Frame(context, "EnergyExplorer");
  const keys = frame.get("_keys"), values = frame.get("_values"), labels = frame.get("_labels"), parameters = frame.get("_parameters");
  const n = keys.length, separate = values.some((value, i) => value[0] !== keys[i][0] || value[1] !== keys[i][1]);
  const farthest = Math.max(...[...keys, ...values, frame.get("query")].flat().map(Math.abs));
  const edge = Math.ceil(2.3 * farthest) / 2, round = (x) => Math.max(-edge, Math.min(edge, Math.round(x * 20) / 20));

  frame.select("energy", "Energy function", Object.entries(NAMES));
  for (const [axis, name] of ["Query x", "Query y"].entries()) {
    frame.range("query", {
      label: name, min: -edge, max: edge, step: 0.05, toSlider: (query) => query[axis], show: (query) => fixed(query[axis], 2),
      fromSlider: (x) => frame.get("query").map((old, i) => (i === axis ? x : old)),
    });
  }
  const local = [
    frame.range("centre", { label: "Position p", min: 0, max: n - 1, step: 0.1, show: (p) => fixed(p, 1) }),
    frame.range("sigma", { label: "Width σ", min: 0.5, max: 4, step: 0.1, show: (s) => fixed(s, 1) }),
  ];
  frame.checkbox("field", "Show winners");
  frame.reset();

  // the plane
  const field = h("canvas", { "aria-hidden": "true" }), plane = svg("svg", { role: "img", "aria-label": "The plane with the query, the keys and the output" });
  const axes = [svg("g"), svg("g")];
  const links = keys.map((_, i) => svg("line", { stroke: hue(i, n), "stroke-linecap": "round" }));
  const valueMarks = separate ? values.map((_, i) => svg("rect", { width: 9, height: 9, class: "pa-value", stroke: hue(i, n) })) : [];
  const keyMarks = keys.map((_, i) => svg("circle", { fill: hue(i, n), class: "pa-key" }));
  const keyNames = labels.map((label) => svg("text", { class: "pa-key-name" }, label));
  const arrow = svg("line", { class: "pa-arrow" }), output = svg("path", { d: "M0-8L8 0L0 8L-8 0Z", class: "pa-output" });
  const outputName = svg("text", { class: "pa-key-name pa-strong" }, "z"), queryName = svg("text", { class: "pa-key-name pa-strong" }, "q");
  const handle = svg("circle", { r: 20, class: "pa-handle" }), query = svg("circle", { r: 7, class: "pa-query" });
  plane.append(...axes, arrow, ...links, ...valueMarks, ...keyMarks, ...keyNames, output, outputName, query, queryName, handle);

  // the numbers
  const rows = labels.map((label, i) => {
    const energy = number(), weight = number(), bar = h("i", { style: `background: ${hue(i, n)}` });
    const swatch = h("b", { class: "pa-swatch", style: `background: ${hue(i, n)}`, "aria-hidden": "true" });
    const place = h("span", { class: "pa-note" }, ` i = ${i}`);
    const row = h("tr", {}, h("th", { scope: "row" }, swatch, label, place), h("td", {}, energy), h("td", {}, weight), h("td", { "aria-hidden": "true" }, bar));
    return { energy, weight, bar, place, row };
  });
  const z = number(), share = number(), won = h("dt");
  const formula = h("p", { class: "pa-title" });
  const table = h("table", { class: "pa-bars pa-energies" }, h("caption", {}, "Energies and weights"),
    h("thead", {}, h("tr", {}, ...["key", "energy e", "weight α"].map((name) => h("th", { scope: "col" }, name)), h("td"))),
    h("tbody", {}, ...rows.map(({ row }) => row)));
  const facts = h("dl", {},
    h("div", {}, h("dt", {}, "output z = Σ αᵢ vᵢ"), h("dd", {}, z)), h("div", {}, won, h("dd", {}, share)));
  frame.picture.classList.add("pa-beside");
  const map = h("div", { class: "pa-map" }, field, plane);
  frame.picture.after(h("p", { class: "pa-legend" }, h("span", {}, "● key kᵢ (area and line: weight)"),
    ...(separate ? [h("span", {}, "□ value vᵢ")] : []), h("span", {}, "◇ output z"), h("span", {}, "dashed: query q; drag its end")));
  frame.picture.append(map, h("div", {}, formula, table, facts));

  let size, x, y;
  const drag = (event) => {
    const box = plane.getBoundingClientRect();
    const to = [round(x.invert(event.clientX - box.left)), round(y.invert(event.clientY - box.top))];
    if (to.some((value, i) => value !== frame.get("query")[i])) frame.set({ query: to });
  };
  plane.addEventListener("click", (event) => event.target !== handle && drag(event)); // not the click that ends a drag
  handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
  handle.addEventListener("pointermove", (event) => handle.hasPointerCapture(event.pointerId) && drag(event));

  function resize() {
    size = Math.min(map.clientWidth, 460);
    x = linear([-edge, edge], [0, size]);
    y = linear([-edge, edge], [size, 0]);
    place(plane, { width: size, height: size });
    const marks = ticks(-edge, edge, 5).filter((mark) => mark !== 0 && Math.abs(mark) !== edge);
    place(axes[0], { transform: `translate(0,${y(0)})` });
    place(axes[1], { transform: `translate(${x(0)},0)` });
    axis(axes[0], "bottom", marks.map((mark) => [x(mark), fixed(mark, 0)]));
    axis(axes[1], "left", marks.map((mark) => [y(mark), fixed(mark, 0)]));
    axes[0].append(svg("line", { x2: size }));
    axes[1].append(svg("line", { y2: size }));
    keys.forEach((key, i) => place(keyNames[i], { x: x(key[0]), y: y(key[1]) }));
    valueMarks.forEach((mark, i) => place(mark, { x: x(values[i][0]) - 4.5, y: y(values[i][1]) - 4.5 }));
  }

  let winners = [];
  /** The key of greatest energy at every point of the plane, as a tint of its hue. */
  function paintField(energy) {
    const context = fit(field, size, size), step = size / FIELD, at = linear([0, FIELD], [-edge, edge]);
    if (!frame.get("field")) return;
    const tints = keys.map((_, i) => hue(i, n, 0.62, 0.13));
    context.globalAlpha = 0.22;
    winners = new Array(n).fill(0);
    for (let row = 0; row < FIELD; row += 1) {
      let start = 0, winner = -1;
      for (let column = 0; column <= FIELD; column += 1) {
        const point = [at(column + 0.5), -at(row + 0.5)];
        const next = column === FIELD ? -1 : greatest(keys.map((key, i) => energy(point, key, i)));
        if (next >= 0) winners[next] += 1;
        if (next === winner) continue;
        if (winner >= 0) {
          context.fillStyle = tints[winner];
          context.fillRect(start * step, row * step, (column - start) * step, step);
        }
        [start, winner] = [column, next];
      }
    }
  }

  return frame.start((changed) => {
    const energy = ENERGIES[frame.get("energy")](parameters, { centre: frame.get("centre"), sigma: frame.get("sigma") });
    if (changed("energy")) {
      for (const { box: element } of [...local, ...rows.map(({ place: box }) => ({ box }))]) element.hidden = frame.get("energy") !== "local";
      formula.replaceChildren("e = ", ...FORMULAS[frame.get("energy")](parameters));
    }
    if (changed("size")) resize();
    if (changed("size", "theme", "energy", "centre", "sigma", "field")) paintField(energy);

    const q = frame.get("query"), energies = keys.map((key, i) => energy(q, key, i)), weights = softmax(energies);
    const out = [0, 1].map((axis) => weights.reduce((sum, weight, i) => sum + weight * values[i][axis], 0));
    const best = greatest(weights), [qx, qy] = [x(q[0]), y(q[1])];
    weights.forEach((weight, i) => {
      const [kx, ky] = [x(keys[i][0]), y(keys[i][1])], radius = 4 + 12 * Math.sqrt(weight);
      place(links[i], { x1: qx, y1: qy, x2: kx, y2: ky, "stroke-width": 10 * weight });
      place(keyMarks[i], { cx: kx, cy: ky, r: radius });
      place(keyNames[i], { dy: ky > 30 ? -radius - 5 : radius + 15 });
      write(rows[i].energy, fixed(energies[i], 3));
      write(rows[i].weight, fixed(weight, 3));
      rows[i].bar.style.transform = `scaleX(${weight})`;
    });
    place(arrow, { x1: x(0), y1: y(0), x2: qx, y2: qy });
    for (const mark of [query, handle]) place(mark, { cx: qx, cy: qy });
    place(queryName, { x: qx + 14, y: qy + 5 });
    place(output, { transform: `translate(${x(out[0])},${y(out[1])})` });
    place(outputName, { x: x(out[0]) + 12, y: y(out[1]) + 14 });
    write(z, `(${fixed(out[0], 3)}, ${fixed(out[1], 3)})`);
    write(won, `share of the plane where ${labels[best]} wins`);
    write(share, frame.get("field") ? `${fixed((100 * winners[best]) / FIELD ** 2, 0)} %` : "–");
    const second = greatest(weights.map((weight, i) => (i === best ? -1 : weight)));
    write(frame.summary, `Query (${fixed(q[0], 2)}, ${fixed(q[1], 2)}), ${NAMES[frame.get("energy")]}. Most weight on ${
      labels[best]} (${fixed(weights[best], 2)})${n > 1 ? `, then ${labels[second]} (${fixed(weights[second], 2)})` : ""}. Output (${fixed(out[0], 2)}, ${fixed(out[1], 2)}).`);
  });
}

export default { render };
