// The photograph, with what the open step has to say drawn on it, and all that a pointer does to it.

const scene = $(".scene");
let drag = null; // {from, to} in pixels of the photograph
let lastClick = null;

const chosenBox = () => {
  if (!state.chosen) return null;
  return state.chosen.box || state.proposals?.boxes[state.chosen.index] || null;
};

// Indices of the proposals that are shown.
function visible() {
  if (!state.proposals) return [];
  const { boxes, sources } = state.proposals;
  const wanted = sourceRuns();
  const indices = [];
  for (let i = 0; i < Math.min(state.shown, boxes.length); i++) {
    if (wanted === null || wanted.has(sources[i][0])) indices.push(i);
  }
  return indices;
}

const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);

function boxesAt([x, y]) {
  const { boxes } = state.proposals;
  return visible()
    .filter((i) => boxes[i][0] <= x && x < boxes[i][2] && boxes[i][1] <= y && y < boxes[i][3])
    .sort((i, j) => area(boxes[i]) - area(boxes[j]));
}

const drawSoon = soon(drawScene);

function sceneScale() {
  const room = $(".photo").clientWidth;
  const { width, height } = state.picture;
  const tallest = Math.max(240, Math.min(640, window.innerHeight * 0.72));
  return Math.min(room / width, tallest / height);
}

function drawScene() {
  if (!state.picture) {
    canvasContext(scene, Math.max($(".photo").clientWidth, 1), 240);
    return;
  }
  const { width, height, image } = state.picture;
  const scale = sceneScale();
  const context = canvasContext(scene, width * scale, height * scale);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width * scale, height * scale);
  // From here on in pixels of the photograph.
  const ratio = window.devicePixelRatio || 1;
  context.setTransform(ratio * scale, 0, 0, ratio * scale, 0, 0);
  const pen = new Pen(context, scale, state.picture);
  ({
    grouping: drawGrouping, proposals: drawProposals, pooling: drawPatch,
    head: drawRegression, result: drawResult,
  })[state.tab](context, pen);
  if (drag) {
    pen.box(dragBox(), { colour: "#ffffff", width: 4 });
    pen.box(dragBox(), { colour: state.tool === "truth" ? GREEN : ORANGE, width: 2, dash: [6, 4] });
  }
}

function drawChosen(pen) {
  const box = chosenBox();
  if (box) pen.outlined(box, ORANGE);
}

// Where boxes of other colours are the subject.
function drawChosenApart(pen) {
  const box = chosenBox();
  if (!box) return;
  pen.box(box, { colour: "#000000", width: 4 });
  pen.box(box, { colour: "#ffffff", width: 2.5, dash: [9, 5] });
  pen.label(state.chosen.box ? t("photo.own") : t("photo.chosen", { rank: state.chosen.index + 1 }), box[0], box[3] + 18 * pen.pixel, "#ffffff");
}

// The pointer and the keys

function pointOf(event) {
  const { left, top } = scene.getBoundingClientRect();
  const scale = scene.clientWidth / state.picture.width;
  return [(event.clientX - left) / scale, (event.clientY - top) / scale];
}

