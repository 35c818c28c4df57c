// The same few held-out pictures, detected again and again as the network learns.

import { drawPicture } from "../shared/canvas.js";
import { classColour, ORANGE } from "../shared/colours.js";
import { make, refill, soon } from "../shared/dom.js";
import { area, contains, fixed } from "../shared/numbers.js";
import { text } from "../shared/texts.js";
import { loadImages } from "./images.js";
import { placeLabels } from "./labels.js";
import { $, change, on, requester, showStatus, state, trigger } from "./page.js";

const SCORE_THRESHOLD = 0.5; // of the detections that are drawn
let canvases = []; // one a picture

const requestScenes = requester("scenes", async (reply, inputs) => {
  const { token } = state;
  if (inputs.pictures) {
    const pictures = await loadImages(reply.pictures);
    if (token !== state.token) return;
    change({ pictures });
  }
  change({ scenes: { iteration: reply.iteration, found: reply.found } });
});
on(["latestScenes"], () => {
  if (state.latestScenes !== null) requestScenes({ pictures: state.pictures === null });
});

on(["pictures"], () => {
  canvases = (state.pictures ?? []).map((_, i) => sceneCanvas(i));
  refill(
    $(".scene-row"),
    ...canvases.map((canvas, i) =>
      make(
        "figure", {}, canvas,
        make("button", { class: "link", "data-scene": i, onclick: () => lookThrough(i) }, text("scenes.open", { number: i + 1 })),
      ),
    ),
  );
  if (!state.pictures) $(".scenes-text").textContent = text("scenes.before");
});

function sceneCanvas(scene) {
  const canvas = make("canvas", { tabindex: 0, role: "application", "aria-roledescription": text("batch.role") });
  const follow = (box) => change({ followed: { scene, box }, panel: "box" });
  canvas.addEventListener("click", (event) => {
    const { width, followed } = state.pictures[scene];
    const scale = canvas.clientWidth / width;
    const point = [event.offsetX / scale, event.offsetY / scale];
    const here = followed.boxes.map((_, i) => i).filter((i) => contains(followed.boxes[i], point));
    here.sort((i, j) => area(followed.boxes[i]) - area(followed.boxes[j]));
    if (!here.length) return;
    // Again at the same place: the next larger one.
    const at = state.followed?.scene === scene ? here.indexOf(state.followed.box) : -1;
    follow(here[(at + 1) % here.length]);
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const count = state.pictures[scene].followed.boxes.length;
    if (!step || !count) return;
    event.preventDefault();
    const now = state.followed?.scene === scene ? state.followed.box : step > 0 ? -1 : 0;
    follow((now + step + count) % count);
  });
  return canvas;
}

const FONT = 11; // of labels, in screen pixels
const LABEL = 15; // their height

const draw = soon(() => {
  if (!state.pictures || !state.scenes) return;
  canvases.forEach((canvas, index) => {
    const picture = state.pictures[index];
    const width = canvas.parentElement.clientWidth;
    if (!width) return;
    const scale = width / picture.width;
    const { context, pen } = drawPicture(canvas, picture, scale);
    for (const { box } of picture.objects) pen.box(box, { colour: "#ffffff", width: 1.5, dash: [5, 4] });
    const found = state.scenes.found[index].filter(({ score }) => score >= SCORE_THRESHOLD);
    for (const { label, score, box } of found.toReversed()) {
      context.globalAlpha = Math.min(0.35 + 0.65 * score, 1);
      pen.outlined(box, classColour(state.classes.indexOf(label) + 1), 1 + 2 * score);
    }
    context.globalAlpha = 1;
    if (state.followed?.scene === index) {
      const followed = picture.followed.boxes[state.followed.box];
      if (followed) pen.box(followed, { colour: ORANGE, width: 2, dash: [2, 2] });
    }
    drawLabels(context, found, picture, 1 / scale);
    const list = found.map(({ label, score }) => `${label} ${fixed(score, 2)}`).join(", ");
    canvas.setAttribute("aria-label", text("scenes.picture", { number: index + 1, found: list || text("scenes.nothing") }));
  });
});
on(["scenes", "pictures", "followed"], draw);
new ResizeObserver(draw).observe($(".scene-row"));

// pixel: a screen pixel in pixels of the picture.
function drawLabels(context, found, picture, pixel) {
  context.font = `600 ${FONT * pixel}px system-ui, sans-serif`;
  const words = found.map(({ label, score }) => `${label} ${fixed(score, 2)}`);
  const widths = words.map((own) => context.measureText(own).width + 8 * pixel);
  const places = placeLabels(found.map(({ box }) => box), widths, LABEL * pixel, picture);
  places.forEach(({ left, top, width, height }, i) => {
    context.fillStyle = "#181818";
    context.fillRect(left, top, width, height);
    context.fillStyle = classColour(state.classes.indexOf(found[i].label) + 1);
    context.fillRect(left, top, 4 * pixel, height);
    context.fillStyle = "#ffffff";
    context.fillText(words[i], left + 6 * pixel, top + 11.5 * pixel);
  });
}

on(["scenes"], () => {
  if (!state.scenes) return;
  $(".scenes-text").textContent = text("scenes.text", { iteration: state.scenes.iteration, threshold: SCORE_THRESHOLD });
});

function lookThrough(scene) {
  showStatus(text("scenes.taking"));
  trigger("look", { token: state.token, scene });
}
$(".look").addEventListener("click", () => lookThrough(0));
