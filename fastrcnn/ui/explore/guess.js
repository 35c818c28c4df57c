// Guess, then see: asks a lesson's question until it is answered or skipped. Nothing is kept or sent.

import { VERMILION } from "../shared/colours.js";
import { make } from "../shared/dom.js";
import { hasText, text } from "../shared/texts.js";
import { $, change, on, root, state } from "./page.js";
import { QUESTIONS } from "./questions.js";
import { openPart } from "./stations.js";

const STEP = 0.02; // of the photograph, that an arrow key moves the mark by
const asked = new Set(); // stations
let asks = true; // until the visitor wants no more questions

// Whether all that a question may need is there, and of the chosen box.
const isReady = () =>
  state.stage === "detections" && state.picture && state.grouping && state.decisions &&
  state.box?.index === (state.chosen?.index ?? null);

// Another station, box or picture has another question.
on(["station", "view", "chosen", "channel", "pooling", "token", "decisions"], () => {
  if (state.question || state.verdict) change({ question: null, verdict: null });
});
on(["box"], () => change({ question: null }));
// Who goes on joining regions does not want to guess.
on(["merge"], () => {
  if (state.question) skip();
  else change({ verdict: null });
});

// Asks where nothing was asked yet.
function ask() {
  const { station, view } = state;
  if (state.question || view || state.why || !asks || asked.has(station) || !isReady()) return;
  const question = QUESTIONS[station]();
  if (question) change({ question: { station, ...question }, verdict: null });
}
on(["station", "view", "box", "decisions", "grouping", "picture", "question"], ask);

on(["question"], () => {
  if (state.question) root.dataset.asking = state.question.station;
  else delete root.dataset.asking;
});

export function answer(given) {
  const { question } = state;
  asked.add(question.station);
  const verdict = { question, given, ...question.judge(given) };
  change({ question: null, verdict });
}

function skip() {
  asked.add(state.question.station);
  change({ question: null });
}

function skipAll() {
  asks = false;
  change({ question: null });
}

// What lies on the photograph: the question hides what the station would draw, the verdict adds to it.
export function drawPart(context, pen) {
  const { question, verdict } = state;
  (question?.draw ?? openPart().draw)(context, pen);
  verdict?.question.show?.(context, pen);
  const place = question?.kind === "place" ? question.mark : verdict?.question.kind === "place" ? verdict.given : null;
  if (place) drawMark(pen, place);
}

function drawMark(pen, [x, y]) {
  const arm = 9 * pen.pixel;
  pen.outlined([x - arm, y, x + arm, y], VERMILION, 2);
  pen.outlined([x, y - arm, x, y + arm], VERMILION, 2);
}

// The keys, where a place is asked for: arrows move a mark, Enter answers. True: it was one of these.
export function markByKey(key) {
  const { question, picture } = state;
  if (question?.kind !== "place") return false;
  const [x, y] = question.mark ?? [picture.width / 2, picture.height / 2];
  const step = { ArrowRight: [STEP, 0], ArrowLeft: [-STEP, 0], ArrowDown: [0, STEP], ArrowUp: [0, -STEP] }[key];
  if (key === "Enter") answer([x, y]);
  else if (step) change({ question: { ...question, mark: [x + step[0] * picture.width, y + step[1] * picture.height] } });
  else return false;
  return true;
}

// In words

const optionText = ({ station, values }, option) => {
  const key = `guess.${station}.option.${option}`;
  return hasText(key) ? text(key, values) : option.toUpperCase();
};

function inputsOf(question) {
  const { kind, station, options, range, values } = question;
  if (kind === "place") return [make("p", { class: "legend" }, text("guess.place"))];
  if (kind === "choice") {
    return options.map((option) => make("button", { "data-option": option, onclick: () => answer(option) }, optionText(question, option)));
  }
  const output = make("output", {}, String(range.max / 2));
  const slider = make("input", {
    type: "range", min: 0, max: range.max, step: range.step, value: range.max / 2, "aria-label": text(`guess.${station}.ask`, values),
    oninput: () => (output.textContent = slider.value),
  });
  return [slider, output, make("button", { class: "answer", onclick: () => answer(Number(slider.value)) }, text("guess.answer"))];
}

// The question, or what became of the guess, as elements; null where nothing is asked.
export function guessWords() {
  const { question, verdict } = state;
  if (question) {
    return make(
      "div", { class: "guess" },
      make("p", {}, make("b", {}, text("guess.title")), " ", text(`guess.${question.station}.ask`, question.values)),
      make("div", { class: "player" }, ...inputsOf(question)),
      make(
        "p", {}, make("button", { class: "link skip", onclick: skip }, text("guess.skip")), " ",
        make("button", { class: "link skip-all", onclick: skipAll }, text("guess.skip-all")),
      ),
    );
  }
  if (!verdict) return null;
  const { right, values, given } = verdict;
  const { kind, station, values: own } = verdict.question;
  const answer = kind === "place" ? "" : text("guess.said", { answer: kind === "choice" ? optionText(verdict.question, given) : given });
  return make(
    "div", { class: "guess verdict", role: "status" },
    make("b", {}, text(right ? "guess.right" : "guess.wrong")), ` ${answer}`, text(`guess.${station}.truth`, { ...own, ...values }),
  );
}
