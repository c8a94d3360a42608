// Tokens attend to tokens: side-by-side panels, one query at a time, as a matrix or as lines.

import { TEMPERATURE, Frame, colours, entropy, fit, fixed, greatest, h, number, softmax, write } from "./parts.js";

const FAINT = 0.02; // lines of a smaller weight are not drawn
const SHOWN = 8; // bars per panel: the greatest weights; the rest share one line
const LABEL = 13; // px
const SLANT = (55 / 180) * Math.PI;

/** Half-precision numbers of a DataView, little-endian. */
function halves(view) {
  return Float32Array.from({ length: view.byteLength / 2 }, (_, i) => {
    const bits = view.getUint16(2 * i, true), sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, rest = bits & 1023;
    if (exponent === 31) return rest ? NaN : sign * Infinity;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + rest / 1024) : 2 ** -14 * (rest / 1024));
  });
}

const isWrong = (map, step) => map.expected != null && map.queries[step] !== map.expected[step];
const marked = (map, step) => (isWrong(map, step) ? "✗ " : "") + map.queries[step];

/** The first `width` pixels of a text, with an ellipsis if it is longer. */
function clip(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let end = text.length;
  while (end > 1 && context.measureText(`${text.slice(0, end)}…`).width > width) end -= 1;
  return `${text.slice(0, end)}…`;
}

const FUSIONS = [["head", "one head"], ["mean", "mean of heads"], ["max", "greatest of heads"], ["rollout", "rollout so far"]];

/** The product of two square matrices, and one's mean with the identity. */
const times = (a, b, n) => Float64Array.from(a, (_, at) => {
  let sum = 0;
  for (let k = 0, i = at - (at % n), j = at % n; k < n; k += 1) sum += a[i + k] * b[k * n + j];
  return sum;
});
const halfStay = (a, n) => a.map((weight, at) => (weight + (at % n === Math.floor(at / n) ? 1 : 0)) / 2);

/** One map, (T_q · T_k), of all layers and heads: one head's, or what a fusion makes of the layer's heads. */
export function fuse(weights, [, heads], size, keys, layer, head, fusion) {
  const map = (l, i) => weights.subarray((l * heads + i) * size, (l * heads + i + 1) * size);
  if (fusion === "head") return map(layer, head);
  const all = (l, join) => Float64Array.from({ length: size }, (_, at) => join(Array.from({ length: heads }, (__, i) => map(l, i)[at])));
  const mean = (l) => all(l, (values) => values.reduce((a, b) => a + b) / heads);
  if (fusion === "mean") return mean(layer);
  if (fusion === "max") {
    const top = all(layer, (values) => Math.max(...values));
    const sums = Array.from({ length: size / keys }, (_, row) => top.subarray(row * keys, (row + 1) * keys).reduce((a, b) => a + b));
    return top.map((weight, at) => weight / sums[Math.floor(at / keys)]);
  }
  let total = halfStay(mean(0), keys);
  for (let l = 1; l <= layer; l += 1) total = times(halfStay(mean(l), keys), total, keys);
  return total;
}

/** Weights from their bytes, round(255 √w), each row brought back to sum 1. */
export function fromLevels(levels, keys) {
  const weights = Float32Array.from(levels, (level) => (level / 255) ** 2);
  for (let row = 0; row < weights.length; row += keys) {
    const part = weights.subarray(row, row + keys), sum = part.reduce((a, b) => a + b);
    part.forEach((weight, key) => { part[key] = weight / sum; });
  }
  return weights;
}

/** Every head of every layer as a small picture; `pick(layer, head)` is called when the reader points at one. */
class Overview {
  constructor(name, weights, shape, [queries, keys], pick) {
    Object.assign(this, { weights, shape, queries, keys });
    const [layers, heads] = shape;
    this.canvas = h("canvas", { role: "img", "aria-label": `All ${layers} layers (rows) and ${heads} heads (columns) of ${name}.`, click: ({ offsetX, offsetY }) => {
      const layer = Math.floor((offsetY - this.top) / this.pitch), head = Math.floor((offsetX - this.left) / this.pitch);
      if (layer >= 0 && layer < layers && head >= 0 && head < heads) pick(layer, head);
    } });
    this.root = h("div", { class: "pa-map" }, this.canvas);
  }

