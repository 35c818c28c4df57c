// The same few held-out pictures, detected again and again as the model learns.

const LEAST = 0.5; // detections below this are not drawn
let drawnScenes = [];

const askScenes = asker("scenes", async (answer, question) => {
  const { token } = state;
  if (question.pictures) {
    const pictures = await loadImages(answer.pictures);
    if (token !== state.token) return;
    change({ pictures });
  }
  change({ scenes: { iteration: answer.iteration, found: answer.found } });
});

on(["pictures"], () => {
  $(".theatre.scenes").hidden = state.pictures === null;
  if (!state.pictures) return;
  drawnScenes = state.pictures.map(() => make("canvas", { role: "img" }));
  $(".scene-row").replaceChildren(
    ...drawnScenes.map((canvas, i) =>
      make(
        "figure", {}, canvas,
        make("button", { class: "link", "data-scene": i, onclick: () => lookThrough(i) }, t("scenes.open", { number: i + 1 })),
      ),
    ),
  );
});

const drawScenes = soon(() => {
  if (!state.pictures || !state.scenes) return;
  drawnScenes.forEach((canvas, index) => {
    const picture = state.pictures[index];
    const width = canvas.parentElement.clientWidth;
    if (!width) return;
    const { context, pen } = drawPicture(canvas, picture, width);
    for (const { box } of picture.objects) pen.box(box, { colour: "#ffffff", width: 1.5, dash: [5, 4] });
    const found = state.scenes.found[index].filter(({ score }) => score >= LEAST);
    for (const { label, score, box } of found.toReversed()) {
      context.globalAlpha = Math.min(0.35 + 0.65 * score, 1);
      pen.outlined(box, classColour(state.classes.indexOf(label) + 1), 1 + 2 * score);
    }
    context.globalAlpha = 1;
    for (const { label, score, box } of found.toReversed()) {
      pen.label(`${label} ${fixed(score, 2)}`, box[0], box[1], classColour(state.classes.indexOf(label) + 1));
    }
    const list = found.map(({ label, score }) => `${label} ${fixed(score, 2)}`).join(", ");
    canvas.setAttribute("aria-label", t("scenes.picture", { number: index + 1, found: list || t("scenes.nothing") }));
  });
});
on(["scenes", "pictures"], drawScenes);
new ResizeObserver(drawScenes).observe($(".scene-row"));

on(["scenes"], () => {
  if (!state.scenes) return;
  $(".scenes-told").textContent = t("scenes.told", { iteration: state.scenes.iteration, least: LEAST });
});

function lookThrough(scene) {
  say(t("scenes.taking"));
  trigger("look", { token: state.token, scene });
}
$(".look").addEventListener("click", () => lookThrough(0));
