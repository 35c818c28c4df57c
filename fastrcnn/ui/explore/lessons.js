// The lesson of the open station, beside it. There is one for each station of the way.

import { make, refill } from "../shared/dom.js";
import { pieces } from "../shared/terms.js";
import { hasText, text } from "../shared/texts.js";
import { guessWords } from "./guess.js";
import { $, on, state } from "./page.js";
import { present } from "./presenter.js";
import { openStation, stations } from "./stations.js";

// The number of convolutions, as a word where there is one.
function count() {
  const { convolutions } = state.model;
  const name = `count.${convolutions}`;
  return hasText(name) ? text(name) : convolutions;
}

function part(name, attributes = {}) {
  const station = state.station;
  // VGG16 has a name that students may know.
  const own = name === "what" && state.model.backbone.startsWith("vgg16") && `lesson.${station}.what.vgg16`;
  const key = own && hasText(own) ? own : `lesson.${station}.${name}`;
  return [make("dt", {}, text(`lesson.${name}`)), make("dd", attributes, ...pieces(key, { count: count() }))];
}

export function showLesson() {
  const names = [...stations.keys()];
  const at = names.indexOf(state.station);
  const button = (key, to) =>
    make("button", { "data-key": key, disabled: !names[to], onclick: () => openStation(names[to]) }, text(`lesson.${key}`));
  refill(
    $(".lessons"),
    make("h3", {}, text("lesson.heading", { number: at + 1, count: names.length, title: text(`lesson.${state.station}.title`) })),
    guessWords(),
    state.question ? null : make("dl", {}, ...part("what"), ...part("why"), ...part("formula", { class: "rule" }), ...part("try")),
    make(
      "div", { class: "player" }, button("back", at - 1), button("next", at + 1),
      make("button", { "data-key": "present", onclick: present }, text(state.presenting ? "present.leave" : "present.begin")),
    ),
  );
}
on(["model", "station", "question", "verdict", "presenting"], showLesson);
