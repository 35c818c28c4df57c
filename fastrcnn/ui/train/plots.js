// The curves, on canvases: this run's and those of earlier runs, on the same axes.

import { canvasContext } from "../shared/canvas.js";
import { ORANGE } from "../shared/colours.js";
import { soon } from "../shared/dom.js";
import { fixed } from "../shared/numbers.js";
import { text } from "../shared/texts.js";
import { shownRuns } from "./compared.js";
import { plannedIterations } from "./form.js";
import { $, $$, change, on, root, state } from "./page.js";

const PLOTS = { loss: 1, cls: 2, loc: 3 }; // the place of each in a step and in a validation
const HEIGHT = 112;
const MARGIN = { left: 40, right: 26, top: 6, bottom: 18 };
const BAND = 30; // pixels below the box loss, for the foreground
const FOREGROUND = 6; // its place in a step

// The scale of one plot. Its ends only move outwards while a run goes on, so that nothing jumps.
function scaleOf(plot, runs, width) {
  // Before the first run, as long as it is going to be.
  const longest = Math.max(...runs.map((run) => run.iterations)) || plannedIterations();
  const x = (iteration) => MARGIN.left + ((width - MARGIN.left - MARGIN.right) * iteration) / longest;
  let [low, high] = [0, 1];
  let log = false;
  if (plot !== "map") {
    const at = PLOTS[plot];
    const values = runs.flatMap(({ curves }) => [
      ...curves.smooth.map((means) => means[at - 1]), ...curves.validations.map((losses) => losses[at]),
      ...(showsSteps(curves) ? curves.steps.map((step) => step[at]) : []),
    ]).filter((value) => value > 0);
    const largest = values.length ? Math.max(...sample(values, Math.max)) : 1;
    log = state.log;
    high = niceAbove(largest);
    if (log) {
      const least = Math.min(...sample(values, Math.min), largest);
      [low, high] = [10 ** Math.floor(Math.log10(least)), 10 ** Math.ceil(Math.log10(largest) + 1e-9)];
    }
  }
  const room = HEIGHT - MARGIN.top - MARGIN.bottom - (plot === "loc" ? BAND : 0);
  const share = log
    ? (value) => (Math.log10(Math.max(value, low)) - Math.log10(low)) / Math.log10(high / low)
    : (value) => (value - low) / (high - low);
  const y = (value) => MARGIN.top + room * (1 - Math.min(Math.max(share(value), 0), 1));
  const ticks = log
    ? Array.from({ length: Math.round(Math.log10(high / low)) + 1 }, (_, i) => low * 10 ** i)
    : [0, 0.5, 1].map((part) => part * high);
  return { x, y, ticks, longest };
}

// Every step is drawn of the present run alone.
const showsSteps = (curves) => state.raw && curves === state.curves;

// Arrays too long for a function's arguments are reduced first.
function sample(values, best) {
  const reduced = [];
  for (let i = 0; i < values.length; i += 1000) reduced.push(best(...values.slice(i, i + 1000)));
  return reduced;
}

function niceAbove(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 1.0001) ?? 15 * power;
}

function line(context, points) {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.stroke();
}

function drawPlot(canvas) {
  const { plot } = canvas.dataset;
  const width = canvas.parentElement.clientWidth;
  if (!width) return;
  const context = canvasContext(canvas, width, HEIGHT);
  const runs = shownRuns();
  const scale = scaleOf(plot, runs, width);
  drawAxes(context, scale, width);
  if (plot === "loc") drawForeground(context, scale, width);
  for (const run of runs) {
    context.strokeStyle = context.fillStyle = run.colour;
    if (plot === "map") drawMaps(context, scale, run.curves);
    else drawLosses(context, scale, run.curves, PLOTS[plot]);
  }
  if (state.hovered !== null) {
    const x = scale.x(state.hovered);
    context.strokeStyle = getComputedStyle(root).color;
    context.lineWidth = 1;
    line(context, [[x, MARGIN.top], [x, HEIGHT - MARGIN.bottom]]);
  }
}

function drawAxes(context, { x, y, ticks, longest }, width) {
  const style = getComputedStyle(root);
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = style.color;
  context.strokeStyle = style.getPropertyValue("--line");
  context.lineWidth = 1;
  context.textAlign = "right";
  for (const tick of ticks) {
    line(context, [[MARGIN.left, y(tick)], [width - MARGIN.right, y(tick)]]);
    context.fillText(String(Number(tick.toPrecision(3))), MARGIN.left - 5, y(tick) + 4);
  }
  context.textAlign = "center";
  for (const part of [0, 0.5, 1]) {
    const label = String(Math.round(part * longest));
    const half = context.measureText(label).width / 2;
    context.fillText(label, Math.min(x(part * longest), width - half - 1), HEIGHT - 5);
  }
}

