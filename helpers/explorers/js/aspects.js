// One review, several aspects: a small attention model reads what the reader types, and its weights colour the words.

import { field } from "./field.js";
import { inflated } from "./inflate.js";
import { Frame, fixed, greatest, h, number, softmax, write } from "./parts.js";
import { frontDecoded, splitWords } from "./wordpiece.js";

const MOST = 400; // words, as in Python
const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const dot = (a, b) => { let sum = 0; for (let i = 0; i < a.length; i += 1) sum += a[i] * b[i]; return sum; };
const affine = (rows, bias, x) => rows.map((row, i) => bias[i] + dot(row, x));

/** A float16, from its 16 bits. */
const half = (bits) => {
  const exponent = (bits >> 10) & 31, fraction = bits & 1023;
  return (bits & 0x8000 ? -1 : 1) * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : fraction * 2 ** -24);
};

/** The model, from bytes: a table of whole numbers, then the rest in float16, in the order below. */
export function unpack(view, scale, [count, d, aspects, classes]) {
  const table = Array.from({ length: count }, (_, i) => Float64Array.from({ length: d }, (__, j) => scale * view.getInt8(i * d + j)));
  let at = count * d;
  const vector = (n) => Float64Array.from({ length: n }, () => { at += 2; return half(view.getUint16(at - 2, true)); });
  const matrix = (rows, columns) => Array.from({ length: rows }, () => vector(columns));
  const direction = () => ({ U: matrix(3 * d, d), W: matrix(3 * d, d), b: vector(3 * d), c: vector(3 * d) });
  return { table, forward: direction(), backward: direction(), queries: matrix(aspects, 2 * d), V: matrix(classes, 2 * d), o: vector(classes) };
}

/** The states of a GRU: reset gate, update gate and candidate in this order, as in PyTorch. */
function gru({ U, W, b, c }, inputs) {
  const d = U.length / 3;
  let state = new Float64Array(d);
  return inputs.map((x) => {
    const input = affine(U, b, x), memory = affine(W, c, state);
    state = state.map((old, i) => {
      const update = sigmoid(input[d + i] + memory[d + i]);
      const candidate = Math.tanh(input[2 * d + i] + sigmoid(input[i] + memory[i]) * memory[2 * d + i]);
      return (1 - update) * candidate + update * old;
    });
    return state;
  });
}

/** For each aspect the weights of the words and the probabilities of the verdicts. */
export function read(model, indices) {
  const inputs = indices.map((i) => model.table[i]);
  const left = gru(model.forward, inputs), right = gru(model.backward, inputs.toReversed()).toReversed();
  const states = left.map((state, t) => [...state, ...right[t]]);
  return model.queries.map((query) => {
    const weights = softmax(states.map((state) => dot(query, state)));
    const mixed = query.map((_, j) => states.reduce((sum, state, t) => sum + weights[t] * state[j], 0));
    return { weights, verdicts: softmax(affine(model.V, model.o, mixed)) };
  });
}

/** The vocabulary in its order: padding, unknown, and the words that were packed. */
export async function unpackWords(view) {
  return new Map([...frontDecoded(await inflated(view).text())].map((word, i) => [word, i + 2]));
}

const short = (text) => (text.length > 26 ? `${text.slice(0, 25)}…` : text);

