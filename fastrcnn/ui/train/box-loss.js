// The box loss of the last mini-batch: its points on smooth L1, and its targets before and after
// they were normalised.

import { canvasContext } from "../shared/canvas.js";
import { BLUE, ORANGE, SKY } from "../shared/colours.js";
import { soon } from "../shared/dom.js";
import { fixed } from "../shared/numbers.js";
import { text } from "../shared/texts.js";
import { $, $$, on, root, state } from "./page.js";

const HEIGHT = 150;
const MARGIN = { left: 26, right: 8, top: 6, bottom: 18 };
const FARTHEST = 6; // errors beyond are drawn at the edge
const ROWS = ["tx", "ty", "tw", "th"];

// Equation 3.
const smoothL1 = (x, beta) => (Math.abs(x) < beta ? (0.5 * x * x) / beta : Math.abs(x) - 0.5 * beta);

// The foreground RoIs of the mini-batch: {picture, index, deltas, targets, predicted}.
function foreground() {
  return state.batch.pictures.flatMap(({ deltas, targets, predicted }, picture) =>
    deltas.flatMap((own, index) => (own ? [{ picture, index, deltas: own, targets: targets[index], predicted: predicted[index] }] : [])),
  );
}

const isPointedAt = ({ picture, index }) => state.roi?.picture === picture && state.roi.index === index;

// A canvas with a horizontal axis; x: a function from a value to pixels.
function axes(canvas, low, high) {
  const width = canvas.parentElement.clientWidth;
  if (!width) return null;
  const context = canvasContext(canvas, width, HEIGHT);
  const style = getComputedStyle(root);
  const x = (value) => MARGIN.left + ((width - MARGIN.left - MARGIN.right) * (Math.min(Math.max(value, low), high) - low)) / (high - low);
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = style.color;
  context.strokeStyle = style.getPropertyValue("--line");
  context.lineWidth = 1;
  context.textAlign = "center";
  for (const tick of [low, 0, high]) {
    context.beginPath();
    context.moveTo(x(tick), MARGIN.top);
    context.lineTo(x(tick), HEIGHT - MARGIN.bottom);
    context.stroke();
    context.fillText(String(Number(tick.toPrecision(2))), x(tick), HEIGHT - 4);
  }
  return { context, x, style, width };
}

function dot(context, x, y, lit) {
  context.globalAlpha = lit ? 1 : 0.45;
  context.fillStyle = lit ? SKY : ORANGE;
  context.beginPath();
  context.arc(x, y, lit ? 4.5 : 2.5, 0, 2 * Math.PI);
  context.fill();
  context.globalAlpha = 1;
}

// Those that are pointed at come last, on top.
const inOrder = (rois) => rois.toSorted((a, b) => isPointedAt(a) - isPointedAt(b));

function drawCurve(rois) {
  const { beta } = state.batch;
  const errors = rois.flatMap((roi) => roi.predicted.map((value, k) => value - roi.targets[k]));
  const reach = Math.min(Math.max(1.5, ...errors.map(Math.abs)), FARTHEST);
  const drawn = axes($(".smooth-l1"), -reach, reach);
  if (!drawn) return;
  const { context, x, style } = drawn;
  const highest = smoothL1(reach, beta);
  const y = (error) => {
    const share = smoothL1(Math.min(Math.abs(error), reach), beta) / highest;
    return HEIGHT - MARGIN.bottom - share * (HEIGHT - MARGIN.bottom - MARGIN.top);
  };
  context.textAlign = "right";
  context.fillStyle = style.color;
  context.fillText(fixed(highest, 1), MARGIN.left - 3, MARGIN.top + 8);
  context.fillText("0", MARGIN.left - 3, HEIGHT - MARGIN.bottom);
  context.strokeStyle = document.querySelector(".dark") ? SKY : BLUE;
  context.lineWidth = 2;
  context.beginPath();
  for (let i = 0; i <= 100; i++) context.lineTo(x(-reach + (2 * reach * i) / 100), y(-reach + (2 * reach * i) / 100));
  context.stroke();
  for (const roi of inOrder(rois)) {
    roi.predicted.forEach((value, k) => dot(context, x(value - roi.targets[k]), y(value - roi.targets[k]), isPointedAt(roi)));
  }
}

function drawTargets(canvas, rois) {
  const { kind } = canvas.dataset;
  // One scale for both, so that they can be compared.
  const reach = Math.max(0.5, ...rois.flatMap((roi) => [...roi.deltas, ...roi.targets].map(Math.abs)));
  const drawn = axes(canvas, -reach, reach);
  if (!drawn) return;
  const { context, x, style } = drawn;
  const row = (HEIGHT - MARGIN.top - MARGIN.bottom) / ROWS.length;
  ROWS.forEach((name, k) => {
    const y = MARGIN.top + row * (k + 0.5);
    context.fillStyle = style.color;
    context.textAlign = "right";
    context.fillText(name, MARGIN.left - 8, y + 4);
    for (const roi of inOrder(rois)) dot(context, x(roi[kind][k]), y, isPointedAt(roi));
  });
}

const draw = soon(() => {
  if (!state.batch || state.panel !== "loss") return;
  const rois = foreground();
  drawCurve(rois);
  for (const canvas of $$("canvas.targets")) drawTargets(canvas, rois);
});
on(["batch", "roi", "panel"], draw);
new ResizeObserver(draw).observe($("#train-loss"));
new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["class"] });

on(["batch"], () => {
  if (!state.batch) return ($(".box-loss-text").textContent = "");
  const { iteration, mean, std, foreground: count } = state.batch;
  const listed = (values) => values.map((value) => fixed(value, 2)).join(", ");
  $(".box-loss-text").textContent = text("box-loss.text", { iteration, count, mean: listed(mean), std: listed(std) });
});
