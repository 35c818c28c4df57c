// Questions that come up here. Each opens the place, or sets the experiment, that shows the answer.

import { make } from "../shared/dom.js";
import { pieces } from "../shared/terms.js";
import { text } from "../shared/texts.js";
import { setExperiment } from "./form.js";
import { $, $$, change, root } from "./page.js";
import { QUESTIONS } from "./question-list.js";

function show(name) {
  const { place, panel, experiment } = QUESTIONS[name];
  if (panel) change({ panel });
  if (experiment) setExperiment(experiment);
  for (const lit of $$(".lit")) lit.classList.remove("lit");
  $(place).classList.add("lit");
  $(place).scrollIntoView({ block: "nearest" });
}

$(".question-list").append(
  ...Object.keys(QUESTIONS).map((name) =>
    make(
      "details", { class: "question", "data-question": name },
      make("summary", {}, text(`question.${name}.ask`)),
      make("p", {}, ...pieces(`question.${name}.answer`)),
      make("button", { type: "button", class: "link", onclick: () => show(name) }, text("questions.show")),
    ),
  ),
);

function open(name) {
  $(".questions").open = true;
  const entry = $(`[data-question="${name}"]`);
  entry.open = true;
  entry.scrollIntoView({ block: "nearest" });
  entry.querySelector("summary").focus({ preventScroll: true });
}

// "Why?", where a question comes up, opens it in the list.
root.addEventListener("click", (event) => {
  const name = event.target.closest("[data-ask]")?.dataset.ask;
  if (!name) return;
  event.preventDefault(); // the label that it may stand in
  open(name);
});

function followAddress() {
  const name = new URLSearchParams(location.hash.slice(1)).get("question");
  if (name in QUESTIONS) open(name);
}
window.addEventListener("hashchange", followAddress);
followAddress();
