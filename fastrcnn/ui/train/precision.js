// Precision and recall of each class on the held-out pictures, and the area under them.

import { canvasContext } from "../shared/canvas.js";
import { classColour } from "../shared/colours.js";
import { make, refill, soon } from "../shared/dom.js";
import { fixed } from "../shared/numbers.js";
import { text } from "../shared/texts.js";
import { $, change, on, requester, root, state } from "./page.js";

const HEIGHT = 180;
const MARGIN = { left: 30, right: 8, top: 6, bottom: 30 };
const canvas = $(".precision");

const requestCurves = requester("precision_recall", (precision) => change({ precision }));
on(["latestPrecision", "panel"], () => {
  const { latestPrecision, precision, panel } = state;
  if (panel === "precision" && latestPrecision !== null && precision?.iteration !== latestPrecision) requestCurves({});
});

const labelOf = (name) => state.classes.indexOf(name) + 1;

const draw = soon(() => {
  const width = canvas.parentElement.clientWidth;
  if (!width || state.panel !== "precision") return;
  const context = canvasContext(canvas, width, HEIGHT);
  const x = (recall) => MARGIN.left + recall * (width - MARGIN.left - MARGIN.right);
  const y = (precision) => MARGIN.top + (1 - precision) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const style = getComputedStyle(root);
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = style.color;
  context.strokeStyle = style.getPropertyValue("--line");
  context.lineWidth = 1;
  for (const tick of [0, 0.5, 1]) {
    context.beginPath();
    context.moveTo(x(0), y(tick));
    context.lineTo(x(1), y(tick));
    context.moveTo(x(tick), y(0));
    context.lineTo(x(tick), y(1));
    context.stroke();
    context.textAlign = "right";
    context.fillText(String(tick), x(0) - 4, y(tick) + 4);
    context.textAlign = tick === 1 ? "right" : "center";
    context.fillText(String(tick), x(tick), HEIGHT - 17);
  }
  context.textAlign = "center";
  context.fillText(text("precision.recall"), x(0.5), HEIGHT - 4);
  for (const [name, curve] of Object.entries(state.precision?.curves ?? {})) {
    const chosen = state.curveOf === name;
    context.globalAlpha = state.curveOf === null || chosen ? 1 : 0.2;
    context.strokeStyle = context.fillStyle = classColour(labelOf(name));
    drawCurve(context, curve, x, y, chosen);
  }
  context.globalAlpha = 1;
});

// The best precision from each recall on is the line under which the area counts.
function drawCurve(context, { recall, precision, best }, x, y, chosen) {
  const outline = new Path2D();
  let before = 0;
  recall.forEach((at, i) => {
    outline.lineTo(x(before), y(best[i]));
    outline.lineTo(x(at), y(best[i]));
    before = at;
  });
  context.lineWidth = 2;
  context.stroke(outline);
  if (!chosen || !recall.length) return;
  context.save();
  context.globalAlpha = 0.2;
  outline.lineTo(x(before), y(0));
  outline.lineTo(x(0), y(0));
  context.fill(outline);
  context.restore();
  context.lineWidth = 1;
  context.setLineDash([3, 3]);
  context.beginPath();
  recall.forEach((at, i) => context.lineTo(x(at), y(precision[i])));
  context.stroke();
  context.setLineDash([]);
}

on(["precision", "panel", "curveOf"], draw);
new ResizeObserver(draw).observe(canvas.parentElement);
new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["class"] });

// AP of each class, as it was measured last

on(["measured", "curveOf"], () => {
  const last = state.curves.evaluations.at(-1);
  refill($(".ap-bars"), ...Object.entries(last?.ap ?? {}).map(([name, ap]) => bar(name, ap)));
});

function bar(name, ap) {
  const chosen = state.curveOf === name;
  const fill = `width:${100 * (ap ?? 0)}%;background:${classColour(labelOf(name))}`;
  return make(
    "button",
    {
      class: "bar", "data-class": name, "data-key": `curve-${name}`, "aria-pressed": String(chosen), disabled: ap === null,
      onclick: () => change({ curveOf: chosen ? null : name }),
    },
    make("span", {}, name),
    make("span", { class: "bar-room" }, make("span", { class: "bar-fill", style: fill })),
    make("span", { class: "bar-value" }, ap === null ? text("plot.none-there") : fixed(ap, 3)),
  );
}

on(["precision", "curveOf"], () => {
  const { precision, curveOf } = state;
  const curve = precision?.curves[curveOf];
  const words = () =>
    curve
      ? text("precision.text", { label: curveOf, count: curve.recall.length, recall: fixed(curve.recall.at(-1) ?? 0, 2) })
      : text("precision.all", precision);
  $(".precision-text").textContent = precision ? words() : "";
});
