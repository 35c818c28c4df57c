// The same few held-out pictures, detected again and again as the network learns.

import { drawPicture } from "../shared/canvas.js";
import { classColour } from "../shared/colours.js";
import { make, soon } from "../shared/dom.js";
import { fixed } from "../shared/numbers.js";
import { text } from "../shared/texts.js";
import { loadImages } from "./images.js";
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
  $(".theatre.scenes").hidden = state.pictures === null;
  if (!state.pictures) return;
  canvases = state.pictures.map(() => make("canvas", { role: "img" }));
  $(".scene-row").replaceChildren(
    ...canvases.map((canvas, i) =>
      make(
        "figure", {}, canvas,
        make("button", { class: "link", "data-scene": i, onclick: () => lookThrough(i) }, text("scenes.open", { number: i + 1 })),
      ),
    ),
  );
});

const draw = soon(() => {
  if (!state.pictures || !state.scenes) return;
  canvases.forEach((canvas, index) => {
    const picture = state.pictures[index];
    const width = canvas.parentElement.clientWidth;
    if (!width) return;
    const { context, pen } = drawPicture(canvas, picture, width / picture.width);
    for (const { box } of picture.objects) pen.box(box, { colour: "#ffffff", width: 1.5, dash: [5, 4] });
    const found = state.scenes.found[index].filter(({ score }) => score >= SCORE_THRESHOLD);
    for (const { label, score, box } of found.toReversed()) {
      context.globalAlpha = Math.min(0.35 + 0.65 * score, 1);
      pen.outlined(box, classColour(state.classes.indexOf(label) + 1), 1 + 2 * score);
    }
    context.globalAlpha = 1;
    for (const { label, score, box } of found.toReversed()) {
      pen.label(`${label} ${fixed(score, 2)}`, box[0], box[1], classColour(state.classes.indexOf(label) + 1));
    }
    const list = found.map(({ label, score }) => `${label} ${fixed(score, 2)}`).join(", ");
    canvas.setAttribute("aria-label", text("scenes.picture", { number: index + 1, found: list || text("scenes.nothing") }));
  });
});
on(["scenes", "pictures"], draw);
new ResizeObserver(draw).observe($(".scene-row"));

on(["scenes"], () => {
  if (!state.scenes) return;
  $(".scenes-text").textContent = text("scenes.text", { iteration: state.scenes.iteration, threshold: SCORE_THRESHOLD });
});

function lookThrough(scene) {
  showStatus(text("scenes.taking"));
  trigger("look", { token: state.token, scene });
}
$(".look").addEventListener("click", () => lookThrough(0));
