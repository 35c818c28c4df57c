// The proposals that are drawn and can be pointed at: so many of the ranking, from some groupings.

import { area, contains } from "../shared/numbers.js";
import { state } from "./page.js";

// Whether the grouping of this number is among the chosen ones.
function isSource(run) {
  const { source, proposals } = state;
  return source === "all" || source === String(run) || source === proposals.runs[run].space;
}

// Their indices, best first.
export function shownProposals() {
  if (!state.proposals) return [];
  const { boxes, sources } = state.proposals;
  const count = Math.min(state.shown, boxes.length);
  return Array.from({ length: count }, (_, i) => i).filter((i) => isSource(sources[i][0]));
}

// Those around a point, the smallest first.
export function proposalsAt(point) {
  const { boxes } = state.proposals;
  return shownProposals()
    .filter((i) => contains(boxes[i], point))
    .sort((i, j) => area(boxes[i]) - area(boxes[j]));
}
