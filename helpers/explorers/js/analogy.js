// a + b − c among word vectors: the nearest words, and a map of them.

import { field } from "./field.js";
import { inflated } from "./inflate.js";
import { Frame, fixed, h, number, write } from "./parts.js";
import { linear, place, svg } from "./plot.js";

const HEIGHT = 380, EDGE = 46, NEAREST = 8; // px, px, words

const dot = (a, b) => { let sum = 0; for (let i = 0; i < a.length; i += 1) sum += a[i] * b[i]; return sum; };

/** Unit vectors, from integers whose scale does not matter. */
export function unitVectors(view, count) {
  const width = view.byteLength / count;
  return Array.from({ length: count }, (_, word) => {
    const row = Float64Array.from({ length: width }, (_, i) => view.getInt8(word * width + i)), length = Math.sqrt(dot(row, row));
    return row.map((x) => x / length);
  });
}

/** The words nearest to a vector: [{ word, cosine }], the greatest cosine first, without some of them. */
export function nearest(vectors, query, count, without = []) {
  const length = Math.sqrt(dot(query, query));
  const cosines = vectors.map((vector, word) => ({ word, cosine: without.includes(word) ? -Infinity : dot(vector, query) / length }));
  return cosines.sort((one, other) => other.cosine - one.cosine || one.word - other.word).slice(0, count);
}

/** Principal components of a few points: their places on the first two, and the share of the variance that these hold. */
export function principal(points) {
  const mean = points[0].map((_, i) => points.reduce((sum, point) => sum + point[i], 0) / points.length);
  let rows = points.map((point) => point.map((x, i) => x - mean[i]));
  const total = rows.reduce((sum, row) => sum + dot(row, row), 0), places = points.map(() => []);
  let kept = 0;
  for (let component = 0; component < 2; component += 1) {
    let axis = rows.reduce((one, other) => (dot(other, other) > dot(one, one) ? other : one));
    for (let round = 0; round < 200; round += 1) { // power iteration
      const next = axis.map(() => 0);
      for (const row of rows) { const along = dot(row, axis); row.forEach((x, i) => { next[i] += along * x; }); }
      const length = Math.sqrt(dot(next, next)) || 1;
      axis = next.map((x) => x / length);
    }
    rows.forEach((row, i) => { const along = dot(row, axis); places[i].push(along); kept += along ** 2; });
    rows = rows.map((row, i) => row.map((x, j) => x - places[i][component] * axis[j]));
  }
  return { places, share: total ? kept / total : 1 };
}

