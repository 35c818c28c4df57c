// What fc6, fc7 and the two last layers say of the chosen box.

import { ORANGE, SKY, VERMILION } from "../shared/colours.js";
import { make, refill } from "../shared/dom.js";
import { fixed, percent } from "../shared/numbers.js";
import { pieces } from "../shared/terms.js";
import { text } from "../shared/texts.js";
import { drawChosen } from "./chosen-box.js";
import { className } from "./names.js";
import { $, change, on, state } from "./page.js";
import { addStation } from "./stations.js";

const MOST_BARS = 5; // of classes, beside the background's

addStation({ name: "head", draw, summary, shape, thumbnail });

// The likeliest class that is not background.
export function likeliest({ probabilities }) {
  return probabilities.reduce((best, p, label) => (label > 1 && p > probabilities[best] ? label : best), 1);
}

// The class that is looked at: the chosen one, else the likeliest.
export const shownLabel = (box) => state.label ?? likeliest(box);

// A box as its centre and size.
const centreOf = ([x1, y1, x2, y2]) => [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1];

function draw(context, pen) {
  drawChosen(pen);
  const { box } = state;
  if (!box) return;
  const label = shownLabel(box);
  const regressed = box.regressed[label];
  pen.outlined(regressed, SKY, 2.5);
  pen.arrow(centreOf(box.box), centreOf(regressed), VERMILION);
  pen.label(`${className(label)} ${percent(box.probabilities[label])}`, regressed[0], regressed[1], SKY);
}

function shape() {
  const classes = state.model.classes.length + 1;
  return text("shape.head", { classes, deltas: 4 * classes });
}

// Left the likeliest classes, right where the deltas move the box.
function thumbnail(context, width, height) {
  const { box } = state;
  if (!box) return;
  const best = box.probabilities.toSorted((a, b) => b - a).slice(0, 5);
  const half = width / 2 - 4;
  context.fillStyle = SKY;
  best.forEach((p, i) => context.fillRect(0, 4 + (i * height) / 5, Math.max(p * half, 1), height / 5 - 4));
  const moved = box.regressed[shownLabel(box)];
  const left = Math.min(box.box[0], moved[0]), top = Math.min(box.box[1], moved[1]);
  const right = Math.max(box.box[2], moved[2]), bottom = Math.max(box.box[3], moved[3]);
  const scale = Math.min((half - 4) / (right - left), (height - 6) / (bottom - top));
  context.translate(half + 8, 3);
  context.lineWidth = 2;
  for (const [[x1, y1, x2, y2], colour] of [[box.box, ORANGE], [moved, SKY]]) {
    context.strokeStyle = colour;
    context.strokeRect((x1 - left) * scale, (y1 - top) * scale, (x2 - x1) * scale, (y2 - y1) * scale);
  }
}

on(["box", "label"], () => {
  const { box } = state;
  if (!box) {
    for (const place of [".bars", ".formula"]) $(place).replaceChildren();
    return;
  }
  const shown = shownLabel(box);
  const order = box.probabilities.map((p, label) => [p, label]).slice(1).sort((a, b) => b[0] - a[0]);
  const rows = order.slice(0, MOST_BARS);
  if (!rows.some(([, label]) => label === shown)) rows.push([box.probabilities[shown], shown]);
  rows.push([box.probabilities[0], 0]);
  refill($(".bars"), ...rows.map(([p, label]) => bar(p, label, label === shown)));
  refill($(".formula"), ...formula(box, shown));
});

const bar = (p, label, isShown) =>
  make(
    "button",
    {
      class: "bar", "data-label": label, "data-key": label, "aria-pressed": String(isShown), disabled: label === 0,
      "aria-label": text("head.bar", { label: className(label), probability: percent(p) }),
      onclick: () => change({ label }),
    },
    make("span", {}, className(label)),
    make("span", { class: "bar-room" }, make("span", { class: `bar-fill${label === 0 ? " ground" : ""}`, style: `width:${100 * p}%` })),
    make("span", { class: "bar-value" }, percent(p)),
  );

// From the proposal to the predicted box, with this box's numbers filled in.
function formula(box, label) {
  const [x, y, w, h] = centreOf(box.box);
  const [dx, dy, dw, dh] = box.deltas[label];
  const line = (name, rule, numbers, value) =>
    make(
      "tr", {}, make("th", { scope: "row" }, name), make("td", { class: "rule" }, rule),
      make("td", {}, numbers), make("td", { class: "value" }, fixed(value, 1)),
    );
  const f = (value, digits = 1) => fixed(value, digits);
  const plus = (value) => (value < 0 ? `\u2212 ${f(-value)}` : `+ ${f(value)}`);
  const isOwn = box.pooling === state.model.pooling;
  return [
    make("p", {}, ...pieces("head.deltas", {
      label: className(label), deltas: make("b", { class: "deltas" }, [dx, dy, dw, dh].map((d) => f(d, 4)).join(", ")),
    })),
    isOwn ? null : make("p", {}, text("head.other-pooling", { pooling: text(`pooling.with.${box.pooling}`), own: text(`pooling.with.${state.model.pooling}`) })),
    make(
      "table", {},
      make("caption", {}, text("head.caption")),
      make(
        "tbody", {},
        line(text("head.centre-x"), "\u011cx = Pw dx + Px", `${f(w)} \u00b7 ${f(dx, 4)} ${plus(x)}`, x + w * dx),
        line(text("head.centre-y"), "\u011cy = Ph dy + Py", `${f(h)} \u00b7 ${f(dy, 4)} ${plus(y)}`, y + h * dy),
        line(text("head.width"), "\u011cw = Pw exp(dw)", `${f(w)} \u00b7 exp(${f(dw, 4)})`, w * Math.exp(dw)),
        line(text("head.height"), "\u011ch = Ph exp(dh)", `${f(h)} \u00b7 exp(${f(dh, 4)})`, h * Math.exp(dh)),
      ),
    ),
    make("p", {}, ...pieces("head.regressed", {
      corners: make("b", { class: "regressed" }, box.regressed[label].map((value) => f(value)).join(", ")),
    })),
  ];
}

function summary() {
  const { box, model } = state;
  if (!box) return null;
  const label = shownLabel(box);
  return {
    title: text("life.head"),
    content: [
      make("p", {}, make("b", {}, className(label)), ` ${percent(box.probabilities[label])}`),
      make("p", {}, text("life.background", { probability: percent(box.probabilities[0]) })),
      box.pooling === model.pooling ? null : make("p", {}, text("life.with-pooling", { pooling: text(`pooling.with.${box.pooling}`) })),
    ],
  };
}