// How many RoIs the box loss was learned from, in a band of its own below it.
function drawForeground(context, { x }, width) {
  const { steps } = state.curves;
  if (!steps.length) return;
  const counts = steps.map((step) => step[FOREGROUND]);
  const high = niceAbove(Math.max(...sample(counts, Math.max), 1));
  const y = (count) => HEIGHT - MARGIN.bottom - (0.8 * BAND * count) / high;
  context.strokeStyle = context.fillStyle = ORANGE;
  context.lineWidth = 1;
  line(context, steps.map((step, i) => [x(step[0]), y(counts[i])]));
  context.fillStyle = getComputedStyle(root).color;
  context.textAlign = "left";
  for (const count of [0, high]) context.fillText(String(count), width - MARGIN.right + 3, y(count) + (count ? 8 : 0));
}

function drawMaps(context, { x, y }, { evaluations }) {
  const points = evaluations.filter((e) => e.map !== null).map((e) => [x(e.iteration), y(e.map)]);
  context.lineWidth = 2;
  line(context, points);
  for (const point of points) dot(context, point);
}

function drawLosses(context, { x, y }, runCurves, at) {
  const { steps, smooth, validations } = runCurves;
  if (showsSteps(runCurves)) {
    context.globalAlpha = 0.3;
    context.lineWidth = 1;
    line(context, steps.map((step) => [x(step[0]), y(step[at])]));
    context.globalAlpha = 1;
  }
  context.lineWidth = 2;
  line(context, smooth.map((means, i) => [x(steps[i][0]), y(means[at - 1])]));
  for (const losses of validations) dot(context, [x(losses[0]), y(losses[at])]);
}

function dot(context, [x, y]) {
  context.beginPath();
  context.arc(x, y, 4, 0, 2 * Math.PI);
  context.fill();
  context.save();
  context.strokeStyle = getComputedStyle(root).getPropertyValue("--background-fill-primary");
  context.lineWidth = 1;
  context.stroke();
  context.restore();
}

const canvases = $$("[data-plot]");
const draw = soon(() => canvases.forEach(drawPlot));
on(["length", "measured", "log", "raw", "hovered", "earlier", "iterations", "phase"], draw);
new ResizeObserver(draw).observe($(".plots"));
// The theme may change while the page is open.
new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["class"] });

// Pointing

for (const canvas of canvases) {
  canvas.addEventListener("pointermove", (event) => {
    const { width } = canvas.getBoundingClientRect();
    const { longest } = scaleOf("map", shownRuns(), width);
    const share = (event.offsetX - MARGIN.left) / (width - MARGIN.left - MARGIN.right);
    hover(Math.round(Math.min(Math.max(share, 0), 1) * longest));
  });
  canvas.addEventListener("pointerleave", () => change({ hovered: null }));
  canvas.addEventListener("blur", () => change({ hovered: null }));
  canvas.addEventListener("keydown", (event) => {
    const last = state.length;
    if (!last) return;
    const now = state.hovered ?? last;
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, PageUp: now - 50, PageDown: now + 50, Home: 1, End: last }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    hover(next);
  });
}

function hover(iteration) {
  change({ hovered: Math.min(Math.max(iteration, 1), Math.max(state.length, 1)) });
}

const latest = (records, iteration, at) => records.filter((record) => at(record) <= iteration).at(-1);

on(["hovered", "length", "measured"], () => {
  const readout = $(".readout");
  const { curves } = state;
  const iteration = state.hovered ?? curves.steps.length;
  const step = curves.steps[iteration - 1];
  if (!step) {
    readout.textContent = text("plot.point");
    return;
  }
  const losses = (record) => ({ total: fixed(record[1], 4), cls: fixed(record[2], 4), loc: fixed(record[3], 4) });
  const smooth = curves.smooth[iteration - 1].map((value) => fixed(value, 4)).join(", ");
  const parts = [text("readout.step", { iteration: step[0], ...losses(step), smooth, lr: step[4].toPrecision(3), foreground: step[FOREGROUND] })];
  const validation = latest(curves.validations, step[0], (record) => record[0]);
  if (validation) parts.push(text("readout.validation", { iteration: validation[0], ...losses(validation) }));
  const evaluation = latest(curves.evaluations, step[0], (record) => record.iteration);
  if (evaluation) {
    const map = evaluation.map === null ? text("readout.map.none") : fixed(evaluation.map, 3);
    parts.push(text("readout.map", { iteration: evaluation.iteration, map }));
  }
  readout.textContent = parts.join("");
});

$(".log").addEventListener("change", (event) => change({ log: event.target.checked }));
$(".raw").addEventListener("change", (event) => change({ raw: event.target.checked }));

draw();
