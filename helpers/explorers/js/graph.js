// Attention on a graph: the chosen node and what it takes from the others, along the edges.

import { Frame, entropy, fixed, greatest, h, number, write } from "./parts.js";
import { linear, place, svg } from "./plot.js";

/** Row `node` of the matrix to the power of `steps`: weights (N × N in one list) applied so often. */
export function takes(weights, n, node, steps) {
  let row = new Float64Array(n);
  row[node] = 1;
  for (let step = 0; step < steps; step += 1) {
    const next = new Float64Array(n);
    row.forEach((share, i) => { if (share) for (let j = 0; j < n; j += 1) next[j] += share * weights[i * n + j]; });
    row = next;
  }
  return row;
}

const HEIGHT = 380, EDGE = 22; // px
const SHAPES = [(r) => `M${-r},0A${r},${r} 0 1 1 ${r},0A${r},${r} 0 1 1 ${-r},0Z`, (r) => `M${-r},${-r}H${r}V${r}H${-r}Z`]; // circle, square

function render(context) {
  const frame = new Frame(context, "GraphExplorer"), [heads, n] = frame.get("_shape");
  const places = frame.get("_places"), classes = frame.get("_classes"), names = frame.get("_names"), view = frame.get("_weights");
  const flat = Float64Array.from({ length: view.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
  const all = Array.from({ length: heads }, (_, k) => flat.subarray(k * n * n, (k + 1) * n * n));
  all.push(all[0].map((_, i) => all.reduce((sum, each) => sum + each[i], 0) / heads));

  frame.range("node", { label: "Node", min: 0, max: n - 1 });
  frame.select("head", "Head", all.map((_, k) => [k, k < heads ? String(k + 1) : "mean of heads"]), Number);
  frame.range("steps", { label: "Steps", min: 1, max: 4 });
  frame.reset();

  const edges = [];
  for (let i = 0; i < n; i += 1) for (let j = 0; j < i; j += 1) if (all[heads][i * n + j] > 0 || all[heads][j * n + i] > 0) edges.push([i, j]);
  const lines = edges.map(() => svg("line", { stroke: "var(--pa-line)" }));
  const links = Array.from({ length: n }, () => svg("line", { stroke: "var(--pa-ink)", "shape-rendering": "crispEdges" }));
  const marks = classes.map((kind, i) => svg("path", { "stroke-width": 1.5, style: "cursor: pointer" }, svg("title", {}, `node ${i}, ${names[kind]}`)));
  const halos = Array.from({ length: n }, () => svg("circle", { fill: "none", stroke: "var(--pa-text)", "stroke-width": 2, "stroke-dasharray": "4 3" }));
  const labels = classes.map((_, i) => svg("text", { class: "pa-key-name", style: "font-size: 11px" }, String(i)));
  const plot = svg("svg", { role: "img", "aria-label": "The graph with the weights of the chosen node", height: HEIGHT }, ...lines, ...links, ...halos, ...marks, ...labels);
  marks.forEach((mark, i) => mark.addEventListener("click", () => frame.set({ node: i })));
  const rows = Array.from({ length: 6 }, () => {
    const name = h("th", { scope: "row" }), bar = h("i"), value = number();
    return { name, bar, value, row: h("tr", {}, name, h("td", { "aria-hidden": "true" }, bar), h("td", {}, value)) };
  });
  const terms = ["looks at", "own weight", `weight on ${names[0]}`, `weight on ${names[1]}`, "entropy"].map((name) => [name, number()]);
  const box = h("div", {}, plot), caption = h("caption");
  frame.picture.classList.add("pa-beside");
  frame.picture.append(box, h("div", {}, h("table", { class: "pa-bars" }, caption, h("tbody", {}, ...rows.map(({ row }) => row))),
    h("dl", {}, ...terms.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))));
  frame.picture.after(h("p", { class: "pa-legend" }, h("span", {}, `● ${names[0]}`), h("span", {}, `□ ${names[1]}`), h("span", {}, "dashed ring: the chosen node"), h("span", {}, "size and line: weight")));

  let x, y;
  return frame.start((changed) => {
    const node = frame.get("node"), row = takes(all[frame.get("head")], n, node, frame.get("steps"));
    if (changed("size")) {
      const size = box.clientWidth;
      place(plot, { width: size });
      x = linear([0, 1], [EDGE, size - EDGE]);
      y = linear([0, 1], [HEIGHT - EDGE, EDGE]);
      edges.forEach(([i, j], k) => place(lines[k], { x1: x(places[i][0]), y1: y(places[i][1]), x2: x(places[j][0]), y2: y(places[j][1]) }));
    }
    const centre = [x(places[node][0]), y(places[node][1])];
    row.forEach((share, i) => {
      const at = [x(places[i][0]), y(places[i][1])], radius = 5 + 14 * Math.sqrt(share);
      place(marks[i], { d: SHAPES[classes[i]](radius * (classes[i] ? 0.9 : 1)), transform: `translate(${at})`,
        fill: `var(--pa-${classes[i] ? "paper" : share > 0 ? "ink" : "line"})`, stroke: `var(--pa-${share > 0 ? "text" : "line"})` });
      place(links[i], { x1: centre[0], y1: centre[1], x2: at[0], y2: at[1], "stroke-width": share > 0 && i !== node ? Math.max(1, Math.round(14 * share)) : 0 });
      place(halos[i], { cx: at[0], cy: at[1], r: radius + 5, visibility: i === node ? "visible" : "hidden" });
      place(labels[i], { x: at[0], y: at[1] - radius - 4 });
    });
    const order = Array.from(row.keys()).sort((a, b) => row[b] - row[a] || a - b).slice(0, rows.length);
    write(caption, `Most weight of node ${node}`);
    rows.forEach(({ name, bar, value, row: line }, k) => {
      const i = order[k];
      line.hidden = i === undefined || row[i] === 0;
      if (line.hidden) return;
      write(name, `node ${i} ${classes[i] ? "□" : "●"}`);
      bar.style.transform = `scaleX(${row[i]})`;
      write(value, fixed(row[i], 3));
    });
    const on = [0, 1].map((kind) => row.reduce((sum, share, i) => sum + (classes[i] === kind ? share : 0), 0));
    const looked = row.filter((share) => share > 0).length, best = greatest(row);
    [String(looked), fixed(row[node], 3), fixed(on[0], 3), fixed(on[1], 3), `${fixed(entropy(row), 3)} bits`].forEach((text, i) => write(terms[i][1], text));
    write(frame.summary, `Node ${node} (${names[classes[node]]}), ${frame.get("steps")} step${frame.get("steps") > 1 ? "s" : ""}: takes from ${looked} nodes, most from node ${best} (${
      fixed(row[best], 2)}); ${fixed(100 * on[0], 0)} % from ${names[0]}, ${fixed(100 * on[1], 0)} % from ${names[1]}.`);
  });
}

export default { render };
