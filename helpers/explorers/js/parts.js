// What the explorers share: a frame around controls, picture and summary; numbers; theme colours; a softmax.

/** A DOM element. Attributes by name (true: present, false or null: absent), functions as listeners. */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** A number that the reader can see change. Silent for screen readers: the summary speaks. */
export const number = () => h("output", { class: "pa-number", "aria-live": "off" });

/** Change a text only when it differs, so that nothing is laid out in vain. */
export const write = (node, text) => { if (node.textContent !== text) node.textContent = text; };

/** A number with a true minus sign, and no "−0.00". */
export const fixed = (value, digits) =>
  value === -Infinity ? "−∞" : value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1").replace("-", "−");

/** The logarithmic temperature slider, 0.1 to 10. */
export const TEMPERATURE = {
  label: "Temperature τ", min: -1, max: 1, step: 0.02,
  toSlider: Math.log10, fromSlider: (x) => 10 ** x, show: (t) => fixed(t, 2),
};

/** softmax(logits / temperature) of one row; a logit of −∞ gives exactly 0. */
export function softmax(logits, temperature = 1) {
  let top = -Infinity, sum = 0;
  for (const x of logits) if (x > top) top = x;
  const row = Float64Array.from(logits, (x) => Math.exp((x - top) / temperature));
  for (const w of row) sum += w;
  return row.map((w) => w / sum);
}

/** Entropy in bits. */
export const entropy = (row) => row.reduce((sum, w) => (w > 0 ? sum - w * Math.log2(w) : sum), 0);

export const greatest = (row) => row.indexOf(row.reduce((a, b) => Math.max(a, b), -Infinity));

/** Theme colours, resolved for a canvas, and a ramp from paper (0) to ink (1), even in OKLab lightness. */
export function colours(root) {
  const probe = root.appendChild(h("i", { hidden: true }));
  const resolve = (colour) => { probe.style.color = colour; return getComputedStyle(probe).color; };
  const mix = (percent) => resolve(`color-mix(in oklab, var(--pa-ink) ${percent}%, var(--pa-paper))`);
  const ramp = Array.from({ length: 101 }, (_, percent) => mix(percent));
  return {
    text: resolve("var(--pa-text)"), paper: resolve("var(--pa-paper)"), quiet: resolve("var(--pa-quiet)"), resolve,
    ink: ramp[100], ramp: (weight) => ramp[Math.round(100 * weight)], font: getComputedStyle(root).fontFamily,
  };
}

/** Give a canvas its size in CSS pixels, sharp on every screen; returns its cleared context. */
export function fit(canvas, width, height) {
  const ratio = devicePixelRatio;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return context;
}

/**
 * The frame of an explorer. `draw(changed)` is called at most once per event; `changed("step", "size")` tells whether one
 * of these traits, or the "size" or the "theme" of the page, is other than at the last drawing; at first, all are.
 */
export class Frame {
  #model; #draw; #changed = new Set(); #undo = []; #ready = false; #start = {};

  constructor({ model, el }, kind) {
    this.#model = model;
    this.controls = h("div", { class: "pa-controls" });
    this.picture = h("div", { class: "pa-picture" });
    this.summary = h("p", { class: "pa-summary", "aria-live": "polite" });
    this.ruler = h("div", { class: "pa-ruler" });
    this.root = h("section", { class: "pa-explorer", "data-explorer": kind, "aria-label": model.get("label") },
      this.ruler, this.controls, this.picture, this.summary);
    el.append(this.root);
  }

  get(trait) { return this.#model.get(trait); }

  set(values) {
    for (const [trait, value] of Object.entries(values)) this.#model.set(trait, value);
    this.#model.save_changes();
  }

  /** Call `react` when the trait changes, here or in Python. */
  #on(trait, react) {
    const event = `change:${trait}`;
    this.#model.on(event, react);
    this.#undo.push(() => this.#model.off(event, react));
  }

  #bind(trait, show) {
    this.#start[trait] = this.get(trait);
    this.#on(trait, () => { show(); this.#mark(trait); });
    show();
  }

  /** Redraw when a trait without a control of its own changes. */
  watch(trait) { this.#bind(trait, () => {}); }

  #control(label, input, ...rest) {
    const id = `pa-${Math.random().toString(36).slice(2)}`;
    input.id = id;
    input.dataset.lmSuppressShortcuts = "true";
    const box = h("div", { class: "pa-control" }, h("label", { for: id }, label), input, ...rest);
    this.controls.append(box);
    return box;
  }

  /** A slider. `toSlider` and `fromSlider` translate between the trait and the slider's position. */
  range(trait, { label, min, max, step = 1, show = String, toSlider = Number, fromSlider = Number }) {
    const readout = number();
    const input = h("input", {
      type: "range", min, max, step, input: () => this.set({ [trait]: fromSlider(input.valueAsNumber) }),
    });
    const box = this.#control(label, input, readout);
    const refresh = () => {
      const value = this.get(trait);
      input.value = toSlider(value);
      write(readout, show(value));
      input.setAttribute("aria-valuetext", show(value));
    };
    this.#bind(trait, refresh);
    return { box, input, refresh };
  }

  select(trait, label, options, parse = String) {
    const input = h("select", { change: () => this.set({ [trait]: parse(input.value) }) },
      ...options.map(([value, text]) => h("option", { value }, text)));
    this.#control(label, input);
    this.#bind(trait, () => { input.value = this.get(trait); });
  }

  checkbox(trait, label) {
    const input = h("input", { type: "checkbox", change: () => this.set({ [trait]: input.checked }) });
    this.#control(label, input).classList.add("pa-check");
    this.#bind(trait, () => { input.checked = this.get(trait); });
  }

  /** A button that brings every bound trait back to what it was at first. */
  reset() {
    this.controls.append(h("button", {
      type: "button", "data-lm-suppress-shortcuts": "true", click: () => this.set(this.#start),
    }, "Reset"));
  }

  #mark(what) {
    if (!this.#draw) return;
    if (!this.#changed.size) queueMicrotask(() => this.#redraw());
    this.#changed.add(what);
  }

  #redraw() {
    const changed = this.#changed;
    this.#changed = new Set();
    if (!this.ruler.clientWidth) return; // not on the page yet: its size will arrive
    this.#draw((...traits) => !this.#ready || traits.some((trait) => changed.has(trait)));
    if (this.#ready) return;
    this.#ready = true;
    requestAnimationFrame(() => requestAnimationFrame(() => {
      this.root.dataset.ready = "true";
      performance.mark("explorer-ready");
    }));
  }

  /** Draw now and at every change; returns the function that stops it. */
  start(draw) {
    this.#draw = draw;
    const size = new ResizeObserver(() => requestAnimationFrame(() => this.#mark("size")));
    const theme = new MutationObserver(() => this.#mark("theme"));
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const rescheme = () => this.#mark("theme");
    size.observe(this.ruler);
    const attributeFilter = ["data-theme", "data-jp-theme-name", "theme", "class"];
    for (const node of [document.documentElement, document.body]) theme.observe(node, { attributeFilter });
    scheme.addEventListener("change", rescheme);
    this.#undo.push(() => size.disconnect(), () => theme.disconnect(), () => scheme.removeEventListener("change", rescheme));
    return () => this.#undo.forEach((undo) => undo());
  }
}
