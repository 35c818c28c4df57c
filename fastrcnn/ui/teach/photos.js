// The photographs of the album, with the boxes that were drawn and those that were found.

import { drawPicture } from "../shared/canvas.js";
import { classText } from "../shared/class-names.js";
import { ORANGE, SKY } from "../shared/colours.js";
import { make, refill, soon } from "../shared/dom.js";
import { area, contains, fixed } from "../shared/numbers.js";
import { counted, text } from "../shared/texts.js";
import { $, change, on, props, server, showStatus, state, trigger } from "./page.js";

const TALLEST = 320; // pixels
const LEAST = 4; // screen pixels of a drag
const STEP = 0.02; // of the photograph's width, by key
const canvases = new Map(); // by number
let drag = null; // {photo, from, to} in pixels of the photograph

const boxesOf = (photo) => state.boxes[photo] ?? [];

function setBoxes(photo, boxes) {
  if (boxes.length > props.boxes) return showStatus(text("server.boxes", { most: props.boxes }));
  change({ boxes: { ...state.boxes, [photo]: boxes } });
}

// Requests what is new, and shows what is there.
on(["photos"], async () => {
  $(".photos .empty").hidden = state.photos.length > 0;
  const kept = new Set(state.photos.map(({ number }) => number));
  for (const [number, canvas] of canvases) {
    if (!kept.has(number)) {
      canvas.closest("figure").remove();
      canvases.delete(number);
    }
  }
  for (const { number, name } of state.photos) {
    if (canvases.has(number)) continue;
    $(".photos").append(figure(number, name));
    const { token } = state;
    const reply = await server.photo({ token, photo: number });
    if (token !== state.token || reply?.error) continue;
    const image = new Image();
    image.src = reply.src;
    await image.decode();
    change({ images: { ...state.images, [number]: { ...reply, image } } });
  }
});

function figure(number, name) {
  const canvas = make("canvas", { tabindex: 0, role: "application", "aria-roledescription": text("batch.role"), "data-photo": number });
  canvases.set(number, canvas);
  canvas.addEventListener("pointerdown", (event) => {
    if (!state.images[number] || event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    drag = { photo: number, from: pointOf(event), to: pointOf(event) };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (drag?.photo !== number) return;
    drag.to = pointOf(event);
    draw();
  });
  canvas.addEventListener("pointercancel", () => {
    drag = null;
    draw();
  });
  canvas.addEventListener("pointerup", () => {
    if (drag?.photo === number) endDrag(number);
  });
  canvas.addEventListener("keydown", (event) => key(event, number));
  return make("figure", { "data-photo": number }, canvas, make("figcaption", {}, make("b", {}, name), " ", make("span", { class: "photo-text" })), make("div", { class: "player" }));
}

function pointOf(event) {
  const { width, height } = state.images[event.target.dataset.photo];
  const scale = event.target.clientWidth / width;
  const inside = (value, most) => Math.min(Math.max(value / scale, 0), most);
  return [inside(event.offsetX, width), inside(event.offsetY, height)];
}

const boxBetween = ([x1, y1], [x2, y2]) =>
  [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)].map(Math.round);

// A drag draws a box; a click chooses the smallest box there.
function endDrag(photo) {
  const { from, to } = drag;
  drag = null;
  const scale = canvases.get(photo).clientWidth / state.images[photo].width;
  const boxes = boxesOf(photo);
  if (Math.min(Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])) * scale >= LEAST) {
    setBoxes(photo, [...boxes, boxBetween(from, to)]);
    return change({ chosen: { photo, index: boxesOf(photo).length - 1 } });
  }
  const here = boxes.map((_, i) => i).filter((i) => contains(boxes[i], to));
  const [index] = here.sort((i, j) => area(boxes[i]) - area(boxes[j]));
  change({ chosen: index === undefined ? null : { photo, index } });
  draw();
}

