// Patterns of attention: the mask, what layers of it reach, and what it costs.

import { Frame, colours, fit, fixed, h, number, write } from "./parts.js";

const near = (offset, width) => Math.abs(offset) <= width;

/** May query t look at key s? The same rules in Python (helpers/beyond_text.py). */
const RULES = {
  full: () => true,
  window: (t, s, w) => near(t - s, w),
  dilated: (t, s, w) => near(t - s, 2 * w) && (t - s) % 2 === 0,
  blocks: (t, s, w) => Math.floor(t / (2 * w + 1)) === Math.floor(s / (2 * w + 1)),
  strided: (t, s, w) => near(t - s, Math.floor(w / 2)) || (t - s) % (2 * w + 1) === 0,
  global: (t, s, w) => near(t - s, w) || t === 0 || s === 0,
  random: (t, s, w, n) => RULES.global(t, s, Math.floor(w / 2))
    || Array.from({ length: w }, (_, draw) => (t * 7919 + draw * 104729 + t * draw * 31) % n).includes(s),
};

/** The mask as n rows of n booleans. */
export function patternMask(name, n, width, causal) {
  return Array.from({ length: n }, (_, t) => Array.from({ length: n }, (_, s) => (!causal || s <= t) && RULES[name](t, s, width, n)));
}

/** What each position reaches through `layers` layers with residuals: n rows of n booleans. */
export function reach(mask, layers) {
  const n = mask.length, lists = mask.map((row, t) => row.flatMap((may, s) => (may || s === t ? [s] : [])));
  let reached = mask.map((row, t) => row.map((may, s) => may || s === t));
  for (let layer = 1; layer < layers; layer += 1) {
    reached = lists.map((keys) => {
      const row = new Array(n).fill(false);
      for (const key of keys) reached[key].forEach((yes, s) => { if (yes) row[s] = true; });
      return row;
    });
  }
  return reached;
}

const count = (row) => row.reduce((sum, yes) => sum + Number(yes), 0);

/** After how many layers every position reaches all that the order allows; Infinity if never. */
export function complete(mask, causal) {
  const n = mask.length, goal = causal ? (n * (n + 1)) / 2 : n * n;
  for (let layers = 1, before = -1; ; layers += 1) {
    const sum = reach(mask, layers).reduce((total, row) => total + count(row), 0);
    if (sum === goal) return layers;
    if (sum === before) return Infinity;
    before = sum;
  }
}

function render(context) {
  const frame = new Frame(context, "PatternExplorer"), [longest, widest, deepest] = frame.get("_limits");
  const names = Object.fromEntries(frame.get("_names"));
  frame.select("pattern", "Pattern", frame.get("_names"));
  frame.range("length", { label: "Length n", min: 8, max: longest, step: 4 });
  frame.range("width", { label: "Window w", min: 0, max: widest });
  frame.range("layers", { label: "Layers", min: 1, max: deepest });
  const slider = frame.range("query", { label: "Query", min: 0, max: longest - 1, show: (t) => String(Math.min(t, frame.get("length") - 1)) });
  frame.checkbox("causal", "Causal");
  frame.reset();

  const canvas = h("canvas", { role: "img", "aria-label": "The mask: a row for each query, a column for each key" });
  const map = h("div", { class: "pa-map" }, canvas), title = h("p", { class: "pa-title" });
  const terms = ["dot products", "share of n²", "keys of the query", "query reaches", "all reach all after"].map((name) => [name, number()]);
  const facts = h("dl", {}, ...terms.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  frame.picture.classList.add("pa-beside");
  frame.picture.append(h("div", {}, title, map), h("div", {}, h("p", { class: "pa-title" }, "Cost of a layer, and reach"), facts));
  frame.picture.after(h("p", { class: "pa-legend" }, h("span", {}, "■ looks at"), h("span", {}, "• reaches through further layers"), h("span", {}, "box: the query’s row")));

  let size, mask, reached, last;
  canvas.addEventListener("click", (event) => {
    const row = Math.floor((frame.get("length") * (event.clientY - canvas.getBoundingClientRect().top)) / size);
    frame.set({ query: Math.max(0, Math.min(frame.get("length") - 1, row)) });
  });

  function paint(n, query) {
    const context = fit(canvas, size, size), colour = colours(frame.root), cell = size / n;
    mask.forEach((row, t) => row.forEach((may, s) => {
      if (!may && !reached[t][s]) return;
      context.fillStyle = may ? (t === query ? colour.text : colour.ink) : colour.quiet;
      const side = may ? Math.max(cell - 1, 0.8 * cell) : Math.max(cell * 0.3, 1.5), gap = (cell - side) / 2;
      context.fillRect(s * cell + gap, t * cell + gap, side, side);
    }));
    context.strokeStyle = colour.quiet;
    context.lineWidth = 1;
    context.strokeRect(0.5, 0.5, size - 1, size - 1);
    context.strokeStyle = colour.text;
    context.lineWidth = 2;
    context.strokeRect(1, query * cell, size - 2, cell);
  }

  return frame.start((changed) => {
    const n = frame.get("length"), width = frame.get("width"), causal = frame.get("causal"), layers = frame.get("layers"), pattern = frame.get("pattern");
    const query = Math.min(frame.get("query"), n - 1);
    slider.input.max = n - 1;
    slider.refresh();
    if (changed("size")) size = Math.min(map.clientWidth, 400);
    if (changed("pattern", "length", "width", "causal")) {
      mask = patternMask(pattern, n, width, causal);
      last = complete(mask, causal);
    }
    if (changed("pattern", "length", "width", "causal", "layers")) reached = reach(mask, layers);
    paint(n, query);
    const pairs = mask.reduce((sum, row) => sum + count(row), 0), keys = count(mask[query]), far = count(reached[query]);
    write(title, `${names[pattern][0].toUpperCase()}${names[pattern].slice(1)}${causal ? ", causal" : ""}, ${layers} layer${layers > 1 ? "s" : ""}`);
    const share = `${fixed((100 * pairs) / n ** 2, 1)} %`, after = last === Infinity ? "never" : `${last} layer${last > 1 ? "s" : ""}`;
    [pairs.toLocaleString("en"), share, keys, `${far} of ${n}`, after].forEach((text, i) => write(terms[i][1], String(text)));
    write(frame.summary, `${names[pattern]}, ${n} positions, window ${width}${causal ? ", causal" : ""}: ${pairs} dot products, ${share} of all pairs. Query ${query} looks at ${
      keys} keys and reaches ${far} of ${n} positions through ${layers} layer${layers > 1 ? "s" : ""}. All reach all: ${last === Infinity ? "never" : `after ${after}`}.`);
  });
}

export default { render };
