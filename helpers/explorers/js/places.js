// CBAM's weights of the places after each stage, over the photo, and the two maps that they are computed from.

import { Frame, colours, fit, fixed, h, number, write } from "./parts.js";

const KINDS = [["weight", "weights"], ["maximum", "maximum of channels"], ["mean", "mean of channels"]];

/** One map of one photo as rows of numbers. */
export function unpack(view, sizes, ranges, n, stage, kind, photo) {
  let at = 0;
  for (let s = 0; s < stage; s += 1) at += 3 * n * sizes[s][0] * sizes[s][1];
  const [rows, columns] = sizes[stage], [low, high] = ranges[stage][kind];
  at += (kind * n + photo) * rows * columns;
  return Array.from({ length: rows }, () => Float64Array.from({ length: columns }, () => low + ((high - low) * view.getUint8(at++)) / 255));
}

function render(context) {
  const frame = new Frame(context, "PlaceExplorer"), names = frame.get("_names"), sizes = frame.get("_sizes"), ranges = frame.get("_most");
  const [n, rows, columns] = frame.get("_shape"), pixels = frame.get("_photos"), maps = frame.get("_maps"), ground = frame.get("_ground");
  frame.select("photo", "Photo", names.map((name, i) => [i, name]), Number);
  frame.range("stage", { label: "After convolution", min: 1, max: sizes.length });
  frame.select("show", "Show", KINDS);
  frame.reset();

  const panel = (label) => {
    const title = h("p", { class: "pa-title" }), canvas = h("canvas", { role: "img", "aria-label": label });
    return { title, canvas, box: h("div", {}, title, h("div", { class: "pa-map" }, canvas)) };
  };
  const panels = [panel("The photo"), panel("The map")];
  frame.picture.style.setProperty("--pa-least", "9rem");
  frame.picture.style.setProperty("--pa-maps", "3");
  frame.picture.append(...panels.map(({ box }) => box));
  const terms = ["least", "mean", "greatest", "mean on the thing", "mean on the background"].map((name) => [name, number()]);
  const legend = h("span");
  frame.picture.after(h("p", { class: "pa-legend" }, legend, h("span", {}, h("i", { class: "pa-ramp" }), " least to greatest of this map")),
    h("dl", {}, ...terms.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));

  function paint(canvas, size, height, width, shade) {
    const context = fit(canvas, size, (size * height) / width), cell = size / width;
    for (let r = 0; r < height; r += 1) for (let s = 0; s < width; s += 1) {
      context.fillStyle = shade(r, s);
      context.fillRect(Math.floor(s * cell), Math.floor(r * cell), Math.ceil(cell), Math.ceil(cell));
    }
    return [context, cell];
  }

  return frame.start(() => {
    const photo = frame.get("photo"), stage = frame.get("stage") - 1, kind = KINDS.findIndex(([name]) => name === frame.get("show"));
    const pixel = (r, s) => pixels.getUint8((photo * rows + r) * columns + s) / 255;
    const map = unpack(maps, sizes, ranges, n, stage, kind, photo), [height, width] = sizes[stage], flat = map.flatMap((row) => [...row]);
    const low = Math.min(...flat), high = Math.max(...flat), { ramp } = colours(frame.root);
    const size = Math.min(220, panels[0].box.clientWidth);
    paint(panels[0].canvas, size, rows, columns, (r, s) => ramp(pixel(r, s)));
    paint(panels[1].canvas, size, height, width, (r, s) => ramp((map[r][s] - low) / (high - low || 1)));
    const means = [[0, 0], [0, 0]]; // background, thing: sum and count, pixel by pixel of the photo
    for (let r = 0; r < rows; r += 1) for (let s = 0; s < columns; s += 1) {
      const side = means[pixel(r, s) > ground ? 1 : 0];
      side[0] += map[Math.floor((r * height) / rows)][Math.floor((s * width) / columns)];
      side[1] += 1;
    }
    const [background, thing] = means.map(([sum, count]) => (count ? fixed(sum / count, 3) : "–"));
    const mean = flat.reduce((a, b) => a + b, 0) / flat.length;
    [fixed(low, 3), fixed(mean, 3), fixed(high, 3), thing, background].forEach((text, i) => write(terms[i][1], text));
    write(panels[0].title, names[photo]);
    write(panels[1].title, `${KINDS[kind][1]}, ${height} × ${width}`);
    write(legend, `the thing: pixels above ${fixed(ground, 1)}`);
    write(frame.summary, `${names[photo]}, after convolution ${stage + 1}: ${KINDS[kind][1]} from ${fixed(low, 2)} to ${fixed(high, 2)}, on the thing ${thing} on average, on the background ${background}.`);
  });
}

export default { render };
