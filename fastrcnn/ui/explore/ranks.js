// Truncated SVD: what lower ranks of fc6 and fc7 cost, and what they do to this picture.

import { classColour } from "../shared/colours.js";
import { make, refill } from "../shared/dom.js";
import { cornersOf, fixed, iou, percent } from "../shared/numbers.js";
import { counted, text } from "../shared/texts.js";
import { drawChosenApart } from "./chosen-box.js";
import { selection } from "./detections.js";
import { BUSY_WAIT } from "./experiment.js";
import { shownLabel } from "./head.js";
import { boxInputs } from "./inspection.js";
import { className } from "./names.js";
import { $, change, on, requester, state } from "./page.js";
import { addView } from "./stations.js";

addView({ station: "fc", name: "ranks", draw });

const LAYERS = ["fc6", "fc7"];
// The paper keeps a quarter of fc6's rank and a sixteenth of fc7's.
const PRESETS = { whole: [1, 1], paper: [1 / 4, 1 / 16], least: [1 / 64, 1 / 64] };

const sliders = LAYERS.map((name) => $(`.rank-${name}`));
const isOpen = () => state.view === "ranks" && state.stage === "detections" && state.chosen;
const ranks = () => Object.fromEntries(LAYERS.map((name, i) => [name, Number(sliders[i].value)]));

// The chosen box, while a slider moves

const requestBox = requester("ranks", (reply, sent) => {
  if (!isOpen() || !state.box) return;
  showCosts(reply.layers);
  showBox(reply, sent);
});

function askBox() {
  showRanks();
  showCompared();
  if (isOpen()) requestBox({ box: boxInputs().box, ...ranks() });
}

// The whole picture, once a slider is let go

const requestAll = requester("compressed", (reply, sent) => {
  if (!isOpen()) return;
  if (reply.busy) return setTimeout(askAll, BUSY_WAIT);
  change({ experiment: { view: "ranks", sent, ...reply } });
});

function askAll() {
  if (isOpen()) requestAll({ ...ranks(), ...selection() });
}

for (const slider of sliders) {
  slider.addEventListener("input", askBox);
  slider.addEventListener("change", askAll);
}

function ask() {
  askBox();
  askAll();
}

for (const [name, shares] of Object.entries(PRESETS)) {
  $(`.ranks-${name}`).addEventListener("click", () => {
    sliders.forEach((slider, i) => (slider.value = Math.max(Math.round(Number(slider.max) * shares[i]), 1)));
    ask();
  });
}

// A layer's own rank, which the slider's end stands for, comes with the network.
on(["model"], setSliders);
function setSliders() {
  LAYERS.forEach((name, i) => {
    sliders[i].max = state.model.ranks[name];
    sliders[i].value = state.model.ranks[name];
  });
  showRanks();
}
setSliders();

on(["view"], ask);
on(["box", "label"], askBox);
on(["stage", "score_threshold", "nms_threshold", "vote"], askAll);

// In words and numbers

function showRanks() {
  LAYERS.forEach((name, i) => {
    const most = state.model.ranks[name];
    const rank = Number(sliders[i].value);
    $(`.rank-${name}-text`).textContent = text(rank === most ? "ranks.all" : "ranks.some", { rank, most });
  });
}

const millions = (count) => text("ranks.millions", { count: fixed(count / 1e6, 2) });

function showCosts(layers) {
  const heads = ["", text("ranks.undivided"), text("ranks.own"), text("ranks.now")];
  const row = (name, ...counts) => make("tr", {}, make("th", { scope: "row" }, name), ...counts.map((count) => make("td", {}, millions(count))));
  const kinds = ["undivided", "own", "now"];
  refill(
    $(".ranks-costs"),
    make("caption", {}, text("ranks.costs")),
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
    make(
      "tbody", {},
      ...LAYERS.map((name) => row(name, ...kinds.map((kind) => layers[name][kind]))),
      row(text("ranks.both"), ...kinds.map((kind) => LAYERS.reduce((sum, name) => sum + layers[name][kind], 0))),
    ),
  );
}

function showBox(reply, sent) {
  if (JSON.stringify(sent.box) !== JSON.stringify(boxInputs().box)) return;
  const label = shownLabel(state.box);
  const moved = reply.regressed[label].map((side, i) => side - state.box.regressed[label][i]);
  $(".ranks-box").textContent = text("ranks.box", {
    label: className(label), before: percent(state.box.probabilities[label]), after: percent(reply.probabilities[label]),
    moved: cornersOf(moved, 1),
  });
}

// The whole picture with the ranks that the sliders show, or null while it is not there.
function comparedNow() {
  const { experiment } = state;
  if (experiment?.view !== "ranks") return null;
  return Object.entries(ranks()).every(([name, rank]) => experiment.sent[name] === rank) ? experiment : null;
}

on(["experiment", "view"], showCompared);
function showCompared() {
  const found = comparedNow();
  if (!found) {
    $(".ranks-time").textContent = state.view === "ranks" ? text("ranks.working") : "";
    return refill($(".ranks-found"));
  }
  const { own, now } = found;
  const milliseconds = (seconds) => fixed(1000 * seconds, 0);
  $(".ranks-time").textContent = text("ranks.time", {
    count: state.proposals.boxes.length, own: milliseconds(own.seconds), now: milliseconds(now.seconds), times: fixed(own.seconds / now.seconds, 2),
  });
  refill($(".ranks-found"), ...comparison(own, now));
}

// Each detection as it is beside the nearest one of its class with lower ranks, and those that are new.
function pairs(own, now) {
  const left = new Set(now.labels.keys());
  const matched = own.labels.map((label, i) => {
    const near = [...left].filter((j) => now.labels[j] === label && iou(own.boxes[i], now.boxes[j]) >= 0.5);
    const [best] = near.sort((a, b) => iou(own.boxes[i], now.boxes[b]) - iou(own.boxes[i], now.boxes[a]));
    left.delete(best);
    return [i, best];
  });
  return [...matched, ...[...left].map((j) => [undefined, j])];
}

function comparison(own, now) {
  const heads = [text("result.head.object"), text("ranks.own"), text("ranks.now"), text("ranks.iou")];
  const row = ([i, j]) => make(
    "tr", {},
    make("td", {}, className(i === undefined ? now.labels[j] : own.labels[i])),
    make("td", {}, i === undefined ? text("ranks.none") : fixed(own.scores[i], 3)),
    make("td", {}, j === undefined ? text("ranks.lost") : fixed(now.scores[j], 3)),
    make("td", {}, i === undefined || j === undefined ? "" : fixed(iou(own.boxes[i], now.boxes[j]), 2)),
  );
  return [
    make("caption", {}, counted("ranks.found", now.labels.length, { before: own.labels.length })),
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, ...pairs(own, now).map(row)),
  ];
}

function draw(context, pen) {
  const found = comparedNow();
  if (!found) return drawChosenApart(pen);
  const { own, now } = found;
  now.boxes.forEach((box, i) => pen.outlined(box, classColour(now.labels[i]), 2.5));
  for (const box of own.boxes) pen.box(box, { colour: "#ffffff", width: 1.5, dash: [5, 4] });
  now.boxes.forEach((box, i) => pen.label(`${className(now.labels[i])} ${fixed(now.scores[i], 2)}`, box[0], box[1], classColour(now.labels[i])));
}
