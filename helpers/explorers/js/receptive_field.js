// The receptive field of a stack of convolutions: the square of theory, and what was measured within it.

import { ticks } from "d3-array";
import { inflated } from "./inflate.js";
import { Frame, colours, fit, fixed, h, number, write } from "./parts.js";
import { axis, linear, place, svg } from "./plot.js";

const WINDOW = 81, MIDDLE = 40, SHARE = 0.0455; // of a normal distribution outside two standard deviations
const HEIGHT = 260, TOP = 12, BOTTOM = 216, LEFT = 12, RIGHT = 12; // px

/** The window of a field: `at(y, x)` within the side, zeros beyond. */
const inWindow = (side, at) => {
  const cut = (WINDOW - side) / 2, inside = (i) => i >= cut && i < cut + side;
  return Array.from({ length: WINDOW }, (_, y) => Float64Array.from({ length: WINDOW }, (_, x) => (inside(y) && inside(x) ? at(y - cut, x - cut) : 0)));
};

/** Uniform kernels: a row of n·(k − 1) + 1 numbers, k equal ones convolved n times; the field is its outer product. */
function uniform(n, k) {
  let row = [1];
  for (let layer = 0; layer < n; layer += 1) {
    const next = new Float64Array(row.length + k - 1);
    row.forEach((x, i) => { for (let j = 0; j < k; j += 1) next[i + j] += x / k; });
    row = next;
  }
  const cut = Math.max(0, (row.length - WINDOW) / 2);
  return inWindow(Math.min(row.length, WINDOW), (y, x) => row[y + cut] * row[x + cut]);
}

