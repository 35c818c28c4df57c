// The photograph itself: its size, what the network gets of it, and what is truly on it.

import { GREEN } from "../shared/colours.js";
import { make, refill } from "../shared/dom.js";
import { fixed } from "../shared/numbers.js";
import { text } from "../shared/texts.js";
import { drawChosen } from "./chosen-box.js";
import { classText } from "../shared/class-names.js";
import { $, on, state } from "./page.js";
import { addStation } from "./stations.js";

addStation({ name: "photo", stage: "read", draw, hovers: false, shape });

export function drawTruth(pen) {
  for (const { box } of state.truth) {
    pen.box(box, { colour: "#ffffff", width: 4 });
    pen.box(box, { colour: GREEN, width: 2.5, dash: [7, 4] });
  }
}

// Drawn last: no line goes through a name.
export function nameTruth(pen) {
  for (const { box, label } of state.truth) {
    pen.label(label === null ? text("proposals.true-object") : classText(label), box[0], box[1], GREEN);
  }
}

function draw(context, pen) {
  drawTruth(pen);
  drawChosen(pen);
  nameTruth(pen);
}

function shape() {
  if (!state.picture) return null;
  const [width, height] = state.picture.input;
  return text("shape.photo", { width, height });
}

on(["picture", "name", "truth", "model"], () => {
  if (!state.picture) return refill($(".sizes tbody"));
  const { width, height, input } = state.picture;
  const row = (key, values) =>
    make("tr", {}, make("th", { scope: "row" }, text(`photo.row.${key}`)), make("td", {}, text(`photo.size.${key}`, values)));
  refill(
    $(".sizes tbody"),
    row("name", { name: state.name }), row("photo", { width, height }),
    row("input", { width: input[0], height: input[1] }),
    row("scale", { scale: fixed(input[0] / width, 2) }),
    state.truth.length ? row("truth", { count: state.truth.length }) : null,
  );
});
