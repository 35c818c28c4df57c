// Rounding, felt: the chosen box moves by single pixels. The three kinds of RoI pooling side by side,
// and the score as a curve over the shift.

import { canvasContext, drawCells } from "../shared/canvas.js";
import { BLUE, GREEN, PURPLE, rgb, signed } from "../shared/colours.js";
import { make, refill, soon } from "../shared/dom.js";
import { fixed, percent } from "../shared/numbers.js";
import { same } from "../shared/requests.js";
import { text } from "../shared/texts.js";
import { drawChosen } from "./chosen-box.js";
import { rectangleOf } from "./feature-map.js";
import { shownLabel } from "./head.js";
import { boxInputs } from "./inspection.js";
import { className } from "./names.js";
import { $, $$, change, chosenBox, on, requester, state } from "./page.js";
import { experiment, experimentOf } from "./experiment.js";
import { addView } from "./stations.js";

addView({ station: "pooling", name: "rounding", draw, mover });

const KINDS = ["paper", "walkthrough", "align"];
const COLOURS = { paper: PURPLE, walkthrough: GREEN, align: BLUE }; // the chosen box is orange
const GRID = 56; // screen pixels of a grid of bins
const CURVE = 100; // screen pixels of the curve's height
const MARGIN = { left: 56, bottom: 20, top: 8, right: 8 };

const askForms = experiment("rounding", "forms", () => {
  const { box, channel } = boxInputs();
  return channel === null ? null : { box, channel };
});
on(["view", "chosen", "channel", "stage"], askForms);

// The box that the shifts begin at, and how far it has moved

let origin = null; // {token, box, shift: [x, y]}
let curve = null; // {axis, label, origin, shifts, forms}

const axis = () => ($('input[name="explore-axis"]:checked').value === "x" ? 0 : 1);
const shifted = ({ box, shift }) => box.map((side, i) => Math.round(10 * (side + shift[i % 2])) / 10);

on(["chosen", "view", "picture"], () => {
  const box = chosenBox();
  if (state.view !== "rounding" || !box) return;
  // A box that came by a shift has the same origin; any other begins anew.
  if (origin?.token !== state.token || !same(shifted(origin), box)) origin = { token: state.token, box, shift: [0, 0] };
});

const requestCurve = requester("shifts", (reply, sent) => {
  if (!origin || !state.box || !same(sent, curveInputs())) return;
  curve = { sent, ...reply };
  showCurve();
});

const curveInputs = () => ({ box: originOnAxis(), axis: axis(), label: shownLabel(state.box) });

// The curve goes through the box as it is moved along the other axis.
function originOnAxis() {
  const shift = [...origin.shift];
  shift[axis()] = 0;
  return shifted({ box: origin.box, shift });
}

function askCurve() {
  if (state.view !== "rounding" || !state.box || !origin) return;
  if (same(curve?.sent, curveInputs())) return showCurve();
  requestCurve(curveInputs());
}
on(["view", "box", "label"], askCurve);
on(["token"], () => ([origin, curve] = [null, null]));

// Moving the box

function move(shift) {
  const { width, height } = state.picture;
  const [x1, y1, x2, y2] = shifted({ box: origin.box, shift });
  if (x1 < 0 || y1 < 0 || x2 > width || y2 > height) return;
  origin = { ...origin, shift };
  // The channel and the class stay, so that only the box differs.
  change({ chosen: { box: [x1, y1, x2, y2] } });
}

const NUDGES = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1] };
for (const [name, step] of Object.entries(NUDGES)) {
  $(`.nudge-${name}`).addEventListener("click", () => origin && move(origin.shift.map((at, i) => at + step[i])));
}
$(".shift").addEventListener("input", (event) => {
  if (!origin) return;
  const shift = [...origin.shift];
  shift[axis()] = Number(event.target.value);
  move(shift);
});
for (const radio of $$('input[name="explore-axis"]')) radio.addEventListener("change", askCurve);

// The chosen box, dragged on the photograph: from here by so many pixels.
function mover() {
  const start = origin.shift;
  return (by) => move(start.map((at, i) => at + Math.round(by[i])));
}

// The way from the photograph to cells, and the three grids

on(["experiment", "view"], () => {
  const found = experimentOf("rounding");
  $('[data-view="rounding"]').classList.toggle("empty", !found);
  if (!found) return;
  refill($(".chain"), ...chain(found));
  KINDS.forEach((kind, i) => showForm(found, kind, i));
});

function chain({ box, input, exact, forms }) {
  const { stride } = state.model;
  const sides = ["x1", "y1", "x2", "y2"];
  const row = (name, values) => make("tr", {}, make("th", { scope: "row" }, name), ...values.map((value) => make("td", {}, value)));
  const cells = (kind) => forms[kind].cells.map(String);
  return [
    make("thead", {}, make("tr", {}, ...["", ...sides].map((head) => make("th", { scope: "col" }, head)))),
    make(
      "tbody", {},
      row(text("rounding.photo"), box.map((value) => fixed(value, 1))),
      row(text("rounding.input"), input.map((value) => fixed(value, 1))),
      row(text("rounding.exact", { stride }), exact.map((value) => fixed(value, 3))),
      row(text("rounding.cells", { pooling: text("pooling.name.paper") }), cells("paper")),
      row(text("rounding.cells", { pooling: text("pooling.name.walkthrough") }), cells("walkthrough")),
    ),
  ];
}

