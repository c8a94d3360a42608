// The attention-guided network: a heatmap cut at a threshold, the box around the largest region, its crop, three answers.

import { inflated } from "./inflate.js";
import { Frame, colours, fit, fixed, greatest, h, number, write } from "./parts.js";

const BRANCHES = ["global", "local", "fusion"];
const area = ([top, left, bottom, right]) => Math.max(0, bottom - top) * Math.max(0, right - left);

/** Of boxes (top, left, bottom, right): the share of the true one that is inside, and intersection over union. */
export function fits(found, known) {
  const both = area([Math.max(found[0], known[0]), Math.max(found[1], known[1]), Math.min(found[2], known[2]), Math.min(found[3], known[3])]);
  return [both / area(known), both / (area(found) + area(known) - both)];
}

async function render(context) {
  const { model } = context, frame = new Frame(context, "GuidedExplorer"), scenes = frame.get("_scenes"), classes = frame.get("_classes");
  const thresholds = frame.get("_thresholds"), side = frame.get("_side"), cells = side ** 2;
  const bytes = new Uint8Array(await inflated(model.get("_data")).arrayBuffer());
  const heats = scenes.map((_, i) => bytes.subarray(3 * cells * scenes.length + i * cells, 3 * cells * scenes.length + (i + 1) * cells));
  const photos = await Promise.all(scenes.map((_, i) => {
    const picture = new ImageData(side, side);
    for (let p = 0; p < cells; p += 1) picture.data.set([...bytes.subarray(3 * (i * cells + p), 3 * (i * cells + p) + 3), 255], 4 * p);
    return createImageBitmap(picture);
  }));

  frame.select("scene", "Picture", scenes.map(({ name }) => [name, name]));
  frame.range("threshold", { label: "Threshold τ", min: 0, max: thresholds.length - 1, show: (i) => fixed(thresholds[i], 2) });
  frame.range("shade", { label: "Grey", min: 0, max: 1, step: 0.05, show: (shade) => `${fixed(100 * shade, 0)} %` });
  frame.reset();

  const panel = (text, label) => {
    const title = h("p", { class: "pa-title" }, text), canvas = h("canvas", { role: "img", "aria-label": label });
    return { title, canvas, box: h("div", {}, title, h("div", { class: "pa-map" }, canvas)) };
  };
  const panels = [
    panel("Picture, cold parts grey", "The picture; places with little heat are grey"), panel("Heatmap and mask", "The heatmap, and the part above the threshold"),
    panel("What the local branch sees", "The crop, as large as the picture"), panel("What each branch says", "The probability of each class by each branch"),
  ];
  panels[3].box.classList.add("pa-wide");
  frame.picture.style.setProperty("--pa-least", "9rem");
  frame.picture.style.setProperty("--pa-maps", "3");
  frame.picture.append(...panels.map(({ box }) => box));
  const names = [...BRANCHES.map((name) => `${name} branch says`), "of the thing inside the box", "overlap with the true box", "box’s share of the picture"];
  const numbers = names.map(number);
  frame.picture.after(
    h("p", { class: "pa-legend" }, h("span", {}, "━ box that is cut out"), h("span", {}, "┄ true box"), h("span", {}, "─ edge of the mask"), h("span", {}, "✓ ✗ right or wrong"),
      h("span", {}, "0 ", h("i", { class: "pa-ramp" }), " 1")),
    h("dl", {}, ...names.map((name, i) => h("div", {}, h("dt", {}, name), h("dd", {}, numbers[i])))));

  let size, wide, theme;
  function outline(context, [top, left, bottom, right], dash, thick) {
    const scale = size / side, place = [left * scale, top * scale, (right - left) * scale, (bottom - top) * scale];
    context.setLineDash(dash);
    Object.assign(context, { lineWidth: thick + 2.5, strokeStyle: "#000" });
    context.strokeRect(...place);
    Object.assign(context, { lineWidth: thick, strokeStyle: "#fff" });
    context.strokeRect(...place);
    context.setLineDash([]);
  }

  return frame.start((changed) => {
    if (changed("theme")) theme = colours(frame.root);
    if (changed("size")) {
      size = Math.min(panels[0].box.clientWidth, 300);
      wide = Math.min(panels[3].box.clientWidth, 620);
    }
    const at = scenes.findIndex(({ name }) => name === frame.get("scene")), { label, box, boxes, probabilities } = scenes[at], heat = heats[at];
    const index = frame.get("threshold"), tau = thresholds[index], shade = frame.get("shade"), found = boxes[index], scale = size / side;
    const [photo, map, closer] = panels.slice(0, 3).map(({ canvas }) => fit(canvas, size, size));
    photo.imageSmoothingEnabled = false;
    photo.drawImage(photos[at], 0, 0, size, size);
    const warm = (y, x) => y >= 0 && x >= 0 && y < side && x < side && heat[y * side + x] / 255 > tau;
    map.beginPath();
    for (let y = 0; y < side; y += 1) {
      for (let x = 0; x < side; x += 1) {
        const [l, t, r, b] = [x, y, x + 1, y + 1].map((at) => Math.round(at * scale)), place = [l, t, r - l, b - t], value = heat[y * side + x] / 255;
        photo.fillStyle = `rgb(128 128 128 / ${shade * (1 - value)})`;
        photo.fillRect(...place);
        map.fillStyle = theme.ramp(value);
        map.fillRect(...place);
        if (!warm(y, x)) continue;
        for (const [dy, dx, x0, y0, x1, y1] of [[-1, 0, 0, 0, 1, 0], [1, 0, 0, 1, 1, 1], [0, -1, 0, 0, 0, 1], [0, 1, 1, 0, 1, 1]]) {
          if (warm(y + dy, x + dx)) continue;
          map.moveTo((x + x0) * scale, (y + y0) * scale);
          map.lineTo((x + x1) * scale, (y + y1) * scale);
        }
      }
    }
    Object.assign(map, { lineWidth: 1.5, strokeStyle: theme.text });
    map.stroke();
    for (const context of [photo, map]) {
      outline(context, box, [5, 4], 1.5);
      outline(context, found, [], 3);
    }
    closer.drawImage(photos[at], found[1], found[0], found[3] - found[1], found[2] - found[0], 0, 0, size, size);

    const row = 30, name = 58, cell = (wide - name) / classes.length, table = fit(panels[3].canvas, wide, row * 3 + 24), rows = probabilities[index];
    table.textBaseline = "middle";
    rows.forEach((line, i) => {
      Object.assign(table, { font: `13px ${theme.font}`, textAlign: "left", fillStyle: theme.text });
      table.fillText(BRANCHES[i], 0, row * i + row / 2);
      line.forEach((p, c) => {
        table.fillStyle = theme.ramp(p);
        table.fillRect(name + c * cell + 1, row * i + 1, cell - 2, row - 2);
        if (p < 0.1) return;
        Object.assign(table, { font: `600 ${cell < 34 ? 10 : 12}px ${theme.font}`, textAlign: "center", fillStyle: p > 0.5 ? theme.paper : theme.text });
        table.fillText(fixed(100 * p, 0), name + (c + 0.5) * cell, row * i + row / 2);
      });
    });
    Object.assign(table, { textAlign: "center" });
    classes.forEach((text, c) => {
      Object.assign(table, { font: `${c === label ? "700" : "400"} 13px ${theme.font}`, fillStyle: theme.text });
      table.fillText(c === label ? `${text} ✓` : text, name + (c + 0.5) * cell, row * 3 + 13);
    });

    const said = rows.map((line) => [greatest(line), line[greatest(line)]]), [share, overlap] = fits(found, box);
    said.forEach(([c, p], i) => write(numbers[i], `${classes[c]} ${c === label ? "✓" : "✗"} ${fixed(p, 2)}`));
    write(numbers[3], `${fixed(100 * share, 0)} %`);
    write(numbers[4], fixed(overlap, 2));
    write(numbers[5], `${fixed((100 * area(found)) / cells, 1)} %`);
    write(frame.summary, `${frame.get("scene")}, threshold ${fixed(tau, 2)}: the box holds ${fixed(100 * share, 0)} % of the thing and overlaps its true box by ${
      fixed(overlap, 2)}. It is ${classes[label]}; ${said.map(([c, p], i) => `${BRANCHES[i]} says ${classes[c]} (${fixed(p, 2)})`).join(", ")}.`);
  });
}

export default { render };
