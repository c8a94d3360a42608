// Patches of a photograph attend to patches: choose one, see where it looks.

import { TEMPERATURE, Frame, colours, entropy, fit, fixed, greatest, h, number, softmax, write } from "./parts.js";

/** Log-weights, up to the row's greatest, from their deflated levels; level 255 is weight 0. */
async function unpack(view, depth) {
  const inflated = new Blob([view]).stream().pipeThrough(new DecompressionStream("deflate"));
  const levels = new Uint8Array(await new Response(inflated).arrayBuffer());
  return Float32Array.from(levels, (level) => (level === 255 ? -Infinity : -depth * (level / 90) ** 2));
}

async function render(context) {
  const { model } = context, frame = new Frame(context, "ImageAttentionExplorer");
  const [rows, columns] = frame.get("_grid"), count = rows * columns, foreground = frame.get("_foreground");
  const [logits, photo] = await Promise.all([
    unpack(model.get("_weights"), frame.get("_depth")), createImageBitmap(new Blob([model.get("_image")], { type: "image/webp" })),
  ]);
  const place = (patch) => `row ${Math.floor(patch / columns) + 1}, column ${(patch % columns) + 1}`;

  const { input } = frame.range("query", { label: "Patch", min: 0, max: count - 1, show: place });
  input.addEventListener("keydown", (event) => { // up and down move by a row of patches
    const step = { ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (!step) return;
    event.preventDefault();
    const query = frame.get("query") + step;
    if (query >= 0 && query < count) frame.set({ query });
  });
  frame.range("temperature", TEMPERATURE);
  frame.range("opacity", { label: "Shade", min: 0, max: 1, step: 0.05, show: (opacity) => `${fixed(100 * opacity, 0)} %` });
  frame.reset();

  const canvases = ["The photograph; patches with little weight are in the shade", "The weights as a map of patches"].map((label) => {
    const canvas = h("canvas", { role: "img", "aria-label": label }), point = (event) => {
      const column = Math.floor((event.offsetX / canvas.clientWidth) * columns), row = Math.floor((event.offsetY / canvas.clientHeight) * rows);
      const query = Math.max(0, Math.min(rows - 1, row)) * columns + Math.max(0, Math.min(columns - 1, column));
      if (query !== frame.get("query")) frame.set({ query });
    };
    canvas.addEventListener("click", point);
    canvas.addEventListener("pointermove", (event) => event.buttons && point(event));
    return canvas;
  });
  const names = ["entropy", "effective number of patches", "greatest weight", ...(foreground ? ["weight on the foreground"] : [])];
  const numbers = names.map(number);
  const greatestShown = number();
  frame.picture.classList.add("pa-beside");
  frame.picture.append(...canvases.map((canvas) => h("div", { class: "pa-map" }, canvas)));
  frame.picture.after(
    h("p", { class: "pa-legend" }, h("span", {}, "0 ", h("i", { class: "pa-ramp" }), " ", greatestShown), h("span", {}, "▣ query patch"),
      ...(foreground ? [h("span", {}, "┄ outline of the foreground")] : [])),
    h("dl", {}, ...names.map((name, i) => h("div", {}, h("dt", {}, name), h("dd", {}, numbers[i])))));

  let theme, contexts, cell;
  function resize() {
    const width = Math.min(canvases[0].parentNode.clientWidth, 420);
    cell = [width / columns, (width * photo.height) / photo.width / rows];
    contexts = canvases.map((canvas) => fit(canvas, width, cell[1] * rows));
  }

  /** The edges between foreground and background. */
  function outline(context) {
    context.beginPath();
    foreground.forEach((inside, patch) => {
      if (!inside) return;
      const row = Math.floor(patch / columns), column = patch % columns, [x, y] = [column * cell[0], row * cell[1]];
      if (!row || !foreground[patch - columns]) { context.moveTo(x, y); context.lineTo(x + cell[0], y); }
      if (row === rows - 1 || !foreground[patch + columns]) { context.moveTo(x, y + cell[1]); context.lineTo(x + cell[0], y + cell[1]); }
      if (!column || !foreground[patch - 1]) { context.moveTo(x, y); context.lineTo(x, y + cell[1]); }
      if (column === columns - 1 || !foreground[patch + 1]) { context.moveTo(x + cell[0], y); context.lineTo(x + cell[0], y + cell[1]); }
    });
    context.setLineDash([5, 4]);
    context.stroke();
    context.setLineDash([]);
  }

  return frame.start((changed) => {
    if (changed("theme")) theme = colours(frame.root);
    if (changed("size")) resize();
    const query = frame.get("query"), opacity = frame.get("opacity");
    const weights = softmax(logits.subarray(query * count, (query + 1) * count), frame.get("temperature"));
    const best = greatest(weights), [shaded, map] = contexts, [wide, high] = cell;
    for (const context of contexts) context.clearRect(0, 0, wide * columns + 1, high * rows + 1);
    shaded.drawImage(photo, 0, 0, wide * columns, high * rows);
    weights.forEach((weight, patch) => {
      const box = [(patch % columns) * wide, Math.floor(patch / columns) * high, wide, high];
      shaded.fillStyle = `rgb(12 16 22 / ${opacity * (1 - Math.sqrt(weight / weights[best]))})`;
      shaded.fillRect(...box);
      map.fillStyle = theme.ramp(weight / weights[best]);
      map.fillRect(...box);
    });
    for (const context of contexts) {
      const box = [(query % columns) * wide, Math.floor(query / columns) * high, wide, high];
      if (foreground) {
        Object.assign(context, { lineWidth: 1.5, strokeStyle: context === map ? theme.text : "#fff" });
        outline(context);
      }
      Object.assign(context, { lineWidth: 5, strokeStyle: "#000" });
      context.strokeRect(...box);
      Object.assign(context, { lineWidth: 2.5, strokeStyle: "#fff" });
      context.strokeRect(...box);
    }
    const bits = entropy(weights), effective = fixed(2 ** bits, 1);
    write(numbers[0], `${fixed(bits, 2)} bits`);
    write(numbers[1], `${effective} of ${count}`);
    write(numbers[2], fixed(weights[best], 3));
    write(greatestShown, fixed(weights[best], 3));
    const share = foreground && weights.reduce((sum, weight, patch) => sum + (foreground[patch] ? weight : 0), 0);
    if (foreground) write(numbers[3], `${fixed(100 * share, 1)} %`);
    write(frame.summary, `Query at ${place(query)}: it spreads its weight over about ${effective} of ${count} patches, most on ${
      place(best)} (${fixed(weights[best], 3)})${foreground ? `; ${fixed(100 * share, 0)} % falls on the foreground` : ""}.`);
  });
}

export default { render };
