// Questions with one right answer, a reason for every option, and a score.

import { Frame, h, number, write } from "./parts.js";

/** A text with `code` between backticks, as nodes. */
const prose = (text) => text.split("`").map((part, i) => (i % 2 ? h("code", {}, part) : part));

function render(context) {
  const frame = new Frame(context, "Quiz"), questions = frame.get("_questions"), group = Math.random().toString(36).slice(2);
  const answer = (index, choice) => frame.set({ answers: frame.get("answers").map((old, i) => (i === index ? choice : old)) });
  const items = questions.map(({ text, options }, index) => {
    const inputs = options.map((_, choice) => h("input", {
      type: "radio", name: `${group}-${index}`, "data-lm-suppress-shortcuts": "true", change: () => answer(index, choice),
    }));
    const verdict = h("p", { class: "pa-verdict", "aria-live": "polite" });
    const rows = options.map((option, choice) => h("label", {}, inputs[choice], h("span", {}, ...prose(option.text))));
    const set = h("fieldset", {}, h("legend", {}, `${index + 1}. `, ...prose(text)), ...rows, verdict);
    return { options, inputs, rows, verdict, set };
  });
  const score = number(), again = h("button", {
    type: "button", "data-lm-suppress-shortcuts": "true", click: () => { frame.set({ answers: questions.map(() => -1) }); items[0].inputs[0].focus(); },
  }, "Try again");
  frame.controls.remove();
  frame.picture.append(...items.map(({ set }) => set));
  frame.summary.before(h("p", { class: "pa-score" }, "Score ", score, again));
  frame.watch("answers");

  return frame.start(() => {
    const answers = frame.get("answers");
    items.forEach(({ options, inputs, rows, verdict }, index) => {
      const choice = answers[index], option = options[choice];
      inputs.forEach((input, i) => { input.checked = i === choice; });
      rows.forEach((row, i) => row.classList.toggle("pa-chosen", i === choice));
      verdict.replaceChildren(...(option ? [h("strong", {}, option.correct ? "✓ Right. " : "✗ Not quite. "), ...prose(option.why)] : []));
      verdict.classList.toggle("pa-right", Boolean(option?.correct));
    });
    const answered = answers.filter((choice) => choice >= 0).length;
    const right = items.filter(({ options }, i) => options[answers[i]]?.correct).length;
    write(score, `${right} of ${questions.length}`);
    again.disabled = !answered;
    const open = questions.length - answered;
    write(frame.summary, open ? `${open} ${open === 1 ? "question" : "questions"} to go.` : "All questions answered.");
  });
}

export default { render };
