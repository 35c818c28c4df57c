// The units of the two hidden layers, as the chosen box switches them on.

import { canvasContext, drawCells } from "../shared/canvas.js";
import { soon } from "../shared/dom.js";
import { fixed, percent } from "../shared/numbers.js";
import { pieces, term } from "../shared/terms.js";
import { text } from "../shared/texts.js";
import { drawChosen } from "./chosen-box.js";
import { $, $$, on, state } from "./page.js";
import { addStation } from "./stations.js";

const TALLEST = 300; // screen pixels

addStation({ name: "fc", draw: (context, pen) => drawChosen(pen), shape, thumbnail });

// The layer's units in rows, as nearly a square as they fill.
function rowsOf(units) {
  const across = Math.ceil(Math.sqrt(units.length));
  const rows = [];
  for (let at = 0; at < units.length; at += across) rows.push(units.slice(at, at + across));
  return rows;
}

function shape() {
  return text("shape.fc", state.model);
}

function thumbnail(context, width, height) {
  if (!state.box) return;
  const rows = rowsOf(state.box.fc7);
  const cell = height / rows.length;
  context.translate((width - rows[0].length * cell) / 2, 0);
  drawCells(context, rows, [cell, cell]);
}

const canvases = $$("canvas.units");

const show = soon(() => {
  if (!state.box || state.station !== "fc") return;
  for (const canvas of canvases) {
    const rows = rowsOf(state.box[canvas.dataset.layer]);
    const cell = Math.min(Math.max(canvas.parentElement.clientWidth, 80) / rows[0].length, TALLEST / rows.length);
    drawCells(canvasContext(canvas, rows[0].length * cell, rows.length * cell), rows, [cell, cell]);
  }
});
on(["box", "station", "view"], show);
new ResizeObserver(show).observe($("#explore-fc .maps"));

on(["box"], () => {
  $("#explore-fc").classList.toggle("empty", !state.box);
  $(".unit-text").textContent = text("fc.point");
  if (!state.box) return;
  for (const canvas of canvases) {
    const { layer } = canvas.dataset;
    const units = state.box[layer];
    const silent = units.filter((value) => value === 0).length;
    canvas.nextElementSibling.replaceChildren(
      ...pieces("fc.units", { layer: term("fc", layer), count: String(units.length), silent: percent(silent / units.length) }),
    );
  }
});

for (const canvas of canvases) {
  canvas.addEventListener("pointermove", (event) => {
    if (!state.box) return;
    const { layer } = canvas.dataset;
    const units = state.box[layer];
    const across = Math.ceil(Math.sqrt(units.length));
    const { left, top, width } = canvas.getBoundingClientRect();
    const [column, row] = [event.clientX - left, event.clientY - top].map((at) => Math.floor((at * across) / width));
    const unit = row * across + column;
    if (unit in units) $(".unit-text").textContent = text("fc.unit", { layer, unit, value: fixed(units[unit], 3) });
  });
}
