// Where the gradient goes: the loss of the chosen box for a true class and box of the visitor's, and
// the cells of the map that it reaches.

import { Pen, canvasContext } from "../shared/canvas.js";
import { ORANGE, SKY, heat, rgb, signed } from "../shared/colours.js";
import { classText } from "../shared/class-names.js";
import { make, refill, soon } from "../shared/dom.js";
import { fixed, iou } from "../shared/numbers.js";
import { pieces } from "../shared/terms.js";
import { text } from "../shared/texts.js";
import { drawChosen } from "./chosen-box.js";
import { rectangleOf } from "./feature-map.js";
import { shownLabel } from "./head.js";
import { boxInputs, boxNow } from "./inspection.js";
import { className } from "./names.js";
import { insidePhoto } from "./own-boxes.js";
import { $, $$, chosenBox, on, showStatus, state } from "./page.js";
import { experiment, experimentOf } from "./experiment.js";
import { addView } from "./stations.js";

addView({ station: "pooling", name: "gradient", draw });

const AROUND = 2; // cells that are shown around the box
const MAPS = ["own", "align"];

// The true class and box that the loss is for

let truth = null; // {label, box}
let cell = null; // {x, y}: the cell that is pointed at

const allChannels = () => $('input[name="explore-gradient"]:checked').value === "all";

const ask = experiment("gradient", "gradient", () => {
  const { box, pooling, channel } = boxInputs();
  if (guessedFor !== chosenKey() || (!allChannels() && channel === null)) return null;
  return { box, pooling, channel: allChannels() ? null : channel, label: truth.label, truth: truth.box };
});

function setTruth(label, box) {
  truth = { label, box };
  $(".gradient-class").value = label;
  for (const [i, input] of corners().entries()) input.value = fixed(box[i], 1);
  ask();
}

const corners = () => $$(".gradient-corners input");

const chosenKey = () => JSON.stringify([state.token, boxInputs().box]);
let guessedFor = null; // the chosen box that the truth was set for

// The known object that the box overlaps most, else what the network itself says, once it is known.
function guessTruth() {
  const chosen = chosenBox();
  const [best] = state.truth
    .map((object) => ({ ...object, overlap: iou(object.box, chosen) }))
    .sort((a, b) => b.overlap - a.overlap);
  const label = best?.overlap > 0.1 && best.label ? state.model.classes.indexOf(best.label) + 1 : 0;
  if (label) return { label, box: best.box };
  const box = boxNow();
  if (!box) return null;
  const own = shownLabel(box);
  return { label: own, box: insidePhoto(box.regressed[own]) ?? box.box };
}

on(["view", "chosen", "box", "pooling", "channel", "truth", "stage"], () => {
  if (state.view !== "gradient" || !chosenBox()) return;
  if (guessedFor === chosenKey()) return ask();
  const guess = guessTruth();
  if (!guess) return;
  guessedFor = chosenKey();
  setTruth(guess.label, guess.box);
});

on(["model", "view"], () => {
  const labels = [0, ...state.model.classes.map((_, i) => i + 1)];
  $(".gradient-class").replaceChildren(...labels.map((label) => make("option", { value: label }, className(label))));
  if (truth) $(".gradient-class").value = truth.label;
});

on(["truth", "view", "chosen"], () => {
  const box = chosenBox();
  if (state.view !== "gradient" || !box) return;
  const use = (object, i) => {
    const name = object.label ? classText(object.label) : text("truth.object", { number: i + 1 });
    const known = object.label ? state.model.classes.indexOf(object.label) + 1 : 0;
    const words = text("gradient.use", { object: name, iou: fixed(iou(object.box, box), 2) });
    return make("button", { "data-key": `use-${i}`, onclick: () => setTruth(known || truth.label, object.box) }, words);
  };
  const near = state.truth.filter((object) => iou(object.box, box) > 0);
  refill($(".gradient-objects"), near.length ? make("span", {}, text("gradient.near")) : null, ...near.map(use));
});

