// A 3 × 3 convolution, and the same by nine heads of attention that know relative positions alone.

import { Frame, colours, fit, fixed, h, number, write } from "./parts.js";

/**
 * Weights along one side of the picture: row i is the softmax over s of −α (s − i − shift)². The energy −α|δ − Δ|² is a sum
 * over the two sides, so a head's weights are the product of two of these.
 */
export function side(n, shift, alpha) {
  return Array.from({ length: n }, (_, i) => {
    const nearest = Math.max(0, Math.min(n - 1, i + shift)), least = (nearest - i - shift) ** 2;
    const row = Float64Array.from({ length: n }, (_, s) => Math.exp(-alpha * ((s - i - shift) ** 2 - least)));
    const sum = row.reduce((a, b) => a + b, 0);
    return row.map((w) => w / sum);
  });
}

const product = (A, B) => A.map((row) => { // (n, k) (k, m) → (n, m)
  const out = new Float64Array(B[0].length);
  row.forEach((a, k) => { if (a) for (let j = 0; j < out.length; j += 1) out[j] += a * B[k][j]; });
  return out;
});
const flip = (A) => Array.from(A[0], (_, j) => Float64Array.from(A, (row) => row[j]));

/** The picture through the nine heads, each times its number of the kernel. */
export function attend(image, kernel, alpha) {
  const out = image.map((row) => new Float64Array(row.length));
  for (const dx of [-1, 0, 1]) {
    const across = product(image, flip(side(image[0].length, dx, alpha)));
    for (const dy of [-1, 0, 1]) {
      const factor = kernel[dy + 1][dx + 1];
      if (factor) product(side(image.length, dy, alpha), across).forEach((row, i) => row.forEach((x, j) => { out[i][j] += factor * x; }));
    }
  }
  return out;
}

/** The convolution, with the nearest pixel where the kernel reaches over the border. */
export function convolve(image, kernel) {
  const height = image.length, width = image[0].length, clip = (x, n) => Math.max(0, Math.min(n - 1, x));
  return image.map((row, i) => Float64Array.from(row, (_, j) => {
    let sum = 0;
    for (const dy of [-1, 0, 1]) for (const dx of [-1, 0, 1]) sum += kernel[dy + 1][dx + 1] * image[clip(i + dy, height)][clip(j + dx, width)];
    return sum;
  }));
}

const NEAR = 4; // pixels around the query in a head's map
const ARROWS = ["↖", "↑", "↗", "←", "·", "→", "↙", "↓", "↘"];

function render(context) {
  const frame = new Frame(context, "ConvolutionExplorer"), [height, width] = frame.get("_shape"), kernels = frame.get("_kernels");
  const bytes = frame.get("_image");
  const image = Array.from({ length: height }, (_, i) => Float64Array.from({ length: width }, (_, j) => bytes.getUint8(i * width + j) / 255));
  frame.range("alpha", { label: "Sharpness α", min: -1, max: Math.log10(40), step: 0.02, toSlider: Math.log10, fromSlider: (x) => Math.min(40, 10 ** x), show: (a) => fixed(a, a < 9.95 ? 2 : 1) });
  frame.select("kernel", "Kernel", Object.keys(kernels).map((name) => [name, name]));
  frame.range("head", { label: "Head", min: 0, max: 8, show: (i) => `${i + 1} ${ARROWS[i]}` });
  frame.reset();

  const panel = (text, label) => {
    const title = h("p", { class: "pa-title" }, text), canvas = h("canvas", { role: "img", "aria-label": label });
    return { title, canvas, box: h("div", {}, title, h("div", { class: "pa-map" }, canvas)) };
  };
  const panels = [panel("Convolution", "The picture after the convolution"), panel("Nine heads", "The picture after nine heads of attention"), panel("", "Where the chosen head looks, around its pixel")];
  frame.picture.style.setProperty("--pa-least", "9rem");
  frame.picture.style.setProperty("--pa-maps", "3");
  frame.picture.append(...panels.map(({ box }) => box));
  const terms = ["largest error", "mean error", "head’s weight on its pixel", "e to the −α"].map((name) => [name, number()]);
  frame.picture.after(h("p", { class: "pa-legend" }, h("span", {}, "errors: share of the picture’s range"), h("span", {}, "map: □ the query’s pixel, ■ weight")),
    h("dl", {}, ...terms.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));

  function paint(canvas, size, rows, shade) {
    const context = fit(canvas, size, (size * rows.length) / rows[0].length), cell = size / rows[0].length;
    rows.forEach((row, i) => row.forEach((x, j) => {
      context.fillStyle = shade(x);
      context.fillRect(Math.floor(j * cell), Math.floor(i * cell), Math.ceil(cell), Math.ceil(cell));
    }));
    return [context, cell];
  }

  let right, low, high, size;
  return frame.start((changed) => {
    const kernel = kernels[frame.get("kernel")], alpha = frame.get("alpha"), head = frame.get("head");
    if (changed("size")) size = Math.min(panels[0].box.clientWidth, 300);
    if (changed("kernel")) {
      right = convolve(image, kernel);
      low = Math.min(...right.map((row) => Math.min(...row)));
      high = Math.max(...right.map((row) => Math.max(...row)));
    }
    const heads = attend(image, kernel, alpha), colour = colours(frame.root);
    const grey = (x) => colour.ramp(Math.max(0, Math.min(1, (x - low) / (high - low))));
    if (changed("size", "theme", "kernel")) paint(panels[0].canvas, size, right, grey);
    paint(panels[1].canvas, size, heads, grey);

    const [dy, dx] = [Math.floor(head / 3) - 1, (head % 3) - 1], n = 2 * NEAR + 1;
    const [down, along] = [side(n, dy, alpha)[NEAR], side(n, dx, alpha)[NEAR]];
    const map = Array.from(down, (a) => Float64Array.from(along, (b) => a * b));
    const [context, cell] = paint(panels[2].canvas, size, map, colour.ramp);
    context.strokeStyle = colour.text;
    context.lineWidth = 2;
    context.strokeRect(NEAR * cell + 1, NEAR * cell + 1, cell - 2, cell - 2);
    context.strokeStyle = colour.quiet;
    context.lineWidth = 1;
    context.strokeRect(0.5, 0.5, size - 1, size - 1);
    write(panels[2].title, `Head ${head + 1} looks ${ARROWS[head]}`);

    let worst = 0, sum = 0;
    right.forEach((row, i) => row.forEach((x, j) => { const gap = Math.abs(x - heads[i][j]); worst = Math.max(worst, gap); sum += gap; }));
    const short = (x) => (x >= 0.001 ? fixed(x, 4) : x.toExponential(1).replace("-", "−"));
    const hit = map[NEAR + dy][NEAR + dx];
    [worst / (high - low), sum / (height * width) / (high - low), hit, Math.exp(-alpha)].forEach((x, i) => write(terms[i][1], i === 2 ? fixed(x, 4) : short(x)));
    write(frame.summary, `Kernel ${frame.get("kernel")}, α = ${fixed(alpha, 2)}: nine heads differ from the convolution by at most ${
      short(worst / (high - low))} of the picture’s range, ${short(sum / (height * width) / (high - low))} on average. Head ${head + 1} puts ${fixed(hit, 3)} of its weight on its pixel.`);
  });
}

export default { render };
