// Teaching: the button, what the server tells meanwhile, and the curve of the scores.

import { canvasContext } from "../shared/canvas.js";
import { ORANGE, SKY } from "../shared/colours.js";
import { saveFile, soon } from "../shared/dom.js";
import { fixed } from "../shared/numbers.js";
import { sentence, text } from "../shared/texts.js";
import { className } from "./album.js";
import { $, change, on, requester, root, showStatus, state, trigger } from "./page.js";

const HEIGHT = 120;
const MARGIN = { left: 26, right: 8, top: 6, bottom: 18 };
const canvas = $(".curve canvas");

$(".go").addEventListener("click", () => {
  if (state.waiting) return;
  const boxes = Object.fromEntries(state.photos.map(({ number }) => [number, state.boxes[number] ?? []]));
  if (!className()) {
    $(".name").focus();
    return showStatus(text("teach.needs-name"));
  }
  if (!Object.values(boxes).some((own) => own.length)) return showStatus(text("teach.needs-box"));
  change({ waiting: true, steps: [] });
  trigger("teach", { token: state.token, name: className(), boxes });
});

// A note from the server: the album as it is now, or what went wrong.
export function receive(note) {
  if (!note) return;
  if (note.error) {
    change({ waiting: false, doing: null });
    return showStatus(sentence(note));
  }
  const { token, photos, taught, doing, steps } = note;
  change({ token, photos, taught, doing, steps: steps ?? state.steps, waiting: doing !== null });
}

on(["doing", "waiting", "taught", "photos", "boxes"], () => {
  const { doing, waiting, taught, photos, boxes } = state;
  const bar = $(".doing");
  bar.hidden = !doing;
  if (doing) Object.assign(bar, { max: doing.total, value: doing.done });
  $(".go").disabled = waiting;
  $(".takeaways").hidden = taught === null || waiting;
  if (doing) showStatus(text(`teach.${doing.stage}`, { done: doing.done, total: doing.total, place: doing.done + 1 }));
  else if (waiting) showStatus(text("teach.waiting"));
  else if (taught) showStatus(text("teach.taught", { taught }));
  else if (photos.length) {
    const drawn = Object.values(boxes).some((own) => own.length);
    showStatus(text(drawn ? "teach.to-teach" : "teach.to-draw", { keys: text("teach.keys") }));
  }
});

const draw = soon(() => {
  const { steps } = state;
  $(".curve").hidden = !steps.length;
  const width = $(".curve").clientWidth;
  if (!steps.length || !width) return;
  const context = canvasContext(canvas, width, HEIGHT);
  const last = steps.at(-1)[0];
  const x = (iteration) => MARGIN.left + ((width - MARGIN.left - MARGIN.right) * iteration) / last;
  const y = (score) => MARGIN.top + (HEIGHT - MARGIN.top - MARGIN.bottom) * (1 - score);
  const style = getComputedStyle(root);
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = style.color;
  context.strokeStyle = style.getPropertyValue("--line");
  context.textAlign = "right";
  for (const tick of [0, 0.5, 1]) {
    context.beginPath();
    context.moveTo(x(0), y(tick));
    context.lineTo(x(last), y(tick));
    context.stroke();
    context.fillText(String(tick), x(0) - 4, y(tick) + 4);
  }
  context.fillText(String(last), x(last), HEIGHT - 4);
  context.lineWidth = 2;
  for (const [at, colour] of [[2, ORANGE], [3, SKY]]) {
    context.strokeStyle = colour;
    context.beginPath();
    for (const step of steps) context.lineTo(x(step[0]), y(step[at]));
    context.stroke();
  }
});
on(["steps"], draw);
new ResizeObserver(draw).observe($(".controls"));
new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["class"] });

on(["steps"], () => {
  const step = state.steps.at(-1);
  $(".curve-text").textContent = step
    ? text("teach.step", { iteration: step[0], loss: fixed(step[1], 3), own: fixed(step[2], 2), background: fixed(step[3], 2) })
    : "";
});

const requestFile = requester("takeaway", (reply) => saveFile(reply));
$(".take-checkpoint").addEventListener("click", () => {
  showStatus(text("teach.saving"));
  requestFile({});
});
