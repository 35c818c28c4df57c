// The feature map of one channel with the box, its bins and their winning cells on it.

import { Pen, canvasContext, drawCells } from "../shared/canvas.js";
import { ORANGE, SKY, VERMILION } from "../shared/colours.js";
import { soon } from "../shared/dom.js";
import { contains } from "../shared/numbers.js";
import { pieces } from "../shared/terms.js";
import { text } from "../shared/texts.js";
import { $, on, state } from "./page.js";
import { pointAtBin } from "./pooled-grid.js";

const TALLEST = 155; // screen pixels: an upright map leaves room for the words below it

// Cells of the map as a rectangle of the photograph.
export const rectangleOf = (box, [x1, y1, x2, y2]) => [
  x1 * box.cell[0], y1 * box.cell[1], x2 * box.cell[0], y2 * box.cell[1],
];

// The cell that a bin's value comes from, as a box on the map; null for RoIAlign and empty bins.
export function winnerOf(box, { row, column }) {
  const winner = box.winners?.[row][column] ?? -1;
  if (winner < 0) return null;
  const [x, y] = [winner % box.map_size[0], Math.floor(winner / box.map_size[0])];
  return [x, y, x + 1, y + 1];
}

// RoIAlign's 2 x 2 samples of a bin, on the map.
function samplesOf(box, { row, column }) {
  if (box.cells) return [];
  const [x1, y1, x2, y2] = box.bins[row][column];
  return [0.25, 0.75].flatMap((v) => [0.25, 0.75].map((u) => [x1 + u * (x2 - x1), y1 + v * (y2 - y1)]));
}

const isEmpty = ([x1, y1, x2, y2]) => x2 <= x1 || y2 <= y1;

const canvas = $(".map");
let cell = 12; // screen pixels of a cell

const draw = soon(() => {
  const { box, bin } = state;
  if (!box || state.station !== "pooling") return;
  const [columns, rows] = box.map_size;
  const room = Math.max(canvas.parentElement.clientWidth, 120);
  cell = Math.min(room / columns, TALLEST / rows);
  const context = canvasContext(canvas, columns * cell, rows * cell);
  context.scale(cell, cell); // from here on in cells
  drawCells(context, box.map, [1, 1]);
  const pen = new Pen(context, cell, { width: columns, height: rows });
  // Each bin's outline; bins that share cells overlap.
  for (const outline of box.bins.flat()) {
    if (!isEmpty(outline)) pen.box(outline, { colour: "rgba(255, 255, 255, 0.55)", width: 1 });
  }
  const dot = (x, y, radius, colour) => {
    context.fillStyle = colour;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
  };
  box.bins.forEach((line, row) =>
    line.forEach((_, column) => {
      const winner = state.question ? null : winnerOf(box, { row, column }); // it is asked for
      if (winner) dot(winner[0] + 0.5, winner[1] + 0.5, 0.22, VERMILION);
    }),
  );
  pen.box(box.exact, { colour: "#000000", width: 4.5 });
  pen.box(box.exact, { colour: ORANGE, width: 3 });
  if (box.cells) pen.box(box.cells, { colour: "#ffffff", width: 2, dash: [5, 4] });
  if (!bin) return;
  const source = box.bins[bin.row][bin.column];
  if (!isEmpty(source)) {
    pen.box(source, { colour: "#000000", width: 5 });
    pen.box(source, { colour: SKY, width: 3 });
  }
  for (const [x, y] of samplesOf(box, bin)) dot(x, y, 2.5 / cell, SKY);
});
on(["box", "bin", "station", "view", "question"], draw);
new ResizeObserver(draw).observe($(".maps"));

canvas.addEventListener("pointermove", (event) => {
  const { box } = state;
  if (!box) return;
  const { left, top } = canvas.getBoundingClientRect();
  const point = [(event.clientX - left) / cell, (event.clientY - top) / cell];
  for (const [row, line] of box.bins.entries()) {
    const column = line.findIndex((bin) => contains(bin, point));
    if (column >= 0 && !state.question) return pointAtBin({ row, column });
  }
});

on(["box"], () => {
  const { box } = state;
  if (!box) return;
  const [columns, rows] = box.map_size.map(String);
  $(".map-text").replaceChildren(
    ...pieces("pooling.map-text", { channel: String(box.channel), columns, rows }),
    box.cells ? text("pooling.map-text.cells") : ".",
  );
  canvas.setAttribute("aria-label", text("pooling.map-label", { channel: box.channel, columns, rows }));
});
