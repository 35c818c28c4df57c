// What is kept, what is dropped, and by which box: score threshold, NMS and box voting.

import { classColour } from "../shared/colours.js";
import { make, refill, saveFile } from "../shared/dom.js";
import { cornersOf, fixed } from "../shared/numbers.js";
import { pieces } from "../shared/terms.js";
import { counted, text } from "../shared/texts.js";
import { drawChosenApart } from "./chosen-box.js";
import { candidatesOf, chosenDetection, detectedAt, detections, selection, suppressedBy } from "./detections.js";
import { className } from "./names.js";
import { $, change, choose, on, requester, state } from "./page.js";
import { addStation } from "./stations.js";

const MOST_LISTED = 50; // suppressed boxes

addStation({ name: "result", stage: "detections", draw, summary, boxesAt: detectedAt });

// Controls

const sliders = { score_threshold: "score-threshold", nms_threshold: "nms-threshold" };
for (const [name, place] of Object.entries(sliders)) {
  $(`.${place}`).addEventListener("input", (event) => change({ [name]: Number(event.target.value) }));
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

const requestFile = requester("takeaway", (reply) => saveFile(reply, "application/json"));
for (const kind of ["png", "json"]) {
  $(`.save-${kind}`).addEventListener("click", () => {
    if (state.stage === "detections") requestFile({ kind, ...selection() });
  });
}

// On the photograph

function draw(context, pen) {
  const { decisions } = state;
  if (!decisions) return;
  const chosen = chosenDetection();
  if (chosen !== undefined) {
    for (const i of suppressedBy(chosen)) pen.box(decisions.boxes[i], { colour: "#ffffff", width: 1, dash: [4, 4] });
  }
  const found = detections().toReversed(); // the best on top
  for (const i of found) pen.outlined(decisions.voted[i], classColour(decisions.labels[i]), i === chosen ? 4 : 2);
  for (const i of found) {
    const [x, y] = decisions.voted[i];
    const label = decisions.labels[i];
    pen.label(`${className(label)} ${fixed(decisions.scores[i], 2)}`, x, y, classColour(label));
  }
  if (chosen === undefined) drawChosenApart(pen);
}

// The table

const rankText = (candidate) => text("result.rank", { rank: state.decisions.proposals[candidate] + 1 });
const chooseCandidate = (candidate) => choose({ index: state.decisions.proposals[candidate] });

on(["decisions", "chosen"], () => {
  const { decisions } = state;
  if (!decisions) {
    $(".count").textContent = "";
    $(".found").replaceChildren();
    return;
  }
  const found = detections();
  const dropped = decisions.suppressed_by.filter((by) => by >= 0).length;
  $(".count").textContent = found.length
    ? counted("result.count", found.length, { reached: decisions.proposals.length, dropped })
    : text("result.none", { score: fixed(state.score_threshold, 2) });
  const chosen = chosenDetection();
  refill($(".found"), found.length ? table(found, chosen) : null, suppressedList(chosen));
});

function table(found, chosen) {
  const columns = ["object", "score", "corners", "rank", "suppressed"];
  return make(
    "table", {},
    make("thead", {}, make("tr", {}, ...columns.map((name) => make("th", { scope: "col" }, text(`result.head.${name}`))))),
    make("tbody", {}, ...found.map((i) => row(i, i === chosen))),
  );
}

function row(i, isChosen) {
  const { labels, scores, voted, proposals } = state.decisions;
  const name = { class: "link", "data-proposal": proposals[i], "data-key": `found-${i}`, onclick: () => chooseCandidate(i) };
  return make(
    "tr", { class: isChosen ? "chosen" : "", "aria-current": isChosen ? "true" : null },
    make("td", {}, make("button", name, className(labels[i]))),
    make("td", {}, fixed(scores[i], 3)),
    make("td", {}, cornersOf(voted[i])),
    make("td", {}, String(proposals[i] + 1)),
    make("td", {}, String(suppressedBy(i).length)),
  );
}

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