$(".gradient-class").addEventListener("change", (event) => truth && setTruth(Number(event.target.value), truth.box));
$(".gradient-corners").addEventListener("change", () => {
  if (!truth) return;
  const box = insidePhoto(corners().map((input) => Number(input.value)));
  if (!box) return showStatus(text("photo.outside"));
  setTruth(truth.label, box);
});
for (const radio of $$('input[name="explore-gradient"]')) radio.addEventListener("change", () => ask());

// The loss, in numbers

const f = (value, digits = 3) => fixed(value, digits);

function lossTable({ predicted, target, loss }) {
  const smooth = (x) => (Math.abs(x) < 1 ? 0.5 * x * x : Math.abs(x) - 0.5);
  const heads = [pieces("gradient.normalised"), ["tx"], ["ty"], ["tw"], ["th"], [text("gradient.sum")]];
  const row = (name, values, sum) => make("tr", {}, make("th", { scope: "row" }, name), ...values.map((v) => make("td", {}, f(v))), make("td", {}, sum));
  return [
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, ...head)))),
    make(
      "tbody", {},
      row(text("gradient.predicted"), predicted, ""), row(text("gradient.target"), target, ""),
      row(text("gradient.smooth"), predicted.map((t, i) => smooth(t - target[i])), f(loss.loc)),
    ),
  ];
}

on(["experiment", "view"], () => {
  const found = experimentOf("gradient");
  $('[data-view="gradient"]').classList.toggle("empty", !found);
  if (!found) return;
  const { loss, sent, probability } = found;
  const values = { label: className(sent.label), p: probability.toPrecision(3), cls: f(loss.cls), loc: f(loss.loc), total: f(loss.total) };
  $(".gradient-loss").textContent = text(sent.label ? "gradient.loss" : "gradient.loss.background", values);
  refill($(".gradient-targets"), ...(sent.label ? lossTable(found) : []));
});

// The two maps: the part around the box

// In cells: x1, y1, x2, y2.
function windowOf(box) {
  const [columns, rows] = box.map_size;
  const [x1, y1, x2, y2] = box.exact;
  return [
    Math.max(Math.floor(x1) - AROUND, 0), Math.max(Math.floor(y1) - AROUND, 0),
    Math.min(Math.ceil(x2) + AROUND, columns), Math.min(Math.ceil(y2) + AROUND, rows),
  ];
}

const canvases = $$(".gradient-map");

function sizeOfCell(canvas, [x1, y1, x2, y2]) {
  const room = Math.max(canvas.parentElement.clientWidth, 120);
  return Math.min(room / (x2 - x1), 125 / (y2 - y1), 28);
}

const colourOf = (found, largest) => (value) => rgb(found.sent.channel === null ? heat(value / largest) : signed(value / largest));

const drawMaps = soon(() => {
  const { box } = state;
  const found = experimentOf("gradient");
  if (!found || state.view !== "gradient") return;
  const around = windowOf(box);
  const [x1, y1, x2, y2] = around;
  const largest = Math.max(...MAPS.flatMap((name) => found[name].map.flat().map(Math.abs)), 1e-12);
  const colour = colourOf(found, largest);
  canvases.forEach((canvas, i) => {
    const side = sizeOfCell(canvas, around);
    const context = canvasContext(canvas, (x2 - x1) * side, (y2 - y1) * side);
    const pen = new Pen(context, side, { width: x2 - x1, height: y2 - y1 });
    context.scale(side, side);
    context.translate(-x1, -y1);
    const { map } = found[MAPS[i]];
    for (let y = y1; y < y2; y++) {
      for (let x = x1; x < x2; x++) {
        context.fillStyle = colour(map[y][x]);
        context.fillRect(x, y, 1 + 0.5 / side, 1 + 0.5 / side);
      }
    }
    pen.box(box.exact, { colour: "#000000", width: 4 });
    pen.box(box.exact, { colour: ORANGE, width: 2.5 });
    if (cell) {
      pen.box([cell.x, cell.y, cell.x + 1, cell.y + 1], { colour: "#000000", width: 4 });
      pen.box([cell.x, cell.y, cell.x + 1, cell.y + 1], { colour: SKY, width: 2.5 });
    }
  });
});
new ResizeObserver(drawMaps).observe($(".gradient-maps"));

