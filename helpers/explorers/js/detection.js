// What the object queries of a detector find in a picture: choose one, see its box and where its decoder looked.

import { inflated } from "./inflate.js";
import { Frame, colours, entropy, fit, fixed, greatest, h, number, write } from "./parts.js";

const edges = ([x, y, w, h]) => [x - w / 2, y - h / 2, x + w / 2, y + h / 2];
const shared = (a, b) => Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));

/** Intersection over union of two boxes, (centre x, centre y, width, height). */
export function iou(one, other) {
  const both = shared(edges(one), edges(other));
  return both ? both / (one[2] * one[3] + other[2] * other[3] - both) : 0;
}

/** The share of the weights, places of a grid row by row, that lies in a box. */
export function inside(weights, box, rows, columns) {
  return weights.reduce((sum, weight, place) => {
    const x = (place % columns) / columns, y = Math.floor(place / columns) / rows;
    return sum + weight * shared([x, y, x + 1 / columns, y + 1 / rows], edges(box)) * rows * columns;
  }, 0);
}

/** Weights of one row from their levels, round(255 √w); rows of several heads are averaged. */
export function fromLevels(rows) {
  const mean = new Float64Array(rows[0].length);
  for (const row of rows) {
    const squares = Float64Array.from(row, (level) => (level / 255) ** 2), sum = squares.reduce((a, b) => a + b, 0);
    squares.forEach((w, i) => { mean[i] += w / sum / rows.length; });
  }
  return mean;
}

