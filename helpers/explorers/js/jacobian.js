// The product of Jacobians of a recurrent network: its norm against the lag, measured and predicted.

import { ticks } from "d3-array";
import { Frame, fixed, h, number, write } from "./parts.js";
import { axis, linear, place, svg } from "./plot.js";

/** A source of standard normal numbers: mulberry32, then Box and Muller's cosine. The same in Python. */
function normals(seed) {
  let state = seed;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** Make the rows of a square matrix orthonormal, in place: Gram and Schmidt, twice for accuracy. */
function orthonormalise(W, n) {
  for (let i = 0; i < n; i += 1) {
    const row = W.subarray(i * n, (i + 1) * n);
    for (let pass = 0; pass < 2; pass += 1) {
      for (let j = 0; j < i; j += 1) {
        let dot = 0;
        for (let k = 0; k < n; k += 1) dot += row[k] * W[j * n + k];
        for (let k = 0; k < n; k += 1) row[k] -= dot * W[j * n + k];
      }
    }
    const length = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));
    for (let k = 0; k < n; k += 1) row[k] /= length;
  }
}

const SLOPES = { tanh: (a) => 1 - Math.tanh(a) ** 2, linear: () => 1, relu: (a) => Number(a > 0) };
const APPLY = { tanh: Math.tanh, linear: (a) => a, relu: (a) => Math.max(0, a) };

/** The network run forward: W, and φ′ of each of the last steps, the last one first. */
export function network({ n, seed, kind, radius, gaussianRadius, activation, noise, warmUp, longest }) {
  const draw = normals(seed), W = Float64Array.from({ length: n * n }, draw);
  if (kind === "orthogonal") orthonormalise(W, n);
  const scale = radius / (kind === "orthogonal" ? 1 : gaussianRadius);
  for (let i = 0; i < n * n; i += 1) W[i] *= scale;
  const slopes = [];
  let state = Float64Array.from({ length: n }, draw);
  for (let t = 0; t < warmUp + longest; t += 1) {
    const energy = new Float64Array(n);
    for (let i = 0; i < n; i += 1) {
      let sum = noise * draw();
      for (let k = 0; k < n; k += 1) sum += W[i * n + k] * state[k];
      energy[i] = sum;
    }
    if (activation !== "linear") state = energy.map(APPLY[activation]);
    if (t >= warmUp) slopes.unshift(energy.map(SLOPES[activation]));
  }
  return { W, slopes, n };
}

/** The greatest singular value of P, from a start that is improved in place. */
function greatestSingular(P, n, v) {
  for (let k = 0; k < n; k += 1) v[k] += 0.1 * Math.cos(3 * k); // never at right angles to what is sought
  let value = 0;
  for (let round = 0; round < 100; round += 1) {
    const u = new Float64Array(n), next = new Float64Array(n);
    for (let i = 0; i < n; i += 1) for (let k = 0; k < n; k += 1) u[i] += P[i * n + k] * v[k];
    for (let i = 0; i < n; i += 1) for (let k = 0; k < n; k += 1) next[k] += P[i * n + k] * u[i];
    const length = Math.sqrt(next.reduce((sum, x) => sum + x * x, 0)), old = value;
    value = Math.sqrt(length);
    for (let k = 0; k < n; k += 1) v[k] = next[k] / length;
    if (Math.abs(value - old) < 1e-7 * value) break;
  }
  return value;
}

/**
 * log₁₀ of the norms of ∂h_T/∂h_{T−k}, k = 1 … length, and of the mean-field prediction. The product is rescaled at every
 * step, so that nothing overflows; −∞ where it is 0. The worst gradient takes longer and is left out unless asked for.
 */
export function gains({ W, slopes, n }, length, norm) {
  let P = new Float64Array(n * n), scale = 0, expected = 0;
  for (let i = 0; i < n; i += 1) P[i * n + i] = 1;
  const spread = W.reduce((sum, w) => sum + w * w, 0) / n, v = Float64Array.from({ length: n }, (_, k) => 1 + k / n);
  const typical = [], worst = [], predicted = [];
  for (let lag = 0; lag < length; lag += 1) {
    const slope = slopes[lag], next = new Float64Array(n * n); // P diag(φ′) W
    for (let i = 0; i < n; i += 1) {
      for (let k = 0; k < n; k += 1) {
        const factor = P[i * n + k] * slope[k];
        if (factor) for (let j = 0; j < n; j += 1) next[i * n + j] += factor * W[k * n + j];
      }
    }
    const size = Math.sqrt(next.reduce((sum, x) => sum + x * x, 0) / n);
    typical.push(size > 0 ? scale + Math.log10(size) : -Infinity);
    if (norm === "worst") worst.push(size > 0 ? scale + Math.log10(greatestSingular(next, n, v)) : -Infinity);
    if (size > 0) {
      scale += Math.log10(size);
      for (let i = 0; i < n * n; i += 1) next[i] /= size;
    }
    P = next;
    expected += Math.log10(spread * slope.reduce((sum, x) => sum + x * x, 0) / n) / 2;
    predicted.push(expected);
  }
  return { typical, worst, predicted };
}

