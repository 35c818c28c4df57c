// The mini-batch of the last step: its pictures with their sampled RoIs.

import { drawPicture } from "../shared/canvas.js";
import { ORANGE, SKY } from "../shared/colours.js";
import { make, refill, soon } from "../shared/dom.js";
import { area, contains, cornersOf, fixed } from "../shared/numbers.js";
import { pieces } from "../shared/terms.js";
import { counted, text } from "../shared/texts.js";
import { loadImages } from "./images.js";
import { $, change, className, isSeen, on, requester, state } from "./page.js";

const theatre = $(".theatre.batch");
let canvases = []; // one a picture

const requestBatch = requester("batch", async (reply) => {
  const { token } = state;
  const pictures = await loadImages(reply.pictures);
  if (token === state.token && state.roi === null) change({ batch: { ...reply, pictures } });
});

// The newest mini-batch, unless the visitor looks at a box of the one that is there.
function keepUp() {
  const { token, length, batch, roi } = state;
  if (token === null || !length || batch?.iteration === length || roi !== null) return;
  if (isSeen(theatre)) requestBatch({});
}
on(["length", "roi"], keepUp);
window.addEventListener("scroll", keepUp, { passive: true });

on(["batch"], () => {
  $(".batch-keys").hidden = state.batch === null;
  if (!state.batch) {
    canvases = [];
    refill($(".batch-row"));
    $(".batch-text").textContent = text("batch.before");
    return;
  }
  const { iteration, foreground, background, pictures } = state.batch;
  $(".batch-text").textContent = counted("batch.text", pictures.length, { iteration, foreground, background });
  if (canvases.length !== pictures.length) {
    canvases = pictures.map((_, i) => batchCanvas(i));
    $(".batch-row").replaceChildren(...canvases.map((canvas) => make("figure", {}, canvas, make("figcaption", {}))));
  }
  canvases.forEach((canvas, i) => {
    const picture = pictures[i];
    const name = text(picture.flipped ? "batch.picture.mirrored" : "batch.picture", picture);
    canvas.setAttribute("aria-label", text("batch.picture-label", { picture: name, count: picture.boxes.length }));
    canvas.nextSibling.textContent = name;
  });
});

function batchCanvas(index) {
  const canvas = make("canvas", { tabindex: 0, role: "application", "aria-roledescription": text("batch.role") });
  const point = (i) => {
    if (state.roi?.picture === index && state.roi.index === i) return;
    change({ roi: i === undefined ? null : { picture: index, index: i } });
  };
  canvas.addEventListener("pointermove", (event) => {
    const picture = state.batch.pictures[index];
    const scale = canvas.clientWidth / picture.width;
    const [x, y] = [event.offsetX / scale, event.offsetY / scale];
    const here = picture.boxes.map((_, i) => i).filter((i) => contains(picture.boxes[i], [x, y]));
    const [smallest] = here.sort((i, j) => area(picture.boxes[i]) - area(picture.boxes[j]));
    point(smallest);
  });
  const leave = () => change({ roi: null });
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("blur", leave);
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const count = state.batch.pictures[index].boxes.length;
    if (!count) return;
    const now = state.roi?.picture === index ? state.roi.index : step > 0 ? -1 : 0;
    point((now + step + count) % count);
  });
  return canvas;
}

const draw = soon(() => {
  if (!state.batch) return;
  canvases.forEach((canvas, index) => {
    const picture = state.batch.pictures[index];
    const width = canvas.parentElement.clientWidth;
    if (!width || !picture) return;
    const { pen } = drawPicture(canvas, picture, width / picture.width);
    const chosen = state.roi?.picture === index ? state.roi.index : null;
    const order = picture.boxes.map((_, i) => i).sort((a, b) => (picture.labels[a] > 0) - (picture.labels[b] > 0));
    for (const i of order) {
      const isObject = picture.labels[i] > 0;
      pen.box(picture.boxes[i], { colour: isObject ? ORANGE : SKY, width: isObject ? 2 : 1, dash: isObject ? [] : [4, 3] });
    }
    if (chosen === null) return;
    const [box, label] = [picture.boxes[chosen], picture.labels[chosen]];
    const colour = label > 0 ? ORANGE : SKY;
    pen.outlined(box, colour, 3);
    pen.label(className(label), box[0], box[1], colour);
  });
});
on(["batch", "roi"], draw);
new ResizeObserver(draw).observe($(".batch-row"));

on(["roi", "batch"], () => {
  const place = $(".roi-text");
  if (!state.roi || !state.batch) return refill(place);
  const picture = state.batch.pictures[state.roi.picture];
  const i = state.roi.index;
  const listed = (values) => values?.map((value) => fixed(value, 3)).join(", ");
  refill(
    place,
    ...pieces(picture.targets[i] ? "batch.roi" : "batch.roi.background", {
      number: String(i + 1), count: String(picture.boxes.length), corners: cornersOf(picture.boxes[i]),
      label: make("b", {}, className(picture.labels[i])), iou: fixed(picture.overlaps[i], 3),
      cls: fixed(picture.losses_cls[i], 3), loc: fixed(picture.losses_loc[i], 3),
      raw: listed(picture.deltas[i]), target: listed(picture.targets[i]), predicted: listed(picture.predicted[i]),
    }),
  );
});
