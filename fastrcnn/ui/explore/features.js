// The feature map of the whole photograph, one channel at a time.

import { Pen, canvasContext, drawCells } from "../shared/canvas.js";
import { ORANGE } from "../shared/colours.js";
import { soon } from "../shared/dom.js";
import { pieces } from "../shared/terms.js";
import { text } from "../shared/texts.js";
import "./channels.js";
import { drawChosen } from "./chosen-box.js";
import { $, on, state } from "./page.js";
import { addStation } from "./stations.js";

const TALLEST = 250; // screen pixels

addStation({ name: "features", stage: "features", draw, shape, thumbnail });

// The map that is shown: one channel, or, before boxes are scored, the mean of all.
const shownMap = () => state.box?.map ?? state.activity?.map ?? null;

function draw(context, pen) {
  const shown = state.box ?? state.activity;
  if (shown) {
    context.globalAlpha = 0.6;
    drawCells(context, shown.map, shown.cell);
    context.globalAlpha = 1;
  }
  drawChosen(pen);
}

// A map as large as there is room for, and the chosen box on it.
function drawMap(context, map, scale) {
  const [columns, rows] = [map[0].length, map.length];
  context.scale(scale, scale); // from here on in cells
  drawCells(context, map, [1, 1]);
  if (!state.box) return;
  const pen = new Pen(context, scale, { width: columns, height: rows });
  pen.box(state.box.exact, { colour: "#000000", width: 3.5 });
  pen.box(state.box.exact, { colour: ORANGE, width: 2 });
}

function shape() {
  const map = shownMap();
  return map && text("shape.features", { columns: map[0].length, rows: map.length });
}

function thumbnail(context, width, height) {
  const map = shownMap();
  if (!map) return;
  const [columns, rows] = [map[0].length, map.length];
  const scale = Math.min(width / columns, height / rows);
  context.translate((width - columns * scale) / 2, (height - rows * scale) / 2);
  drawMap(context, map, scale);
}

const canvas = $(".whole-map");

const show = soon(() => {
  const map = shownMap();
  if (!map || state.station !== "features") return;
  const [columns, rows] = [map[0].length, map.length];
  const scale = Math.min(Math.max(canvas.parentElement.clientWidth, 120) / columns, TALLEST / rows);
  drawMap(canvasContext(canvas, columns * scale, rows * scale), map, scale);
});
on(["box", "activity", "station", "view"], show);
new ResizeObserver(show).observe(canvas.parentElement);

on(["box"], () => {
  if (!state.box) return $(".whole-map-text").replaceChildren();
  const [columns, rows] = state.box.map_size.map(String);
  $(".whole-map-text").replaceChildren(...pieces("features.map-text", { channel: String(state.box.channel), columns, rows }));
  canvas.setAttribute("aria-label", text("pooling.map-label", { channel: state.box.channel, columns, rows }));
});
