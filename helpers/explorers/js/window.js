// Attention to a neighbourhood: choose a pixel, see the weights of its window, and what content and offsets do alone.

import { Frame, colours, entropy, fit, fixed, greatest, h, number, softmax, write } from "./parts.js";

/** A number from its 16 bits: sign, 5 of exponent, 10 of fraction. */
function half(bits) {
  const exponent = (bits >> 10) & 31, fraction = bits & 1023;
  return (bits & 32768 ? -1 : 1) * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

const dot = (a, i, b, j, d) => {
  let sum = 0;
  for (let n = 0; n < d; n += 1) sum += a[i + n] * b[j + n];
  return sum;
};

const signed = (value) => (value > 0 ? `+${value}` : fixed(value, 0));

function render(context) {
  const frame = new Frame(context, "WindowExplorer"), [high, wide, , d, k] = frame.get("_shape"), area = k * k, pixels = high * wide;
  const names = frame.get("_names"), parts = Object.fromEntries(frame.get("_parts"));
  const view = frame.get("_vectors"), vectors = Float64Array.from({ length: view.byteLength / 2 }, (_, i) => half(view.getUint16(2 * i, true)));
  const flat = frame.get("_offsets"), offsets = Float64Array.from({ length: flat.byteLength / 4 }, (_, i) => flat.getFloat32(4 * i, true));
  const grey = frame.get("_images"), heads = frame.get("_shape")[2];
  const at = (pixel) => `row ${Math.floor(pixel / wide) + 1}, column ${(pixel % wide) + 1}`;

  frame.select("picture", "Picture", names.map((name) => [name, name]));
  const { input } = frame.range("query", { label: "Pixel", min: 0, max: pixels - 1, show: at });
  input.addEventListener("keydown", (event) => { // up and down move by a row
    const step = { ArrowUp: -wide, ArrowDown: wide }[event.key];
    if (!step) return;
    event.preventDefault();
    const query = frame.get("query") + step;
    if (query >= 0 && query < pixels) frame.set({ query });
  });
  frame.select("head", "Head", Array.from({ length: heads }, (_, i) => [i, String(i + 1)]), Number);
  frame.select("part", "Energy from", frame.get("_parts"));
  frame.reset();

  const [image, map] = ["The picture; the box is the pixel that asks, the dashed frame its neighbourhood", "The weights of the neighbourhood"].map(
    (label) => h("canvas", { role: "img", "aria-label": label }));
  const point = (event) => {
    const side = image.clientWidth / wide, clip = (value, most) => Math.max(0, Math.min(most - 1, Math.floor(value)));
    const query = clip(event.offsetY / side, high) * wide + clip(event.offsetX / side, wide);
    if (query !== frame.get("query")) frame.set({ query });
  };
  image.addEventListener("click", point);
  image.addEventListener("pointermove", (event) => event.buttons && point(event));
  const terms = ["greatest weight", "where", "on itself", "effective neighbours"].map((name) => [name, number()]), title = h("p", { class: "pa-title" });
  frame.picture.classList.add("pa-beside");
  frame.picture.append(h("div", {}, h("p", { class: "pa-title" }, "The picture"), h("div", { class: "pa-map" }, image)),
    h("div", {}, title, h("div", { class: "pa-map" }, map)));
  map.style.cursor = "auto";
  frame.picture.after(
    h("p", { class: "pa-legend" }, h("span", {}, "▣ the pixel that asks"), h("span", {}, "┄ its neighbourhood"), h("span", {}, "×: beyond the border, weight 0")),
    h("dl", {}, ...terms.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));

  /** Energies of the window; −∞ beyond the border. */
  function energies() {
    const query = frame.get("query"), head = frame.get("head"), part = frame.get("part"), each = heads * pixels * d;
    const queries = 2 * each * names.indexOf(frame.get("picture")) + head * pixels * d, keys = queries + each;
    return Float64Array.from({ length: area }, (_, place) => {
      const row = Math.floor(query / wide) + Math.floor(place / k) - (k >> 1), column = (query % wide) + (place % k) - (k >> 1);
      if (row < 0 || row >= high || column < 0 || column >= wide) return -Infinity;
      const content = dot(vectors, queries + query * d, vectors, keys + (row * wide + column) * d, d);
      const offset = dot(vectors, queries + query * d, offsets, (head * area + place) * d, d);
      return (part === "offsets" ? 0 : content) + (part === "content" ? 0 : offset);
    });
  }

  function paintImage(theme, size) {
    const side = size / wide, paint = fit(image, size, side * high), from = names.indexOf(frame.get("picture")) * pixels, query = frame.get("query");
    for (let i = 0; i < pixels; i += 1) {
      const level = 255 - grey.getUint8(from + i); // ink on paper, in both themes
      paint.fillStyle = `rgb(${level} ${level} ${level})`;
      paint.fillRect((i % wide) * side, Math.floor(i / wide) * side, side + 0.5, side + 0.5);
    }
    const box = (row, column, cells, width, dash) => {
      for (const [line, colour] of [[width + 2.5, "#000"], [width, "#fff"]]) {
        Object.assign(paint, { lineWidth: line, strokeStyle: colour });
        paint.setLineDash(dash);
        paint.strokeRect(column * side, row * side, cells * side, cells * side);
      }
    };
    const row = Math.floor(query / wide), column = query % wide;
    box(row - (k >> 1), column - (k >> 1), k, 1.5, [6, 4]);
    box(row, column, 1, 2, []);
  }

  function paintMap(theme, size, weights, inside) {
    const side = size / k, paint = fit(map, size, size), top = Math.max(...weights);
    Object.assign(paint, { textAlign: "center", textBaseline: "middle", font: `${Math.max(9, Math.min(15, side / 3.2))}px ${theme.font}` });
    weights.forEach((weight, place) => {
      const x = (place % k) * side, y = Math.floor(place / k) * side, share = 0.75 * (weight / top);
      paint.fillStyle = theme.ramp(share);
      paint.fillRect(x, y, side, side);
      paint.fillStyle = share > 0.45 ? theme.paper : theme.text;
      paint.fillText(inside[place] ? fixed(weight, 2).replace(/^0/, "") : "×", x + side / 2, y + side / 2);
      Object.assign(paint, { lineWidth: 1, strokeStyle: theme.quiet });
      paint.strokeRect(x, y, side, side);
    });
    Object.assign(paint, { lineWidth: 3, strokeStyle: theme.text });
    paint.strokeRect((k >> 1) * side, (k >> 1) * side, side, side);
  }

  let theme, size;
  return frame.start((changed) => {
    if (changed("theme")) theme = colours(frame.root);
    if (changed("size")) size = Math.min(image.parentNode.clientWidth, 340);
    const energy = energies(), inside = Array.from(energy, Number.isFinite), weights = softmax(energy);
    paintImage(theme, size);
    paintMap(theme, size, weights, inside);
    const best = greatest(weights), down = Math.floor(best / k) - (k >> 1), right = (best % k) - (k >> 1), effective = fixed(2 ** entropy(weights), 1);
    const where = down || right ? `${signed(down)} down, ${signed(right)} right` : "0, itself";
    write(title, `Weights, head ${frame.get("head") + 1}: ${parts[frame.get("part")]}`);
    [fixed(weights[best], 3), where, fixed(weights[area >> 1], 3), `${effective} of ${inside.filter(Boolean).length}`].forEach((text, i) => write(terms[i][1], text));
    write(frame.summary, `${frame.get("picture")}, pixel at ${at(frame.get("query"))}, head ${frame.get("head") + 1}, ${parts[frame.get("part")]}: greatest weight ${
      fixed(weights[best], 3)} at ${where}; ${fixed(weights[area >> 1], 3)} on itself; spread over about ${effective} pixels.`);
  });
}

export default { render };
