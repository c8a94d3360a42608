// A beam search over recorded log-probabilities, as a tree that grows downwards: one row a step, one column a rank.

import { Frame, fixed, h, number, write } from "./parts.js";
import { place, svg } from "./plot.js";

const WIDEST = 5, NONE = 0xffff, ROW = 30, TOP = 18, LISTED = 8; // ROW, TOP in px

function render(context) {
  const frame = new Frame(context, "BeamExplorer"), tokens = frame.get("_tokens"), end = frame.get("_end"), longest = frame.get("_longest");
  const examples = frame.get("_examples"), next = frame.get("_next"), logs = frame.get("_logs"), children = frame.get("_children");
  const word = (token) => (token === end ? "end" : tokens[token]);

  /** All continuations of a hypothesis that a beam may need. */
  const grow = (parent, first) => Array.from({ length: WIDEST }, (_, i) => {
    const at = (first + parent.node) * WIDEST + i, token = next.getUint8(at);
    return { parent, token, total: parent.total + logs.getFloat32(4 * at, true), node: children.getUint16(2 * at, true), ended: token === end };
  });

  /** The search: for each step the candidates, best first, and how many of them were kept. */
  function search({ first }, width) {
    let beam = [{ parent: null, total: 0, node: 0 }], best = -Infinity;
    const steps = [];
    while (beam.length) {
      const candidates = beam.flatMap((each) => grow(each, first)).sort((one, other) => other.total - one.total), kept = candidates.slice(0, width);
      kept.forEach((each, rank) => { each.rank = rank; each.ended ||= steps.length + 1 === longest; });
      steps.push({ candidates, kept, extended: beam.length });
      for (const each of kept) if (each.ended) best = Math.max(best, each.total);
      beam = kept.filter((each) => !each.ended);
      if (beam.length && beam[0].total <= best) break;
    }
    return steps;
  }

  const path = (leaf) => { const nodes = []; for (let node = leaf; node.parent; node = node.parent) nodes.unshift(node); return nodes; };
  const text = (leaf) => path(leaf).filter(({ token }) => token !== end).map(({ token }) => tokens[token]).join(" ");
  const bestEnded = (steps) => steps.flatMap(({ kept }) => kept.filter(({ ended }) => ended)).reduce((one, other) => (!one || other.total > one.total ? other : one), null);

  const most = Math.max(...examples.flatMap((example) => Array.from({ length: WIDEST }, (_, i) => search(example, i + 1).length)));
  frame.select("example", "Number", examples.map(({ name }) => [name, name]));
  frame.range("width", { label: "Beam width", min: 1, max: WIDEST });
  frame.range("step", { label: "Step", min: 1, max: most });
  frame.reset();

  const tree = svg("svg", { role: "img", "aria-label": "Tree of the hypotheses that the beam kept, one row a step" }), edges = svg("g"), names = svg("g");
  tree.append(edges, names);
  const box = h("div", {}, tree), title = h("p", { class: "pa-title" }), verdict = h("p", {});
  const rows = Array.from({ length: LISTED }, () => {
    const name = h("th", { scope: "row" }), total = number(), bar = h("i");
    return { name, total, bar, row: h("tr", {}, name, h("td", { "aria-hidden": "true" }, bar), h("td", {}, total)) };
  });
  const caption = h("caption", {});
  const table = h("table", { class: "pa-bars" }, caption, h("tbody", {}, ...rows.map(({ row }) => row)));
  const facts = ["log p of the best end", "log p, greedy", "prefixes asked so far"], numbers = facts.map(number);
  frame.picture.classList.add("pa-beside");
  frame.picture.append(box, h("div", {}, title, verdict, table, h("dl", {}, ...facts.map((fact, i) => h("div", {}, h("dt", {}, fact), h("dd", {}, numbers[i]))))));
  frame.picture.after(h("p", { class: "pa-legend" }, h("span", {}, "thick: leads to a hypothesis that is still kept"), h("span", {}, "dashed: given up later"), h("span", {}, "■ an end"), h("span", {}, "columns: rank")));

  return frame.start(() => {
    const example = examples.find(({ name }) => name === frame.get("example")), width = frame.get("width");
    const steps = search(example, width), step = Math.min(frame.get("step"), steps.length), shown = steps.slice(0, step), over = step === steps.length;
    const now = shown[step - 1], found = bestEnded(shown), greedy = bestEnded(search(example, 1));

    // what still lives: the hypotheses of the last row, and the best end
    const alive = new Set(), leaves = over && found ? [found] : [...now.kept, ...(found ? [found] : [])];
    for (const leaf of leaves) for (const node of path(leaf)) alive.add(node);
    const wide = Math.min(box.clientWidth, 520), high = TOP + ROW * (step + 1), x = (rank) => (wide * (rank + 0.5)) / width, y = (depth) => TOP + ROW * depth;
    place(tree, { width: wide, height: high });
    const lines = [], labels = [svg("text", { class: "pa-key-name", x: wide / 2, y: TOP }, "begin")];
    shown.forEach(({ kept }, depth) => kept.forEach((node) => {
      const from = node.parent.parent ? [x(node.parent.rank), y(depth) + 5] : [wide / 2, TOP + 5], lives = alive.has(node);
      lines.push(svg("line", { class: `pa-line${lives ? "" : " pa-unscaled"}`, x1: from[0], y1: from[1], x2: x(node.rank), y2: y(depth + 1) - 11,
        style: lives ? "" : "stroke-width: 1.2; stroke: var(--pa-quiet)" }));
      const small = wide / width < 72 ? "; font-size: 11px" : "";
      labels.push(svg("text", { class: "pa-key-name", x: x(node.rank), y: y(depth + 1), style: `${lives ? "font-weight: 600" : "fill: var(--pa-quiet)"}${small}` },
        node.ended ? `■ ${word(node.token)}` : word(node.token)));
    }));
    edges.replaceChildren(...lines);
    names.replaceChildren(...labels);

    // the candidates of this step
    const top = now.candidates[0].total;
    write(caption, `Candidates of step ${step}: log p so far, ✓ kept`);
    rows.forEach(({ name, total, bar, row }, i) => {
      const each = now.candidates[i];
      row.toggleAttribute("hidden", !each);
      if (!each) return write(total, "");
      const before = path(each).slice(-2, -1).map(({ token }) => word(token)).join(" ");
      write(name, `${i < width ? "✓" : "·"} ${before ? `… ${before} ` : ""}${word(each.token)}`);
      write(total, fixed(each.total, 3));
      bar.style.transform = `scaleX(${Math.exp(each.total - top)})`;
    });

    const says = found ?? now.kept[0], right = found && text(found) === example.expected;
    write(title, example.source);
    write(verdict, `${over ? (right ? "✓" : "✗") : "…"} ${text(says)}`);
    write(numbers[0], found ? fixed(found.total, 3) : "–");
    write(numbers[1], fixed(greedy.total, 3));
    write(numbers[2], String(shown.reduce((sum, { extended }) => sum + extended, 0)));
    write(frame.summary, `Width ${width}, step ${step} of ${steps.length}. ${over ? `The search is over: ${text(says)}, log p ${fixed(says.total, 3)}, ${
      right ? "right" : `wrong, it should be ${example.expected}`}.` : `Best so far: ${text(now.kept[0])}${now.kept[0].ended ? ", ended" : ""}.`}`);
  });
}

export default { render };