async function render(context) {
  const { model } = context, frame = new Frame(context, "ReceptiveFieldExplorer");
  const levels = new Uint8Array(await inflated(model.get("_levels")).arrayBuffer()), depths = frame.get("_depths");
  let start = 0;
  const stored = frame.get("_fields").map((each) => {
    const from = start;
    start += each.side ** 2;
    return { ...each, field: () => inWindow(each.side, (y, x) => (levels[from + y * each.side + x] / 255) ** 2) };
  });

  frame.range("depth", { label: "Layers", min: 0, max: depths.length - 1, show: (i) => String(depths[i]) });
  frame.select("kernel", "Kernel", [[3, "3 × 3"], [5, "5 × 5"]], Number);
  frame.select("weights", "Weights", frame.get("_weights").map((name) => [name, name]));
  frame.range("square", { label: "Your square", min: 1, max: WINDOW, step: 2, show: (side) => `${side} px` });
  frame.reset();

  const canvas = h("canvas", { role: "img", "aria-label": "The field: how much each pixel changes the middle unit" });
  const below = svg("g", { transform: `translate(0,${BOTTOM})` }), curve = svg("path", { class: "pa-line" }), normal = svg("path", { class: "pa-line pa-unscaled" });
  const borders = [0, 1].map(() => svg("line", { class: "pa-here", y1: TOP, y2: BOTTOM })), name = svg("text", { class: "pa-axis-name", y: HEIGHT - 8 }, "pixels from the middle");
  const plot = svg("svg", { role: "img", "aria-label": "The field summed over its rows, and a normal curve of the same spread", height: HEIGHT }, below, ...borders, normal, curve, name);
  const note = h("p", { class: "pa-note" });
  const boxes = [["The field", canvas], ["Its profile", plot]].map(([text, node]) => h("div", {}, h("p", { class: "pa-title" }, text), node));
  frame.picture.classList.add("pa-beside");
  frame.picture.append(...boxes);
  const names = ["theory", "measured σ", "σ of uniform weights", "side of what counts", "in your square"], numbers = names.map(number);
  frame.picture.after(note,
    h("p", { class: "pa-legend" }, h("span", {}, "▢ theory’s square"), h("span", {}, "┄ your square"), h("span", {}, "profile: ─ measured, ┄ normal curve of that σ, │ theory’s border")),
    h("dl", {}, ...names.map((each, i) => h("div", {}, h("dt", {}, each), h("dd", {}, numbers[i])))));

  let size, wide, chosen, field, total;
  return frame.start((changed) => {
    const layers = depths[frame.get("depth")], weights = frame.get("weights"), square = frame.get("square");
    if (changed("size")) {
      size = Math.min(boxes[0].clientWidth, 330);
      wide = boxes[1].clientWidth;
      place(plot, { width: wide });
      place(name, { x: wide / 2 });
    }
    if (changed("depth", "kernel", "weights")) {
      const wanted = frame.get("kernel"), find = (k) => stored.find((each) => each.weights === weights && each.kernel === k && each.layers === layers);
      const known = find(wanted) ?? find(3) ?? stored[0], kernel = weights === "uniform" ? wanted : known.kernel;
      field = weights === "uniform" ? uniform(layers, kernel) : known.field();
      const most = field[MIDDLE].reduce((a, b) => Math.max(a, b)), greatest = Math.max(most, ...field.map((row) => Math.max(...row)));
      const counted = field.reduce((sum, row) => sum + row.filter((x) => x >= SHARE * greatest).length, 0);
      const expected = Math.sqrt((layers * (kernel ** 2 - 1)) / 12), theory = layers * (kernel - 1) + 1;
      chosen = { kernel, theory, expected, greatest, ...(weights === "uniform" ? { sigma: expected, size: Math.sqrt(counted) } : known) };
      total = field.reduce((sum, row) => sum + row.reduce((a, b) => a + b, 0), 0);
      write(note, kernel === wanted ? "" : `These weights were trained with ${kernel} × ${kernel} alone, so that is what you see.`);
    }
    const colour = colours(frame.root), drawing = fit(canvas, size, size), cell = size / WINDOW;
    field.forEach((row, y) => row.forEach((x, i) => {
      drawing.fillStyle = colour.ramp(Math.sqrt(x / chosen.greatest));
      drawing.fillRect(Math.floor(i * cell), Math.floor(y * cell), Math.ceil(cell), Math.ceil(cell));
    }));
    const outline = (side, width, dash) => {
      Object.assign(drawing, { lineWidth: width, strokeStyle: colour.text });
      drawing.setLineDash(dash);
      drawing.strokeRect(((WINDOW - side) / 2) * cell, ((WINDOW - side) / 2) * cell, side * cell, side * cell);
    };
    if (chosen.theory <= WINDOW) outline(chosen.theory, 2, []);
    outline(square, 1.5, [4, 3]);
    Object.assign(drawing, { lineWidth: 1, strokeStyle: colour.quiet });
    drawing.setLineDash([]);
    drawing.strokeRect(0.5, 0.5, size - 1, size - 1);

    const profile = field.map((row) => row.reduce((a, b) => a + b, 0) / total), top = 1.08 * Math.max(...profile);
    const x = linear([-MIDDLE - 0.5, MIDDLE + 0.5], [LEFT, wide - RIGHT]), y = linear([0, top], [BOTTOM, TOP]);
    axis(below, "bottom", ticks(-MIDDLE, MIDDLE, 8).map((mark) => [x(mark), String(mark).replace("-", "−")]));
    const bell = (at) => Math.exp(-(at ** 2) / 2 / chosen.sigma ** 2) / chosen.sigma / Math.sqrt(2 * Math.PI);
    place(curve, { d: `M${profile.map((height, i) => `${x(i - MIDDLE)},${y(height)}`).join("L")}` });
    place(normal, { d: `M${profile.map((_, i) => `${x(i - MIDDLE)},${Math.max(TOP - 8, y(bell(i - MIDDLE)))}`).join("L")}` });
    borders.forEach((border, i) => {
      const at = x((i ? 1 : -1) * (chosen.theory / 2));
      place(border, { x1: at, x2: at });
      border.style.display = chosen.theory <= WINDOW ? "" : "none";
    });

    const edge = (square - 1) / 2, near = (i) => Math.abs(i - MIDDLE) <= edge;
    const inside = field.reduce((sum, row, i) => (near(i) ? sum + row.reduce((a, b, j) => (near(j) ? a + b : a), 0) : sum), 0) / total;
    write(numbers[0], `${chosen.theory} px`);
    write(numbers[1], `${fixed(chosen.sigma, 2)} px`);
    write(numbers[2], `${fixed(chosen.expected, 2)} px`);
    write(numbers[3], `${fixed(chosen.size, 1)} px`);
    write(numbers[4], `${fixed(100 * inside, 1)} %`);
    write(frame.summary, `${layers} layers of ${chosen.kernel} × ${chosen.kernel}, weights: ${weights}. In theory the unit sees ${chosen.theory} pixels each way${
      chosen.theory > WINDOW ? ", more than the picture shows" : ""}; the measured field has σ = ${fixed(chosen.sigma, 2)}, and ${fixed(100 * inside, 0)} % of it lies in your square of ${square} × ${square}.`);
  });
}

export default { render };
