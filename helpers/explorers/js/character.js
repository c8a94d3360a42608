// A character language model goes on with what the reader begins: text, and the distribution behind each character.

import { Frame, TEMPERATURE, entropy, fixed, h, number, softmax, write } from "./parts.js";
import { named, random } from "./writing.js";

const SHOWN = 10, LONGEST = 60;

/** The network: step(state, character) → [state, logits]. */
function network(levels, scales, d, k) {
  let from = 0, at = 0;
  const vector = (n) => Float64Array.from({ length: n }, () => scales.getFloat32(4 * at++, true));
  const steps = [vector(d), vector(d), vector(k)], b = vector(d), c = vector(k);
  const [W, U, V] = [[d, d], [d, k], [k, d]].map(([rows, columns], i) => Array.from({ length: rows }, (_, row) =>
    Float64Array.from({ length: columns }, () => levels.getInt8(from++) * steps[i][row])));
  const times = (row, state) => { let sum = 0; for (let i = 0; i < d; i += 1) sum += row[i] * state[i]; return sum; };
  return (state, x) => {
    const next = Float64Array.from(b, (bias, j) => Math.tanh(bias + times(W[j], state) + U[j][x]));
    return [next, Float64Array.from(c, (bias, i) => bias + times(V[i], next))];
  };
}

function draw(p, u) {
  let sum = 0;
  for (let i = 0; i < p.length; i += 1) if ((sum += p[i]) > u) return i;
  return p.length - 1;
}

function render(context) {
  const { model } = context, frame = new Frame(context, "CharacterExplorer");
  const characters = frame.get("_characters"), d = frame.get("_size"), written = frame.get("_written"), k = characters.length;
  const step = network(model.get("_levels"), model.get("_scales"), d, k);

  const id = `pa-${Math.random().toString(36).slice(2)}`;
  const input = h("input", {
    id, type: "text", maxlength: LONGEST, spellcheck: "false", autocomplete: "off", "data-lm-suppress-shortcuts": "true",
    style: "grid-column: 1 / -1; width: 100%; height: 2.4rem; padding: 0 0.6rem; border: 1px solid var(--pa-quiet); border-radius: 0.4rem; background: var(--pa-paper); color: inherit; font: inherit; cursor: text",
    input: () => frame.set({ prefix: input.value }),
  });
  frame.controls.append(h("div", { class: "pa-control", style: "flex-basis: 12rem" }, h("label", { for: id }, "Begin with"), input));
  frame.watch("prefix");
  frame.watch("sample");
  frame.range("temperature", TEMPERATURE);
  frame.range("place", { label: "Look at character", min: 1, max: written });
  frame.controls.append(h("button", {
    type: "button", "data-lm-suppress-shortcuts": "true", click: () => frame.set({ sample: frame.get("sample") + 1 }),
  }, "Again"));
  frame.reset();

  const [before, mark, after, own] = [h("span"), h("mark", { style: "background: var(--pa-text); color: var(--pa-paper); border-radius: 2px" }), h("span"), h("b")];
  const text = h("p", { style: "white-space: pre-wrap; overflow-wrap: anywhere; min-height: 13rem; padding-top: 0.4rem" }, own, before, mark, after);
  const rows = Array.from({ length: SHOWN }, () => {
    const name = h("th", { scope: "row" }), bar = h("i"), share = number();
    return { name, bar, share, row: h("tr", {}, name, h("td", { "aria-hidden": "true" }, bar), h("td", {}, share)) };
  });
  const caption = h("caption"), [drawn, bits, surprise] = [number(), number(), number()];
  frame.picture.classList.add("pa-beside");
  frame.picture.append(
    h("div", {}, h("p", { class: "pa-title" }, "Your beginning, and what the model writes"), text),
    h("div", {}, h("table", { class: "pa-bars" }, caption, h("tbody", {}, ...rows.map(({ row }) => row))),
      h("dl", {}, ...[["drawn, with its probability", drawn], ["entropy of this choice", bits], ["perplexity of all it wrote", surprise]].map(([dt, dd]) =>
        h("div", {}, h("dt", {}, dt), h("dd", {}, dd))))));

  let known, steps;
  /** Read the prefix, then draw and read on; each step keeps its distribution. */
  function run() {
    const index = new Map(characters.map((character, i) => [character, i])), next = random(frame.get("sample"));
    known = [...frame.get("prefix")].filter((character) => index.has(character));
    let state = new Float64Array(d), logits;
    for (const character of known.length ? known : ["\n"]) [state, logits] = step(state, index.get(character));
    steps = Array.from({ length: written }, () => {
      const p = softmax(logits, frame.get("temperature")), choice = draw(p, next());
      [state, logits] = step(state, choice);
      return { p, choice };
    });
  }

  return frame.start((changed) => {
    if (changed("prefix", "temperature", "sample")) run();
    if (input.value !== frame.get("prefix")) input.value = frame.get("prefix");
    const at = frame.get("place") - 1, { p, choice } = steps[at], all = steps.map((each) => characters[each.choice]).join("");
    write(own, known.join(""));
    write(before, all.slice(0, at));
    write(mark, all[at] === "\n" ? "⏎\n" : all[at]);
    write(after, all.slice(at + 1));
    const order = [...p.keys()].sort((a, b) => p[b] - p[a]).slice(0, SHOWN);
    if (!order.includes(choice)) order[SHOWN - 1] = choice;
    rows.forEach(({ name, bar, share, row }, i) => {
      const shown = order[i];
      row.hidden = shown === undefined;
      if (row.hidden) return;
      write(name, `${named(characters[shown])}${shown === choice ? " ◂" : ""}`);
      name.classList.toggle("pa-strong", shown === choice);
      bar.style.transform = `scaleX(${p[shown]})`;
      write(share, fixed(p[shown], 3));
    });
    write(caption, `Character ${at + 1}: the likeliest, ◂ the one drawn`);
    write(drawn, `${named(characters[choice])}, ${fixed(p[choice], 3)}`);
    write(bits, `${fixed(entropy(p), 2)} bits`);
    const loss = steps.reduce((sum, each) => sum - Math.log(each.p[each.choice]), 0) / written;
    write(surprise, fixed(Math.exp(loss), 2));
    const left = [...frame.get("prefix")].length - known.length;
    write(frame.summary, `Temperature ${fixed(frame.get("temperature"), 2)}, sample ${frame.get("sample")}. Character ${at + 1} is “${named(characters[choice])}”, drawn with probability ${
      fixed(p[choice], 2)}; likeliest was “${named(characters[order[0]])}” with ${fixed(p[order[0]], 2)}.${left ? ` ${left} of your characters are not in the book and were left out.` : ""}`);
  });
}

export default { render };
