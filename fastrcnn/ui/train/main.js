// Starting, following and ending a run.

const POLL = 400; // milliseconds between two questions while a run computes
const SLOW_POLL = 15000; // and while it does not, so that the server knows we are there
const NOTHING_KNOWN = {
  phase: "none", trouble: null, ahead: 0, doing: null, iterations: 0, left: null, length: 0, measured: 0,
  hovered: null, batch: null, roi: null, scenes: null, pictures: null,
};

let timer = null;
let asking = false; // a question about progress is on its way; two would bring the same steps twice
let again = false; // and another is to follow it
let hastyUntil = 0; // what was just asked for shows soon
let starting = false; // a run was asked for and its token is not there yet
let stepAfterStart = false;

function startRun({ paused = false, step = false } = {}) {
  if (starting) return;
  starting = true;
  stepAfterStart = step;
  change({ refused: null });
  root.dataset.phase = "starting";
  say(t("bench.starting"));
  showButtons();
  trigger("start", { ...settings(), paused });
}

function receive(note) {
  if (!note) return;
  starting = false;
  root.dataset.phase = state.phase;
  if (note.error) {
    change({ refused: sentence(note) });
    showStatus();
    showButtons();
    return;
  }
  if (note.token === state.token) return;
  clearTimeout(timer);
  keepForComparison();
  curves = newCurves();
  held = false;
  change({ ...NOTHING_KNOWN, token: note.token, name: nameOf(note) });
  $(".command").hidden = false;
  $(".command code").textContent = note.command;
  if (stepAfterStart) askControl({ action: "step" });
  poll();
}

// What is different about a run.
function nameOf({ recipe, changed, pictures, folder }) {
  const what = Object.entries(changed).map(([key, value]) => `${key} ${value}`);
  if (pictures !== null) what.push(t("runs.pictures", { pictures }));
  if (folder !== null) what.push(folder);
  return what.length ? `${recipe}: ${what.join(", ")}` : recipe;
}

const askControl = asker("control", () => {
  hastyUntil = Date.now() + 3000;
  poll();
});

async function poll() {
  clearTimeout(timer);
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  try {
    await askProgress();
  } finally {
    asking = false;
    if (again) {
      again = false;
      poll();
    }
  }
}

async function askProgress() {
  const { token } = state;
  if (token === null) return;
  let answer;
  try {
    answer = await server.progress({
      token, steps: curves.steps.length, validations: curves.validations.length, evaluations: curves.evaluations.length,
    });
  } catch {
    answer = null;
  }
  if (token !== state.token) {
    again = true; // a new run began meanwhile
    return;
  }
  if (!answer) {
    say(t("bench.no-answer"));
    timer = setTimeout(poll, 3000);
    return;
  }
  if (answer.error) {
    change({ token: null, phase: ENDED.includes(state.phase) ? state.phase : "stopped" });
    say(sentence(answer));
    return;
  }
  take(answer);
  const hasty = RUNNING.includes(answer.phase) || Date.now() < hastyUntil;
  timer = setTimeout(poll, hasty ? POLL : SLOW_POLL);
}

function take(answer) {
  curves.steps.push(...answer.steps);
  curves.validations.push(...answer.validations);
  curves.evaluations.push(...answer.evaluations);
  smoothOn(curves);
  change({
    phase: answer.phase, trouble: answer.trouble && sentence(answer.trouble), ahead: answer.ahead, doing: answer.doing, left: answer.left,
    iterations: answer.iterations ?? 0, classes: answer.classes, length: curves.steps.length, measured: curves.evaluations.length,
  });
  if (curves.steps.length && state.batch?.iteration !== curves.steps.length && !held && isSeen(".theatre.batch")) askBatch({});
  showStatus();
  if (answer.scenes !== null && answer.scenes !== state.scenes?.iteration) askScenes({ pictures: state.pictures === null });
}

// What nobody looks at need not be sent; what is hidden because it is empty has to come first.
function isSeen(selector) {
  const place = $(selector);
  if (place.hidden) return root.offsetParent !== null;
  const { top, bottom } = place.getBoundingClientRect();
  return bottom > 0 && top < window.innerHeight && root.offsetParent !== null;
}
window.addEventListener("scroll", () => {
  if (state.token && curves.steps.length && state.batch?.iteration !== curves.steps.length && !held && isSeen(".theatre.batch")) askBatch({});
}, { passive: true });

on(["phase", "doing", "ahead", "trouble", "refused"], showStatus);

function showStatus() {
  const { phase, doing, ahead, trouble, refused } = state;
  if (!starting) root.dataset.phase = phase;
  const bar = $(".doing");
  bar.hidden = !doing || doing.total < 2 || !RUNNING.includes(phase);
  if (doing) {
    bar.max = doing.total;
    bar.value = doing.done;
  }
  showButtons();
  const stage = doing && t(doing.total > 1 ? "doing.counted" : "doing", { ...doing, stage: t(`doing.${doing.stage}`) });
  if (phase === "none" && !refused) return;
  const told = refused ?? {
    waiting: ahead ? counted("phase.waiting", ahead) : t("phase.waiting"),
    preparing: stage || t("phase.preparing"),
    training: stage || t("phase.training"),
    paused: curves.steps.length ? t("phase.paused") : t("phase.at-start"),
    finished: t("phase.finished"),
    stopped: t("phase.stopped"),
    failed: trouble,
  }[phase];
  if (!starting && $(".status").textContent !== told) say(told);
}
$(".controls").addEventListener("input", () => change({ refused: null }));

// What the buttons do now

const go = $(".go");

function showButtons() {
  const { phase } = state;
  go.textContent = RUNNING.includes(phase) ? t("pause") : phase === "paused" ? t("bench.go-on") : t("bench.start");
  go.disabled = starting;
  $(".one").disabled = starting || RUNNING.includes(phase);
  $(".stop").disabled = starting || !(RUNNING.includes(phase) || phase === "paused");
  $(".reset").disabled = starting || phase === "none";
  $(".takeaways").hidden = !curves.steps.length || state.token === null;
}
on(["length", "token"], showButtons);

go.addEventListener("click", () => {
  if (RUNNING.includes(state.phase)) askControl({ action: "pause" });
  else if (state.phase === "paused") askControl({ action: "resume" });
  else startRun();
});
$(".one").addEventListener("click", () => {
  if (state.phase === "paused") askControl({ action: "step" });
  else startRun({ paused: true, step: true });
});
$(".stop").addEventListener("click", () => askControl({ action: "stop" }));
$(".reset").addEventListener("click", () => startRun({ paused: true }));

const askTakeaway = asker("takeaway", (answer) => {
  const href = answer.src ?? URL.createObjectURL(new Blob([answer.text], { type: "application/x-ndjson" }));
  make("a", { href, download: answer.name }).click();
  if (!answer.src) URL.revokeObjectURL(href);
});
for (const kind of ["png", "jsonl", "checkpoint"]) {
  $(`.take-${kind}`).addEventListener("click", () => askTakeaway({ kind }));
}

watch("value", () => receive(props.value));

showButtons();
drawPlots();
