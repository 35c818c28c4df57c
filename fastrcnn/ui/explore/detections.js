// What became of the boxes that reached the score threshold, and the detections among them.

import { area, contains, iou } from "../shared/numbers.js";
import { change, choose, on, props, requester, state } from "./page.js";

const LOWEST = 0.01; // score threshold that the slider offers
const USUAL = props.usual.score_threshold;

const requestDecisions = requester("decisions", (reply) => {
  const first = state.decisions === null;
  const best = Math.max(...reply.best_scores);
  // Where nothing reaches the usual threshold, the picture opens at the best score that there is.
  if (first && !reply.proposals.length && state.score_threshold === USUAL && best >= LOWEST) {
    return change({ score_threshold: Math.floor(100 * best) / 100, lowered: true });
  }
  change({ decisions: reply });
  if (first && state.chosen === null) choose({ index: mostToShow() ?? 0 });
});

// The proposal of the largest detection, a true one where that is known; undefined without any.
function mostToShow() {
  const { voted, proposals } = state.decisions;
  const isTrue = (i) => state.truth.some(({ box }) => iou(voted[i], box) >= 0.5);
  const found = detections().sort((a, b) => isTrue(b) - isTrue(a) || area(voted[b]) - area(voted[a]));
  return proposals[found[0]];
}

on(["token"], () => {
  if (state.lowered) change({ score_threshold: USUAL, lowered: false });
});

export const selection = () => ({
  score_threshold: state.score_threshold, nms_threshold: state.nms_threshold, vote: state.vote,
});

on(["stage", "score_threshold", "nms_threshold", "vote"], () => {
  if (state.stage === "detections") requestDecisions(selection());
});

// The candidates (by their place in `decisions`) that are detections, best first.
export function detections() {
  const { decisions } = state;
  if (!decisions) return [];
  const kept = decisions.kept.map((is, i) => (is ? i : -1)).filter((i) => i >= 0);
  return kept.sort((a, b) => decisions.scores[b] - decisions.scores[a] || a - b);
}

// The candidates that a proposal gave, one for each class that it scored high enough.
export const candidatesOf = (proposal) =>
  state.decisions.proposals.map((p, i) => (p === proposal ? i : -1)).filter((i) => i >= 0);

// The candidates that a detection suppressed.
export const suppressedBy = (detection) =>
  state.decisions.suppressed_by.map((by, i) => (by === detection ? i : -1)).filter((i) => i >= 0);

export const chooseCandidate = (candidate) => choose({ index: state.decisions.proposals[candidate] });

// The detection that the chosen proposal became, if any.
export function chosenDetection() {
  if (!state.decisions || state.chosen?.index == null) return undefined;
  return candidatesOf(state.chosen.index).find((i) => state.decisions.kept[i]);
}

// The proposals of the detections around a point, the smallest box first.
export function detectedAt(point) {
  const { decisions } = state;
  return detections()
    .filter((i) => contains(decisions.voted[i], point))
    .sort((i, j) => area(decisions.voted[i]) - area(decisions.voted[j]))
    .map((i) => decisions.proposals[i]);
}
