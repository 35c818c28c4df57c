// The mini-batch theatre: the pictures of the last step with their sampled RoIs.

let held = false; // somebody is looking at a box
let drawnBatch = []; // canvases, one a picture

// Images for a list of {src}, loaded.
function loadImages(pictures) {
  return Promise.all(
    pictures.map(
      (picture) =>
        new Promise((done) => {
          const image = new Image();
          image.onload = image.onerror = () => done({ ...picture, image });
          image.src = picture.src;
        }),
    ),
  );
}

const askBatch = asker("batch", async (answer) => {
  const { token } = state;
  const pictures = await loadImages(answer.pictures);
  if (token === state.token && !held) change({ batch: { ...answer, pictures }, roi: null });
});

on(["batch"], () => {
  $(".theatre.batch").hidden = state.batch === null;
  if (!state.batch) return;
  const { iteration, foreground, background, pictures } = state.batch;
  $(".batch-told").textContent = counted("batch.told", pictures.length, { iteration, foreground, background });
  if (drawnBatch.length !== pictures.length) {
    drawnBatch = pictures.map((_, i) => batchCanvas(i));
    $(".batch-row").replaceChildren(...drawnBatch.map((canvas) => make("figure", {}, canvas, make("figcaption", {}))));
  }
  drawnBatch.forEach((canvas, i) => {
    const picture = pictures[i];
    const name = t(picture.flipped ? "batch.picture.mirrored" : "batch.picture", picture);
    canvas.setAttribute("aria-label", t("batch.picture-label", { picture: name, count: picture.boxes.length }));
    canvas.nextSibling.textContent = name;
  });
});

function batchCanvas(index) {
  const canvas = make("canvas", { tabindex: 0, role: "application", "aria-roledescription": t("batch.role") });
  canvas.addEventListener("pointermove", (event) => {
    const picture = state.batch.pictures[index];
    const scale = canvas.clientWidth / picture.width;
    const [x, y] = [event.offsetX / scale, event.offsetY / scale];
    const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
    const hit = picture.boxes
      .map((box, i) => [box, i])
      .filter(([[x1, y1, x2, y2]]) => x1 <= x && x < x2 && y1 <= y && y < y2)
      .sort(([a], [b]) => area(a) - area(b))[0];
    held = Boolean(hit);
    change({ roi: hit ? { picture: index, index: hit[1] } : null });
  });
  const leave = () => {
    held = false;
    change({ roi: null });
  };
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("blur", leave);
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const count = state.batch.pictures[index].boxes.length;
    if (!count) return;
    const now = state.roi?.picture === index ? state.roi.index : step > 0 ? -1 : 0;
    held = true;
    change({ roi: { picture: index, index: (now + step + count) % count } });
  });
  return canvas;
}

const drawBatch = soon(() => {
  if (!state.batch) return;
  drawnBatch.forEach((canvas, index) => {
    const picture = state.batch.pictures[index];
    const width = canvas.parentElement.clientWidth;
    if (!width || !picture) return;
    const { pen } = drawPicture(canvas, picture, width);
    const chosen = state.roi?.picture === index ? state.roi.index : null;
    const order = picture.boxes.map((_, i) => i).sort((a, b) => (picture.labels[a] > 0) - (picture.labels[b] > 0));
    for (const i of order) {
      const isObject = picture.labels[i] > 0;
      pen.box(picture.boxes[i], { colour: isObject ? ORANGE : SKY, width: isObject ? 2 : 1, dash: isObject ? [] : [4, 3] });
    }
    if (chosen !== null) {
      pen.outlined(picture.boxes[chosen], picture.labels[chosen] > 0 ? ORANGE : SKY, 3);
      pen.label(className(picture.labels[chosen]), picture.boxes[chosen][0], picture.boxes[chosen][1], picture.labels[chosen] > 0 ? ORANGE : SKY);
    }
  });
});
on(["batch", "roi"], drawBatch);
new ResizeObserver(drawBatch).observe($(".batch-row"));

// A picture as wide as there is room, and a pen in its pixels.
function drawPicture(canvas, picture, width) {
  const scale = width / picture.width;
  const context = canvasContext(canvas, width, picture.height * scale);
  context.imageSmoothingQuality = "high";
  context.drawImage(picture.image, 0, 0, width, picture.height * scale);
  const ratio = window.devicePixelRatio || 1;
  context.setTransform(ratio * scale, 0, 0, ratio * scale, 0, 0);
  return { context, pen: new Pen(context, scale, picture) };
}

on(["roi", "batch"], () => {
  const told = $(".roi-told");
  if (!state.roi || !state.batch) return refill(told);
  const picture = state.batch.pictures[state.roi.picture];
  const i = state.roi.index;
  const target = picture.targets[i];
  const corners = picture.boxes[i].map((value) => fixed(value, 0)).join(", ");
  refill(
    told,
    ...pieces(target ? "batch.roi" : "batch.roi.background", {
      number: String(i + 1), count: String(picture.boxes.length), corners,
      label: make("b", {}, className(picture.labels[i])), iou: fixed(picture.overlaps[i], 3),
      target: target?.map((value) => fixed(value, 3)).join(", "),
    }),
  );
});
