// The surfaces and optimizers of helpers/gradients.py, number for number, for the explorer of descent.

/** value and gradient of f(x, y); its picture's square; a start and a rate to begin with; where it is flat. */
export const SURFACES = {
  lecture: {
    name: "lecture: x² + x − xy³ + y²", edges: [[-2, 2], [-2, 2]], start: [-1.4, 1], rate: 0.1,
    value: (x, y) => x ** 2 + x - x * y ** 3 + y ** 2,
    gradient: (x, y) => [2 * x + 1 - y ** 3, -3 * x * y ** 2 + 2 * y],
    lowest: [[-0.5, 0]], floor: -0.25, saddles: [[-0.7949, -0.8387], [0.5248, 1.2703]],
  },
  valley: {
    name: "valley: (x² + 25y²) / 2", edges: [[-2, 2], [-2, 2]], start: [-1.8, 0.8], rate: 0.02,
    value: (x, y) => (x ** 2 + 25 * y ** 2) / 2,
    gradient: (x, y) => [x, 25 * y],
    lowest: [[0, 0]], floor: 0, saddles: [],
  },
  rosenbrock: {
    name: "bent valley (Rosenbrock)", edges: [[-2, 2], [-1, 3]], start: [-1.2, 1], rate: 0.001,
    value: (x, y) => (1 - x) ** 2 + 100 * (y - x ** 2) ** 2,
    gradient: (x, y) => [-2 * (1 - x) - 400 * x * (y - x ** 2), 200 * (y - x ** 2)],
    lowest: [[1, 1]], floor: 0, saddles: [],
  },
  saddle: {
    name: "saddle: x² − y² + y⁴/4", edges: [[-2, 2], [-2, 2]], start: [-1.5, 0.01], rate: 0.1,
    value: (x, y) => x ** 2 - y ** 2 + y ** 4 / 4,
    gradient: (x, y) => [2 * x, -2 * y + y ** 3],
    lowest: [[0, Math.SQRT2], [0, -Math.SQRT2]], floor: -1, saddles: [[0, 0]],
  },
  beale: {
    name: "plateau and cliffs (Beale)", edges: [[-4.5, 4.5], [-4.5, 4.5]], start: [-1, -1.5], rate: 0.01,
    value: (x, y) => (1.5 - x + x * y) ** 2 + (2.25 - x + x * y ** 2) ** 2 + (2.625 - x + x * y ** 3) ** 2,
    gradient: (x, y) => {
      const [a, b, c] = [1.5 - x + x * y, 2.25 - x + x * y ** 2, 2.625 - x + x * y ** 3];
      return [2 * (a * (y - 1) + b * (y ** 2 - 1) + c * (y ** 3 - 1)), 2 * x * (a + 2 * b * y + 3 * c * y ** 2)];
    },
    lowest: [[3, 0.5]], floor: 0, saddles: [[0, 1]],
  },
};

/** Each makes a function (gradient, point, number of the step) → direction, with a memory of its own. */
export const OPTIMIZERS = {
  SGD: () => (g) => g,
  momentum: ({ momentum }) => {
    let v = [0, 0];
    return (g) => (v = v.map((old, i) => momentum * old + g[i]));
  },
  Adam: ({ momentum }) => {
    let m = [0, 0], v = [0, 0];
    return (g, _, t) => {
      m = m.map((old, i) => momentum * old + (1 - momentum) * g[i]);
      v = v.map((old, i) => 0.999 * old + (1 - 0.999) * g[i] ** 2);
      return m.map((mean, i) => mean / (1 - momentum ** t) / (Math.sqrt(v[i] / (1 - 0.999 ** t)) + 1e-8));
    };
  },
  AdamW: (options) => {
    const adam = OPTIMIZERS.Adam(options);
    return (g, p, t) => adam(g, p, t).map((d, i) => d + options.decay * p[i]);
  },
};

/** The path of so many steps, the start first. It ends early where the numbers leave the computer's range. */
export function descend(surface, start, optimizer, steps, options) {
  const { gradient } = SURFACES[surface], direction = OPTIMIZERS[optimizer](options), path = [start];
  for (let t = 1; t <= steps; t += 1) {
    const point = path[t - 1], d = direction(gradient(...point), point, t), next = point.map((p, i) => p - options.rate * d[i]);
    if (!next.every(Number.isFinite)) break;
    path.push(next);
  }
  return path;
}
