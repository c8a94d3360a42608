// The choice of the next character: temperature, top-k and top-p on stored logits, at each place of a text.

import { Frame, TEMPERATURE, entropy, fixed, h, number, softmax, write } from "./parts.js";
import { named, random } from "./writing.js";

const SHOWN = 12, STEP = 1e-3;
const SIGNS = { " ": "␣", "\n": "⏎" };
const sign = (character) => SIGNS[character] ?? character;

/** The tokens from the likeliest down, their probabilities at this temperature, how many stay, and what share they hold. */
export function choose(logits, temperature, topK, topP) {
  const p = softmax(logits, temperature), order = [...p.keys()].sort((a, b) => p[b] - p[a]);
  const first = order.slice(0, topK), mass = first.reduce((sum, i) => sum + p[i], 0);
  let kept = first.length;
  if (topP < 1) for (let sum = kept = 0; kept < first.length && sum < topP * mass; kept += 1) sum += p[first[kept]];
  const share = first.slice(0, kept).reduce((sum, i) => sum + p[i], 0);
  return { p, order, kept, share };
}

/** What stays, scaled to sum to 1; the others get 0. */
export function chosen({ p, order, kept, share }) {
  const q = new Float64Array(p.length);
  for (const i of order.slice(0, kept)) q[i] = p[i] / share;
  return q;
}

/** The token that a number from 0 to 1 falls on, the likeliest first. */
function draw({ p, order, kept, share }, u) {
  let sum = 0;
  for (const i of order.slice(0, kept)) if ((sum += p[i] / share) > u) return i;
  return order[0];
}

