// How stations draw the chosen box.

import { ORANGE } from "../shared/colours.js";
import { text } from "../shared/texts.js";
import { chosenBox, state } from "./page.js";

export function drawChosen(pen) {
  const box = chosenBox();
  if (box) pen.outlined(box, ORANGE);
}

// Where boxes of other colours are the subject.
export function drawChosenApart(pen) {
  const box = chosenBox();
  if (!box) return;
  pen.box(box, { colour: "#000000", width: 4 });
  pen.box(box, { colour: "#ffffff", width: 2.5, dash: [9, 5] });
  const name = state.chosen.box ? text("photo.label.own") : text("photo.label.rank", { rank: state.chosen.index + 1 });
  pen.label(name, box[0], box[3] + 18 * pen.pixel, "#ffffff");
}