/** The slope of the straight line through (1, y₁), (2, y₂), … by least squares, from the finite ones. */
export function fittedSlope(values) {
  const points = values.map((y, i) => [i + 1, y]).filter(([, y]) => Number.isFinite(y));
  const mean = (column) => points.reduce((sum, point) => sum + point[column], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  return points.reduce((sum, [a, b]) => sum + (a - x) * (b - y), 0) / points.reduce((sum, [a]) => sum + (a - x) ** 2, 0);
}

const SUPERSCRIPTS = Object.fromEntries([..."0123456789-"].map((digit, i) => [digit, "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"[i]]));
const power = (exponent) => `10${[...String(exponent)].map((digit) => SUPERSCRIPTS[digit]).join("")}`;

/** A positive number given by its decimal logarithm, in figures that a reader takes in. */
export function figure(log) {
  if (log === -Infinity) return "0";
  if (log > -2.3 && log < 3) return (10 ** log).toPrecision(3).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
  let exponent = Math.floor(log), digits = (10 ** (log - exponent)).toFixed(1);
  if (digits === "10.0") [exponent, digits] = [exponent + 1, "1.0"];
  return `${digits}\u00a0·\u00a0${power(exponent)}`;
}

const HEIGHT = 320, TOP = 14, BOTTOM = 270, LEFT = 46, RIGHT = 14; // px
const NAMES = { tanh: "tanh", linear: "linear", relu: "ReLU" };
const MEASURED = { typical: "a typical gradient", worst: "the worst gradient" };

function render(context) {
  const frame = new Frame(context, "JacobianExplorer"), sizes = frame.get("_sizes"), radii = frame.get("_radii");
  const [warmUp, longest] = frame.get("_steps");

  frame.select("activation", "Activation", Object.entries(NAMES));
  frame.select("kind", "Matrix W", [["orthogonal", "orthogonal"], ["gaussian", "Gaussian"]]);
  frame.select("norm", "Show", Object.entries(MEASURED));
  frame.range("radius", { label: "Spectral radius ρ", min: 0.1, max: 2, step: 0.05, show: (rho) => fixed(rho, 2) });
  frame.range("length", { label: "Length", min: 8, max: longest, step: 4, show: (steps) => `${steps} steps` });
  frame.range("size", { label: "Units", min: 0, max: sizes.length - 1, show: (i) => String(sizes[i]) });
  const noise = frame.range("noise", { label: "Input strength", min: 0, max: 2, step: 0.1, show: (s) => fixed(s, 1) });
  frame.range("draw", { label: "Draw", min: 0, max: radii.length - 1, show: (i) => String(i + 1) });
  frame.reset();

  const title = h("p", { class: "pa-title" });
  title.append("Size of ∂h", h("sub", {}, "T"), "/∂h", h("sub", {}, "T−k"), " against the lag k, logarithmic");
  const below = svg("g", { transform: `translate(0,${BOTTOM})` }), side = svg("g", { transform: `translate(${LEFT},0)` });
  const name = svg("text", { class: "pa-axis-name", y: HEIGHT - 8 }, "lag k in steps back");
  const eight = svg("line", { class: "pa-here", y1: TOP, y2: BOTTOM });
  const one = svg("line", { class: "pa-here pa-unscaled" });
  const paths = Object.fromEntries([
    ["power", { "stroke-dasharray": "2 5", "stroke-linecap": "round" }], ["predicted", { "stroke-dasharray": "9 6" }], ["measured", {}],
  ].map(([key, dash]) => [key, svg("path", { class: "pa-line", ...dash })]));
  const dots = Array.from({ length: 5 }, () => svg("circle", { class: "pa-query", r: 5 }));
  const plot = svg("svg", { role: "img", "aria-label": "The norm of the product of Jacobians against the lag", height: HEIGHT },
    below, side, eight, one, paths.power, paths.predicted, paths.measured, ...dots, name);
  const box = h("div", { class: "pa-wide" }, title, plot);
  frame.picture.append(box);
  const key = (dash, text) => h("span", {}, svg("svg", { width: 38, height: 10, "aria-hidden": "true", style: "display: inline-block; margin-right: 0.4rem" },
    svg("line", { class: "pa-line", x1: 1, x2: 37, y1: 5, y2: 5, ...dash })), text);
  const names = ["after 8 steps", "at the end", "rate per step, fitted", "halves or doubles in", "typical ÷ mean field"];
  const numbers = names.map(number);
  const halfLife = h("dt", {}, names[3]), last = h("dt", {}, names[1]);
  const titles = names.map((text, i) => ({ 1: last, 3: halfLife })[i] ?? h("dt", {}, text));
  frame.picture.after(
    h("p", { class: "pa-legend" }, key({}, "● measured"), key({ "stroke-dasharray": "9 6" }, "predicted: mean field"),
      key({ "stroke-dasharray": "2 5", "stroke-linecap": "round" }, "ρᵏ"), h("span", {}, "thin lines: size 1, and lag 8")),
    h("dl", {}, ...titles.map((term, i) => h("div", {}, term, h("dd", {}, numbers[i])))));

  let run, curves;
  return frame.start((changed) => {
    const n = sizes[frame.get("size")], rho = frame.get("radius"), length = frame.get("length"), norm = frame.get("norm");
    const activation = frame.get("activation"), kind = frame.get("kind");
    noise.box.hidden = activation === "linear"; // a linear network's Jacobian does not depend on the input
    if (changed("activation", "kind", "radius", "size", "noise", "draw")) {
      const draw = frame.get("draw"), gaussianRadius = radii[draw][frame.get("size")];
      run = network({ n, seed: 1000 * (draw + 1) + n, kind, radius: rho, gaussianRadius, activation, noise: frame.get("noise"), warmUp, longest });
    }
    if (changed("activation", "kind", "radius", "size", "noise", "draw", "length", "norm")) curves = gains(run, length, norm);
    const drawn = {
      measured: [0, ...curves[norm]],
      predicted: [0, ...curves.predicted],
      power: Array.from({ length: length + 1 }, (_, lag) => lag * Math.log10(rho)),
    };

    const size = box.clientWidth, all = Object.values(drawn).flat().filter(Number.isFinite);
    const [low, high] = [Math.min(-1, Math.floor(Math.min(...all))), Math.max(1, Math.ceil(Math.max(...all)))];
    const x = linear([0, length], [LEFT, size - RIGHT]), y = linear([low, high], [BOTTOM, TOP]);
    place(plot, { width: size });
    place(name, { x: (LEFT + size - RIGHT) / 2 });
    axis(below, "bottom", ticks(0, length, size < 500 ? 5 : 10).filter(Number.isInteger).map((lag) => [x(lag), lag]));
    axis(side, "left", ticks(low, high, 7).filter(Number.isInteger).map((log) => [y(log), log ? power(log) : "1"]), size - RIGHT - LEFT);
    place(one, { x1: LEFT, x2: size - RIGHT, y1: y(0), y2: y(0) });
    place(eight, { x1: x(8), x2: x(8) });
    for (const [curve, values] of Object.entries(drawn)) {
      const shown = values.map((log, lag) => [lag, log]).filter(([, log]) => Number.isFinite(log));
      place(paths[curve], { d: `M${shown.map(([lag, log]) => `${x(lag)},${y(log)}`).join("L")}` });
    }
    dots.forEach((dot, i) => {
      const lag = Math.round((length * i) / (dots.length - 1)), log = drawn.measured[lag];
      place(dot, { cx: x(lag), cy: y(Number.isFinite(log) ? log : low), visibility: Number.isFinite(log) ? "visible" : "hidden" });
    });

    const measured = curves[norm], slope = fittedSlope(measured), end = measured[length - 1], rate = 10 ** slope;
    const steps = Math.abs(slope) < 1e-4 ? "–" : `${figure(Math.log10(Math.log10(2) / Math.abs(slope)))} steps`;
    write(last, `after ${length} steps`);
    write(halfLife, slope < 0 ? "halves in" : "doubles in");
    write(numbers[0], figure(measured[7]));
    write(numbers[1], figure(end));
    write(numbers[2], end === -Infinity ? "–" : fixed(rate, 3));
    write(numbers[3], end === -Infinity ? "–" : steps);
    write(numbers[4], end === -Infinity ? "–" : figure(curves.typical[length - 1] - curves.predicted[length - 1]));
    const verdict = end < -2 ? "vanishes" : end > 2 ? "explodes" : "stays within a factor of 100";
    write(frame.summary, `${NAMES[activation]}, ${kind === "gaussian" ? "Gaussian" : kind} W, ${n} units, spectral radius ${fixed(rho, 2)}: ${MEASURED[norm]} ${verdict}. Of length 1 at the start, it has ${
      figure(measured[7])} after 8 steps back and ${figure(end)} after ${length}${
      Number.isFinite(curves.predicted[length - 1]) ? `; mean field says ${figure(curves.predicted[length - 1])}, ρᵏ says ${figure(length * Math.log10(rho))}` : ""}.`);
  });
}

export default { render };
