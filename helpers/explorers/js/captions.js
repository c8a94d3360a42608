// A picture and its caption: choose a word, see where the model looked when it wrote it.

import { Frame, colours, entropy, fit, fixed, greatest, h, number, write } from "./parts.js";

async function render(context) {
  const frame = new Frame(context, "CaptionExplorer");
  const readings = frame.get("_readings"), [rows, columns] = frame.get("_grid"), cells = rows * columns;
  const names = [...new Set(readings.map(({ picture }) => picture))], looks = [...new Set(readings.map(({ look }) => look))];
  const levels = frame.get("_levels"), pixels = frame.get("_pixels");
  let at = 0, from = 0;
  const images = await Promise.all(frame.get("_images").map((length) => {
    const bytes = new Uint8Array(pixels.buffer, pixels.byteOffset + at, length);
    at += length;
    return createImageBitmap(new Blob([bytes], { type: "image/webp" }));
  }));
  for (const reading of readings) {
    reading.maps = reading.words.map(() => {
      const map = Float64Array.from({ length: cells }, (_, i) => (levels.getUint8(from + i) / 255) ** 2);
      const sum = map.reduce((a, b) => a + b, 0);
      from += cells;
      return map.map((weight) => weight / sum);
    });
  }
  const chosen = () => readings.find(({ picture, look }) => picture === frame.get("picture") && look === frame.get("look"));
  const place = (cell) => `row ${Math.floor(cell / columns) + 1}, column ${(cell % columns) + 1}`;

  if (names.length > 1) frame.select("picture", "Picture", names.map((name) => [name, name]));
  frame.select("look", "Look", looks.map((name) => [name, name]));
  const slider = frame.range("word", {
    label: "Word", min: 0, max: 0, show: (word) => `${word + 1} of ${chosen().words.length}`,
  });
  frame.checkbox("boxes", "Show known boxes");
  frame.reset();

  const canvases = ["The picture; places with little weight are veiled", "The weights as a map of places"].map((label) => h("canvas", { role: "img", "aria-label": label }));
  const facts = ["gate β", "places that share the weight", "greatest weight", "weight on its box", "by chance"];
  const numbers = facts.map(number), verdict = h("p", { class: "pa-title" }), list = h("ol", { class: "pa-tokens" });
  const top = number();
  frame.picture.classList.add("pa-beside");
  frame.picture.append(h("div", { class: "pa-wide" }, verdict, list), ...canvases.map((canvas) => h("div", { class: "pa-map" }, canvas)));
  const spot = h("span", {}, "◎ where the hard look fell"), outline = h("span", {}, "┄ what the word speaks of");
  frame.picture.after(
    h("p", { class: "pa-legend" }, h("span", {}, "0 ", h("i", { class: "pa-ramp" }), " ", top), spot, outline),
    h("dl", {}, ...facts.map((name, i) => h("div", {}, h("dt", {}, name), h("dd", {}, numbers[i])))));

  let theme, contexts, side;
  function resize() {
    const width = Math.min(canvases[0].parentNode.clientWidth, 340);
    side = [width / columns, width / columns];
    contexts = canvases.map((canvas) => fit(canvas, width, side[1] * rows));
  }

  function build(reading) {
    slider.input.max = reading.words.length - 1;
    if (frame.get("word") >= reading.words.length) frame.set({ word: reading.words.length - 1 });
    slider.refresh();
    list.replaceChildren(...reading.words.map((word, i) => h("li", { click: () => frame.set({ word: i }) }, word)));
    const instead = reading.expected ? `; true would be: ${reading.expected}` : "";
    write(verdict, reading.true ? "✓ true of the picture" : `✗ not true of the picture${instead}`);
  }

  /** A cell belongs to a box if they share a pixel. */
  const inside = (reading, boxes) => {
    const [height, width] = reading.size, high = height / rows, wide = width / columns;
    return Array.from({ length: cells }, (_, i) => {
      const y = Math.floor(i / columns) * high, x = (i % columns) * wide;
      return boxes.some(([left, upper, right, lower]) => left < x + wide && right > x && upper < y + high && lower > y);
    });
  };

  return frame.start((changed) => {
    if (changed("theme")) theme = colours(frame.root);
    if (changed("size")) resize();
    const reading = chosen();
    if (changed("picture", "look")) build(reading);
    const word = Math.min(frame.get("word"), reading.words.length - 1), weights = reading.maps[word];
    const best = greatest(weights), fell = reading.places[word], boxes = reading.boxes[word];
    const [wide, high] = side, scale = (wide * columns) / reading.size[1], text = reading.words[word];
    [...list.children].forEach((item, i) => item.classList.toggle("pa-chosen", i === word));
    const [shaded, map] = contexts;
    for (const context of contexts) context.clearRect(0, 0, wide * columns + 1, high * rows + 1);
    shaded.imageSmoothingEnabled = false;
    shaded.drawImage(images[names.indexOf(reading.picture)], 0, 0, wide * columns, high * rows);
    weights.forEach((weight, cell) => {
      const box = [(cell % columns) * wide, Math.floor(cell / columns) * high, wide + 0.5, high + 0.5];
      shaded.fillStyle = `rgb(128 128 128 / ${0.7 * (1 - Math.sqrt(weight / weights[best]))})`;
      shaded.fillRect(...box);
      map.fillStyle = theme.ramp(weight / weights[best]);
      map.fillRect(...box);
    });
    Object.assign(map, { lineWidth: 1, strokeStyle: theme.quiet });
    map.strokeRect(0.5, 0.5, wide * columns - 1, high * rows - 1);
    for (const context of contexts) {
      if (frame.get("boxes")) {
        for (const [left, upper, right, lower] of boxes) {
          const box = [left * scale, upper * scale, (right - left) * scale, (lower - upper) * scale];
          Object.assign(context, { lineWidth: 4, strokeStyle: "#000" });
          context.strokeRect(...box);
          Object.assign(context, { lineWidth: 2, strokeStyle: "#fff" });
          context.setLineDash([6, 4]);
          context.strokeRect(...box);
          context.setLineDash([]);
        }
      }
      if (fell === undefined) continue;
      const [x, y] = [(fell % columns + 0.5) * wide, (Math.floor(fell / columns) + 0.5) * high];
      for (const [lineWidth, strokeStyle] of [[6, "#000"], [3, "#fff"]]) {
        Object.assign(context, { lineWidth, strokeStyle });
        context.beginPath();
        context.arc(x, y, Math.min(wide, high) * 0.42, 0, 2 * Math.PI);
        context.stroke();
      }
    }
    spot.hidden = fell === undefined;
    outline.hidden = !frame.get("boxes");
    const shared = fixed(2 ** entropy(weights), 1), right = inside(reading, boxes);
    const on = weights.reduce((sum, weight, i) => sum + (right[i] ? weight : 0), 0);
    const chance = right.filter(Boolean).length / cells, percent = (share) => `${fixed(100 * share, 1)} %`;
    const known = frame.get("boxes");
    write(numbers[0], fixed(reading.gates[word], 2));
    write(numbers[1], `${shared} of ${cells}`);
    write(numbers[2], fixed(weights[best], 3));
    write(numbers[3], !known ? "boxes hidden" : boxes.length ? percent(on) : "has no box");
    write(numbers[4], !known ? "–" : boxes.length ? percent(chance) : "–");
    write(top, fixed(weights[best], 3));
    write(frame.summary, [
      `“${text}”, word ${word + 1} of “${reading.words.join(" ")}”: about ${shared} of ${cells} places share the weight, most of it at ${place(best)}.`,
      ...(fell === undefined ? [] : [`The hard look fell on ${place(fell)}.`]),
      ...(known ? [boxes.length ? `${percent(on)} of the weight are on what the word speaks of; by chance ${percent(chance)}.` : "It speaks of no single thing."] : []),
    ].join(" "));
  });
}

export default { render };
