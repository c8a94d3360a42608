// A text that the reader types, as a control of an explorer.

import { h } from "./parts.js";

/** Append a field for the trait, of one line or more; returns what to call when the trait may have changed. */
export function field(frame, trait, label, lines = 1) {
  const id = `pa-${Math.random().toString(36).slice(2)}`;
  const input = h(lines > 1 ? "textarea" : "input", {
    id, dir: "auto", rows: lines > 1 && lines, type: lines === 1 && "text", autocomplete: "off", autocapitalize: "off", spellcheck: "false",
    "data-lm-suppress-shortcuts": "true", input: () => frame.set({ [trait]: input.value }),
  });
  frame.root.style.overflowWrap = "anywhere"; // what is typed may be one word of a thousand letters
  frame.controls.append(h("div", { class: `pa-control pa-field${lines > 1 ? " pa-lines" : ""}` }, h("label", { for: id }, label), input));
  frame.watch(trait);
  return () => { if (input.value !== frame.get(trait)) input.value = frame.get(trait); };
}
