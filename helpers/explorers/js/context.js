// Linear probes read the digits of a number from its context vector, one softmax for each decimal place.

import { Frame, fixed, greatest, h, number, softmax, write } from "./parts.js";
import { place as set, svg } from "./plot.js";

const PLACES = ["units", "tens", "hundreds", "thousands", "ten thousands", "hundred thousands", "millions", "ten millions", "hundred millions"];
const CELL = 22, TOP = 8, LEFT = 24; // px

function render(context) {
  const frame = new Frame(context, "ContextExplorer"), all = frame.get("_numbers"), lengths = frame.get("_lengths"), places = lengths.at(-1);
  const view = frame.get("_values"), readers = frame.get("_readers"), count = all.length * lengths.length;
  let at = 0;
  const take = (size) => Float64Array.from({ length: size }, () => { at += 4; return view.getFloat32(at - 4, true); });
  const parts = new Map(readers.map(([name, size]) => [name, { size, weights: take(10 * places * size), bias: take(10 * places), contexts: take(count * size) }]));

  frame.select("number", "Number", all.map((each) => [each, each.toLocaleString("en")]), Number);
  frame.range("digits", { label: "Its last digits", min: lengths[0], max: places });
  frame.range("place", { label: "Look at the", min: 0, max: places - 1, show: (p) => PLACES[p] });
  frame.select("reader", "Encoder", readers.map(([name]) => [name, name]));
  frame.reset();

  const grid = svg("svg", { role: "img", "aria-label": "For each decimal place, the probability of each digit", height: TOP + 12 * CELL + 28 });
  const column = svg("rect", { fill: "none", stroke: "var(--pa-accent)", "stroke-width": 2, y: TOP - 4, height: 12 * CELL + 22 });
  const cells = Array.from({ length: places }, (_, p) => Array.from({ length: 10 }, (_, d) => svg("rect", { height: CELL - 2, y: TOP + d * CELL, fill: "var(--pa-ink)", style: "cursor: pointer" })));
  const outlines = cells.map(() => svg("rect", { height: CELL - 2, fill: "none", stroke: "var(--pa-text)", "stroke-width": 2, "pointer-events": "none" }));
  const read = cells.map(() => svg("text", { "text-anchor": "middle", y: TOP + 11 * CELL - 2 })), verdicts = cells.map(() => svg("text", { "text-anchor": "middle", y: TOP + 12 * CELL - 2 }));
  const sides = Array.from({ length: 10 }, (_, d) => svg("text", { x: LEFT - 8, y: TOP + d * CELL + 15, "text-anchor": "end", class: "pa-axis-name" }, String(d)));
  grid.append(...sides, ...cells.flat(), ...outlines, column, ...read, ...verdicts);
  cells.forEach((ten, p) => ten.forEach((cell) => cell.addEventListener("click", () => frame.set({ place: p }))));

  const rows = Array.from({ length: 10 }, (_, d) => {
    const name = h("th", { scope: "row" }, String(d)), share = number(), bar = h("i");
    return { name, share, bar, row: h("tr", {}, name, h("td", { "aria-hidden": "true" }, bar), h("td", {}, share)) };
  });
  const caption = h("caption", {}), box = h("div", {}, grid), title = h("p", { class: "pa-title" });
  const facts = ["digits read right", "mean p of the right digits"], numbers = facts.map(number);
  frame.picture.classList.add("pa-beside");
  frame.picture.append(box, h("div", {}, title, h("table", { class: "pa-bars" }, caption, h("tbody", {}, ...rows.map(({ row }) => row))),
    h("dl", {}, ...facts.map((fact, i) => h("div", {}, h("dt", {}, fact), h("dd", {}, numbers[i]))))));
  frame.picture.after(h("p", { class: "pa-legend" }, h("span", {}, "0 ", h("span", { class: "pa-ramp" }), " 1 probability"),
    h("span", {}, h("b", { class: "pa-true" }), "the right digit"), h("span", {}, "below: what the probe reads, ✓ or ✗"), h("span", {}, "frame: the place looked at; click a column")));

  return frame.start(() => {
    const { size, weights, bias, contexts } = parts.get(frame.get("reader")), chosen = frame.get("number"), digits = frame.get("digits"), looked = frame.get("place");
    const row = all.indexOf(chosen) * lengths.length + digits - lengths[0], z = contexts.subarray(row * size, (row + 1) * size);
    const shares = Array.from({ length: digits }, (_, p) => softmax(Array.from({ length: 10 }, (_, d) => {
      let sum = bias[10 * p + d];
      for (let i = 0; i < size; i += 1) sum += weights[(10 * p + d) * size + i] * z[i];
      return sum;
    })));
    const right = [...String(chosen)].reverse().slice(0, digits).map(Number), said = shares.map((share) => greatest(share));
    const wide = Math.min(box.clientWidth, 460), step = (wide - LEFT - 4) / places, x = (p) => LEFT + (places - 1 - p) * step;
    set(grid, { width: wide });
    set(column, { x: x(looked) - 1, width: step });
    cells.forEach((ten, p) => {
      const there = p < digits;
      ten.forEach((cell, d) => set(cell, { x: x(p) + 1, width: step - 4, "fill-opacity": there ? 0.04 + 0.96 * shares[p][d] : 0.02 }));
      outlines[p].toggleAttribute("hidden", !there);
      if (there) set(outlines[p], { x: x(p) + 1, width: step - 4, y: TOP + right[p] * CELL });
      for (const [mark, text] of [[read[p], there ? String(said[p]) : ""], [verdicts[p], there ? (said[p] === right[p] ? "✓" : "✗") : ""]]) {
        set(mark, { x: x(p) + step / 2 - 1 });
        write(mark, text);
      }
    });
    const here = shares[looked], good = said.filter((digit, p) => digit === right[p]).length;
    write(title, `The last ${digits} digits: ${(chosen % 10 ** digits).toLocaleString("en")}`);
    write(caption, here ? `Probability of each digit as the ${PLACES[looked]}` : `This number has no ${PLACES[looked]}`);
    rows.forEach(({ name, share, bar }, d) => {
      name.classList.toggle("pa-true", Boolean(here) && right[looked] === d);
      write(share, here ? fixed(here[d], 3) : "–");
      bar.style.transform = `scaleX(${here ? here[d] : 0})`;
    });
    write(numbers[0], `${good} of ${digits}`);
    write(numbers[1], fixed(shares.reduce((sum, share, p) => sum + share[right[p]], 0) / digits, 3));
    write(frame.summary, `${frame.get("reader")}, ${(chosen % 10 ** digits).toLocaleString("en")}: the probe reads ${[...said].reverse().join("")}, ${good} of ${digits} digits right.${
      here ? ` The ${PLACES[looked]} are ${right[looked]}, read as ${said[looked]} with probability ${fixed(here[said[looked]], 2)}.` : ""}`);
  });
}

export default { render };