function showForm(found, kind, i) {
  const figure = $$(".forms figure")[i];
  const { pooled, probabilities } = found.forms[kind];
  const side = GRID / pooled.length;
  const largest = Math.max(...KINDS.flatMap((other) => found.forms[other].pooled.flat()), 1e-9);
  const [values, differences] = figure.querySelectorAll("canvas");
  drawCells(canvasContext(values, GRID, GRID), pooled, [side, side], largest);
  const label = shownLabel(state.box);
  const words = { pooling: text(`pooling.name.${kind}`), label: className(label), probability: percent(probabilities[label]) };
  const caption = figure.querySelector("figcaption");
  if (kind === "align") return (caption.textContent = text("rounding.form.align", words));
  const aligned = found.forms.align.pooled;
  const context = canvasContext(differences, GRID, GRID);
  let most = 0;
  pooled.forEach((line, row) =>
    line.forEach((value, column) => {
      const difference = value - aligned[row][column];
      most = Math.max(most, Math.abs(difference));
      context.fillStyle = rgb(signed(difference / largest));
      context.fillRect(column * side, row * side, side + 0.5, side + 0.5);
    }),
  );
  differences.setAttribute("aria-label", text("rounding.difference", words));
  caption.textContent = text("rounding.form", { ...words, most: fixed(most, 2) });
}

// The curve

const signedNumber = (value) => `${value > 0 ? "+" : ""}${fixed(value, 2)}`;

const canvas = $(".curve");

const drawCurve = soon(() => {
  if (!curve || state.view !== "rounding") return;
  const width = Math.max(canvas.parentElement.clientWidth, 200);
  const context = canvasContext(canvas, width, CURVE);
  const { shifts, forms } = curve;
  const values = KINDS.flatMap((kind) => forms[kind]);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = Math.max(high - low, 0.1);
  const [first, last] = [shifts[0], shifts.at(-1)];
  const x = (shift) => MARGIN.left + ((shift - first) / Math.max(last - first, 1)) * (width - MARGIN.left - MARGIN.right);
  const y = (change) => CURVE - MARGIN.bottom - ((change - low) / room) * (CURVE - MARGIN.bottom - MARGIN.top);
  const ink = getComputedStyle(canvas).color;
  context.font = "12px system-ui, sans-serif";
  context.fillStyle = ink;
  context.strokeStyle = ink;
  context.textAlign = "right";
  for (const change of [low, low + room]) context.fillText(signedNumber(change), MARGIN.left - 4, y(change) + 4);
  context.textAlign = "center";
  for (const shift of new Set([first, 0, last])) context.fillText(shift, x(shift), CURVE - 4);
  context.globalAlpha = 0.5;
  const shift = Math.min(Math.max(origin.shift[axis()], first), last);
  context.strokeRect(x(shift), MARGIN.top, 0.5, CURVE - MARGIN.bottom - MARGIN.top);
  context.globalAlpha = 1;
  context.lineWidth = 2.5;
  for (const kind of KINDS) {
    context.strokeStyle = COLOURS[kind];
    context.beginPath();
    forms[kind].forEach((change, i) => {
      // Between two pixels a rounded box does not change, and then all at once.
      if (i && kind !== "align") context.lineTo(x(shifts[i]), y(forms[kind][i - 1]));
      context.lineTo(x(shifts[i]), y(change));
    });
    context.stroke();
  }
});
new ResizeObserver(drawCurve).observe($(".curve-room"));

function showCurve() {
  if (!curve) return;
  const slider = $(".shift");
  const { shifts, forms, sent } = curve;
  slider.min = shifts[0];
  slider.max = shifts.at(-1);
  slider.step = shifts.length > 1 ? shifts[1] - shifts[0] : 1;
  const shift = origin.shift[axis()];
  slider.value = shift;
  $(".shift-text").textContent = text("rounding.shift", { shift: `${shift > 0 ? "+" : ""}${shift}` });
  const steps = (kind) => [
    make("span", { class: "swatch", style: `background:${COLOURS[kind]}` }),
    text("rounding.steps", { pooling: text(`pooling.name.${kind}`), steps: new Set(forms[kind]).size }),
  ];
  if (shifts.length === 1) refill($(".curve-text"), text("rounding.stuck"));
  else refill($(".curve-text"), text("rounding.curve", { label: className(sent.label) }), ...KINDS.flatMap(steps));
  drawCurve();
}

function draw(context, pen) {
  const { box } = state;
  drawChosen(pen);
  const found = experimentOf("rounding");
  if (!found) return;
  const { forms } = found;
  const [paper, walkthrough] = ["paper", "walkthrough"].map((kind) => rectangleOf(box, forms[kind].cells));
  for (const cells of [paper, walkthrough]) pen.box(cells, { colour: "#000000", width: 4 });
  // Where the sides are the same, both are seen.
  pen.box(paper, { colour: COLOURS.paper, width: 2.5 });
  pen.box(walkthrough, { colour: COLOURS.walkthrough, width: 2.5, dash: [6, 6] });
}
