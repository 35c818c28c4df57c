// One box of a held-out picture: its scores and corners, look by look, from the first step on.

import { drawPicture } from "../shared/canvas.js";
import { classColour, ORANGE, SKY } from "../shared/colours.js";
import { make, refill, soon } from "../shared/dom.js";
import { cornersOf, fixed, iou } from "../shared/numbers.js";
import { player } from "../shared/player.js";
import { text } from "../shared/texts.js";
import { $, change, className, on, requester, state } from "./page.js";

const MOST_BARS = 8;
const TALLEST = 180; // pixels
const canvas = $(".follow");
const slider = $(".when");

// The box that is followed, as the pictures came with it.
export function followedBox() {
  const { pictures, followed } = state;
  if (!pictures || !followed) return null;
  const { boxes, labels, overlaps, nearest } = pictures[followed.scene].followed;
  const i = followed.box;
  if (i >= boxes.length) return null;
  return { box: boxes[i], label: labels[i], overlap: overlaps[i], object: pictures[followed.scene].objects[nearest[i]] };
}

const requestHistory = requester("history", (history, { scene, box }) => {
  if (state.followed?.scene !== scene || state.followed.box !== box) return;
  change({ history });
});
const ask = () => followedBox() && requestHistory(state.followed);

// At first the box whose corners have the longest way to go.
on(["pictures"], () => {
  if (state.pictures && !followedBox()) change({ followed: { scene: 0, box: 0 } });
});
on(["followed"], () => change({ history: null, look: null }));
on(["followed", "scenes"], ask);

// The look that is shown: the chosen one, that of the iteration that is pointed at, or the newest.
function shownLook() {
  const { history, look, hovered } = state;
  if (!history?.iterations.length) return null;
  const last = history.iterations.length - 1;
  if (hovered !== null) return Math.max(history.iterations.findLastIndex((iteration) => iteration <= hovered), 0);
  return Math.min(look ?? last, last);
}

const draw = soon(() => {
  const own = followedBox();
  const width = canvas.parentElement.clientWidth;
  canvas.hidden = !own;
  if (!own || !width) return;
  const picture = state.pictures[state.followed.scene];
  const { pen } = drawPicture(canvas, picture, Math.min(width / picture.width, TALLEST / picture.height));
  if (own.object && own.label) pen.box(own.object.box, { colour: "#ffffff", width: 2, dash: [5, 4] });
  pen.outlined(own.box, ORANGE, 1.5);
  const at = shownLook();
  if (at !== null) pen.outlined(state.history.corners[at], SKY, 1.5);
});
on(["pictures", "followed", "history", "look", "hovered", "panel"], draw);
new ResizeObserver(draw).observe(canvas.parentElement);

on(["history", "look", "hovered", "classes"], () => {
  const at = shownLook();
  slider.max = Math.max((state.history?.iterations.length ?? 1) - 1, 0);
  slider.value = at ?? 0;
  const bars = $(".follow-bars");
  const words = $(".follow-text");
  const own = followedBox();
  if (at === null || !own) {
    refill(bars);
    words.textContent = "";
    return;
  }
  const scores = state.history.probabilities[at];
  const likeliest = scores.map((_, label) => label).sort((a, b) => scores[b] - scores[a]);
  // With few classes all bars keep their places.
  const shown = scores.length <= MOST_BARS ? scores.map((_, label) => label) : likeliest.slice(0, MOST_BARS);
  refill(bars, ...shown.map((label) => bar(label, scores[label], label === own.label)));
  const corners = state.history.corners[at];
  const values = {
    iteration: state.history.iterations[at], score: fixed(scores[own.label], 2), label: className(own.label),
    from: cornersOf(own.box), to: cornersOf(corners), before: fixed(own.overlap, 2),
    after: own.object ? fixed(iou(corners, own.object.box), 2) : "",
  };
  words.textContent = text(own.label ? "follow.text" : "follow.text.background", values);
});

function bar(label, score, own) {
  const fill = `width:${100 * score}%;background:${label ? classColour(label) : "#888888"}`;
  const name = own ? make("b", {}, className(label)) : make("span", {}, className(label));
  return make(
    "div", { class: "bar", "data-class": label }, name,
    make("span", { class: "bar-room" }, make("span", { class: "bar-fill", style: fill })),
    make("span", { class: "bar-value" }, fixed(score, 2)),
  );
}

slider.addEventListener("input", () => change({ look: Number(slider.value) }));
player($("#train-box .play"), 250, (isFirst) => {
  const last = (state.history?.iterations.length ?? 0) - 1;
  const next = isFirst && shownLook() === last ? 0 : (shownLook() ?? -1) + 1;
  if (next > last) return false;
  change({ look: next });
  return next < last;
});
