// Starting, following and ending a run.

import { saveFile } from "../shared/dom.js";
import { counted, sentence, text } from "../shared/texts.js";
import { keepForComparison } from "./compared.js";
import { smoothOn } from "./curves.js";
import { hasOtherSettings, settings } from "./form.js";
import { $, change, isOver, isRunning, isUnderWay, newCurves, on, requester, root, server, showStatus, state, trigger } from "./page.js";

const POLL = 400; // milliseconds between two requests while a run computes
const SLOW_POLL = 15000; // and while it does not, so that the server knows we are there
const RETRY = 3000;
const NO_RUN = {
  phase: "none", trouble: null, ahead: 0, doing: null, iterations: 0, left: null, length: 0, measured: 0,
  hovered: null, batch: null, roi: null, latestScenes: null, scenes: null, pictures: null, history: null, look: null,
  latestPrecision: null, precision: null,
};

let stepAfterStart = false;
let asked = null; // the settings of the run that was asked for

function start({ paused = false, step = false } = {}) {
  if (state.starting) return;
  stepAfterStart = step;
  asked = settings();
  change({ starting: true, refused: null, told: null });
  showStatus(text("train.starting"));
  trigger("start", { ...asked, paused });
}

// A note from the server: the run is there, or why it is not.
export function receive(note) {
  if (!note) return;
  change({ starting: false });
  if (note.error) return change({ refused: sentence(note) });
  if (note.token === state.token) return;
  clearTimeout(timer);
  keepForComparison();
  change({ ...NO_RUN, curves: newCurves(), token: note.token, name: nameOf(note), trained: asked });
  $(".command").hidden = false;
  $(".command code").textContent = note.command;
  if (stepAfterStart) requestControl({ action: "step" });
  poll();
}

// What is different about a run.
function nameOf({ recipe, changed, pictures, folder }) {
  const parts = Object.entries(changed).map(([key, value]) => `${key} ${value}`);
  if (pictures !== null) parts.push(text("runs.pictures", { pictures }));
  if (folder !== null) parts.push(folder);
  return parts.length ? `${recipe}: ${parts.join(", ")}` : recipe;
}

// Following it

let timer = null;
let polling = false; // a request is on its way; two would bring the same steps twice
let again = false; // and another is to follow it
let hastyUntil = 0; // what was just asked for shows soon

async function poll() {
  clearTimeout(timer);
  if (polling) {
    again = true;
    return;
  }
  polling = true;
  try {
    await requestProgress();
  } finally {
    polling = false;
    if (again) {
      again = false;
      poll();
    }
  }
}

async function requestProgress() {
  const { token, curves } = state;
  if (token === null) return;
  const { steps, validations, evaluations } = curves;
  let reply = null;
  try {
    reply = await server.progress({ token, steps: steps.length, validations: validations.length, evaluations: evaluations.length });
  } catch {
    // No reply: the server or the line is down.
  }
  if (token !== state.token) {
    again = true; // a new run began meanwhile
    return;
  }
  if (!reply) {
    showStatus(text("train.no-reply"));
    timer = setTimeout(poll, RETRY);
    return;
  }
  if (reply.error) {
    change({ token: null, phase: isOver() ? state.phase : "stopped" });
    showStatus(sentence(reply));
    return;
  }
  take(reply);
  const hasty = isRunning() || Date.now() < hastyUntil;
  timer = setTimeout(poll, hasty ? POLL : SLOW_POLL);
}

function take(reply) {
  const { curves } = state;
  for (const name of ["steps", "validations", "evaluations"]) curves[name].push(...reply[name]);
  smoothOn(curves);
  change({
    phase: reply.phase, trouble: reply.trouble && sentence(reply.trouble), ahead: reply.ahead, doing: reply.doing, left: reply.left,
    iterations: reply.iterations ?? 0, classes: reply.classes, length: curves.steps.length, measured: curves.evaluations.length,
    latestScenes: reply.scenes, latestPrecision: reply.precision_recall,
  });
  show();
}

// The status line, the bar and the buttons

const go = $(".go");

function show() {
  const { phase, doing, starting } = state;
  root.dataset.phase = starting ? "starting" : phase;
  const bar = $(".doing");
  bar.hidden = !doing || doing.total < 2 || isOver();
  if (doing) Object.assign(bar, { max: doing.total, value: doing.done });
  go.textContent = isRunning() ? text("pause") : phase === "paused" ? text("train.go-on") : text("train.start");
  go.disabled = starting;
  $(".one").disabled = starting || isRunning();
  $(".stop").disabled = starting || !isUnderWay();
  $(".anew").disabled = starting;
  $(".reset").disabled = starting || phase === "none";
  $(".takeaways").hidden = !state.curves.steps.length || state.token === null;
  const words = statusText();
  if (!starting && words !== null && $(".status").textContent !== words) showStatus(words);
}
on(["phase", "doing", "ahead", "trouble", "refused", "starting", "length", "token", "settings", "told"], show);
show(); // a link may have brought settings already

function statusText() {
  const { phase, doing, ahead, trouble, refused, told } = state;
  if (refused !== null) return refused;
  if (told !== null && !isUnderWay()) return text(told);
  const stage = doing && text(doing.total > 1 ? "doing.counted" : "doing", { ...doing, stage: text(`doing.${doing.stage}`) });
  switch (phase) {
    case "none": return null;
    case "failed": return trouble;
    case "waiting": return ahead ? counted("phase.waiting", ahead) : text("phase.waiting");
    case "paused":
      if (stage) return text("phase.paused-in", { stage });
      if (hasOtherSettings()) return text("phase.paused-others");
      return text(state.curves.steps.length ? "phase.paused" : "phase.at-start");
    default: return (isRunning() && stage) || text(`phase.${phase}`);
  }
}

// Buttons

const requestControl = requester("control", () => {
  hastyUntil = Date.now() + 3000;
  poll();
});

go.addEventListener("click", () => {
  if (isRunning()) requestControl({ action: "pause" });
  else if (state.phase === "paused") requestControl({ action: "resume" });
  else start();
});
$(".one").addEventListener("click", () => {
  if (state.phase === "paused") requestControl({ action: "step" });
  else start({ paused: true, step: true });
});
$(".stop").addEventListener("click", () => requestControl({ action: "stop" }));
$(".reset").addEventListener("click", () => start({ paused: true }));
$(".anew").addEventListener("click", () => start());

const requestFile = requester("takeaway", (reply) => saveFile(reply, "application/x-ndjson"));
for (const kind of ["png", "jsonl", "checkpoint"]) {
  $(`.take-${kind}`).addEventListener("click", () => requestFile({ kind }));
}

show();
