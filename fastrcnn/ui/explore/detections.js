// What became of the boxes that reached the score threshold, and the detections among them.

import { area, contains } from "../shared/numbers.js";
import { change, choose, on, requester, state } from "./page.js";

const requestDecisions = requester("decisions", (reply) => {
  const first = state.decisions === null;
  change({ decisions: reply });
  // A box that became a detection has the most to show. Without one, the best ranked.
  if (first && state.chosen === null) {
    const [best] = detections();
    choose({ index: best === undefined ? 0 : reply.proposals[best] });
  }
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
