// The strip's pictures: what each station makes of the photograph and the chosen box, with its size.

import { Pen, canvasContext } from "../shared/canvas.js";
import { ORANGE } from "../shared/colours.js";
import { soon } from "../shared/dom.js";
import { $, $$, chosenBox, on, state } from "./page.js";
import { stations } from "./stations.js";

const HEIGHT = 58; // screen pixels of a thumbnail
const TRAVEL = 1400; // milliseconds from one end to the other
const buttons = $$(".strip [role=tab]");
const small = document.createElement("canvas"); // the photograph as small as it is drawn here

// The photograph's place in a thumbnail of this width: {scale, left, top}.
function fit(width) {
  const { picture } = state;
  const scale = Math.min(width / picture.width, HEIGHT / picture.height);
  return { scale, left: (width - picture.width * scale) / 2, top: (HEIGHT - picture.height * scale) / 2 };
}

// Shrinking the photograph takes longer than all that is drawn on it, so it is done once a size.
let shrunk = {}; // {image, scale} of `small`

function shrinkPhoto(scale) {
  const { width, height, image } = state.picture;
  if (shrunk.image === image && shrunk.scale === scale) return;
  shrunk = { image, scale };
  [small.width, small.height] = [width, height].map((side) => Math.max(Math.round(side * scale * devicePixelRatio), 1));
  const context = small.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, small.width, small.height);
}

function drawOnPhoto(context, width, { draw }) {
  if (!state.picture) return;
  const { scale, left, top } = fit(width);
  shrinkPhoto(scale);
  context.translate(left, top);
  context.scale(scale, scale);
  context.drawImage(small, 0, 0, state.picture.width, state.picture.height);
  draw(context, new Pen(context, 2 * scale, state.picture, false));
}

const drawStrip = soon(() => {
  for (const button of buttons) {
    const station = stations.get(button.dataset.station);
    const canvas = button.querySelector("canvas");
    const width = Math.max(button.clientWidth - 10, 20);
    const context = canvasContext(canvas, width, HEIGHT);
    if (station.thumbnail) station.thumbnail(context, width, HEIGHT);
    else drawOnPhoto(context, width, station);
    button.querySelector("output").textContent = station.shape() ?? "";
  }
});
on(
  ["picture", "grouping", "merge", "proposals", "shown", "source", "chosen", "box", "label", "truth", "decisions",
    "pooling", "activity", "model", "token"],
  drawStrip,
);
new ResizeObserver(drawStrip).observe($(".strip"));

// Another box goes along the strip

const traveller = $(".traveller");

on(["chosen"], () => {
  const box = chosenBox();
  if (!box || !state.picture || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const [x1, y1, x2, y2] = box;
  const shown = 36 / Math.max(x2 - x1, y2 - y1);
  const size = [Math.max((x2 - x1) * shown, 4), Math.max((y2 - y1) * shown, 4)];
  const context = canvasContext(traveller, ...size);
  const { image, width } = state.picture;
  const drawn = image.naturalWidth / width; // a large photograph comes smaller than it is
  context.drawImage(image, x1 * drawn, y1 * drawn, (x2 - x1) * drawn, (y2 - y1) * drawn, 0, 0, ...size);
  const room = $(".strip").scrollWidth - size[0];
  $(".strip").getAnimations({ subtree: true }).forEach((animation) => animation.cancel());
  traveller.animate(
    [{ transform: "translateX(0)", opacity: 0 }, { opacity: 1, offset: 0.08 }, { opacity: 1, offset: 0.92 }, { transform: `translateX(${room}px)`, opacity: 0 }],
    { duration: TRAVEL, easing: "ease-in-out" },
  );
  buttons.forEach((button, i) => {
    button.querySelector("canvas").animate(
      [{ boxShadow: `0 0 0 3px ${ORANGE}` }, { boxShadow: `0 0 0 3px ${ORANGE}00` }],
      { duration: 500, delay: (TRAVEL * i) / buttons.length },
    );
  });
});
