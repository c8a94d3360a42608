// Brings the explorers of a page to life without a kernel: reads the widget state that myst-nb stored in the page, imports
// each explorer's ES module, and gives it a model with the part of the widget protocol that explorers use.
{
  const STATE = 'script[type="application/vnd.jupyter.widget-state+json"]';
  const VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]';
  const MISSING = "This control has no stored state on this page. Open the chapter in Binder or Colab to use it.";

  const stored = Object.assign({}, ...[...document.querySelectorAll(STATE)].map((script) => JSON.parse(script.textContent).state));

  // Code and style that explorers share stand in the page once; the others name the explorer that has them.
  for (const { state } of Object.values(stored)) {
    for (const trait of ["_esm", "_css"]) state[trait] = stored[state[trait]?.as]?.state[trait] ?? state[trait];
  }

  const decode = (base64) => new DataView(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer);

  // Bytes that an explorer may not need stand in scripts of their own, which hand them over here.
  const here = document.currentScript.src, awaited = new Map();
  globalThis.explorerBytes = (name, base64) => awaited.get(name)(decode(base64));
  const bring = (name) => new Promise((resolve, reject) => {
    awaited.set(name, resolve);
    const script = Object.assign(document.createElement("script"), { src: new URL(`explorers/${name}.js`, here) });
    script.onload = () => script.remove();
    script.onerror = () => { script.remove(); reject(new Error(`explorers/${name}.js could not be loaded`)); };
    document.head.append(script);
  });

  class Model {
    #state;
    #listeners = new Map();

    constructor({ state, buffers = [] }) {
      this.#state = structuredClone(state);
      for (const { path, data, script } of buffers) {
        const owner = path.slice(0, -1).reduce((part, key) => part[key], this.#state);
        owner[path.at(-1)] = script ? () => bring(script) : decode(data);
      }
    }

    get(trait) { return this.#state[trait]; }

    set(trait, value) {
      if (this.#state[trait] === value) return;
      this.#state[trait] = value;
      for (const event of [`change:${trait}`, "change"]) this.#listeners.get(event)?.forEach((listener) => listener(this, value));
    }

    on(event, listener) {
      if (!this.#listeners.has(event)) this.#listeners.set(event, new Set());
      this.#listeners.get(event).add(listener);
    }

    off(event, listener) { this.#listeners.get(event)?.delete(listener); }

    save_changes() {} // there is no kernel to tell

    send() {}
  }

  const modules = new Map(); // explorers of one kind share their module
  async function load(source) {
    if (!modules.has(source)) {
      const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      modules.set(source, import(address).finally(() => URL.revokeObjectURL(address)));
    }
    return (await modules.get(source)).default;
  }

  const styles = new Set();
  function style(css) {
    if (!css || styles.has(css)) return;
    styles.add(css);
    document.head.append(Object.assign(document.createElement("style"), { textContent: css }));
  }

  async function mount(id, el) {
    try {
      if (!stored[id]?.state._esm) throw new Error(`no stored state for widget ${id}`);
      const model = new Model(stored[id]);
      style(model.get("_css"));
      await (await load(model.get("_esm"))).render({ model, el });
    } catch (error) {
      console.error("An explorer could not start:", error);
      el.replaceChildren(Object.assign(document.createElement("p"), { className: "pa-missing", textContent: MISSING }));
    }
  }

  // An explorer starts when it comes near the viewport, or when the page is printed.
  const waiting = new Map();
  function start(el) {
    if (!waiting.has(el)) return;
    nearby.unobserve(el);
    mount(waiting.get(el), el);
    waiting.delete(el);
  }
  const nearby = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) start(target);
  }, { rootMargin: "25% 0px" });

  for (const script of document.querySelectorAll(VIEW)) {
    const el = Object.assign(document.createElement("div"), { className: "pa-place" });
    script.after(el);
    waiting.set(el, JSON.parse(script.textContent).model_id);
    nearby.observe(el);
  }
  addEventListener("beforeprint", () => [...waiting.keys()].forEach(start));
}