async function render(context) {
  const frame = new Frame(context, "AnalogyExplorer"), words = frame.get("_words").split(" ");
  const vectors = unitVectors(new DataView(await inflated(frame.get("_vectors")).arrayBuffer()), words.length), index = new Map(words.map((word, i) => [word, i]));
  const examples = frame.get("_examples"), formula = ([a, b, c]) => `${a} + ${b} − ${c}`;

  frame.select("example", "Example", examples.map((example, i) => [i, formula(example)]), Number);
  const refresh = [["a", "a"], ["b", "+ b"], ["c", "− c"]].map(([trait, label]) => field(frame, trait, label));
  frame.checkbox("exclude", "Leave these three out");
  frame.reset();

  // the map
  const map = svg("svg", { role: "img", "aria-label": "Map of the three words, their sum, and the words nearest to it", height: HEIGHT });
  const arrows = ["", "pa-unscaled"].map((kind) => svg("line", { class: `pa-line ${kind}` }));
  const dots = Array.from({ length: NEAREST + 3 }, () => svg("circle", { class: "pa-query" })), names = dots.map(() => svg("text", { class: "pa-key-name" }));
  const sum = svg("path", { d: "M0-9L9 0L0 9L-9 0Z", class: "pa-output" });
  map.append(...arrows, ...dots, sum, ...names);

  // the list
  const rows = Array.from({ length: NEAREST }, () => {
    const name = h("th", { scope: "row" }), cosine = number(), bar = h("i");
    return { name, cosine, bar, row: h("tr", {}, name, h("td", { "aria-hidden": "true" }, bar), h("td", {}, cosine)) };
  });
  const title = h("p", { class: "pa-title" }), share = number();
  const table = h("table", { class: "pa-bars" }, h("caption", {}, "Nearest words and their cosines"), h("tbody", {}, ...rows.map(({ row }) => row)));
  const facts = h("dl", {}, h("div", {}, h("dt", {}, "of the distances, the map shows"), h("dd", {}, share)));
  const box = h("div", {}, map);
  frame.picture.classList.add("pa-beside");
  frame.picture.append(box, h("div", {}, title, table, facts));
  frame.picture.after(h("p", { class: "pa-legend" }, h("span", {}, "● a, b and c"), h("span", {}, "○ nearest words"), h("span", {}, "◇ a + b − c"),
    h("span", {}, "line: from c to a"), h("span", {}, "dashed: the same step from b")));

  let example = frame.get("example");

  function missing(asked) {
    const alike = words.filter((word) => word.startsWith(asked.slice(0, 3))).slice(0, 6);
    return `No vector for “${asked}” among these ${words.length} words.${asked && alike.length ? ` There are ${alike.join(", ")}.` : ""}`;
  }

  return frame.start((changed) => {
    if (frame.get("example") !== example) { // chosen anew: its words come, and this is called again
      example = frame.get("example");
      const [a, b, c] = examples[example];
      if (!changed("a", "b", "c") && ["a", "b", "c"].some((trait, i) => frame.get(trait) !== [a, b, c][i])) return frame.set({ a, b, c });
    }
    refresh.forEach((each) => each());
    const asked = ["a", "b", "c"].map((trait) => frame.get(trait).trim().toLowerCase()), unknown = asked.find((word) => !index.has(word));
    for (const part of [map, table, facts]) part.toggleAttribute("hidden", unknown !== undefined);
    if (unknown !== undefined) {
      write(title, missing(unknown));
      for (const each of [share, ...rows.map(({ cosine }) => cosine)]) write(each, "–");
      write(frame.summary, missing(unknown));
      return;
    }
    const three = asked.map((word) => index.get(word)), [a, b, c] = three.map((word) => vectors[word]);
    const query = a.map((x, i) => x + b[i] - c[i]), found = nearest(vectors, query, NEAREST, frame.get("exclude") ? three : []);
    write(title, `${formula(asked)} ≈ ${words[found[0].word]}`);
    found.forEach(({ word, cosine }, i) => {
      write(rows[i].name, words[word]);
      write(rows[i].cosine, fixed(cosine, 3));
      rows[i].bar.style.transform = `scaleX(${Math.max(0, cosine)})`;
    });

    const shown = [...new Set([...three, ...found.map(({ word }) => word)])];
    const { places, share: kept } = principal([query, ...shown.map((word) => vectors[word])]);
    const wide = Math.min(box.clientWidth, 560), ends = [0, 1].map((axis) => [Math.min(...places.map((p) => p[axis])), Math.max(...places.map((p) => p[axis]))]);
    const scale = Math.min((wide - 2 * EDGE) / (ends[0][1] - ends[0][0] || 1), (HEIGHT - 2 * EDGE) / (ends[1][1] - ends[1][0] || 1)); // one scale for both axes
    const middle = ends.map(([low, high]) => (low + high) / 2);
    const x = (p) => Math.round(wide / 2 + scale * (p[0] - middle[0])), y = (p) => Math.round(HEIGHT / 2 - scale * (p[1] - middle[1]));
    place(map, { width: wide });
    const at = (word) => places[1 + shown.indexOf(word)], [pa, pb, pc] = three.map(at);
    [[pc, pa], [pb, places[0]]].forEach(([from, to], i) => place(arrows[i], { x1: x(from), y1: y(from), x2: x(to), y2: y(to) }));
    place(sum, { transform: `translate(${x(places[0])},${y(places[0])})` });
    dots.forEach((mark, i) => {
      const on = i < shown.length, p = places[1 + i];
      for (const node of [mark, names[i]]) node.toggleAttribute("hidden", !on);
      if (!on) return;
      place(mark, { cx: x(p), cy: y(p), r: 6, class: three.includes(shown[i]) ? "pa-query" : "pa-output" });
      place(names[i], { x: Math.max(30, Math.min(wide - 30, x(p))), y: y(p) - 11 });
      write(names[i], words[shown[i]]);
    });
    write(share, `${fixed(100 * kept, 0)} %`);
    write(frame.summary, `${formula(asked)}: nearest is ${words[found[0].word]} (cosine ${fixed(found[0].cosine, 2)}), then ${
      found.slice(1, 4).map(({ word, cosine }) => `${words[word]} (${fixed(cosine, 2)})`).join(", ")}${frame.get("exclude") ? "; the three words themselves are left out" : ""}.`);
  });
}

export default { render };
