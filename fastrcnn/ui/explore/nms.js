// What is kept, what is dropped, and by which box: score threshold, NMS and box voting.

import { classColour } from "../shared/colours.js";
import { make, refill } from "../shared/dom.js";
import { cornersOf, fixed } from "../shared/numbers.js";
import { pieces } from "../shared/terms.js";
import { counted, text } from "../shared/texts.js";
import { drawChosenApart } from "./chosen-box.js";
import { candidatesOf, chooseCandidate, chosenDetection, detectedAt, detections, suppressedBy } from "./detections.js";
import { className } from "./names.js";
import { $, $$, change, on, state } from "./page.js";
import { addStation } from "./stations.js";

const MOST_LISTED = 50; // suppressed boxes

addStation({ name: "nms", draw, summary, boxesAt: detectedAt, shape });

// Controls

const sliders = { score_threshold: "score-threshold", nms_threshold: "nms-threshold" };
for (const [name, place] of Object.entries(sliders)) {
  $(`.${place}`).addEventListener("input", (event) => change({ [name]: Number(event.target.value), lowered: false }));
}
$(".vote").addEventListener("change", (event) => change({ vote: event.target.checked }));

function showSettings() {
  for (const [name, place] of Object.entries(sliders)) {
    $(`.${place}`).value = state[name];
    $(`.${place}-text`).textContent = fixed(state[name], 2);
  }
  $(".vote").checked = state.vote;
}
on(["score_threshold", "nms_threshold", "vote"], showSettings);
showSettings();

// How many boxes reached the score threshold.
function shape() {
  return state.decisions && text("shape.nms", { count: state.decisions.proposals.length });
}

// On the photograph

function draw(context, pen) {
  const { decisions } = state;
  if (!decisions) return;
  const chosen = chosenDetection();
  const dropped = chosen === undefined ? [] : suppressedBy(chosen);
  for (const i of dropped) pen.box(decisions.boxes[i], { colour: "#ffffff", width: 1, dash: [4, 4] });
  drawDetections(pen, chosen);
}

// The detections with their names; the chosen one has a thicker line.
export function drawDetections(pen, chosen) {
  const { decisions } = state;
  const found = detections().toReversed(); // the best on top
  for (const i of found) pen.outlined(decisions.voted[i], classColour(decisions.labels[i]), i === chosen ? 4 : 2);
  for (const i of found) {
    const [x, y] = decisions.voted[i];
    const label = decisions.labels[i];
    pen.label(`${className(label)} ${fixed(decisions.scores[i], 2)}`, x, y, classColour(label));
  }
  if (chosen === undefined) drawChosenApart(pen);
}

// In words

on(["decisions", "chosen"], () => {
  const { decisions } = state;
  for (const place of $$(".count")) place.textContent = decisions ? countText(decisions) : "";
  refill($(".suppressed-room"), decisions && suppressedList(chosenDetection()));
});

function countText(decisions) {
  const found = detections().length;
  if (!found) return text("result.none", { score: fixed(state.score_threshold, 2) });
  const dropped = decisions.suppressed_by.filter((by) => by >= 0).length;
  const lowered = state.lowered ? text("result.lowered", { score: fixed(state.score_threshold, 2) }) : "";
  return lowered + counted("result.count", found, { reached: decisions.proposals.length, dropped });
}

const rankText = (candidate) => text("result.rank", { rank: state.decisions.proposals[candidate] + 1 });

let listOpen = false;

// The boxes that a detection suppressed. The list stays when one of them is chosen.
function suppressedList(detection) {
  const { decisions } = state;
  const lost = candidatesOf(state.chosen?.index).find((i) => decisions.suppressed_by[i] >= 0);
  const winner = detection ?? decisions.suppressed_by[lost];
  if (winner === undefined) return null;
  const losers = suppressedBy(winner);
  if (!losers.length) return null;
  const item = (i) => make(
    "li", {},
    make("button", { class: "link", "data-key": `lost-${i}`, onclick: () => chooseCandidate(i) }, rankText(i)),
    text("result.lost", { score: fixed(decisions.scores[i], 3), iou: fixed(decisions.overlaps[i], 2) }),
  );
  const title = text("result.suppressed-by", {
    count: losers.length, label: className(decisions.labels[winner]), rank: decisions.proposals[winner] + 1,
  });
  return make(
    "details", { class: "suppressed", open: listOpen, ontoggle: (event) => (listOpen = event.target.open) },
    make("summary", { "data-key": "suppressed" }, title),
    make("ul", {}, ...losers.slice(0, MOST_LISTED).map(item)),
  );
}

// What became of the chosen box

function summary() {
  if (!state.box) return null;
  return { title: text("life.result"), content: [make("p", { class: "fate" }, ...fate())] };
}

// One sentence, in pieces.
function fate() {
  const { decisions, chosen } = state;
  if (!decisions) return [""];
  if (chosen.box) return [text("fate.own")];
  const candidates = candidatesOf(chosen.index);
  const kept = candidates.filter((i) => decisions.kept[i]);
  if (kept.length) {
    const list = kept.map((i) => `${className(decisions.labels[i])} ${fixed(decisions.scores[i], 3)}`);
    return [text("fate.kept", { kept: list.join(text("fate.and")) }), ...kept.map(votesText)];
  }
  const loser = candidates.find((i) => decisions.suppressed_by[i] >= 0);
  if (loser !== undefined) {
    const by = decisions.suppressed_by[loser];
    return pieces("fate.suppressed", {
      label: className(decisions.labels[loser]), score: fixed(decisions.scores[loser], 3),
      by: make("button", { class: "link", "data-key": "by", onclick: () => chooseCandidate(by) }, rankText(by)),
      by_score: fixed(decisions.scores[by], 3), iou: fixed(decisions.overlaps[loser], 3), threshold: fixed(state.nms_threshold, 2),
    });
  }
  if (candidates.length) return [text("fate.over-limit")];
  const score = decisions.best_scores[chosen.index];
  const best = `${className(decisions.best_labels[chosen.index])} ${fixed(score, 3)}`;
  const background = decisions.background[chosen.index];
  if (background > score) return [text("fate.background", { background: fixed(background, 3), best })];
  return [text("fate.below", { best, threshold: fixed(state.score_threshold, 2) })];
}

// How the boxes voted on a detection's edges.
function votesText(i) {
  const { boxes, votes, voted } = state.decisions;
  if (!votes[i]) return "";
  return counted("votes", votes[i], { moved: cornersOf(voted[i].map((value, side) => value - boxes[i][side])) });
}
