// A page on paper. What waits to be seen is drawn first, hints and solutions are open, colours are those of the day, and
// links stand in a list at the end. Explorers and figures start at the same event, `beforeprint`; afterwards all is as it was.
"use strict"; // in this file functions stay in their block
{
  const root = document.documentElement, article = document.querySelector("article");
  const all = (selector) => [...(article?.querySelectorAll(selector) ?? [])];
  const COLUMN = { width: 480, height: 640 }; // pixels of a printed column, see print.css
  let undo = [];

  function open() {
    const closed = all("details:not([open], .hide)");
    for (const details of closed) details.open = true;
    return () => closed.forEach((details) => { details.open = false; });
  }

  function lighten() {
    const { theme } = root.dataset;
    root.dataset.theme = "light";
    return () => { root.dataset.theme = theme; };
  }

  /** Number the links to other sites, and list them. */
  function list() {
    const addresses = [], added = [];
    for (const link of all("a[href^=http]")) {
      if (!addresses.includes(link.href)) addresses.push(link.href);
      const mark = Object.assign(document.createElement("sup"), { className: "pa-mark", textContent: `[${addresses.indexOf(link.href) + 1}]` });
      link.after(mark);
      added.push(mark);
    }
    if (addresses.length) {
      const section = Object.assign(document.createElement("section"), { className: "pa-links", innerHTML: "<h2>Links</h2><ol></ol>" });
      section.lastChild.append(...addresses.map((address) => Object.assign(document.createElement("li"), { textContent: address })));
      article.append(section);
      added.push(section);
    }
    return () => added.forEach((node) => node.remove());
  }

  /** Keep each picture as wide as it was drawn, and make it smaller as a whole, so that it fits a column and a page. */
  function hold() {
    for (const picture of all(".pa-explorer, .pa-figure")) {
      const { offsetWidth: width, offsetHeight: height } = picture;
      picture.style.setProperty("--pa-drawn", `${width}px`);
      picture.style.setProperty("--pa-zoom", Math.min(0.5, COLUMN.width / width, COLUMN.height / height));
    }
  }

  addEventListener("beforeprint", () => {
    if (!undo.length) undo = [open(), lighten(), list()];
    hold();
  });
  addEventListener("afterprint", () => {
    for (const each of undo) each();
    undo = [];
  });

  const drawn = () => !all(".pa-place:empty").length && all(".pa-figure, .pa-explorer").every(({ dataset }) => dataset.ready);

  /** Resolves when everything is drawn, or could not be within so many seconds; says whether it is. */
  async function ready(seconds = 20) {
    dispatchEvent(new Event("beforeprint"));
    const most = performance.now() + 1000 * seconds;
    while (!drawn() && performance.now() < most) await new Promise((next) => setTimeout(next, 50));
    return drawn();
  }

  // The theme's button and the keyboard wait until the page is ready; the browser's own menu cannot be made to.
  const print = window.print.bind(window);
  window.print = async () => { await ready(); print(); };
  window.readyForPaper = ready;
  addEventListener("keydown", (event) => {
    if (event.key !== "p" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
    event.preventDefault();
    window.print();
  });
}
