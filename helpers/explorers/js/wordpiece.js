// Text to tokens, as in helpers/tokens.py: BERT's normalization, WordPiece, and byte-pair encoding.

const CHINESE = /[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\u{2f800}-\u{2fa1f}]/gu;
const PUNCTUATION = /[!-/:-@[-`{-~\p{P}]/gu;
const LONGEST = 100, UNKNOWN = "[UNK]";

/** Lower case, without accents and control characters; Chinese characters stand alone. */
export function normalize(text) {
  const clean = text.replace(/[\t\n\r\p{Z}]/gu, " ").replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}\ufffd]/gu, "").replace(CHINESE, " $& ");
  const letters = clean.normalize("NFD").replace(/\p{Mn}/gu, "");
  return Array.from(letters, (c) => c.toLowerCase()).join(""); // one by one: a word's last sigma stays σ
}

/** Words: cut at spaces, and every punctuation mark is one of its own. */
export const splitWords = (text) => normalize(text).replace(PUNCTUATION, " $& ").split(" ").filter(Boolean);

/** The longest pieces that the vocabulary, a Set, has, from left to right. */
export function cutWordPiece(word, vocabulary) {
  const characters = Array.from(word), pieces = [];
  if (characters.length > LONGEST) return [UNKNOWN];
  for (let start = 0; start < characters.length;) {
    let end = characters.length, piece;
    for (; end > start; end -= 1) {
      piece = (start ? "##" : "") + characters.slice(start, end).join("");
      if (vocabulary.has(piece)) break;
    }
    if (end === start) return [UNKNOWN];
    pieces.push(piece);
    start = end;
  }
  return pieces;
}

/** A vocabulary from its front coding: a character says how many are shared with the piece before, then come the others. */
export function frontDecoded(text) {
  const vocabulary = new Set();
  let before = [];
  for (const line of text.split("\n")) {
    const [shared, ...rest] = Array.from(line);
    before = [...before.slice(0, shared.codePointAt(0) - 32), ...rest];
    vocabulary.add(before.join(""));
  }
  return vocabulary;
}

function merge(pieces, [left, right]) {
  const merged = [];
  for (let i = 0; i < pieces.length; i += 1) {
    if (pieces[i] === left && pieces[i + 1] === right) {
      merged.push(left + right);
      i += 1;
    } else merged.push(pieces[i]);
  }
  return merged;
}

/** Learn merges from the words: [{ pair, count }]; of equally frequent pairs the one with the older pieces wins. */
export function learnMerges(words, most) {
  const counts = new Map(), age = new Map(), learned = [];
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  const cut = new Map([...counts.keys()].map((word) => [word, Array.from(word)]));
  const alphabet = [...new Set([...cut.values()].flat())].sort((a, b) => a.codePointAt(0) - b.codePointAt(0));
  for (const character of alphabet) age.set(character, age.size);
  while (learned.length < most) {
    const pairs = new Map();
    for (const [word, pieces] of cut) {
      for (let i = 1; i < pieces.length; i += 1) {
        const key = age.get(pieces[i - 1]) * 65536 + age.get(pieces[i]);
        pairs.set(key, (pairs.get(key) ?? 0) + counts.get(word));
      }
    }
    if (!pairs.size) break;
    let best = -1, count = 0;
    for (const [key, n] of pairs) if (n > count || (n === count && key < best)) [best, count] = [key, n];
    const pieces = [...age.keys()], pair = [pieces[Math.floor(best / 65536)], pieces[best % 65536]];
    learned.push({ pair, count });
    if (!age.has(pair.join(""))) age.set(pair.join(""), age.size);
    for (const [word, old] of cut) if (old.includes(pair[0])) cut.set(word, merge(old, pair));
  }
  return learned;
}

/** The pieces of a word after these merges. */
export const cutMerged = (word, merges) => merges.reduce((pieces, { pair }) => (pieces.includes(pair[0]) ? merge(pieces, pair) : pieces), Array.from(word));
