// Draws the Plotly figures of a page: plotly.js is fetched when the first figure comes near the viewport,
// and the colours follow the theme.
const plotlySource = new URL("vendor/plotly/plotly-cartesian.min.js", document.currentScript.src);
let plotly;

function loadPlotly() {
  plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = plotlySource;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error("plotly.js could not be loaded"));
    document.head.append(script);
  });
  return plotly;
}

// What the theme decides, as layout keys that Plotly.relayout understands.
function themeColours(layout) {
  const style = getComputedStyle(document.documentElement);
  const text = style.getPropertyValue("--pst-color-text-base").trim();
  const grid = style.getPropertyValue("--pst-color-border").trim();
  const colours = { paper_bgcolor: "transparent", plot_bgcolor: "transparent", "font.color": text };
  for (const axis of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
    colours[`${axis}.gridcolor`] = colours[`${axis}.zerolinecolor`] = colours[`${axis}.linecolor`] = grid;
  }
  return colours;
}

async function draw(figure) {
  const { data, layout, config } = JSON.parse(figure.querySelector("script").textContent);
  const Plotly = await loadPlotly();
  await Plotly.newPlot(figure, data, layout, { displayModeBar: false, responsive: true, ...config });
  const follow = () => Plotly.relayout(figure, themeColours(figure._fullLayout));
  await follow();
  new MutationObserver(follow).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  figure.dataset.ready = "true";
}

const nearby = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (isIntersecting) {
      nearby.unobserve(target);
      draw(target).catch((error) => console.error("a figure could not be drawn:", error));
    }
  }
}, { rootMargin: "600px" });
document.querySelectorAll(".pa-figure").forEach((figure) => nearby.observe(figure));
