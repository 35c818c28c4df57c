// The photograph, with what the open station draws on it, and all that the pointer and keys do to it.

import { canvasContext, drawPicture } from "../shared/canvas.js";
import { GREEN, ORANGE } from "../shared/colours.js";
import { soon } from "../shared/dom.js";
import { contains, cornersOf } from "../shared/numbers.js";
import { text } from "../shared/texts.js";
import { answer, drawPart, markByKey } from "./guess.js";
import { useBox } from "./own-boxes.js";
import { $, change, choose, chosenBox, on, state } from "./page.js";
import { proposalsAt, shownProposals } from "./shown-proposals.js";
import { openPart } from "./stations.js";

const AROUND = 350; // screen pixels: what stands above and below the photograph
const NARROW = 860; // screen pixels; below it all stands in one column (explore.css)
const canvas = $(".scene");
let drag = null; // {from, to, far, move} in pixels of the photograph; `move` is from a view's mover()
let lastClick = null;

// Screen pixels of a pixel of the photograph.
function scale() {
  const room = $(".photo").clientWidth;
  const { width, height } = state.picture;
  const tallest = state.presenting && window.innerWidth > NARROW
    ? $(".photo").clientHeight
    : Math.min(640, window.innerHeight - AROUND);
  return Math.min(room / width, Math.max(tallest, 240) / height);
}

const draw = soon(() => {
  if (!state.picture) {
    canvasContext(canvas, Math.max($(".photo").clientWidth, 1), 240);
    return;
  }
  const { context, pen } = drawPicture(canvas, state.picture, scale());
  drawPart(context, pen);
  if (drag && !drag.move) {
    pen.box(draggedBox(), { colour: "#ffffff", width: 4 });
    pen.box(draggedBox(), { colour: state.tool === "truth" ? GREEN : ORANGE, width: 2, dash: [6, 4] });
  }
});

on(
  ["picture", "station", "view", "grouping", "merge", "proposals", "shown", "source", "hovered", "chosen",
    "box", "bin", "label", "truth", "decisions", "pooling", "activity", "experiment", "question", "verdict", "presenting"],
  draw,
);
new ResizeObserver(draw).observe($(".photo"));

// The pointer

function pointOf(event) {
  const { left, top } = canvas.getBoundingClientRect();
  const drawn = canvas.clientWidth / state.picture.width;
  return [(event.clientX - left) / drawn, (event.clientY - top) / drawn];
}

function draggedBox() {
  const { width, height } = state.picture;
  const xs = [drag.from[0], drag.to[0]].map((x) => Math.min(Math.max(x, 0), width));
  const ys = [drag.from[1], drag.to[1]].map((y) => Math.min(Math.max(y, 0), height));
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

// Whether two points are further apart than so many screen pixels.
const apart = (a, b, pixels) => Math.hypot(a[0] - b[0], a[1] - b[1]) * scale() > pixels;

canvas.addEventListener("pointerdown", (event) => {
  if (!state.picture || event.button !== 0) return;
  canvas.setPointerCapture(event.pointerId);
  const point = pointOf(event);
  const { mover } = openPart();
  const box = chosenBox();
  drag = { from: point, to: point, far: false, move: mover && box && contains(box, point) ? mover() : null };
});

canvas.addEventListener("pointermove", (event) => {
  if (!state.picture) return;
  const point = pointOf(event);
  if (drag) {
    drag.to = point;
    drag.far ||= apart(drag.from, point, 6);
    drag.move?.(point.map((at, i) => at - drag.from[i]));
    draw();
  } else if (state.proposals && openPart().hovers) {
    change({ hovered: proposalsAt(point)[0] ?? null });
  }
});

canvas.addEventListener("pointerleave", () => change({ hovered: null }));
canvas.addEventListener("pointercancel", () => {
  drag = null;
  draw();
});

canvas.addEventListener("pointerup", (event) => {
  if (!drag || !state.picture) return;
  const { far, move } = drag;
  const box = draggedBox().map((value) => Math.round(value * 10) / 10);
  drag = null;
  draw();
  if (!far) return click(pointOf(event));
  if (!move) useBox(box);
});
on(["token"], () => {
  drag = null;
  lastClick = null;
});

// Chooses the smallest box there; again at the same place, the next larger one.
function click(point) {
  if (state.question?.kind === "place") return answer(point);
  if (!state.proposals) return;
  change({ hovered: null });
  const here = [...openPart().boxesAt(point), ...proposalsAt(point)];
  if (!here.length) return;
  const again = lastClick && !apart(point, lastClick, 5);
  lastClick = point;
  const at = again ? here.indexOf(state.chosen?.index) : -1;
  choose({ index: here[(at + 1) % here.length] });
}

// The keys

canvas.addEventListener("keydown", (event) => {
  if (markByKey(event.key)) return event.preventDefault();
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step || !state.proposals) return;
  event.preventDefault();
  const shown = shownProposals();
  if (!shown.length) return;
  // From a box that is not shown, to the nearest one that is.
  const at = state.chosen?.index ?? -1;
  const next = step > 0 ? shown.find((i) => i > at) : shown.findLast((i) => i < at);
  change({ hovered: null });
  choose({ index: next ?? (step > 0 ? shown.at(-1) : shown[0]) });
});

// Words

on(["chosen", "hovered", "picture", "proposals"], () => {
  const { chosen, hovered, proposals, name } = state;
  const box = chosenBox();
  let words = "";
  if (hovered !== null) words = text("photo.rank", { rank: hovered + 1, corners: cornersOf(proposals.boxes[hovered]) });
  else if (box && chosen.index != null) words = text("photo.chosen", { rank: chosen.index + 1, corners: cornersOf(box) });
  else if (box) words = text("photo.own", { corners: cornersOf(box, 1) });
  $(".under").textContent = words;
  canvas.setAttribute("aria-label", text("photo.label", { name, chosen: words }));
});

// The same for those who only hear it, once a choice.
on(["chosen"], () => {
  const box = chosenBox();
  if (!box) return;
  const corners = cornersOf(box);
  $(".spoken").textContent = state.chosen.box
    ? text("photo.spoken.own", { corners })
    : text("photo.spoken.rank", { rank: state.chosen.index + 1, corners });
});

// What the lines on the photograph are.
export const showLegend = () => ($(".photo .legend").textContent = text(`legend.${state.view ?? state.station}`));
on(["station", "view"], showLegend);