function showMaps() {
  drawMaps();
  const found = experimentOf("gradient");
  if (!found) return;
  const cells = found.own.map.flat().length;
  const names = [text(`pooling.name.${found.pooling}`), text("pooling.name.align")];
  MAPS.forEach((name, i) => {
    $$(".gradient-reached")[i].textContent = text("gradient.reached", { pooling: names[i], loss: f(found[name].loss), reached: found[name].reached, cells });
    canvases[i].setAttribute("aria-label", text("gradient.map-label", { pooling: names[i] }));
  });
  $(".gradient-cell").textContent = cellText(found, names);
}
on(["experiment", "box", "view"], showMaps);

// The cell that is pointed at: its two gradients, and the bins whose gradients add up in it.
function cellText(found, [own, align]) {
  if (!cell) return text("gradient.point");
  const at = (name) => found[name].map[cell.y]?.[cell.x]?.toPrecision(3) ?? "";
  const parts = [text("gradient.cell", { column: cell.x + 1, row: cell.y + 1, own, align, first: at("own"), second: at("align") })];
  if (found.winners) {
    const index = cell.y * state.box.map_size[0] + cell.x;
    const bins = found.winners.flatMap((line, row) =>
      line.flatMap((winner, column) =>
        winner === index ? text("gradient.bin", { row: row + 1, column: column + 1, value: found.bins[row][column].toPrecision(3) }) : [],
      ),
    );
    parts.push(bins.length ? text("gradient.bins", { bins: bins.join(" + ") }) : text("gradient.no-bin"));
  }
  return parts.join(" ");
}

function pointAtCell(x, y) {
  const [x1, y1, x2, y2] = windowOf(state.box);
  cell = { x: Math.min(Math.max(x, x1), x2 - 1), y: Math.min(Math.max(y, y1), y2 - 1) };
  showMaps();
}

for (const canvas of canvases) {
  canvas.addEventListener("pointermove", (event) => {
    if (!state.box) return;
    const around = windowOf(state.box);
    const { left, top } = canvas.getBoundingClientRect();
    const side = sizeOfCell(canvas, around);
    pointAtCell(around[0] + Math.floor((event.clientX - left) / side), around[1] + Math.floor((event.clientY - top) / side));
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if (!step || !state.box) return;
    event.preventDefault();
    const [x1, y1] = windowOf(state.box);
    pointAtCell((cell?.x ?? x1) + step[0], (cell?.y ?? y1) + step[1]);
  });
}
on(["chosen"], () => (cell = null));

function draw(context, pen) {
  const { box } = state;
  const found = experimentOf("gradient");
  if (found) {
    const { map } = found.own;
    const largest = Math.max(...map.flat().map(Math.abs), 1e-12);
    const colour = colourOf(found, largest);
    map.forEach((line, y) =>
      line.forEach((value, x) => {
        if (value === 0) return;
        const [x1, y1, x2, y2] = rectangleOf(box, [x, y, x + 1, y + 1]);
        context.globalAlpha = 0.25 + 0.6 * Math.abs(value / largest);
        context.fillStyle = colour(value);
        context.fillRect(x1, y1, x2 - x1, y2 - y1);
      }),
    );
    context.globalAlpha = 1;
    pen.outlined(found.sent.truth, SKY, 2);
    pen.label(className(found.sent.label), found.sent.truth[0], found.sent.truth[1], SKY);
  }
  drawChosen(pen);
}
