// The method in six short steps. Each lights up the live part that it speaks of.

// Which step each speaks of, and what of it.
const LESSONS = [
  { tab: "grouping", lights: ".merge-told" },
  { tab: "proposals", lights: ".truth" },
  { tab: "pooling", lights: ".strip" },
  { tab: "pooling", lights: ".maps" },
  { tab: "head", lights: ".formula" },
  { tab: "result", lights: ".nms" },
];

// What the lessons say of the network.
function lessonValues() {
  const { convolutions, channels, stride } = model;
  const name = `count.${convolutions}`;
  return { channels, stride, count: name in TEXTS[language] ? t(name) : convolutions };
}

let lesson = 0;

function openLesson(next) {
  lesson = next;
  showLesson();
  openTab(LESSONS[lesson].tab);
  light(LESSONS[lesson].lights);
}

function darken() {
  for (const lit of $$(".lit")) lit.classList.remove("lit");
}

function light(selector) {
  darken();
  const part = $(selector);
  const shown = part.matches("input") ? part.closest("label") : part;
  shown.classList.add("lit");
  shown.scrollIntoView({ block: "nearest" });
}

function showLesson() {
  const number = lesson + 1;
  const what = number === 3 ? (model.backbone.startsWith("vgg16") ? "what.vgg16" : "what.other") : "what";
  const says = (part) => make("dd", {}, ...pieces(`lesson.${number}.${part}`, lessonValues()));
  const formula = says("formula");
  formula.className = "rule";
  refill(
    $(".lessons"),
    make("h3", {}, t("lesson.heading", { number, count: LESSONS.length, title: t(`lesson.${number}.title`) })),
    make(
      "dl", {},
      make("dt", {}, t("lesson.what")), says(what),
      make("dt", {}, t("lesson.why")), says("why"),
      make("dt", {}, t("lesson.formula")), formula,
      make("dt", {}, t("lesson.try")), says("try"),
    ),
    make(
      "div", { class: "player" },
      make("button", { "data-key": "back", disabled: lesson === 0, onclick: () => openLesson(lesson - 1) }, t("lesson.back")),
      make("button", { "data-key": "show", onclick: () => openLesson(lesson) }, t("lesson.show")),
      make("button", { "data-key": "next", disabled: lesson === LESSONS.length - 1, onclick: () => openLesson(lesson + 1) }, t("lesson.next")),
    ),
  );
}