function dragBox() {
  const { width, height } = state.picture;
  const xs = [drag.from[0], drag.to[0]].map((x) => Math.min(Math.max(x, 0), width));
  const ys = [drag.from[1], drag.to[1]].map((y) => Math.min(Math.max(y, 0), height));
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

scene.addEventListener("pointerdown", (event) => {
  if (!state.picture || event.button !== 0) return;
  scene.setPointerCapture(event.pointerId);
  const point = pointOf(event);
  drag = { from: point, to: point, far: false };
});

scene.addEventListener("pointermove", (event) => {
  if (!state.picture) return;
  const point = pointOf(event);
  if (drag) {
    drag.to = point;
    const [dx, dy] = [point[0] - drag.from[0], point[1] - drag.from[1]];
    drag.far ||= Math.hypot(dx, dy) * sceneScale() > 6;
    drawSoon();
  } else if (state.proposals && state.tab !== "grouping") {
    change({ hovered: boxesAt(point)[0] ?? null });
  }
});

scene.addEventListener("pointerleave", () => change({ hovered: null }));
scene.addEventListener("pointercancel", () => {
  drag = null;
  drawSoon();
});

scene.addEventListener("pointerup", (event) => {
  if (!drag || !state.picture) return;
  const { far } = drag;
  const box = dragBox().map((value) => Math.round(value * 10) / 10);
  drag = null;
  drawSoon();
  if (!far) return click(pointOf(event));
  useBox(box);
});
on(["token"], () => {
  drag = null;
  lastClick = null;
});

// The part of a box that lies on the photograph, or null where there is less than a pixel of it.
function onlyInside([x1, y1, x2, y2]) {
  const { width, height } = state.picture;
  const box = [Math.max(x1, 0), Math.max(y1, 0), Math.min(x2, width), Math.min(y2, height)];
  return box[2] - box[0] >= 1 && box[3] - box[1] >= 1 ? box : null;
}

// A box that was dragged or typed.
function useBox(whole) {
  if (!state.picture) return;
  const box = onlyInside(whole);
  if (!box) return say(t("photo.outside"));
  if (state.tool !== "truth") return choose({ box });
  if (state.truth.length === 100) return say(t("photo.hundred"));
  change({ truth: [...state.truth, { box, label: null, difficult: false }] });
}

function choose(chosen) {
  change({ chosen, channel: null, bin: null, label: null });
}

function click(point) {
  if (!state.proposals) return;
  change({ hovered: null });
  const here = state.tab === "result" ? [...detectedAt(point), ...boxesAt(point)] : boxesAt(point);
  if (!here.length) return;
  const again = lastClick && Math.hypot(point[0] - lastClick[0], point[1] - lastClick[1]) * sceneScale() < 5;
  lastClick = point;
  const at = again ? here.indexOf(state.chosen?.index) : -1;
  choose({ index: here[(at + 1) % here.length] });
}

scene.addEventListener("keydown", (event) => {
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  if (!(event.key in steps) || !state.proposals) return;
  event.preventDefault();
  const shown = visible();
  if (!shown.length) return;
  // From a box that is not shown, to the nearest one that is.
  const at = state.chosen?.index ?? -1;
  const later = shown.filter((i) => i > at);
  const earlier = shown.filter((i) => i < at);
  const next = steps[event.key] > 0 ? later[0] : earlier.at(-1);
  change({ hovered: null });
  choose({ index: next ?? (steps[event.key] > 0 ? shown.at(-1) : shown[0]) });
});

on(
  ["picture", "tab", "grouping", "merge", "proposals", "shown", "source", "hovered", "chosen",
    "box", "bin", "label", "truth", "decisions", "form", "activity"],
  drawSoon,
);
new ResizeObserver(drawSoon).observe($(".photo"));

on(["chosen", "hovered", "picture", "proposals"], () => {
  const box = chosenBox();
  const round = (corners) => corners.map((value) => fixed(value, 0)).join(", ");
  let text = "";
  if (state.hovered !== null) text = t("photo.told.rank", { rank: state.hovered + 1, corners: round(state.proposals.boxes[state.hovered]) });
  else if (box && state.chosen.index != null) text = t("photo.told.chosen", { rank: state.chosen.index + 1, corners: round(box) });
  else if (box) text = t("photo.told.own", { corners: box.map((value) => fixed(value, 1)).join(", ") });
  $(".under").textContent = text;
  scene.setAttribute("aria-label", t("photo.label", { name: state.name, told: text }));
});

// The same for those who only hear it, once per choice.
on(["chosen"], () => {
  const box = chosenBox();
  if (!box) return;
  const corners = box.map((value) => fixed(value, 0)).join(", ");
  $(".spoken").textContent = state.chosen.box
    ? t("photo.spoken.own", { corners })
    : t("photo.spoken.rank", { rank: state.chosen.index + 1, corners });
});

// What the lines on the photograph are.
on(["tab"], showLegend);
function showLegend() {
  $(".legend").textContent = t(`legend.${state.tab}`);
}
