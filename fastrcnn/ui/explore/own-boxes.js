// Boxes that the visitor drags or types.

import { text } from "../shared/texts.js";
import { change, choose, showStatus, state } from "./page.js";

const MOST_TRUE_OBJECTS = 100;

// The part of a box that lies on the photograph, or null where there is less than a pixel of it.
export function insidePhoto([x1, y1, x2, y2]) {
  const { width, height } = state.picture;
  const box = [Math.max(x1, 0), Math.max(y1, 0), Math.min(x2, width), Math.min(y2, height)];
  return box[2] - box[0] >= 1 && box[3] - box[1] >= 1 ? box : null;
}

// Chooses a box, or marks a true object with it, as `tool` says.
export function useBox(corners) {
  if (!state.picture) return;
  const box = insidePhoto(corners);
  if (!box) return showStatus(text("photo.outside"));
  if (state.tool === "own") return choose({ box });
  if (state.truth.length === MOST_TRUE_OBJECTS) return showStatus(text("photo.hundred"));
  change({ truth: [...state.truth, { box, label: null, difficult: false }] });
}
