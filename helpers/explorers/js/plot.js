// What the explorers that draw axes share: SVG elements, a linear scale, an axis.

/** An SVG element with attributes and children. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  place(node, attributes);
  node.append(...children);
  return node;
}

export function place(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
}

/** The straight map of a domain onto a range; `invert` goes back. */
export function linear([low, high], [from, to]) {
  const scale = (x) => from + ((x - low) / (high - low)) * (to - from);
  scale.invert = (y) => low + ((y - from) / (to - from)) * (high - low);
  return scale;
}

/**
 * Fill a group with ticks: `at` [position, text] pairs along the bottom or the left; `grid` is the length of the lines
 * across the picture, or 0 for none.
 */
export function axis(group, side, ticks, grid = 0) {
  group.setAttribute("class", `pa-axis pa-${side}`);
  group.replaceChildren(...ticks.map(([at, text]) => (side === "bottom"
    ? svg("g", { transform: `translate(${at},0)` }, svg("line", { y1: 4, y2: -grid }), svg("text", { y: 18 }, text))
    : svg("g", { transform: `translate(0,${at})` }, svg("line", { x1: -4, x2: grid }), svg("text", { x: -8, dy: "0.32em" }, text)))));
}
