// RoI pooling of the chosen box, and in words what rounding does to the box.

import { drawCells } from "../shared/canvas.js";
import { SKY, VERMILION } from "../shared/colours.js";
import { fixed } from "../shared/numbers.js";
import { text } from "../shared/texts.js";
import { binText } from "./bin-text.js";
import "./channels.js";
import { drawChosen } from "./chosen-box.js";
import { rectangleOf, winnerOf } from "./feature-map.js";
import "./mosaic.js";
import { $, $$, change, on, state } from "./page.js";
import "./pooled-grid.js";
import { addStation } from "./stations.js";

addStation({ name: "pooling", draw, shape, thumbnail });

// Controls

const radios = $$('input[name="explore-pooling"]');
const showPooling = () => radios.forEach((radio) => (radio.checked = radio.value === state.pooling));
for (const radio of radios) radio.addEventListener("change", () => change({ pooling: radio.value, bin: null }));
on(["pooling"], showPooling);
showPooling();

on(["box"], () => {
  const { box } = state;
  $("#explore-pooling").classList.toggle("empty", !box);
  $(".rounding-text").textContent = box ? roundingText(box) : "";
});

on(["box", "bin"], () => {
  if (state.box) $(".bin-text").textContent = binText(state.box, state.bin);
});

// What rounding to whole cells does to the box

// "2" or "2 to 3", of the sizes that there are.
function range(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return low === high ? String(low) : text("pooling.range", { low, high });
}

function roundingText(box) {
  if (!box.cells) return text("pooling.align-text");
  const [left, top, right, bottom] = box.moved.map((value) => `${value > 0 ? "+" : ""}${fixed(value, 1)}`);
  const [x1, y1, x2, y2] = box.cells;
  const bins = box.bins.flat().filter(([a, b, c, d]) => c > a && d > b);
  const widths = range(bins.map(([a, , c]) => c - a));
  const heights = range(bins.map(([, b, , d]) => d - b));
  const even = (x2 - x1) % box.bins.length === 0 && (y2 - y1) % box.bins.length === 0;
  const [columns, rows] = box.map_size;
  const off = x1 < 0 || y1 < 0 || x2 > columns || y2 > rows;
  return [
    text("pooling.moved", { left, top, right, bottom }), text(`pooling.how.${box.pooling}`),
    text(even ? "pooling.cells" : "pooling.cells.uneven", { columns: x2 - x1, rows: y2 - y1, widths, heights }),
    off ? text("pooling.off") : "",
  ].join("");
}

// On the photograph

function draw(context, pen) {
  const { box, bin } = state;
  drawChosen(pen);
  if (!box) return;
  if (box.cells) pen.box(rectangleOf(box, box.cells), { colour: "#ffffff", width: 2, dash: [5, 4] });
  if (!bin) return;
  const [x1, y1, x2, y2] = box.bins[bin.row][bin.column];
  if (x2 <= x1 || y2 <= y1) return;
  pen.outlined(rectangleOf(box, [x1, y1, x2, y2]), SKY, 2);
  const winner = winnerOf(box, bin);
  if (winner) pen.box(rectangleOf(box, winner), { colour: VERMILION, width: 2, fill: "rgba(213, 94, 0, 0.45)" });
}

function shape() {
  return text("shape.pooling", state.model);
}

function thumbnail(context, width, height) {
  if (!state.box) return;
  const { pooled, map } = state.box;
  const cell = height / pooled.length;
  context.translate((width - height) / 2, 0);
  drawCells(context, pooled, [cell, cell], Math.max(...map.flat(), 1e-9));
}
