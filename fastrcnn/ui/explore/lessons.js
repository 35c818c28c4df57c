// The lesson of what is open, beside it: one for each station of the way and each view. A question, the
// lesson's or the visitor's, takes its place.

import { make, refill } from "../shared/dom.js";
import { grouped } from "../shared/numbers.js";
import { pieces } from "../shared/terms.js";
import { hasText, text } from "../shared/texts.js";
import { guessWords } from "./guess.js";
import { $, on, state } from "./page.js";
import { present } from "./presenter.js";
import { possibleBoxes } from "./questions.js";
import { openStation, stations } from "./stations.js";
import { answerWords, whysHere } from "./whys.js";

// The number of convolutions, as a word where there is one.
function count() {
  const { convolutions } = state.model;
  const name = `count.${convolutions}`;
  return hasText(name) ? text(name) : convolutions;
}

// The numbers in the lessons. Those of the picture may be still to come.
const values = () => ({
  count: count(),
  rectangles: state.picture ? grouped(possibleBoxes()) : "...",
  boxes: state.proposals ? grouped(state.proposals.boxes.length) : "...",
});

function part(name, attributes = {}) {
  const station = state.station;
  // VGG16 has a name that students may know.
  const own = name === "what" && state.model.backbone.startsWith("vgg16") && `lesson.${station}.what.vgg16`;
  const key = own && hasText(own) ? own : `lesson.${station}.${name}`;
  return [make("dt", {}, text(`lesson.${name}`)), make("dd", attributes, ...pieces(key, values()))];
}

const stationLesson = () => make("dl", {}, ...part("what"), ...part("why"), ...part("formula", { class: "rule" }), ...part("try"));
const viewLesson = () => make("p", { class: "lead" }, ...pieces(`lead.${state.view}`));

export function showLesson() {
  const { station, view, question } = state;
  const names = [...stations.keys()];
  const at = names.indexOf(station);
  const button = (key, to) =>
    make("button", { "data-key": key, disabled: !names[to], onclick: () => openStation(names[to]) }, text(`lesson.${key}`));
  const answer = answerWords();
  refill(
    $(".lessons"),
    make("h3", {}, view ? text(`view.${view}`) : text("lesson.heading", { number: at + 1, count: names.length, title: text(`lesson.${station}.title`) })),
    answer ?? guessWords(),
    answer || question ? null : view ? viewLesson() : stationLesson(),
    question ? null : whysHere(),
    make(
      "div", { class: "player" }, button("back", at - 1), button("next", at + 1),
      make("button", { "data-key": "present", onclick: present }, text(state.presenting ? "present.leave" : "present.begin")),
    ),
  );
}
on(["model", "station", "view", "question", "verdict", "presenting", "why", "picture", "proposals"], showLesson);
// The numbers in an answer are the present box's.
on(["box", "decisions"], () => {
  if (state.why !== null) showLesson();
});