async function render(context) {
  const frame = new Frame(context, "AspectExplorer");
  const [reviews, aspects, verdicts] = ["_reviews", "_aspects", "_verdicts"].map((name) => frame.get(name));
  const vocabulary = await unpackWords(frame.get("_words")), model = unpack(frame.get("_weights"), frame.get("_scale"), frame.get("_shape"));
  const refresh = field(frame, "text", "Text", 4);
  if (reviews.length > 1) frame.select("review", "Review", reviews.map((text, i) => [i, `${i + 1}: ${short(text)}`]), Number);
  frame.select("aspect", "Aspect", aspects.map((name, i) => [i, name]), Number);
  frame.reset();

  const names = ["words", "unknown words", "verdict", "greatest weight", "on the word"], numbers = names.map(number);
  const title = h("p", { class: "pa-title" }), list = h("ol", { class: "pa-tokens" }), note = h("p", { class: "pa-note" });
  const cells = aspects.map(() => verdicts.map(number));
  const table = h("table", { class: "pa-bars" }, h("caption", {}, "Probabilities of the verdicts"),
    h("thead", {}, h("tr", {}, h("th", {}, "aspect"), ...verdicts.map((name) => h("th", { style: "text-align: right; padding-left: .6rem" }, name)))),
    h("tbody", {}, ...aspects.map((name, a) => h("tr", {}, h("th", { scope: "row" }, name), ...cells[a].map((cell) => h("td", {}, cell))))));
  frame.picture.classList.add("pa-text");
  frame.picture.append(h("div", { class: "pa-wide" }, title, list, note), table);
  frame.picture.after(h("dl", {}, ...names.map((name, i) => h("div", {}, h("dt", {}, name), h("dd", {}, numbers[i])))),
    h("p", { class: "pa-legend" }, h("span", {}, "weight 0 ", h("i", { class: "pa-ramp", style: "background: linear-gradient(90deg in oklab, var(--pa-paper), color-mix(in oklab, var(--pa-ink) 45%, var(--pa-paper)))" }), " greatest; numbers below the words from 0.01 on; dashed: not in the vocabulary.")));

  let words = [], result = null, review = frame.get("review");
  return frame.start((changed) => {
    if (frame.get("review") !== review) { // chosen anew: its text comes, and this is called again
      review = frame.get("review");
      if (!changed("text")) return frame.set({ text: reviews[review] });
    }
    refresh();
    if (changed("text")) {
      words = splitWords(frame.get("text"));
      result = words.length ? read(model, words.slice(0, MOST).map((word) => vocabulary.get(word) ?? 1)) : null;
    }
    const a = frame.get("aspect"), shown = words.slice(0, MOST), unknown = shown.filter((word) => !vocabulary.has(word)).length;
    write(title, `What the query “${aspects[a]}” looks at`);
    write(note, !result ? "No words: nothing to weigh." : words.length > MOST ? `The first ${MOST} of ${words.length} words are read.` : "");
    const weights = result ? result[a].weights : [], top = result ? greatest(weights) : -1;
    list.replaceChildren(...shown.map((word, t) => {
      const mark = t === top ? "; border-color: var(--pa-text); font-weight: 700" : "";
      return h("li", { class: vocabulary.has(word) ? "" : "pa-unknown", style: `text-align: center; background: color-mix(in oklab, var(--pa-ink) ${(45 * weights[t] / weights[top]).toFixed(1)}%, var(--pa-paper))${mark}` },
        h("bdi", {}, word), h("small", { class: "pa-number", style: "display: block; line-height: 1; min-height: 1em; font-weight: 400" }, weights[t] >= 0.01 ? fixed(weights[t], 2) : ""));
    }));
    cells.forEach((row, i) => row.forEach((cell, v) => write(cell, result ? fixed(result[i].verdicts[v], 2) : "–")));
    const verdict = result && greatest(result[a].verdicts);
    const values = [words.length, unknown, ...(result ? [verdicts[verdict], fixed(weights[top], 3), shown[top]] : ["–", "–", "–"])];
    values.forEach((value, i) => write(numbers[i], String(value)));
    write(frame.summary, !result ? "No words: nothing to weigh." : `${aspects[a]}: ${verdicts[verdict]}, probability ${fixed(result[a].verdicts[verdict], 2)}; the greatest weight, ${
      fixed(weights[top], 2)}, is on “${shown[top]}”, word ${top + 1} of ${shown.length}${unknown ? `; ${unknown} of the words are unknown to the model` : ""}.`);
  });
}

export default { render };
