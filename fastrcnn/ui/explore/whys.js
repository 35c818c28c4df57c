// Questions that many people ask: each beside the view that answers it, and all in one list, with those
// of the Train tab. Each opens the view that shows the answer, with the numbers of the present photograph
// in it.

import { make } from "../shared/dom.js";
import { area, fixed, iou } from "../shared/numbers.js";
import { pieces } from "../shared/terms.js";
import { text } from "../shared/texts.js";
import { QUESTIONS, questionLink } from "../train/question-list.js";
import { detections } from "./detections.js";
import { className } from "./names.js";
import { $, change, choose, on, state } from "./page.js";

// station, view: where the answer is seen. prepare(): chooses a box that shows it. values(): the numbers
// in the answer. ending(): which answer fits, where there are several.
const WHYS = {
  search: { station: "features", view: "rcnn", values: sizes },
  coordinates: { station: "pooling", view: "rounding", values: scales },
  uneven: { station: "pooling", view: null, values: sharedColumn, ending: evenness },
  gradient: { station: "pooling", view: "gradient" },
  small: { station: "pooling", view: null, prepare: chooseSmallest, values: cellsOfBox, ending: fewness },
  numbers: { station: "head", view: null, values: outputs },
  left: { station: "nms", view: null, prepare: chooseRival, values: rivals, ending: () => (rivals() ? "two" : "one") },
};

// The values, and what is prepared

function sizes() {
  const { picture, box, proposals } = state;
  const [columns, rows] = box.map_size;
  return { width: picture.width, height: picture.height, columns, rows, count: proposals.boxes.length };
}

function scales() {
  const { picture, box, model } = state;
  return {
    scale: fixed(picture.input[0] / picture.width, 2), photo: fixed(box.box[0], 1),
    input: fixed(box.exact[0] * model.stride, 1), cells: fixed(box.exact[0], 2),
  };
}

function cellsOfBox() {
  const [x1, y1, x2, y2] = state.box.cells ?? state.box.exact;
  const size = (length) => fixed(length, state.box.cells ? 0 : 1);
  return { columns: size(x2 - x1), rows: size(y2 - y1) };
}

function fewness() {
  const { columns, rows } = cellsOfBox();
  return Math.min(columns, rows) < state.model.pool_size ? "few" : "enough";
}

// The first column of cells that two neighbouring bins both look at.
function sharedColumn() {
  const [line] = state.box.bins;
  const bin = line.findIndex(([, , end], i) => i + 1 < line.length && end > line[i + 1][0]);
  return { ...cellsOfBox(), bin: bin + 1, next: bin + 2, column: bin < 0 ? "" : line[bin + 1][0] + 1 };
}

function evenness() {
  if (!state.box.cells) return "align";
  return sharedColumn().bin ? "shared" : "even";
}

function outputs() {
  const count = state.model.classes.length;
  return { count, all: count + 1, deltas: 4 * (count + 1) };
}

// The smallest true object's best proposal, else the smallest proposal.
function chooseSmallest() {
  const { truth, covered, proposals } = state;
  const objects = truth.map(({ box }, i) => ({ size: area(box), index: covered[i]?.best ?? null }));
  const boxes = proposals.boxes.map((box, index) => ({ size: area(box), index }));
  const known = objects.filter(({ index }) => index !== null);
  const [smallest] = (known.length ? known : boxes).sort((a, b) => a.size - b.size);
  if (smallest) choose({ index: smallest.index });
}

// Two detections of different classes that NMS would not have left side by side within one class.
function rivalPair() {
  const { decisions, nms_threshold: threshold } = state;
  const kept = detections();
  for (const i of kept) {
    const j = kept.find((other) => decisions.labels[other] !== decisions.labels[i] && iou(decisions.boxes[i], decisions.boxes[other]) > threshold);
    if (j !== undefined) return [i, j];
  }
  return null;
}

function chooseRival() {
  const pair = rivalPair();
  if (pair) choose({ index: state.decisions.proposals[pair[0]] });
}

function rivals() {
  const pair = rivalPair();
  if (!pair) return null;
  const { decisions } = state;
  const [first, second] = pair.map((i) => className(decisions.labels[i]));
  return { first, second, iou: fixed(iou(...pair.map((i) => decisions.boxes[i])), 2) };
}

// Asking and answering

function ask(name) {
  if (state.stage !== "detections" || !state.box) return;
  const { station, view, prepare } = WHYS[name];
  change({ station, view, follows: false, why: name });
  prepare?.();
  $(".lessons").scrollIntoView({ block: "nearest" });
}

on(["station", "view", "token"], (changed) => {
  if (!changed.includes("why")) change({ why: null });
});

// The question with its answer, in place of the lesson; null where nobody asks.
export function answerWords() {
  const { why, box, decisions } = state;
  if (why === null || !box || !decisions) return null;
  const { values, ending } = WHYS[why];
  const key = `why.${why}.answer${ending ? `.${ending()}` : ""}`;
  return make(
    "section", { class: "answered", role: "status" },
    make("h4", {}, text(`why.${why}.ask`)),
    make("p", {}, ...pieces(key, values?.() ?? {})),
    make("button", { class: "link", "data-key": "close", onclick: () => change({ why: null }) }, text("why.close")),
  );
}

const button = (name) => make("button", { class: "link", "data-key": `why-${name}`, "data-why": name, onclick: () => ask(name) }, text(`why.${name}.ask`));
const item = (name) => make("li", {}, button(name));

// The questions that what is open answers; null where there is none.
export function whysHere() {
  const here = Object.keys(WHYS).filter((name) => WHYS[name].station === state.station && WHYS[name].view === state.view);
  return here.length ? make("ul", { class: "whys", "aria-label": text("why.title") }, ...here.map(item)) : null;
}

// The list is filled when it is first opened.
$(".index").addEventListener(
  "toggle",
  () => $(".index ul").append(
    ...Object.keys(WHYS).map(item),
    ...Object.keys(QUESTIONS).map((name) => make("li", {}, make("a", { class: "link", href: questionLink(name) }, text(`question.${name}.ask`)))),
  ),
  { once: true },
);