async function render(context) {
  const { model } = context, frame = new Frame(context, "DetectionExplorer"), scenes = frame.get("_scenes"), classes = frame.get("_classes");
  const [pixels, layers, heads, queries, rows, columns] = frame.get("_shape"), area = 3 * pixels ** 2, count = rows * columns;
  const bytes = new Uint8Array(await inflated(model.get("_data")).arrayBuffer());
  const photos = await Promise.all(scenes.map((_, i) => {
    const picture = new ImageData(pixels, pixels);
    for (let p = 0; p < pixels ** 2; p += 1) picture.data.set([...bytes.subarray(i * area + 3 * p, i * area + 3 * p + 3), 255], 4 * p);
    return createImageBitmap(picture);
  }));
  const chosen = () => scenes.findIndex(({ name }) => name === frame.get("scene"));

  frame.select("scene", "Picture", scenes.map(({ name }) => [name, name]));
  frame.range("query", { label: "Query", min: 0, max: queries - 1, show: (i) => String(i + 1) });
  frame.range("layer", { label: "Layer", min: 0, max: layers - 1, show: (i) => `${i + 1} of ${layers}` });
  frame.select("head", "Head", [[-1, "mean of all"], ...Array.from({ length: heads }, (_, i) => [i, `head ${i + 1}`])], Number);
  frame.range("threshold", { label: "Score at least", min: 0, max: 0.99, step: 0.01, show: (t) => fixed(t, 2) });
  frame.reset();

  const titles = ["Found and known", ""].map((text) => h("p", { class: "pa-title" }, text));
  const canvases = ["The picture with the boxes found and the known ones", "The picture, grey where the chosen query does not look"].map((label) => {
    const canvas = h("canvas", { role: "img", "aria-label": label });
    canvas.addEventListener("click", ({ offsetX, offsetY }) => { // the smallest box shown here
      const x = offsetX / canvas.clientWidth, y = offsetY / canvas.clientHeight;
      const hit = scenes[chosen()].found.map(([, score, ...box], i) => ({ score, box, edge: edges(box), i }))
        .filter(({ score, edge: [l, t, r, b] }) => score >= frame.get("threshold") && x >= l && x <= r && y >= t && y <= b)
        .sort((a, b) => a.box[2] * a.box[3] - b.box[2] * b.box[3]);
      if (hit.length) frame.set({ query: hit[0].i });
    });
    return canvas;
  });
  frame.picture.classList.add("pa-beside");
  frame.picture.append(...canvases.map((canvas, i) => h("div", {}, titles[i], h("div", { class: "pa-map" }, canvas))));
  const names = ["boxes found", "this query says", "overlap with the best known box", "weight inside its box", "effective number of places"];
  const numbers = names.map(number);
  frame.picture.after(
    h("p", { class: "pa-legend" }, h("span", {}, "┄ known box"), h("span", {}, "─ found"), h("span", {}, "━ the chosen query"), h("span", {}, "the greyer, the less weight")),
    h("dl", {}, ...names.map((name, i) => h("div", {}, h("dt", {}, name), h("dd", {}, numbers[i])))));

  let side, contexts, tags;
  function stroke(context, box, dash, thick) {
    const [l, t, r, b] = edges(box).map((x) => x * side), place = [l, t, r - l, (b - t)];
    context.setLineDash(dash);
    Object.assign(context, { lineWidth: thick + 2.5, strokeStyle: "#000" });
    context.strokeRect(...place);
    Object.assign(context, { lineWidth: thick, strokeStyle: "#fff" });
    context.strokeRect(...place);
    context.setLineDash([]);
    return [l, t, b];
  }
  function tag(context, text, [left, top, bottom], font) {
    Object.assign(context, { font: `600 12px ${font}`, textBaseline: "middle" });
    const wide = context.measureText(text).width + 8, x = Math.max(0, Math.min(left, side - wide)), below = Math.min(bottom + 2, side - 16);
    const free = (at) => at >= 0 && !tags.some(([u, v, w]) => Math.abs(v - at) < 16 && u < x + wide && x < u + w); // above, below, or further below
    const y = [top - 18, below, below + 17, below + 34].find(free) ?? below;
    tags.push([x, y, wide]);
    context.fillStyle = "#000";
    context.fillRect(x, y, wide, 16);
    context.fillStyle = "#fff";
    context.fillText(text, x + 4, y + 8.5);
  }

  let theme;
  return frame.start((changed) => {
    if (changed("theme")) theme = colours(frame.root);
    if (changed("size")) {
      side = Math.min(canvases[0].parentNode.clientWidth, 360);
      contexts = canvases.map((canvas) => fit(canvas, side, side));
    }
    const at = chosen(), { truth, found } = scenes[at], [query, layer, head, threshold] = ["query", "layer", "head", "threshold"].map((trait) => frame.get(trait));
    const [label, score, ...box] = found[query], says = `${classes[label]}, ${fixed(score, 2)}`;
    const row = (one) => {
      const start = scenes.length * area + (((at * layers + layer) * heads + one) * queries + query) * count;
      return bytes.subarray(start, start + count);
    };
    const weights = fromLevels(head < 0 ? Array.from({ length: heads }, (_, i) => row(i)) : [row(head)]), top = weights[greatest(weights)];
    const [left, right] = contexts;
    tags = [];
    for (const context of contexts) {
      context.clearRect(0, 0, side, side);
      context.imageSmoothingEnabled = false;
      context.drawImage(photos[at], 0, 0, side, side);
    }
    weights.forEach((weight, place) => {
      right.fillStyle = `rgb(128 128 128 / ${0.92 * (1 - Math.sqrt(weight / top))})`;
      const [l, t, r, b] = [place % columns, Math.floor(place / columns), (place % columns) + 1, Math.floor(place / columns) + 1]
        .map((at, i) => Math.round((at * side) / (i % 2 ? rows : columns)));
      right.fillRect(l, t, r - l, b - t);
    });
    for (const [, ...known] of truth) stroke(left, known, [5, 4], 1.5);
    const shown = found.map((one, i) => [...one, i]).filter(([, value, , , , , i]) => value >= threshold && i !== query);
    for (const [other, value, ...rest] of shown) tag(left, `${classes[other]} ${fixed(value, 2)}`, stroke(left, rest.slice(0, 4), [], 1.5), theme.font);
    tag(left, `${classes[label]} ${fixed(score, 2)}`, stroke(left, box, score >= threshold ? [] : [2, 3], 4), theme.font);
    stroke(right, box, score >= threshold ? [] : [2, 3], 3);

    const total = shown.length + (score >= threshold), best = Math.max(0, ...truth.map(([, ...known]) => iou(box, known)));
    const share = inside(weights, box, rows, columns), effective = fixed(2 ** entropy(weights), 1);
    write(titles[1], `Query ${query + 1}, layer ${layer + 1}, ${head < 0 ? "mean of the heads" : `head ${head + 1}`}`);
    write(numbers[0], `${total} (known: ${truth.length})`);
    write(numbers[1], `${says}${score >= threshold ? "" : " (left out)"}`);
    write(numbers[2], fixed(best, 2));
    write(numbers[3], `${fixed(100 * share, 1)} %`);
    write(numbers[4], `${effective} of ${count}`);
    write(frame.summary, `${frame.get("scene")}: ${total} found with a score of at least ${fixed(threshold, 2)}, ${truth.length} known. Query ${query + 1} says ${
      says}; its box overlaps the best known one by ${fixed(best, 2)}, and ${fixed(100 * share, 0)} % of this weight lies inside it.`);
  });
}

export default { render };