  lay(width, theme) {
    const [layers, heads] = this.shape;
    this.theme = theme;
    [this.left, this.top] = [18, 18];
    this.pitch = Math.max(8, Math.floor(Math.min(64, (width - this.left - 2) / heads)));
    this.context = fit(this.canvas, this.left + this.pitch * heads + 2, this.top + this.pitch * layers + 2);
  }

  /** All maps; around those that the panel shows, a frame. */
  paint(layer, head, fusion) {
    const { context, theme, left, top, pitch, queries, keys, shape: [layers, heads] } = this, side = pitch - 4;
    context.clearRect(0, 0, left + pitch * heads + 2, top + pitch * layers + 2);
    Object.assign(context, { fillStyle: theme.text, textAlign: "center", textBaseline: "middle" });
    const label = (text, x, y, chosen) => {
      context.font = `${chosen ? 700 : 400} 11px ${theme.font}`;
      context.fillStyle = theme.text;
      context.fillText(text, x, y);
    };
    for (let l = 0; l < layers; l += 1) label(l + 1, left / 2, top + (l + 0.5) * pitch, l === layer);
    for (let i = 0; i < heads; i += 1) label(i + 1, left + (i + 0.5) * pitch, top / 2, fusion === "head" && i === head);
    for (let at = 0; at < this.weights.length; at += 1) {
      const weight = this.weights[at];
      if (weight < FAINT) continue;
      const cell = at % (queries * keys), map = (at - cell) / (queries * keys);
      const x = left + (map % heads) * pitch + 2 + ((cell % keys) * side) / keys, y = top + Math.floor(map / heads) * pitch + 2 + (Math.floor(cell / keys) * side) / queries;
      context.fillStyle = theme.ramp(weight);
      context.fillRect(x, y, side / keys, side / queries);
    }
    const frame = (l, i, colour, across = 1, down = 1) => {
      context.strokeStyle = colour;
      context.strokeRect(left + i * pitch + 1, top + l * pitch + 1, across * pitch - 2, down * pitch - 2);
    };
    context.lineWidth = 1;
    for (let l = 0; l < layers; l += 1) for (let i = 0; i < heads; i += 1) frame(l, i, theme.ramp(0.3));
    context.lineWidth = 2.5;
    if (fusion === "head") frame(layer, head, theme.text);
    else if (fusion === "rollout") frame(0, 0, theme.text, heads, layer + 1);
    else frame(layer, 0, theme.text, heads);
  }
}

/** The panel of one map. `choose(step)` is called when the reader points at a query, `pick(layer, head)` at a head. */
class Panel {
  constructor(map, logits, choose, shape, pick) {
    this.map = map;
    this.logits = logits; // of a map with heads: all their weights
    this.facts = [];
    const right = map.queries.filter((_, step) => !isWrong(map, step)).length;
    this.root = h("div", { class: `pa-panel${map.attends ? "" : " pa-wide"}`, role: "group", "aria-label": map.name },
      h("p", { class: "pa-title" }, map.name));
    if (map.expected != null) {
      const count = number();
      write(count, `${right} of ${Math.max(map.queries.length, map.expected.length)}`);
      this.root.append(h("p", { class: "pa-note" }, count, " tokens right"));
    }
    if (map.note) this.root.append(h("p", { class: "pa-note" }, map.note));
    if (map.heads) {
      this.overview = new Overview(map.name, logits, shape, [map.queries.length, map.keys.length], pick);
      this.root.append(this.overview.root);
    }
    if (map.attends) this.#buildMap(choose);
    else this.#buildTokens(choose);
  }

  /** Of a map with heads: what is shown of them. */
  take(layer, head, fusion) {
    const { map, overview: { weights, shape } } = this, [queries, keys] = [map.queries.length, map.keys.length];
    const weightsNow = fuse(weights, shape, queries * keys, keys, layer, head, fusion);
    this.logits = Float64Array.from(weightsNow, Math.log);
  }

