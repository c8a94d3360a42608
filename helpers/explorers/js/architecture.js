// The Transformer as a diagram: choose a block, see its equation, its code, its shapes and its tensor on an example.

import { Frame, colours, fit, fixed, greatest, h, number, write } from "./parts.js";
import { svg } from "./plot.js";

const WIDTH = 348, BOX = 140, HIGH = 32, GAP = 14, ROW = 20, LABEL = 84; // px
const x = (side) => 18 + side * 172;

/** float16 → numbers. */
function halves(view) {
  const values = new Float64Array(view.byteLength / 2);
  for (let i = 0; i < values.length; i += 1) {
    const bits = view.getUint16(2 * i, true), exponent = (bits >> 10) & 31, fraction = bits & 1023;
    const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024);
    values[i] = bits & 0x8000 ? -size : size;
  }
  return values;
}

function render(context) {
  const { model } = context, frame = new Frame(context, "ArchitectureExplorer");
  const blocks = frame.get("_blocks"), examples = frame.get("_examples"), codes = frame.get("_codes"), words = frame.get("_words");
  const values = halves(model.get("_tensors")), names = examples.map(({ name }) => name), heads = frame.get("_heads");
  const sides = [0, 1].map((side) => blocks.filter((each) => each.side === side));
  const tallest = Math.max(...sides.map((side) => side.length)), high = tallest * (HIGH + GAP) + 26;
  const y = (block) => high - 20 - (sides[block.side].indexOf(block) + 1) * (HIGH + GAP) + GAP;

  // where each example's tensors begin: example by example, block by block
  let at = 0;
  const starts = examples.map(({ shapes }) => shapes.map(([h_, rows, columns]) => {
    const start = at;
    at += h_ * rows * columns;
    return start;
  }));

  const exampleNow = () => examples[names.indexOf(frame.get("example"))], rowsNow = () => exampleNow().shapes[frame.get("block")][1];

  frame.select("block", "Block", blocks.map((block, i) => [i, `${block.side ? "decoder" : "encoder"}: ${block.title}`]), Number);
  frame.controls.lastChild.style.minWidth = "min-content"; // its words are long
  frame.select("example", "Number", names.map((name) => [name, name]));
  const rowSlider = frame.range("row", { label: "Token", min: 1, max: 99, show: (row) => `${Math.min(row, rowsNow())} of ${rowsNow()}` });
  const headSlider = frame.range("head", { label: "Head", min: 1, max: heads });
  frame.reset();

  // the diagram
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${high}`, style: "width: 100%; max-width: 440px; height: auto", role: "img", "aria-label": "Diagram of the Transformer: the encoder at the left, the decoder at the right, from bottom to top" });
  const head = svg("marker", { id: `pa-head-${Math.random().toString(36).slice(2)}`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
    svg("path", { d: "M0 0L8 4L0 8Z", style: "fill: var(--pa-quiet)" }));
  drawing.append(svg("defs", {}, head));
  const arrow = (d) => svg("path", { d, style: "fill: none; stroke: var(--pa-quiet); stroke-width: 1.5", "marker-end": `url(#${head.id})` });
  for (const [side, name] of ["encoder", "decoder"].entries()) {
    const inner = sides[side].filter((block) => block.repeated), top = y(inner[inner.length - 1]) - 8, bottom = y(inner[0]) + HIGH + 8;
    drawing.append(svg("rect", { x: x(side) - 14, y: top, width: BOX + 28, height: bottom - top, rx: 8, style: "fill: var(--pa-tint); stroke: var(--pa-line); stroke-dasharray: 5 4" }),
      svg("text", { x: x(side) + BOX / 2, y: high - 3, style: "text-anchor: middle; font-weight: 600" }, name));
    sides[side].slice(1).forEach((block, i) => {
      const outer = side ? x(1) + BOX : x(0), way = side ? 10 : -10;
      if (block.short === "add & norm") drawing.append(arrow(`M${x(side) + BOX / 2} ${y(sides[side][i]) + HIGH + 7}H${outer + way}V${y(block) + HIGH / 2}H${outer + way / 10}`));
      drawing.append(arrow(`M${x(side) + BOX / 2} ${y(sides[side][i])}V${y(block) + HIGH + 1}`));
    });
  }
  const cross = blocks.find((block) => block.cross), memory = sides[0][sides[0].length - 1], over = y(memory) - 20;
  drawing.append(arrow(`M${x(0) + BOX / 2} ${y(memory)}V${over}H${x(0) + BOX + 16}V${y(cross) + HIGH / 2}H${x(1) - 1}`));
  const boxes = blocks.map((block, i) => {
    const rect = svg("rect", { x: x(block.side), y: y(block), width: BOX, height: HIGH, rx: 6 });
    const text = svg("text", { x: x(block.side) + BOX / 2, y: y(block) + HIGH / 2 + 4.5 }, block.short);
    drawing.append(svg("g", { style: "cursor: pointer" }, rect, text));
    drawing.lastChild.addEventListener("click", () => frame.set({ block: i }));
    return { rect, text };
  });

  // what is said of the block
  const title = h("p", { class: "pa-title" }), equation = h("p", {}), note = h("p", { class: "pa-note" });
  const map = h("canvas", { "aria-hidden": "true" }), box = h("div", { class: "pa-map" }, map);
  const terms = ["shape", "tensor here", "parameters", "mean", "standard deviation", ""].map((term) => ({ term: h("dt", {}, term), value: number() }));
  const facts = h("dl", {}, ...terms.map(({ term, value }) => h("div", {}, term, h("dd", {}, value))));
  const code = h("pre", { tabindex: "0", role: "region", "aria-label": "Code of the block", style: "margin: 0; padding: 0.6rem 0.8rem; overflow: auto; max-height: 19rem; border: 1px solid var(--pa-line); border-radius: 0.4rem; background: var(--pa-tint); color: inherit; font-size: 0.8125rem; line-height: 1.45" });
  frame.picture.classList.add("pa-beside");
  frame.picture.style.gridTemplateColumns = "repeat(auto-fit, minmax(min(100%, 18rem), 1fr))";
  frame.picture.append(drawing, h("div", {}, title, equation, note, box, facts), h("div", { class: "pa-wide" }, code));
  frame.picture.after(h("p", { class: "pa-legend" }, h("span", {}, "Click a block or choose it in the list. Dashed frame: one layer, repeated."),
    h("span", {}, "least ", h("i", { class: "pa-ramp" }), " greatest value of the tensor; outlined: the chosen token's row, click to choose")));

  const now = () => {
    const i = frame.get("block"), block = blocks[i], example = exampleNow();
    const [h_, rows, columns] = example.shapes[i], chosen = Math.min(frame.get("head"), h_) - 1;
    const start = starts[examples.indexOf(example)][i] + chosen * rows * columns;
    const lists = { source: example.source, target: example.target, "source words": words[0], "target words": words[1] };
    return { block, rows, columns, h_, row: Math.min(frame.get("row"), rows) - 1, tensor: values.subarray(start, start + rows * columns),
      tokens: lists[block.rows], across: lists[block.columns] };
  };
  map.addEventListener("click", ({ offsetY }) => {
    const { rows } = now();
    frame.set({ row: Math.max(1, Math.min(rows, Math.ceil(offsetY / ROW))) });
  });

  let palette;
  return frame.start((changed) => {
    if (changed("theme")) palette = colours(frame.root);
    const { block, rows, columns, h_, row, tensor, tokens, across } = now();
    headSlider.box.hidden = h_ === 1;
    rowSlider.input.max = rows;
    rowSlider.refresh();
    blocks.forEach((each, i) => {
      const chosen = each === block;
      boxes[i].rect.style.cssText = `fill: var(${chosen ? "--pa-ink" : "--pa-paper"}); stroke: var(${chosen ? "--pa-text" : "--pa-quiet"}); stroke-width: ${chosen ? 2.5 : 1}`;
      boxes[i].text.style.cssText = `text-anchor: middle; font-size: 12px; fill: var(${chosen ? "--pa-paper" : "--pa-text"}); font-weight: ${chosen ? 700 : 400}`;
    });

    write(title, `${block.side ? "Decoder" : "Encoder"}: ${block.title}`);
    write(equation, block.equation);
    write(note, block.note);
    write(code, codes[block.code]);

    const [least, most] = [Math.min(...tensor), Math.max(...tensor)], step = Math.min(28, (box.clientWidth - LABEL - 2) / columns);
    const width = LABEL + step * columns + 2, context2d = fit(map, width, rows * ROW + (across && columns <= 12 ? 70 : 2)), values_ = tensor.subarray(row * columns, (row + 1) * columns);
    context2d.font = `13px ${palette.font}`;
    context2d.textAlign = "right";
    for (let i = 0; i < rows; i += 1) {
      for (let j = 0; j < columns; j += 1) {
        context2d.fillStyle = palette.ramp((tensor[i * columns + j] - least) / (most - least || 1));
        context2d.fillRect(LABEL + j * step, i * ROW + 1, Math.ceil(step * 10) / 10, ROW);
      }
      context2d.fillStyle = i === row ? palette.text : palette.quiet;
      context2d.fillText(tokens[i], LABEL - 6, i * ROW + 15, LABEL - 8);
    }
    if (across && columns <= 12) {
      context2d.fillStyle = palette.quiet;
      across.forEach((token, j) => {
        context2d.save();
        context2d.translate(LABEL + (j + 0.5) * step + 4, rows * ROW + 7);
        context2d.rotate(-Math.PI / 3);
        context2d.fillText(token, 0, 4, 70);
        context2d.restore();
      });
    }
    context2d.strokeStyle = palette.text;
    context2d.lineWidth = 2;
    context2d.strokeRect(LABEL, row * ROW + 1, step * columns, ROW);

    const mean = tensor.reduce((sum, value) => sum + value, 0) / tensor.length;
    const deviation = Math.sqrt(tensor.reduce((sum, value) => sum + (value - mean) ** 2, 0) / tensor.length);
    const best = greatest(values_), where = across ? across[best] : `number ${best + 1}`;
    const shape = `${h_ > 1 ? `${h_} × ` : ""}${rows} × ${columns}`;
    [block.shape, shape, block.parameters.toLocaleString("en"), fixed(mean, 3), fixed(deviation, 3), `${where} ${fixed(values_[best], 3)}`]
      .forEach((text, i) => write(terms[i].value, text));
    write(terms[5].term, `greatest for “${tokens[row]}”`);
    write(frame.summary, `${block.side ? "Decoder" : "Encoder"}, ${block.title}${h_ > 1 ? `, head ${Math.min(frame.get("head"), h_)} of ${h_}` : ""}. Tensor ${shape}, ${
      block.parameters} parameters. In the row of “${tokens[row]}” the greatest value is ${fixed(values_[best], 3)}, at ${where}.`);
  });
}

export default { render };