// Enter draws a box in the middle. Arrows move the chosen one, with Shift they stretch it, and
// Delete removes it.
function key(event, photo) {
  const picture = state.images[photo];
  if (!picture) return;
  const { width, height } = picture;
  const boxes = boxesOf(photo);
  const index = state.chosen?.photo === photo ? state.chosen.index : boxes.length - 1;
  const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (event.key === "Enter") {
    setBoxes(photo, [...boxes, [3 * width, 3 * height, 5 * width, 5 * height].map((value) => Math.round(value / 8))]);
    change({ chosen: { photo, index: boxesOf(photo).length - 1 } });
  } else if (event.key === "Delete" || event.key === "Backspace") {
    removeBox(photo, index);
  } else if (move && boxes[index]) {
    const [dx, dy] = move.map((value) => Math.round(value * STEP * width));
    const [x1, y1, x2, y2] = boxes[index];
    const moved = event.shiftKey ? [x1, y1, x2 + dx, y2 + dy] : [x1 + dx, y1 + dy, x2 + dx, y2 + dy];
    const fits = moved[0] >= 0 && moved[1] >= 0 && moved[2] <= width && moved[3] <= height;
    if (fits && moved[2] - moved[0] >= LEAST && moved[3] - moved[1] >= LEAST) {
      setBoxes(photo, boxes.with(index, moved));
      change({ chosen: { photo, index } });
    }
  } else return;
  event.preventDefault();
}

function removeBox(photo, index) {
  if (!boxesOf(photo)[index]) return;
  setBoxes(photo, boxesOf(photo).toSpliced(index, 1));
  change({ chosen: null });
}

async function removePhoto(number) {
  const reply = await server.remove({ token: state.token, photo: number });
  if (!reply || reply.error) return;
  const boxes = { ...state.boxes };
  delete boxes[number];
  change({ photos: reply.photos, boxes, chosen: null });
}

const draw = soon(() => {
  for (const { number, name, found } of state.photos) {
    const canvas = canvases.get(number);
    const picture = state.images[number];
    const width = canvas?.parentElement.clientWidth - 18;
    if (!picture || !(width > 0)) continue;
    const { pen } = drawPicture(canvas, picture, Math.min(width / picture.width, TALLEST / picture.height));
    const own = (found ?? []).filter(({ label }) => label === state.taught);
    boxesOf(number).forEach((box, i) => {
      const isChosen = state.chosen?.photo === number && state.chosen.index === i;
      pen.box(box, { colour: "#000000", width: 4 });
      pen.box(box, { colour: ORANGE, width: isChosen ? 3.5 : 2, dash: isChosen ? [] : [6, 4] });
    });
    for (const { box } of own) pen.outlined(box, SKY, 2.5);
    if (drag?.photo === number) pen.box(boxBetween(drag.from, drag.to), { colour: ORANGE, width: 2, dash: [3, 3] });
    for (const { box, score } of own) pen.label(`${state.taught} ${fixed(score, 2)}`, box[0], box[1], SKY);
    canvas.setAttribute("aria-label", text("teach.photo-label", { name, about: about(number, found) }));
  }
});
on(["photos", "images", "boxes", "chosen", "taught"], draw);
new ResizeObserver(draw).observe($(".photos"));

function about(number, found) {
  const count = boxesOf(number).length;
  const role = count ? counted("teach.learned", count) : text("teach.looked-through");
  if (!found) return role;
  const list = found.map(({ label, score }) => `${classText(label)} ${fixed(score, 2)}`).join(", ");
  return `${role} ${text("teach.found", { list: list || text("teach.nothing") })}`;
}

on(["photos", "boxes", "taught", "waiting"], () => {
  for (const { number, found } of state.photos) {
    const figure = canvases.get(number)?.closest("figure");
    if (!figure) continue;
    figure.querySelector(".photo-text").textContent = about(number, found);
    const button = (name, onclick, disabled = false) =>
      make("button", { type: "button", class: "link", "data-key": name, disabled, onclick }, text(`teach.${name}`));
    refill(
      figure.querySelector(".player"),
      boxesOf(number).length ? button("remove-box", () => removeBox(number, state.chosen?.photo === number ? state.chosen.index : boxesOf(number).length - 1)) : null,
      button("remove-photo", () => removePhoto(number), state.waiting),
      found ? button("open", () => trigger("look", { token: state.token, photo: number })) : null,
    );
  }
});
