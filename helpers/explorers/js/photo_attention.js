// Where a token of a photograph looks: a patch or the class token asks, in one head, a fusion of heads, or a rollout.

import { brought } from "./apart.js";
import { inflated } from "./inflate.js";
import { Frame, colours, entropy, fit, fixed, greatest, h, number, write } from "./parts.js";

const LEVELS = 31, TOP = 0.98; // the colours end at this quantile of the patches
const FUSIONS = ["mean", "max", "min"];

const toOne = (row) => {
  const sum = row.reduce((a, b) => a + b, 0) || 1;
  return row.map((weight) => weight / sum);
};

/** Weights from a row of bytes: the first tokens in two bytes each, the patches' 31 √(w / greatest) share the rest. */
export function unpacked(bytes, first) {
  const whole = Array.from({ length: first }, (_, i) => (256 * bytes[i] + bytes[first + i]) / 65535);
  const rest = Math.max(0, 1 - whole.reduce((a, b) => a + b, 0)), patches = toOne(Float64Array.from(bytes.subarray(2 * first), (level) => (level / LEVELS) ** 2));
  return toOne(Float64Array.from([...whole, ...patches.map((weight) => rest * weight)]));
}

/** The places of a row's weights, the greatest first; of equal weights the earlier. */
const order = (row) => [...row.keys()].sort((a, b) => row[b] - row[a] || a - b);

/** Without the smallest ⌊ratio · T⌋ weights of the row, which sums to 1 again. */
export function discard(row, ratio) {
  const kept = row.slice();
  for (const place of order(row).slice(row.length - Math.floor(ratio * row.length))) kept[place] = 0;
  return toOne(kept);
}

/** The fewest places that hold this share of the row's sum: true for each of them. */
export function keepMass(row, share) {
  const part = toOne(row), kept = Array(row.length).fill(false);
  let held = 0;
  for (const place of order(row)) {
    if (held >= share - 1e-9 || !part[place]) break;
    kept[place] = true;
    held += part[place];
  }
  return kept;
}

const quantile = (row, share) => Float64Array.from(row).sort()[Math.floor(share * (row.length - 1))];

