// Questions that come up here. Each opens the place, or sets the experiment, that shows the answer.

import { make } from "../shared/dom.js";
import { pieces } from "../shared/terms.js";
import { text } from "../shared/texts.js";
import { setExperiment } from "./form.js";
import { $, $$, change, root } from "./page.js";

// panel: the panel that opens. experiment: what is set up. place: what is lit.
export const QUESTIONS = {
  normalised: { panel: "loss", experiment: "raw-targets", place: "#train-loss" },
  "empty-pictures": { place: ".batch" },
  "loss-rises": { place: '[data-plot="loc"]' },
  nan: { experiment: "high-lr", place: '[data-plot="loss"]' },
  background: { experiment: "background-0", place: ".batch" },
  "batch-of-rois": { place: ".batch" },
  "true-boxes": { experiment: "no-ground-truth", place: '[data-plot="loc"]' },
  "low-loss": { panel: "precision", experiment: "foreground", place: "#train-precision" },
};

function open(name) {
  const { panel, experiment, place } = QUESTIONS[name];
  if (panel) change({ panel });
  if (experiment) setExperiment(experiment);
  const shown = $(place);
  for (const lit of $$(".lit")) lit.classList.remove("lit");
  shown.classList.add("lit");
  shown.scrollIntoView({ block: "nearest" });
}

function question(name) {
  return make(
    "details", { class: "question", "data-question": name },
    make("summary", {}, text(`question.${name}.ask`)),
    make("p", {}, ...pieces(`question.${name}.answer`)),
    make("button", { class: "link", onclick: () => open(name) }, text("questions.show")),
  );
}
$(".question-list").append(...Object.keys(QUESTIONS).map(question));

// "Why?" where the question comes up opens it in the list.
function why(name) {
  const ask = () => {
    $(".questions").open = true;
    const entry = $(`[data-question="${name}"]`);
    entry.open = true;
    entry.querySelector("summary").focus();
    open(name);
  };
  return make("button", { type: "button", class: "link why", title: text(`question.${name}.ask`), onclick: ask }, text("questions.why"));
}

for (const place of root.querySelectorAll("[data-why]")) place.append(" ", why(place.dataset.why));
