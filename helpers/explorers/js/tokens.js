// Type a text, see its tokens: WordPiece with a given vocabulary, or byte-pair encoding learned from the text itself.

import { field } from "./field.js";
import { inflated } from "./inflate.js";
import { Frame, fixed, h, number, write } from "./parts.js";
import { cutMerged, cutWordPiece, frontDecoded, learnMerges, splitWords } from "./wordpiece.js";

const SHOWN = 300; // tokens; a page with ten thousand boxes would stutter
const NAMES = { wordpiece: "WordPiece, BERT's vocabulary", bpe: "BPE, learned from this text", words: "words", characters: "characters" };
const UNKNOWN = "[UNK]";

const unpack = async (view) => (view.byteLength ? frontDecoded(await inflated(view).text()) : null);

async function render(context) {
  const frame = new Frame(context, "TokenExplorer"), examples = frame.get("_examples"), most = frame.get("_most");
  const vocabulary = await unpack(frame.get("_pieces"));
  const refresh = field(frame, "text", "Text", 3);
  if (examples.length > 1) frame.select("example", "Example", examples.map((text, i) => [i, text.length > 24 ? `${Array.from(text).slice(0, 22).join("")}…` : text]), Number);
  frame.select("tokenizer", "Tokens", Object.entries(NAMES).filter(([name]) => vocabulary || name !== "wordpiece"));
  const slider = frame.range("merges", { label: "Merges", min: 0, max: most });
  frame.reset();

  const names = ["characters", "words", "tokens", "tokens a word", "different tokens", "unknown words"], numbers = names.map(number);
  const list = h("ol", { class: "pa-tokens" }), note = h("p", { class: "pa-note" }), steps = h("ol", { class: "pa-steps" });
  const learned = h("div", {}, h("p", { class: "pa-title" }, "Merges so far, the last one first"), steps);
  frame.picture.classList.add("pa-text");
  frame.picture.append(h("div", { class: "pa-wide" }, list, note), learned);
  frame.picture.after(h("dl", {}, ...names.map((name, i) => h("div", {}, h("dt", {}, name), h("dd", {}, numbers[i])))));

  const known = new Map(); // WordPiece's answers
  const wordPiece = (word) => {
    if (!known.has(word)) known.set(word, cutWordPiece(word, vocabulary));
    return known.get(word);
  };
  let words = [], merges = [], example = frame.get("example");

  return frame.start((changed) => {
    if (frame.get("example") !== example) { // chosen anew: its text comes, and this is called again
      example = frame.get("example");
      if (!changed("text")) return frame.set({ text: examples[example] });
    }
    refresh();
    const text = frame.get("text"), kind = frame.get("tokenizer"), bpe = kind === "bpe";
    slider.box.hidden = !bpe;
    learned.hidden = !bpe;
    if (changed("text")) words = splitWords(text);
    if (bpe && changed("text", "tokenizer")) merges = learnMerges(words, most);
    const carried = merges.slice(0, frame.get("merges"));
    const cuts = new Map(), cut = (word) => {
      if (!cuts.has(word)) cuts.set(word, kind === "wordpiece" ? wordPiece(word) : bpe ? cutMerged(word, carried) : kind === "words" ? [word] : Array.from(word));
      return cuts.get(word);
    };
    const pieces = words.map(cut), tokens = pieces.flat();
    const unknown = tokens.filter((token) => token === UNKNOWN && kind === "wordpiece").length;
    if (changed("text", "tokenizer", "merges")) {
      const boxes = [];
      for (const [place, ofWord] of pieces.entries()) {
        ofWord.forEach((token, i) => boxes.push(h("li", { class: `${i ? "pa-more" : "pa-first"}${token === UNKNOWN ? " pa-unknown" : ""}`, title: words[place] }, h("bdi", {}, token))));
        if (boxes.length >= SHOWN) break;
      }
      list.replaceChildren(...boxes.slice(0, SHOWN));
      steps.replaceChildren(...carried.slice(-8).reverse().map(({ pair, count }) =>
        h("li", {}, h("bdi", {}, pair[0]), " + ", h("bdi", {}, pair[1]), " → ", h("b", {}, h("bdi", {}, pair.join(""))), `, ${count} times`)));
    }
    write(note, !tokens.length ? "No words: no tokens." : tokens.length > SHOWN ? `The first ${SHOWN} of ${tokens.length} tokens.` : "");
    const values = [Array.from(text).length, words.length, tokens.length, words.length ? fixed(tokens.length / words.length, 2) : "–", new Set(tokens).size, unknown];
    values.forEach((value, i) => write(numbers[i], String(value)));
    const some = tokens.slice(0, 12).join(" ");
    write(frame.summary, `${NAMES[kind]}${bpe ? `, ${carried.length} merges` : ""}: ${words.length} words become ${tokens.length} tokens${
      unknown ? `, ${unknown} of them unknown words` : ""}${tokens.length > 12 ? `: ${some} …` : tokens.length ? `: ${some}` : "."}`);
  });
}

export default { render };