async function render(context) {
  const { model } = context, frame = new Frame(context, "PhotoAttentionExplorer"), names = frame.get("_names");
  const [rows, columns] = frame.get("_grid"), count = rows * columns, [layers, heads, registers] = frame.get("_shape"), first = 1 + registers;
  const queries = frame.get("_queries"), tokens = first + count, size = 2 * first + count, ratios = frame.get("_ratios"), stride = frame.get("_stride");
  const across = Math.ceil((columns - (stride >> 1)) / stride), down = (queries.length - 1) / across; // queries among the patches
  const place = (patch) => `row ${Math.floor(patch / columns) + 1}, column ${(patch % columns) + 1}`;
  const asked = (query) => (query ? place(queries[query] - first) : "class token");
  const percent = (share) => `${fixed(100 * share, 0)} %`;

  /** What each kind of bytes becomes. */
  const levels = async (view) => new Uint8Array(await inflated(view).arrayBuffer());
  const unpack = {
    _images: (view) => createImageBitmap(new Blob([view], { type: "image/webp" })),
    _maps: levels,
    _rollouts: async (view) => { // each layer is stored less the one below
      const all = await levels(view), layer = queries.length * size;
      for (let i = 0; i < all.length; i += 1) if (i % (layers * layer) >= layer) all[i] += all[i - layer];
      return all;
    },
  };
  const parts = new Map(), coming = new Map(); // by name: what has come, and promises of what is on its way
  let failed = false;
  function bring(trait, photo) {
    const name = trait + photo;
    if (parts.has(name)) return null;
    if (!coming.has(name)) {
      const arrive = async () => parts.set(name, await unpack[trait](await brought(model.get(trait)[photo])));
      coming.set(name, arrive().catch(() => { failed = true; }).finally(() => coming.delete(name)));
    }
    return coming.get(name);
  }

  if (names.length > 1) frame.select("photo", "Photo", names.map((name) => [name, name]));
  const { input } = frame.range("query", { label: "Query", min: 0, max: queries.length - 1, show: asked });
  input.addEventListener("keydown", (event) => { // up and down move by a row of queries; the class token stands above the first
    const step = { ArrowUp: -across, ArrowDown: across }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = frame.get("query"), query = at ? Math.max(0, at + step) : Math.max(0, Math.sign(step));
    if (query < queries.length) frame.set({ query });
  });
  frame.select("show", "Show", frame.get("_shown"));
  frame.range("layer", { label: "Layer", min: 0, max: layers - 1, show: (layer) => `${layer + 1} of ${layers}` });
  const headSlider = frame.range("head", { label: "Head", min: 0, max: heads - 1, show: (head) => `${head + 1} of ${heads}` });
  frame.select("ratio", "Discard", ratios.map((ratio, i) => [i, percent(ratio)]), Number);
  frame.range("keep", { label: "Outline", min: 0.05, max: 1, step: 0.05, show: percent });
  frame.range("opacity", { label: "Shade", min: 0, max: 1, step: 0.05, show: percent });
  frame.reset();

  const panel = (label, ...more) => {
    const title = h("p", { class: "pa-title" }), canvas = h("canvas", { role: "img", "aria-label": label, ...more[0] });
    return { title, canvas, box: h("div", {}, title, h("div", { class: "pa-map" }, canvas)) };
  };
  const nearest = (at, most) => Math.max(0, Math.min(most - 1, Math.round((at - (stride >> 1)) / stride)));
  const point = ({ offsetX, offsetY, currentTarget }) => {
    const column = Math.floor((offsetX / currentTarget.clientWidth) * columns), row = Math.floor((offsetY / currentTarget.clientHeight) * rows);
    const query = 1 + nearest(row, down) * across + nearest(column, across);
    if (query !== frame.get("query")) frame.set({ query });
  };
  const pointed = { click: point, pointermove: (event) => event.buttons && point(event) };
  const photo = panel("The photograph; patches with little weight are in the shade", pointed), map = panel("The weights as a map of patches", pointed);
  const all = panel("The query's maps in every head (rows) of every layer (columns)", { click: ({ offsetX, offsetY }) => {
    const layer = Math.floor((offsetX - LEFT) / pitch), head = Math.floor((offsetY - LEFT) / pitch);
    if (layer >= 0 && layer < layers && head >= 0 && head < heads) frame.set({ layer, head, show: "head" });
  } });
  all.box.className = "pa-wide";
  write(all.title, "Every layer (across) and head (down)");
  frame.picture.classList.add("pa-beside");
  frame.picture.append(photo.box, map.box, all.box);
  const ends = number(), terms = ["greatest of a patch", "where", "patches outlined", "effective patches", "on all patches", "on the class token",
    ...(registers ? [registers === 1 ? "on the register" : `on ${registers} registers`] : [])].map((name) => [name, number()]);
  frame.picture.after(
    h("p", { class: "pa-legend" }, h("span", {}, "0 ", h("i", { class: "pa-ramp" }), " ", ends, " and more"), h("span", {}, "▣ query"), h("span", {}, "─ outline"),
      h("span", {}, "• patches that can be the query: a click takes the nearest")),
    h("dl", {}, ...terms.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));

  const LEFT = 18;
  let theme, width, height, pitch, wide;
  const shadeOf = (row) => {
    const top = quantile(row, TOP) || Math.max(...row) || 1;
    return [row.map((weight) => Math.min(1, weight / top)), top];
  };

  /** The chosen row of weights, or null while its bytes are on their way. */
  function chosen(at) {
    const show = frame.get("show"), layer = frame.get("layer"), query = frame.get("query"), ratio = frame.get("ratio"), [kind, fusion] = show.split(" ");
    if (kind === "rollout") {
      const stored = parts.get(`_rollouts${at}`), start = (((FUSIONS.indexOf(fusion) * ratios.length + ratio) * layers + layer) * queries.length + query) * size;
      return stored && unpacked(stored.subarray(start, start + size), first);
    }
    const map_ = row(at, layer, show === "head" ? frame.get("head") : heads + FUSIONS.indexOf(kind), query);
    return map_ && discard(map_, ratios[ratio]);
  }
  function row(at, layer, head, query) {
    const stored = parts.get(`_maps${at}`), start = ((layer * (heads + FUSIONS.length) + head) * queries.length + query) * size;
    return stored && unpacked(stored.subarray(start, start + size), first);
  }

  const box = (patch) => [(patch % columns) * (width / columns), Math.floor(patch / columns) * (height / rows), width / columns, height / rows];

  /** The border of the patches that are kept. */
  function outline(paint, kept) {
    paint.beginPath();
    kept.forEach((inside, patch) => {
      if (!inside) return;
      const column = patch % columns, [x, y, dx, dy] = box(patch);
      if (!kept[patch - columns]) { paint.moveTo(x, y); paint.lineTo(x + dx, y); }
      if (!kept[patch + columns]) { paint.moveTo(x, y + dy); paint.lineTo(x + dx, y + dy); }
      if (!column || !kept[patch - 1]) { paint.moveTo(x, y); paint.lineTo(x, y + dy); }
      if (column === columns - 1 || !kept[patch + 1]) { paint.moveTo(x + dx, y); paint.lineTo(x + dx, y + dy); }
    });
    paint.stroke();
  }

  /** The query's map in every head of every layer, and a frame around those that are shown. */
  function overview(at) {
    const paint = fit(all.canvas, LEFT + pitch * layers + 2, LEFT + pitch * heads + 2), side = pitch - 3, query = frame.get("query"), show = frame.get("show");
    Object.assign(paint, { fillStyle: theme.text, textAlign: "center", textBaseline: "middle", font: `11px ${theme.font}` });
    for (let i = 0; i < layers; i += 1) paint.fillText(i + 1, LEFT + (i + 0.5) * pitch, LEFT / 2);
    for (let i = 0; i < heads; i += 1) paint.fillText(i + 1, LEFT / 2, LEFT + (i + 0.5) * pitch);
    for (let layer = 0; layer < layers; layer += 1) for (let head = 0; head < heads; head += 1) {
      const [x, y] = [LEFT + layer * pitch + 1.5, LEFT + head * pitch + 1.5], [shades] = shadeOf(row(at, layer, head, query).subarray(first));
      shades.forEach((shade, patch) => {
        paint.fillStyle = theme.ramp(shade);
        paint.fillRect(x + ((patch % columns) * side) / columns, y + (Math.floor(patch / columns) * side) / rows, side / columns + 0.3, side / rows + 0.3);
      });
    }
    const [from, to] = show.startsWith("rollout") ? [0, frame.get("layer")] : [frame.get("layer"), frame.get("layer")], one = show === "head";
    Object.assign(paint, { lineWidth: 2.5, strokeStyle: theme.text });
    paint.strokeRect(LEFT + from * pitch, LEFT + (one ? frame.get("head") : 0) * pitch, (to - from + 1) * pitch, (one ? 1 : heads) * pitch);
  }

  function draw(changed) {
    const at = names.indexOf(frame.get("photo")), show = frame.get("show"), query = frame.get("query"), title = Object.fromEntries(frame.get("_shown"))[show];
    if (changed("theme")) theme = colours(frame.root);
    if (changed("size")) wide = all.box.clientWidth;
    headSlider.input.disabled = show !== "head";
    const picture = parts.get(`_images${at}`), weights = chosen(at);
    if (!picture || !weights || !parts.get(`_maps${at}`)) {
      write(frame.summary, failed ? `The maps of ${names[at]} could not be loaded. Move a control to try again.` : `Loading the maps of ${names[at]} …`);
      for (const [, value] of terms) write(value, "…");
      for (const { canvas } of [photo, map, all]) canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
      if (!failed) Promise.all(needed(at)).then(() => draw(() => true));
      failed = false;
      return;
    }
    width = Math.min(photo.box.clientWidth, 420);
    height = (width * picture.height) / picture.width;
    pitch = Math.max(12, Math.min(58, Math.floor((wide - LEFT - 2) / layers)));
    const patches = weights.subarray(first), [shades, top] = shadeOf(patches), kept = keepMass(patches, frame.get("keep")), best = greatest(patches);
    const [shaded, drawn] = [photo, map].map(({ canvas }) => fit(canvas, width, height)), opacity = frame.get("opacity");
    shaded.drawImage(picture, 0, 0, width, height);
    shades.forEach((shade, patch) => {
      const [x, y, dx, dy] = box(patch);
      shaded.fillStyle = `rgb(12 16 22 / ${opacity * (1 - Math.sqrt(shade))})`;
      drawn.fillStyle = theme.ramp(shade);
      for (const paint of [shaded, drawn]) paint.fillRect(x, y, dx + (paint === drawn ? 0.3 : 0), dy + (paint === drawn ? 0.3 : 0));
    });
    for (const [paint, under, ink] of [[shaded, "#000", "#fff"], [drawn, theme.paper, theme.text]]) {
      for (const [line, colour] of [[4, under], [2, ink]]) {
        Object.assign(paint, { lineWidth: line, strokeStyle: colour });
        outline(paint, kept);
      }
      for (const token of queries.slice(1)) {
        const [x, y, dx, dy] = box(token - first);
        for (const [radius, colour] of [[2.6, under], [1.6, ink]]) {
          paint.fillStyle = colour;
          paint.beginPath();
          paint.arc(x + dx / 2, y + dy / 2, radius, 0, 7);
          paint.fill();
        }
      }
      if (query) for (const [line, colour] of [[6, under], [3, ink]]) {
        Object.assign(paint, { lineWidth: line, strokeStyle: colour });
        paint.strokeRect(...box(queries[query] - first));
      }
    }
    if (changed("photo", "query", "layer", "head", "show", "size", "theme")) overview(at);
    const layer = frame.get("layer") + 1, which = show === "head" ? `head ${frame.get("head") + 1}, layer ${layer}` : `${title}, ${show.startsWith("rollout") ? "through layer" : "layer"} ${layer}`;
    const share = (from, to) => fixed(weights.subarray(from, to).reduce((a, b) => a + b, 0), 3), many = kept.filter(Boolean).length;
    write(photo.title, `${names[at]}, asked by: ${asked(query)}`);
    write(map.title, which[0].toUpperCase() + which.slice(1));
    write(ends, fixed(top, 4));
    const part = toOne(patches);
    [fixed(patches[best], 4), place(best), `${many} of ${count}`, fixed(2 ** entropy(part), 1), share(first, tokens), share(0, 1), share(1, first)].slice(0, terms.length)
      .forEach((text, i) => write(terms[i][1], text));
    write(frame.summary, `${names[at]}, ${which}, query: ${asked(query)}. The patch with the greatest weight is ${place(best)} (${fixed(patches[best], 4)}); ${
      many} of ${count} patches hold ${percent(frame.get("keep"))} of the patches' weight; the patches have ${share(first, tokens)} of all, the class token ${share(0, 1)}${
      registers ? `, the registers ${share(1, first)}` : ""}.`);
  }

  const needed = (at) => ["_images", "_maps", ...(frame.get("show").startsWith("rollout") ? ["_rollouts"] : [])].map((trait) => bring(trait, at));
  await Promise.all(needed(names.indexOf(frame.get("photo"))));
  return frame.start(draw);
}

export default { render };