function render(context) {
  const frame = new Frame(context, "SamplingExplorer"), passages = frame.get("_passages"), characters = frame.get("_characters");
  const k = characters.length, view = frame.get("_logits");
  let from = 0;
  const logits = passages.map(({ text }) => [...text].map(() =>
    Float64Array.from({ length: k }, () => STEP * view.getInt16(2 * from++, true))));

  if (passages.length > 1) frame.select("passage", "Text", passages.map(({ name }) => [name, name]));
  frame.range("temperature", TEMPERATURE);
  frame.range("top_k", { label: "Top-k", min: 1, max: k, show: (x) => (x === k ? "all" : String(x)) });
  frame.range("top_p", { label: "Top-p", min: 0.01, max: 1, step: 0.01, show: (x) => (x === 1 ? "all" : fixed(x, 2)) });
  const place = frame.range("place", { label: "Look at place", min: 1, max: 1 });
  frame.watch("sample");
  frame.controls.append(h("button", {
    type: "button", "data-lm-suppress-shortcuts": "true", click: () => frame.set({ sample: frame.get("sample") + 1 }),
  }, "Draw again"));
  frame.reset();

  const list = h("ol", { class: "pa-tokens", style: "gap: 0.2rem" });
  const rows = Array.from({ length: SHOWN }, () => {
    const name = h("th", { scope: "row" }), bar = h("i"), model = number(), drawn = number();
    return { name, bar, model, drawn, row: h("tr", {}, name, h("td", { "aria-hidden": "true", style: "width: 45%" }, bar), h("td", {}, model), h("td", { style: "padding-left: 0.8rem" }, drawn)) };
  });
  const caption = h("caption"), head = (text) => h("th", { scope: "col", style: "text-align: right; padding-left: 0.6rem" }, text);
  const table = h("table", { class: "pa-bars" }, caption, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "next"), h("td"), head("before"), head("cut"))),
    h("tbody", {}, ...rows.map(({ row }) => row)));
  frame.picture.classList.add("pa-beside");
  frame.picture.append(h("div", {}, h("p", { class: "pa-title" }, "Above: the text. Below: what is drawn in its place"), list), h("div", {}, table));
  const names = ["may come here", "their probability", "entropy, cut", "mean that may come", "drawn as in the text", "text cut off at", "perplexity of the text"];
  const values = names.map(number);
  frame.picture.after(h("dl", {}, ...names.map((name, i) => h("div", {}, h("dt", {}, name), h("dd", {}, values[i])))),
    h("p", { class: "pa-legend" }, h("span", {}, "In the text: ␣ space, ⏎ new line. A dashed frame: the text's own character can no longer come. ✓: drawn as in the text.")));

  let cells = [], all = [], truth = [];
  return frame.start((changed) => {
    const which = passages.findIndex(({ name }) => name === frame.get("passage")), text = [...passages[which].text], T = text.length;
    if (changed("passage")) {
      place.input.max = T;
      if (frame.get("place") > T) frame.set({ place: T });
      place.refresh();
      truth = text.map((character) => characters.indexOf(character));
      cells = text.map((character, t) => {
        const below = h("span", { style: "display: block" });
        return { below, cell: h("li", { click: () => frame.set({ place: t + 1 }) }, h("b", {}, sign(character)), below) };
      });
      list.replaceChildren(...cells.map(({ cell }) => cell));
    }
    if (changed("passage", "temperature", "top_k", "top_p", "sample")) {
      const dice = random(frame.get("sample"));
      all = logits[which].map((row, t) => {
        const choice = choose(row, frame.get("temperature"), frame.get("top_k"), frame.get("top_p"));
        return { ...choice, q: chosen(choice), drawn: draw(choice, dice()), right: truth[t] };
      });
    }
    const at = frame.get("place") - 1, here = all[at];
    cells.forEach(({ cell, below }, t) => {
      const { drawn, q, right } = all[t];
      write(below, drawn === right ? "✓" : sign(characters[drawn]));
      cell.className = t === at ? "pa-chosen" : "";
      cell.style = `min-width: 1.5rem; padding: 0.1rem; line-height: 1.3; text-align: center; border-style: ${q[right] ? "solid" : "dashed"}; border-color: ${
        q[right] && t !== at ? "var(--pa-line)" : "var(--pa-text)"}; background: ${drawn === right ? "none" : "color-mix(in oklab, var(--pa-ink) 22%, var(--pa-paper))"}`;
    });
    const order = here.order.filter((i, rank) => rank < SHOWN - 2 || i === here.right || i === here.drawn);
    rows.forEach(({ name, bar, model, drawn, row }, r) => {
      const i = order[r];
      row.hidden = i === undefined;
      if (row.hidden) return [name, model, drawn].forEach((each) => write(each, ""));
      write(name, `${named(characters[i])}${i === here.right ? " •" : ""}${i === here.drawn ? " ◂" : ""}`);
      name.classList.toggle("pa-strong", i === here.drawn);
      bar.style.transform = `scaleX(${here.q[i]})`;
      write(model, fixed(here.p[i], 3));
      write(drawn, here.q[i] ? fixed(here.q[i], 3) : "cut");
    });
    write(caption, `Place ${at + 1} of ${T}: • what the text has, ◂ what is drawn`);
    const out = all.filter(({ q, right }) => !q[right]).length, same = all.filter(({ drawn, right }) => drawn === right).length;
    const loss = all.reduce((sum, { q, right }) => sum - Math.log(q[right]), 0) / T;
    [`${here.kept} of ${k}`, fixed(here.share, 3), `${fixed(entropy(here.q), 2)} bits`, fixed(all.reduce((sum, { kept }) => sum + kept, 0) / T, 1),
      `${same} of ${T}`, `${out} of ${T}`, out ? "∞" : fixed(Math.exp(loss), 2)].forEach((value, i) => write(values[i], value));
    write(frame.summary, `Temperature ${fixed(frame.get("temperature"), 2)}, top-k ${frame.get("top_k") === k ? "all" : frame.get("top_k")}, top-p ${
      frame.get("top_p") === 1 ? "all" : fixed(frame.get("top_p"), 2)}. At place ${at + 1} the text has “${named(text[at])}”; ${here.kept} of ${k} characters may come, and “${
      named(characters[here.drawn])}” is drawn with probability ${fixed(here.q[here.drawn], 2)}. In the whole text ${same} of ${T} are drawn as they stand; ${out} could not be.`);
  });
}

export default { render };