  #buildMap(choose) {
    const { map } = this;
    this.base = h("canvas", { role: "img", "aria-label": `Attention of ${map.name}: the numbers below give the chosen row.` });
    this.top = h("canvas", { "aria-hidden": "true" });
    const point = (event) => {
      const step = this.stepAt(event.offsetX, event.offsetY);
      if (step >= 0 && step < map.queries.length) choose(step);
    };
    this.top.addEventListener("pointermove", (event) => event.pointerType === "mouse" && point(event));
    this.top.addEventListener("click", point);
    const fact = (name) => {
      const value = number();
      this.facts.push(value);
      return h("div", {}, h("dt", {}, name), h("dd", {}, value));
    };
    const list = h("dl", {}, fact("entropy"), fact("greatest"));
    if (map.truth) list.append(fact("on the true token"), fact("rows right"));
    this.whole = map.heads ? ["entropy, all rows", "most looked at", "distance", "on the token before"].map((name) => {
      const value = number();
      list.append(h("div", {}, h("dt", {}, name), h("dd", {}, value)));
      return value;
    }) : [];
    this.bars = Array.from({ length: Math.min(map.keys.length, SHOWN + 1) }, () => {
      const token = h("th", { scope: "row" }), bar = h("i"), value = number();
      return { token, bar, value, row: h("tr", {}, token, h("td", { "aria-hidden": "true" }, bar), h("td", {}, value)) };
    });
    this.root.append(h("div", { class: "pa-map" }, this.base, this.top), list,
      h("table", { class: "pa-bars" }, h("caption", {}, "Weights of the chosen row"), h("tbody", {}, ...this.bars.map((bar) => bar.row))));
  }

  #buildTokens(choose) {
    const { map } = this;
    this.tokens = map.queries.map((_, step) => h("li", {
      pointerenter: (event) => event.pointerType === "mouse" && choose(step), click: () => choose(step),
    }, marked(map, step)));
    this.root.append(h("ol", { class: "pa-tokens" }, ...this.tokens));
  }

  /** The least width that keeps every label apart, in px. */
  get need() { return this.map.attends ? Math.max(184, 80 + 13 * this.map.keys.length) : 184; }

  /** Measure the labels and find where everything goes. */
  #place(view, width, theme) {
    const { queries, keys } = this.map, context = this.base.getContext("2d");
    context.font = `600 ${LABEL}px ${theme.font}`;
    const widest = Math.min(120, 0.36 * width);
    const queryLabels = queries.map((_, step) => clip(context, marked(this.map, step), widest));
    const keyLabels = keys.map((key) => clip(context, key, widest));
    const widths = (labels) => labels.map((label) => context.measureText(label).width);
    const left = Math.max(...widths(view === "lines" ? keyLabels : queryLabels)) + 16;
    if (view === "lines") {
      const right = Math.max(...widths(queryLabels)) + 16;
      const height = 24 * Math.max(keys.length, queries.length);
      return { view, queryLabels, keyLabels, left, right: Math.min(width, left + right + 260) - right, height, width };
    }
    const room = width - left, loose = room / keys.length;
    const overhang = Math.max(0, ...widths(keyLabels).map((w, j) => w * Math.cos(SLANT) - (keys.length - j - 0.5) * loose));
    const slanted = (room - overhang) / keys.length >= 16;
    const cell = Math.max(3, Math.floor(Math.min(36, (slanted ? room - overhang : room) / keys.length)));
    const angle = slanted ? SLANT : Math.PI / 2;
    const top = Math.ceil(Math.max(...widths(keyLabels)) * Math.sin(angle)) + 12;
    const row = Math.max(17, Math.min(30, cell));
    return { view, queryLabels, keyLabels, left, top, cell, row, angle, width, height: top + row * queries.length + 3 };
  }

  stepAt(x, y) {
    const { view, top, row, height } = this.geometry;
    return view === "lines" ? Math.floor((y / height) * this.map.queries.length) : Math.floor((y - top) / row);
  }

  /** Find room for everything in a view. */
  lay(view, width, theme) {
    if (!this.map.attends) return;
    this.theme = theme;
    this.overview?.lay(width, theme);
    this.geometry = this.#place(view, width, theme);
    this.plain = fit(this.base, width, this.geometry.height);
    this.strong = fit(this.top, width, this.geometry.height);
  }

  /** Everything that the chosen step does not change. Returns how many weights are drawn. */
  paint(temperature) {
    if (!this.map.attends) return 0;
    const { keys, queries, truth } = this.map, { view, width, height } = this.geometry;
    this.rows = queries.map((_, step) =>
      softmax(this.logits.subarray(step * keys.length, (step + 1) * keys.length), temperature));
    if (truth) {
      const asked = this.rows.filter((_, step) => truth[step].length).length;
      const hit = this.rows.filter((row, step) => truth[step].includes(greatest(row))).length;
      write(this.facts[3], `${hit} of ${asked}`);
    }
    this.#summarise();
    this.plain.clearRect(0, 0, width, height);
    return view === "lines" ? this.#paintLines(this.plain) : this.#paintMatrix(this.plain);
  }

  /** Of a map with heads: means over all rows. */
  #summarise() {
    if (!this.whole.length) return;
    const { rows, map: { keys } } = this, mean = (f) => rows.reduce((sum, row, t) => sum + f(row, t), 0) / rows.length;
    const columns = keys.map((_, key) => mean((row) => row[key])), top = greatest(columns);
    const distance = mean((row, t) => row.reduce((sum, weight, s) => sum + weight * Math.abs(s - t), 0));
    const before = rows.slice(1).reduce((sum, row, t) => sum + row[t], 0) / (rows.length - 1);
    const texts = [`${fixed(mean(entropy), 2)} bits`, `${fixed(columns[top], 3)} ${keys[top]}`, fixed(distance, 2), fixed(before, 3)];
    texts.forEach((text, i) => write(this.whole[i], text));
  }

  #paintMatrix(context) {
    const { left, top, cell, row, queryLabels, keyLabels } = this.geometry, { theme } = this, gap = cell > 9 ? 1 : 0;
    queryLabels.forEach((_, step) => this.#queryLabel(context, step));
    if (cell >= 13) keyLabels.forEach((_, key) => this.#keyLabel(context, key));
    this.rows.forEach((weights, step) => weights.forEach((weight, key) => {
      const inset = this.map.truth?.[step].includes(key) ? 3 : gap;
      context.fillStyle = theme.ramp(weight);
      context.fillRect(left + key * cell + inset / 2, top + step * row + inset / 2, cell - inset, row - inset);
    }));
    context.strokeStyle = theme.quiet;
    context.lineWidth = 1;
    context.strokeRect(left - 0.5, top - 0.5, cell * keyLabels.length + 1, row * queryLabels.length + 1);
    context.strokeStyle = theme.text;
    this.map.truth?.forEach((indices, step) => indices.forEach((key) =>
      context.strokeRect(left + key * cell + 0.5, top + step * row + 0.5, cell - 1, row - 1)));
    return this.rows.length * this.map.keys.length;
  }

  #queryLabel(context, step, strong) {
    const { view, left, right, top, row, height, queryLabels } = this.geometry;
    if (view === "lines") this.#label(context, queryLabels[step], right + 10, ((step + 0.5) * height) / queryLabels.length, 0, "left", strong);
    else this.#label(context, queryLabels[step], left - 8, top + (step + 0.5) * row, 0, "right", strong);
  }

  #keyLabel(context, key, strong) {
    const { view, left, top, cell, angle, keyLabels, height } = this.geometry;
    if (view === "lines") this.#label(context, keyLabels[key], left - 10, ((key + 0.5) * height) / keyLabels.length, 0, "right", strong);
    else this.#label(context, keyLabels[key], left + (key + 0.5) * cell, top - 8, -angle, "left", strong);
  }

  /** A label; a strong one is set in bold on paper, over the plain one. */
  #label(context, text, x, y, angle, align, strong) {
    context.save();
    context.font = `${strong ? 600 : 400} ${LABEL}px ${this.theme.font}`;
    context.translate(x, y);
    context.rotate(angle);
    if (strong) {
      const wide = context.measureText(text).width + 2;
      context.fillStyle = this.theme.paper;
      context.fillRect(align === "right" ? -wide : -1, -8, wide, 16);
    }
    Object.assign(context, { fillStyle: this.theme.text, textAlign: align, textBaseline: "middle" });
    context.fillText(text, 0, 0);
    context.restore();
  }

  /** Lines from every key to the queries from `first` to `last`; returns how many. */
  #lines(context, first, last, colour) {
    const { left, right, height } = this.geometry, { keys, queries } = this.map;
    const middle = (left + right) / 2;
    let drawn = 0;
    context.strokeStyle = colour;
    for (let step = first; step <= last; step += 1) {
      this.rows[step].forEach((weight, key) => {
        if (weight < FAINT) return;
        const from = ((key + 0.5) * height) / keys.length, to = ((step + 0.5) * height) / queries.length;
        context.beginPath();
        context.lineWidth = 12 * weight;
        context.moveTo(left, from);
        context.bezierCurveTo(middle, from, middle, to, right, to);
        context.stroke();
        drawn += 1;
      });
    }
    return drawn;
  }

  #paintLines(context) {
    this.geometry.queryLabels.forEach((_, step) => this.#queryLabel(context, step));
    this.geometry.keyLabels.forEach((_, key) => this.#keyLabel(context, key));
    return this.#lines(context, 0, this.rows.length - 1, this.theme.ramp(0.22));
  }

  /** What the chosen step changes: the emphasis in the picture, the numbers, the bars. Returns a sentence. */
  choose(step) {
    const { map } = this, over = step >= map.queries.length;
    this.tokens?.forEach((token, i) => token.classList.toggle("pa-chosen", i === step));
    if (map.attends) {
      this.#emphasise(over ? null : step);
      this.#showNumbers(over ? null : step);
    }
    if (over) return `${map.name} has stopped after ${map.queries.length} tokens.`;
    const wrote = `${map.name}, ${map.queries[step]}${isWrong(map, step) ? ` (wrong, ${map.expected[step] ?? "nothing"} expected)` : ""}`;
    if (!map.attends) return `${wrote}.`;
    const [first, second] = this.#order(step), row = this.rows[step];
    const then = second == null || row[second] < 0.005 ? "" : `, then ${map.keys[second]} (${fixed(row[second], 2)})`;
    return `${wrote}: most weight on ${map.keys[first]} (${fixed(row[first], 2)})${then}.`;
  }

  #order(step) { return [...this.rows[step].keys()].sort((a, b) => this.rows[step][b] - this.rows[step][a]); }

  #emphasise(step) {
    const context = this.strong, { theme } = this, { view, left, top, cell, row, width, height, keyLabels } = this.geometry;
    context.clearRect(0, 0, width, height);
    if (step == null) return;
    const best = greatest(this.rows[step]);
    if (view === "lines") {
      this.#lines(context, step, step, theme.ink);
      for (const key of this.map.truth?.[step] ?? []) {
        context.strokeStyle = theme.text;
        context.lineWidth = 1.5;
        context.strokeRect(1, ((key + 0.5) * height) / keyLabels.length - 10, left - 5, 20);
      }
    } else {
      context.strokeStyle = theme.text;
      context.lineWidth = 2;
      context.strokeRect(left - 1, top + step * row - 0.5, cell * keyLabels.length + 2, row + 1);
    }
    this.#queryLabel(context, step, true);
    this.#keyLabel(context, best, true);
  }

  #showNumbers(step) {
    const { keys, truth } = this.map, row = step == null ? null : this.rows[step];
    const order = row && this.#order(step), shown = order?.slice(0, keys.length > SHOWN ? SHOWN : keys.length).sort((a, b) => a - b);
    write(this.facts[0], row ? `${fixed(entropy(row), 2)} bits` : "–");
    write(this.facts[1], row ? `${fixed(row[order[0]], 3)} ${keys[order[0]]}` : "–");
    if (truth) {
      const right = row && truth[step].length ? truth[step].reduce((sum, key) => sum + row[key], 0) : null;
      write(this.facts[2], right == null ? "–" : fixed(right, 3));
    }
    let rest = 1;
    this.bars.forEach(({ token, bar, value }, i) => {
      const key = shown?.[i];
      const weight = row ? (key == null ? Math.max(0, rest) : row[key]) : 0;
      rest -= weight;
      write(token, !row ? "–" : key == null ? `other ${keys.length - shown.length}` : keys[key]);
      token.classList.toggle("pa-true", key != null && Boolean(truth?.[step].includes(key)));
      write(value, row ? fixed(weight, 3) : "–");
      bar.style.transform = `scaleX(${weight})`;
    });
  }
}

