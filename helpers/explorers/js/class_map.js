// Class activation maps over pictures: which places speak for a class, and which against it.

import { Frame, colours, fit, fixed, greatest, h, number, write } from "./parts.js";

const GRID = 56, CELLS = GRID * GRID;

/** A map on the grid: straight lines between the middles of its cells, as helpers.visual_attention.enlarge draws them. */
function enlarge(map, rows, columns) {
  const between = (i, n) => {
    const at = Math.max(0, Math.min(n - 1, ((i + 0.5) * n) / GRID - 0.5)), low = Math.floor(at);
    return [low, Math.min(n - 1, low + 1), at - low];
  };
  return Float64Array.from({ length: CELLS }, (_, cell) => {
    const [top, bottom, down] = between(Math.floor(cell / GRID), rows), [left, right, along] = between(cell % GRID, columns);
    const row = (y) => (1 - along) * map[y * columns + left] + along * map[y * columns + right];
    return (1 - down) * row(top) + down * row(bottom);
  });
}

async function render(context) {
  const { model } = context, frame = new Frame(context, "ClassMapExplorer"), examples = frame.get("_examples"), count = examples[0].classes.length;
  const bytes = (name, from, length) => { const view = model.get(name); return new Uint8Array(view.buffer, view.byteOffset + from, length); };
  const numbersAt = (from, length) => { const view = model.get("_maps"); return Float32Array.from({ length }, (_, i) => view.getFloat32(4 * (from + i), true)); };
  const [called, digits] = frame.get("_score");
  let imageAt = 0, mapAt = 0;
  const known = await Promise.all(examples.map(async (example, e) => {
    const [rows, columns] = example.shape, image = imageAt, first = mapAt, length = frame.get("_images")[e];
    imageAt += length;
    mapAt += count * rows * columns;
    return {
      ...example,
      photo: await createImageBitmap(new Blob([bytes("_pixels", image, length)], { type: "image/webp" })),
      map: (k) => enlarge(numbersAt(first + k * rows * columns, rows * columns), rows, columns),
      region: (k) => {
        const bits = bytes("_regions", ((e * count + k) * CELLS) / 8, CELLS / 8);
        return Uint8Array.from({ length: CELLS }, (_, cell) => (bits[cell >> 3] >> (7 - (cell & 7))) & 1);
      },
    };
  }));

  frame.select("example", "Picture", examples.map(({ name }) => [name, name]));
  frame.select("shown", "Class", examples[0].classes.map((name, k) => [k, name]), Number);
  const options = [...frame.controls.lastChild.querySelectorAll("option")];
  frame.range("threshold", { label: "Outline from", min: 0.05, max: 0.95, step: 0.05, show: (x) => `${fixed(100 * x, 0)} %` });
  frame.range("opacity", { label: "Shade", min: 0, max: 1, step: 0.05, show: (x) => `${fixed(100 * x, 0)} %` });
  frame.checkbox("against", "Hatch what speaks against");
  frame.reset();

  const titles = ["Picture", "Map"].map((text) => h("p", { class: "pa-title" }, text));
  const canvases = ["The picture; places that do not speak for the class are in the shade", "The map of the class"].map((label) => h("canvas", { role: "img", "aria-label": label }));
  frame.picture.classList.add("pa-beside");
  frame.picture.append(...canvases.map((canvas, i) => h("div", {}, titles[i], h("div", { class: "pa-map" }, canvas))));
  const names = [called, "greatest value", "of the map in its region", "of the picture outlined", "of the picture against"], numbers = names.map(number);
  frame.picture.after(
    h("p", { class: "pa-legend" }, h("span", {}, "0 ", h("i", { class: "pa-ramp" }), " greatest"), h("span", {}, "✕ greatest value"), h("span", {}, "─ outline"), h("span", {}, "┄ where the class is, if marked"), h("span", {}, "╱ against")),
    h("dl", {}, ...names.map((name, i) => h("div", {}, h("dt", {}, name), h("dd", {}, numbers[i])))));

  let size, map, region, best, most, least, marked;
  return frame.start((changed) => {
    const chosen = known.find(({ name }) => name === frame.get("example")), k = frame.get("shown"), name = chosen.classes[k];
    const opacity = frame.get("opacity"), threshold = frame.get("threshold"), against = frame.get("against");
    if (changed("size")) size = Math.min(canvases[0].parentNode.clientWidth, 336);
    if (changed("example")) options.forEach((option, i) => write(option, chosen.classes[i]));
    if (changed("example", "shown")) {
      map = chosen.map(k);
      region = chosen.region(k);
      best = greatest(map);
      most = map[best];
      least = map.reduce((a, b) => Math.min(a, b), Infinity);
      marked = region.some(Boolean);
    }
    const theme = colours(frame.root), [shaded, drawn] = canvases.map((canvas) => fit(canvas, size, size)), cell = size / GRID;
    const part = (value) => (most > 0 ? Math.max(0, value / most) : 0), over = Uint8Array.from(map, (value) => (most > 0 && value >= threshold * most ? 1 : 0));
    shaded.drawImage(chosen.photo, 0, 0, size, size);
    map.forEach((value, i) => {
      const edge = (at) => Math.round(at * cell), [row, column] = [Math.floor(i / GRID), i % GRID];
      const box = [edge(column), edge(row), edge(column + 1) - edge(column), edge(row + 1) - edge(row)];
      shaded.fillStyle = `rgb(12 16 22 / ${opacity * (1 - part(value))})`;
      drawn.fillStyle = theme.ramp(part(value));
      for (const context of [shaded, drawn]) context.fillRect(...box);
    });
    if (against && least < 0) {
      Object.assign(drawn, { lineWidth: 1.5, strokeStyle: theme.text });
      drawn.beginPath();
      map.forEach((value, i) => {
        const [row, column] = [Math.floor(i / GRID), i % GRID];
        if (value >= 0 || (row + column) % 3) return;
        drawn.moveTo(column * cell, (row + 1) * cell);
        drawn.lineTo((column + 1) * cell, row * cell);
      });
      drawn.stroke();
    }
    const outline = (context, inside, colour, width, dash) => {
      const at = (row, column) => row >= 0 && row < GRID && column >= 0 && column < GRID && inside[row * GRID + column];
      context.beginPath();
      inside.forEach((yes, i) => {
        if (!yes) return;
        const row = Math.floor(i / GRID), column = i % GRID, [x, y] = [column * cell, row * cell];
        for (const [dy, dx, ax, ay, bx, by] of [[-1, 0, 0, 0, 1, 0], [1, 0, 0, 1, 1, 1], [0, -1, 0, 0, 0, 1], [0, 1, 1, 0, 1, 1]]) {
          if (at(row + dy, column + dx)) continue;
          context.moveTo(x + ax * cell, y + ay * cell);
          context.lineTo(x + bx * cell, y + by * cell);
        }
      });
      Object.assign(context, { lineWidth: width, strokeStyle: colour });
      context.setLineDash(dash);
      context.stroke();
      context.setLineDash([]);
    };
    const [cx, cy] = [((best % GRID) + 0.5) * cell, (Math.floor(best / GRID) + 0.5) * cell];
    for (const [context, under, ink] of [[shaded, "#000", "#fff"], [drawn, theme.paper, theme.text]]) {
      outline(context, over, under, 4, []);
      outline(context, over, ink, 2, []);
      if (marked) {
        outline(context, region, under, 3.5, []);
        outline(context, region, ink, 1.75, [5, 4]);
      }
      for (const [colour, width] of [[under, 5], [ink, 2.5]]) {
        Object.assign(context, { lineWidth: width, strokeStyle: colour });
        context.beginPath();
        context.moveTo(cx - 6, cy - 6); context.lineTo(cx + 6, cy + 6); context.moveTo(cx - 6, cy + 6); context.lineTo(cx + 6, cy - 6);
        context.stroke();
      }
    }
    Object.assign(drawn, { lineWidth: 1, strokeStyle: theme.quiet });
    drawn.strokeRect(0.5, 0.5, size - 1, size - 1);
    let positive = 0, inside = 0;
    map.forEach((value, i) => { if (value > 0) { positive += value; inside += value * region[i]; } });
    const share = (cells) => `${fixed((100 * cells.reduce((sum, yes) => sum + (yes ? 1 : 0), 0)) / CELLS, 1)} %`;
    const where = !marked ? "not marked" : region[best] ? "inside ✓" : "outside ✗", held = marked && positive ? `${fixed((100 * inside) / positive, 1)} %` : "–";
    write(titles[0], chosen.name);
    write(titles[1], against ? `${name}, for and against` : name);
    write(numbers[0], fixed(chosen.scores[k], digits));
    write(numbers[1], where);
    write(numbers[2], held);
    write(numbers[3], share(over));
    write(numbers[4], against ? share([...map].map((value) => value < 0)) : "–");
    write(frame.summary, `${chosen.name}, asked for ${name} (${called} ${fixed(chosen.scores[k], digits)}): the greatest value is ${marked ? where.slice(0, -2) : "at row"} ${
      marked ? "the region, at row" : ""} ${Math.floor(best / GRID) + 1}, column ${(best % GRID) + 1} of ${GRID}; ${share(over)} of the picture reach ${fixed(100 * threshold, 0)} % of it.`.replace(/ {2,}/g, " "));
  });
}

export default { render };
