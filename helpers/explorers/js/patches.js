// From a photograph to tokens: patches of a chosen size are lifted out in reading order, and what a layer costs then.

import { brought } from "./apart.js";
import { Frame, colours, fit, fixed, h, number, write } from "./parts.js";

const whole = (value) => value.toLocaleString("en");
/** What patches of this side cost: the same as PatchExplorer.cost. */
export function cost(side, patch, d) {
  const patches = (side / patch) ** 2, tokens = patches + 1;
  return { patches, each: 3 * patch ** 2, tokens, weights: tokens ** 2, work: 12 * tokens * d ** 2 + 2 * tokens ** 2 * d };
}

/** The mean red, green and blue of a square of a picture, 0 to 255. */
function meanColour(picture, left, top, side) {
  const paint = new OffscreenCanvas(side, side).getContext("2d");
  paint.drawImage(picture, left, top, side, side, 0, 0, side, side);
  const { data } = paint.getImageData(0, 0, side, side), sums = [0, 0, 0];
  data.forEach((value, i) => { if (i % 4 < 3) sums[i % 4] += value; });
  return sums.map((sum) => Math.round(sum / side ** 2));
}

async function render(context) {
  const { model } = context, frame = new Frame(context, "PatchExplorer"), names = frame.get("_names"), side = frame.get("_side"), sizes = frame.get("_sizes"), d = frame.get("_d_model");
  const pictures = [], coming = new Set();
  async function bring(at) {
    if (pictures[at] || coming.has(at)) return;
    coming.add(at);
    try {
      pictures[at] = await createImageBitmap(new Blob([await brought(model.get("_images")[at])], { type: "image/webp" }));
    } catch { // the numbers stand without it
    } finally {
      coming.delete(at);
    }
  }

  if (names.length > 1) frame.select("photo", "Photo", names.map((name) => [name, name]));
  frame.range("patch", {
    label: "Side of a patch", min: 0, max: sizes.length - 1, toSlider: (patch) => sizes.indexOf(patch), fromSlider: (at) => sizes[at], show: (patch) => `${patch} pixels`,
  });
  const many = () => (side / frame.get("patch")) ** 2;
  const slider = frame.range("lifted", { label: "Lifted out", min: 0, max: many(), show: (lifted) => `${lifted} of ${many()}` });
  frame.reset();

  const panel = (label, text) => {
    const canvas = h("canvas", { role: "img", "aria-label": label }), title = h("p", { class: "pa-title" }, text);
    return { canvas, title, box: h("div", {}, title, h("div", { class: "pa-map" }, canvas)) };
  };
  const photo = panel("The photograph with its patches; those that are lifted out leave a gap", ""), line = panel("The tokens, line by line: the class token, then the patches in reading order", "The sequence, line by line");
  photo.canvas.addEventListener("click", ({ offsetX, offsetY }) => {
    const across = side / frame.get("patch"), at = (value) => Math.max(0, Math.min(across - 1, Math.floor((value / photo.canvas.clientWidth) * across)));
    frame.set({ lifted: at(offsetY) * across + at(offsetX) + 1 });
  });
  line.canvas.style.cursor = "auto";
  frame.picture.classList.add("pa-beside");
  frame.picture.append(photo.box, line.box);
  const terms = ["patches N", "numbers in each", "tokens T", "weights of a head, T²", "multiply-adds of a layer", "mean R, G, B of the last"].map((name) => [name, number()]);
  frame.picture.after(
    h("p", { class: "pa-legend" }, h("span", {}, "■ class token"), h("span", {}, "▣ lifted last; click a patch to lift as far"), h("span", {}, `a layer with d = ${d}: 12Td² + 2T²d`)),
    h("dl", {}, ...terms.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));

  function draw(changed) {
    const at = names.indexOf(frame.get("photo")), patch = frame.get("patch"), across = side / patch, { patches, each, tokens, weights, work } = cost(side, patch, d);
    if (Number(slider.input.max) !== patches) {
      slider.input.max = patches;
      if (frame.get("lifted") > patches) frame.set({ lifted: patches });
      slider.refresh();
    }
    const lifted = Math.min(frame.get("lifted"), patches), theme = colours(frame.root), size = Math.min(photo.box.clientWidth, 400), cell = size / across;
    const left = fit(photo.canvas, size, size), right = fit(line.canvas, size, 0.82 * size), picture = pictures[at]; // no sequence is longer
    if (!picture && changed("photo")) bring(at).then(() => draw(() => false));
    const pixels = picture && picture.width / across, wide = Math.ceil(1.2 * Math.sqrt(tokens)), step = size / wide, gap = Math.min(4, step / 5);
    if (picture) left.drawImage(picture, 0, 0, size, size);
    Object.assign(left, { strokeStyle: theme.paper, lineWidth: 1, fillStyle: theme.paper });
    for (let i = lifted; i < patches; i += 1) left.strokeRect((i % across) * cell, Math.floor(i / across) * cell, cell, cell);
    const rows = Math.floor(lifted / across);
    left.fillRect(0, 0, size, rows * cell);
    left.fillRect(0, rows * cell, (lifted % across) * cell, cell);
    Object.assign(right, { fillStyle: theme.ink, strokeStyle: theme.quiet, lineWidth: 1 });
    right.fillRect(0, 0, step - gap, step - gap);
    for (let i = 0; i < patches; i += 1) {
      const token = i + 1, box = [(token % wide) * step, Math.floor(token / wide) * step, step - gap, step - gap];
      if (i < lifted && picture) right.drawImage(picture, (i % across) * pixels, Math.floor(i / across) * pixels, pixels, pixels, ...box);
      else if (i >= lifted && step > 8) right.strokeRect(box[0] + 0.5, box[1] + 0.5, box[2] - 1, box[3] - 1);
    }
    if (lifted) {
      const last = lifted - 1;
      for (const [paint, x, y, width] of [[left, (last % across) * cell, Math.floor(last / across) * cell, cell], [right, (lifted % wide) * step, Math.floor(lifted / wide) * step, step - gap]]) {
        for (const [thick, colour] of [[4, theme.paper], [2, theme.text]]) {
          Object.assign(paint, { lineWidth: thick, strokeStyle: colour });
          paint.strokeRect(x + 1, y + 1, width - 2, width - 2);
        }
      }
    }
    const place = lifted ? `row ${Math.floor((lifted - 1) / across) + 1}, column ${((lifted - 1) % across) + 1}` : "", millions = `${fixed(work / 1e6, 1)} M`;
    const colour = !lifted ? "–" : picture ? meanColour(picture, ((lifted - 1) % across) * pixels, Math.floor((lifted - 1) / across) * pixels, Math.round(pixels)).join(", ") : "…";
    write(photo.title, `${names[at]}, ${side} × ${side} pixels`);
    [whole(patches), whole(each), whole(tokens), whole(weights), millions, colour].forEach((text, i) => write(terms[i][1], text));
    write(frame.summary, `${names[at]} in patches of ${patch} × ${patch} pixels: ${whole(patches)} patches of ${whole(each)} numbers, ${whole(tokens)} tokens with the class token, ${
      whole(weights)} weights in each head, ${millions} multiply-adds in a layer. ${lifted ? `${lifted} lifted out, the last from ${place}.` : "None lifted out yet."}`);
  }

  await bring(names.indexOf(frame.get("photo")));
  return frame.start(draw);
}

export default { render };