async function inflate(view) {
  const inflated = new Blob([view]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(inflated).arrayBuffer());
}

async function render(context) {
  const { model } = context, frame = new Frame(context, "AttentionExplorer"), examples = frame.get("_examples");
  const logits = halves(model.get("_weights")), shape = frame.get("_heads"), many = shape.length > 0;
  const levels = many ? await inflate(model.get("_levels")) : null, queryName = frame.get("query_name");
  const QueryName = queryName[0].toUpperCase() + queryName.slice(1);
  const offsets = [];
  let offset = 0, byte = 0;
  for (const { maps } of examples) {
    offsets.push(maps.map((map) => {
      const start = map.heads ? byte : offset, size = map.queries.length * map.keys.length;
      if (map.heads) byte += shape[0] * shape[1] * size;
      else if (map.attends) offset += size;
      return start;
    }));
  }
  const stored = (map, start) => {
    if (!map.heads) return logits.subarray(start);
    const length = shape[0] * shape[1] * map.queries.length * map.keys.length;
    return fromLevels(levels.subarray(start, start + length), map.keys.length);
  };
  let panels = [], steps = 1, theme;

  if (examples.length > 1) frame.select("example", "Example", examples.map(({ name }) => [name, name]));
  const slider = frame.range("step", { label: QueryName, min: 0, max: 0, show: (step) => `${step + 1} of ${steps}` });
  let headSlider;
  if (many) {
    frame.range("layer", { label: "Layer", min: 0, max: shape[0] - 1, show: (layer) => `${layer + 1} of ${shape[0]}` });
    headSlider = frame.range("head", { label: "Head", min: 0, max: shape[1] - 1, show: (head) => `${head + 1} of ${shape[1]}` });
    frame.select("fusion", "Show", FUSIONS);
  }
  frame.range("temperature", TEMPERATURE);
  frame.select("view", "View", [["matrix", "matrix"], ["lines", "lines"]]);
  frame.reset();
  const drawn = number(), scale = h("span", {}, "0 ", h("i", { class: "pa-ramp" }), " 1");
  const outlined = h("span", {}, h("b", { class: "pa-true" }), " true alignment"), wrong = h("span", {}, "✗ wrong token");
  frame.picture.after(h("p", { class: "pa-legend" }, drawn, scale, outlined, wrong));

  const choose = (step) => { if (step !== frame.get("step")) frame.set({ step }); };
  const pick = (layer, head) => frame.set({ layer, head, fusion: "head" });

  function build() {
    const index = examples.findIndex(({ name }) => name === frame.get("example")), { maps } = examples[index];
    steps = Math.max(...maps.map((map) => map.queries.length));
    slider.input.max = steps - 1;
    if (frame.get("step") >= steps) frame.set({ step: steps - 1 });
    slider.refresh();
    panels = maps.map((map, i) => new Panel(map, stored(map, offsets[index][i]), choose, shape, pick));
    frame.picture.style.setProperty("--pa-least", `${Math.max(...panels.map((panel) => panel.need))}px`);
    frame.picture.style.setProperty("--pa-maps", maps.filter((map) => map.attends).length || 1);
    frame.picture.replaceChildren(...panels.map((panel) => panel.root));
    outlined.hidden = !maps.some((map) => map.truth);
    wrong.hidden = !maps.some((map) => map.expected);
  }

  return frame.start((changed) => {
    if (changed("example")) build();
    if (changed("theme", "example")) theme = colours(frame.root);
    const view = frame.get("view");
    if (changed("example", "view", "size", "theme")) {
      const width = Math.min(...panels.map((panel) => panel.root.clientWidth));
      for (const panel of panels) panel.lay(view, width, theme);
    }
    const heads = [frame.get("layer"), frame.get("head"), frame.get("fusion")];
    const rehead = many && changed("example", "layer", "head", "fusion");
    if (rehead) {
      headSlider.input.disabled = heads[2] !== "head";
      for (const panel of panels) if (panel.overview) panel.take(...heads);
    }
    if (rehead || changed("size", "theme", "view")) for (const panel of panels) panel.overview?.paint(...heads);
    if (rehead || changed("example", "view", "size", "theme", "temperature")) {
      const count = panels.reduce((sum, panel) => sum + panel.paint(frame.get("temperature")), 0);
      const all = panels.reduce((sum, { map }) => sum + (map.attends ? map.queries.length * map.keys.length : 0), 0);
      write(drawn, view === "lines" ? `${count} of ${all} weights as lines (≥ ${FAINT}); thickness = weight` : `${all} weights`);
      scale.hidden = view === "lines";
    }
    const step = frame.get("step");
    const which = { head: `Layer ${heads[0] + 1}, head ${heads[1] + 1}`, mean: `Layer ${heads[0] + 1}, mean of heads`, max: `Layer ${heads[0] + 1}, greatest of heads`, rollout: `Rollout through layer ${heads[0] + 1}` };
    write(frame.summary, [...(many ? [`${which[heads[2]]}.`] : []), `${QueryName} ${step + 1} of ${steps}.`, ...panels.map((panel) => panel.choose(step))].join(" "));
  });
}

export default { render };
