// The method in six short lessons. Each lights up the live part that it speaks of.

import { make, refill } from "../shared/dom.js";
import { pieces } from "../shared/terms.js";
import { hasText, text } from "../shared/texts.js";
import { $, $$, on, state } from "./page.js";
import { openStation } from "./stations.js";

// Which station each speaks of, and what of it.
const LESSONS = [
  { station: "grouping", lights: ".merge-text" },
  { station: "proposals", lights: ".truth" },
  { station: "pooling", lights: ".channels" },
  { station: "pooling", lights: ".maps" },
  { station: "head", lights: ".formula" },
  { station: "result", lights: ".nms-threshold" },
];

// The number of convolutions, as a word where there is one.
function count() {
  const { convolutions } = state.model;
  const name = `count.${convolutions}`;
  return hasText(name) ? text(name) : convolutions;
}

let lesson = 0;

function openLesson(next) {
  lesson = next;
  showLesson();
  openStation(LESSONS[lesson].station);
  darken();
  light(LESSONS[lesson].lights);
}

function darken() {
  for (const lit of $$(".lit")) lit.classList.remove("lit");
}
on(["station"], darken);

function light(selector) {
  const part = $(selector);
  const place = part.matches("input") ? part.closest("label") : part;
  place.classList.add("lit");
  place.scrollIntoView({ block: "nearest" });
}

export function showLesson() {
  const number = lesson + 1;
  const isVgg = state.model.backbone.startsWith("vgg16");
  const what = number === 3 ? (isVgg ? "what.vgg16" : "what.other") : "what";
  const words = (part, attributes = {}) => make("dd", attributes, ...pieces(`lesson.${number}.${part}`, { count: count() }));
  const button = (key, at) => make("button", { "data-key": key, disabled: !LESSONS[at], onclick: () => openLesson(at) }, text(`lesson.${key}`));
  refill(
    $(".lessons"),
    make("h3", {}, text("lesson.heading", { number, count: LESSONS.length, title: text(`lesson.${number}.title`) })),
    make(
      "dl", {},
      make("dt", {}, text("lesson.what")), words(what),
      make("dt", {}, text("lesson.why")), words("why"),
      make("dt", {}, text("lesson.formula")), words("formula", { class: "rule" }),
      make("dt", {}, text("lesson.try")), words("try"),
    ),
    make("div", { class: "player" }, button("back", lesson - 1), button("show", lesson), button("next", lesson + 1)),
  );
}
on(["model"], showLesson);
