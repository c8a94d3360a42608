// Draws the Plotly figures of a page: a bundle of plotly.js is fetched when the first figure that needs it comes near the
// viewport, one for the plane and a larger one for space, and the colours follow the theme.
const SPACE = new Set(["surface", "scatter3d", "mesh3d"]); // traces in three dimensions
const here = document.currentScript.src;
const bundles = new Map();

function loadPlotly(bundle) {
  if (!bundles.has(bundle)) {
    bundles.set(bundle, new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = new URL(`vendor/plotly/plotly-${bundle}.min.js`, here);
      script.onload = () => resolve(window.Plotly); // each bundle has its own; the name goes to the last one
      script.onerror = () => reject(new Error("plotly.js could not be loaded"));
      document.head.append(script);
    }));
  }
  return bundles.get(bundle);
}

// What the theme decides, as layout keys that Plotly.relayout understands.
function themeColours(layout) {
  const style = getComputedStyle(document.documentElement);
  const text = style.getPropertyValue("--pst-color-text-base").trim();
  const grid = style.getPropertyValue("--pst-color-border").trim();
  const colours = { paper_bgcolor: "transparent", plot_bgcolor: "transparent", "font.color": text };
  const keys = Object.keys(layout);
  const flat = keys.filter((key) => /^[xy]axis\d*$/.test(key));
  const deep = keys.filter((key) => /^scene\d*$/.test(key)).flatMap((key) => ["x", "y", "z"].map((axis) => `${key}.${axis}axis`));
  for (const axis of [...flat, ...deep]) {
    colours[`${axis}.gridcolor`] = colours[`${axis}.zerolinecolor`] = colours[`${axis}.linecolor`] = grid;
    if (deep.includes(axis)) colours[`${axis}.color`] = text;
  }
  return colours;
}

// Plotly does not break a long title: its words in lines of a width in pixels, tags not counted.
const pen = document.createElement("canvas").getContext("2d");
const LINE = 1.3; // font sizes from line to line, Plotly's own

function inLines(text, width, { size, family }) {
  pen.font = `${size}px ${family}`;
  const lines = [];
  for (const word of text.split(" ")) {
    const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
    const fits = pen.measureText(longer.replace(/<[^>]*>/g, "")).width <= width;
    if (fits && lines.length) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/** Break a title to the figure's width, above a margin of `top` pixels for one line. */
async function breakTitle(Plotly, figure, text, top) {
  const { title, _size } = figure._fullLayout;
  const lines = inLines(text, figure.clientWidth - _size.l, title.font);
  const broken = lines.join("<br>");
  if (broken !== title.text) await Plotly.relayout(figure, { "title.text": broken, "margin.t": top + (lines.length - 1) * LINE * title.font.size });
}

// A legend below hangs by a share of the plot's height, and would slide under the axis' title of a low one.
const BELOW = 60; // pixels from the plot to its legend

async function hangLegend(Plotly, figure) {
  const { legend, _size } = figure._fullLayout;
  const height = _size.h * (1 - legend.y) - BELOW; // the plot's, once its legend hangs so
  if (Math.abs(_size.h * legend.y + BELOW) > 2) await Plotly.relayout(figure, { "legend.y": -BELOW / height });
}

async function draw(figure) {
  const { data, layout, config } = JSON.parse(figure.querySelector("script").textContent);
  const space = data.some(({ type }) => SPACE.has(type));
  if (space) figure.dataset.space = document.createElement("canvas").getContext("webgl") ? "drawn" : "told";
  if (figure.dataset.space !== "told") { // without WebGL the style sheet shows the text alternative
    const Plotly = await loadPlotly(space ? "gl3d" : "cartesian");
    await Plotly.newPlot(figure, data, layout, { displayModeBar: false, responsive: true, scrollZoom: false, ...config });
    const follow = () => Plotly.relayout(figure, themeColours(figure._fullLayout));
    await follow();
    const text = layout.title?.text, { legend, margin: { t } } = figure._fullLayout;
    new ResizeObserver(async () => {
      if (text) await breakTitle(Plotly, figure, text, t);
      if (legend?.y < 0) await hangLegend(Plotly, figure);
    }).observe(figure);
    new MutationObserver(follow).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }
  figure.dataset.ready = "true";
}

// A figure is drawn when it comes near the viewport, or when the page is printed.
function drawOnce(figure) {
  if (figure.dataset.started) return;
  figure.dataset.started = "true";
  nearby.unobserve(figure);
  draw(figure).catch((error) => console.error("a figure could not be drawn:", error));
}
const nearby = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) drawOnce(target);
}, { rootMargin: "600px" });
const figures = document.querySelectorAll(".pa-figure");
figures.forEach((figure) => nearby.observe(figure));
addEventListener("beforeprint", () => figures.forEach(drawOnce));
