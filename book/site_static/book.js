// A formula wider than its column scrolls in its own box: make that box reachable from the keyboard.
const formulas = document.querySelectorAll("div.math");
const observer = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
formulas.forEach((formula) => observer.observe(formula));

// A page that is opened as a file may not read the others: the search then names what it finds and quotes nothing.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
