// The curves, on canvases: this run's and those of runs before, on the same axes.

const PLOTS = { loss: 1, cls: 2, loc: 3 }; // where in a step, a validation
const SMOOTH = 0.06; // weight of the newest step in the running mean
const NOW = () => (document.querySelector(".dark") ? SKY : BLUE);
const EARLIER = [ORANGE, GREEN, PURPLE, VERMILION, "#8c8c8c"];
const MARGIN = { left: 44, right: 8, top: 6, bottom: 20 };

function smoothOn({ steps, smooth }) {
  for (let i = smooth.length; i < steps.length; i++) {
    const before = smooth[i - 1];
    // Early on a plain mean, so that the first value does not weigh for ever.
    const weight = Math.max(SMOOTH, 1 / (i + 1));
    smooth.push([1, 2, 3].map((at, k) => (before ? before[k] + weight * (steps[i][at] - before[k]) : steps[i][at])));
  }
}

// All runs that are drawn, the present one last.
function shownRuns() {
  const earlier = state.earlier.filter(({ shown }) => shown);
  return [...earlier, { name: state.name, colour: NOW(), curves, iterations: state.iterations }];
}

// The scale of one plot. Its ends only move outwards while a run goes on, so that nothing jumps.
function scaleOf(plot, runs, width, height) {
  // Before the first run, as long as it is going to be.
  const longest = Math.max(...runs.map((run) => run.iterations)) || Number(form.elements.iterations.value) || 1;
  const x = (iteration) => MARGIN.left + ((width - MARGIN.left - MARGIN.right) * iteration) / longest;
  let [low, high] = [0, 1];
  let log = false;
  if (plot !== "map") {
    const at = PLOTS[plot];
    const values = runs.flatMap(({ curves: { smooth, validations } }) => [
      ...smooth.map((means) => means[at - 1]), ...validations.map((losses) => losses[at]),
    ]).filter((value) => value > 0);
    const largest = values.length ? Math.max(...sample(values, Math.max)) : 1;
    log = state.log;
    high = niceAbove(largest);
    if (log) {
      const least = Math.min(...sample(values, Math.min), largest);
      [low, high] = [10 ** Math.floor(Math.log10(least)), 10 ** Math.ceil(Math.log10(largest) + 1e-9)];
    }
  }
  const room = height - MARGIN.top - MARGIN.bottom;
  const share = log
    ? (value) => (Math.log10(Math.max(value, low)) - Math.log10(low)) / Math.log10(high / low)
    : (value) => (value - low) / (high - low);
  const y = (value) => MARGIN.top + room * (1 - Math.min(Math.max(share(value), 0), 1));
  const ticks = log
    ? Array.from({ length: Math.round(Math.log10(high / low)) + 1 }, (_, i) => low * 10 ** i)
    : [0, 0.25, 0.5, 0.75, 1].map((part) => part * high);
  return { x, y, ticks, longest };
}

// Arrays too long for a function's arguments are reduced first.
function sample(values, best) {
  const reduced = [];
  for (let i = 0; i < values.length; i += 1000) reduced.push(best(...values.slice(i, i + 1000)));
  return reduced;
}

function niceAbove(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 1.0001) ?? 15 * power;
}

function line(context, points) {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.stroke();
}

function drawPlot(canvas) {
  const { plot } = canvas.dataset;
  const width = canvas.parentElement.clientWidth;
  if (!width) return;
  const height = 180;
  const context = canvasContext(canvas, width, height);
  const style = getComputedStyle(root);
  const runs = shownRuns();
  const { x, y, ticks, longest } = scaleOf(plot, runs, width, height);
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = style.color;
  context.strokeStyle = style.getPropertyValue("--line");
  context.lineWidth = 1;
  context.textAlign = "right";
  for (const tick of ticks) {
    line(context, [[MARGIN.left, y(tick)], [width - MARGIN.right, y(tick)]]);
    context.fillText(String(Number(tick.toPrecision(3))), MARGIN.left - 5, y(tick) + 4);
  }
  context.textAlign = "center";
  for (const part of [0, 0.5, 1]) {
    const label = String(Math.round(part * longest));
    const half = context.measureText(label).width / 2;
    context.fillText(label, Math.min(x(part * longest), width - half - 1), height - 5);
  }
  for (const run of runs) {
    context.strokeStyle = context.fillStyle = run.colour;
    const { steps, smooth, validations, evaluations } = run.curves;
    if (plot === "map") {
      const points = evaluations.filter((e) => e.map !== null).map((e) => [x(e.iteration), y(e.map)]);
      context.lineWidth = 2;
      line(context, points);
      for (const point of points) dot(context, point);
      continue;
    }
    const at = PLOTS[plot];
    if (state.raw && run.curves === curves) {
      context.globalAlpha = 0.3;
      context.lineWidth = 1;
      line(context, steps.map((step) => [x(step[0]), y(step[at])]));
      context.globalAlpha = 1;
    }
    context.lineWidth = 2;
    line(context, smooth.map((means, i) => [x(steps[i][0]), y(means[at - 1])]));
    for (const losses of validations) dot(context, [x(losses[0]), y(losses[at])]);
  }
  if (state.hovered !== null) {
    context.strokeStyle = style.color;
    context.lineWidth = 1;
    line(context, [[x(state.hovered), MARGIN.top], [x(state.hovered), height - MARGIN.bottom]]);
  }
}

function dot(context, [x, y]) {
  context.beginPath();
  context.arc(x, y, 4, 0, 2 * Math.PI);
  context.fill();
  context.save();
  context.strokeStyle = getComputedStyle(root).getPropertyValue("--background-fill-primary");
  context.lineWidth = 1;
  context.stroke();
  context.restore();
}

const canvases = $$("[data-plot]");
const drawPlots = soon(() => canvases.forEach(drawPlot));
on(["length", "measured", "log", "raw", "hovered", "earlier", "iterations", "phase"], drawPlots);
new ResizeObserver(drawPlots).observe($(".plots"));
// The theme may change while the page is open.
new MutationObserver(drawPlots).observe(document.body, { attributes: true, attributeFilter: ["class"] });

// Pointing

for (const canvas of canvases) {
  canvas.addEventListener("pointermove", (event) => {
    const { width } = canvas.getBoundingClientRect();
    const { longest } = scaleOf("map", shownRuns(), width, 180);
    const share = (event.offsetX - MARGIN.left) / (width - MARGIN.left - MARGIN.right);
    hover(Math.round(Math.min(Math.max(share, 0), 1) * longest));
  });
  canvas.addEventListener("pointerleave", () => change({ hovered: null }));
  canvas.addEventListener("blur", () => change({ hovered: null }));
  canvas.addEventListener("keydown", (event) => {
    const last = curves.steps.length;
    if (!last) return;
    const now = state.hovered ?? last;
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, PageUp: now - 50, PageDown: now + 50, Home: 1, End: last }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    hover(next);
  });
}

function hover(iteration) {
  change({ hovered: Math.min(Math.max(iteration, 1), Math.max(curves.steps.length, 1)) });
}

const latest = (records, iteration, at) => records.filter((record) => at(record) <= iteration).at(-1);

on(["hovered", "length", "measured"], () => {
  const readout = $(".readout");
  const iteration = state.hovered ?? curves.steps.length;
  const step = curves.steps[iteration - 1];
  if (!step) {
    readout.textContent = t("plot.point");
    return;
  }
  const losses = (record) => ({ total: fixed(record[1], 4), cls: fixed(record[2], 4), loc: fixed(record[3], 4) });
  const smooth = curves.smooth[iteration - 1].map((value) => fixed(value, 4)).join(", ");
  const parts = [t("readout.step", { iteration: step[0], ...losses(step), smooth, lr: step[4].toPrecision(3) })];
  const validation = latest(curves.validations, step[0], (record) => record[0]);
  if (validation) parts.push(t("readout.validation", { iteration: validation[0], ...losses(validation) }));
  const evaluation = latest(curves.evaluations, step[0], (record) => record.iteration);
  if (evaluation) {
    const map = evaluation.map === null ? t("readout.map.none") : fixed(evaluation.map, 3);
    parts.push(t("readout.map", { iteration: evaluation.iteration, map }));
  }
  readout.textContent = parts.join("");
});

$(".log").addEventListener("change", (event) => change({ log: event.target.checked }));
$(".raw").addEventListener("change", (event) => change({ raw: event.target.checked }));

// The figures above the curves

function duration(seconds) {
  if (seconds < 60) return t("time.seconds", { count: Math.ceil(seconds) });
  if (seconds < 5400) return t("time.minutes", { count: Math.round(seconds / 60) });
  return t("time.hours", { count: fixed(seconds / 3600, 1) });
}

on(["length", "measured", "phase", "left", "iterations"], () => {
  const fact = (name, text) => ($(`[data-fact="${name}"]`).textContent = text);
  const { steps, evaluations } = curves;
  const recent = steps.slice(-20);
  const seconds = recent.reduce((sum, step) => sum + step[5], 0);
  fact("iteration", state.iterations ? `${steps.length} / ${state.iterations}` : "-");
  fact("lr", steps.length ? steps.at(-1)[4].toPrecision(3) : "-");
  fact("pace", seconds ? fixed(recent.length / seconds, 1) : "-");
  fact("left", ENDED.includes(state.phase) || state.left === null ? "-" : duration(state.left));
  const map = evaluations.at(-1)?.map;
  fact("map", map == null ? "-" : fixed(map, 3));
});

// AP of each class, as it was measured last

on(["measured"], () => {
  const last = curves.evaluations.at(-1);
  $(".classes").hidden = !last;
  if (!last) return;
  const rows = Object.entries(last.ap).map(([name, ap]) =>
    make(
      "div", { class: "bar", "data-class": name },
      make("span", {}, name),
      make("span", { class: "bar-room" }, make("span", { class: "bar-fill", style: `width:${100 * (ap ?? 0)}%` })),
      make("span", { class: "bar-value" }, ap === null ? t("plot.none-there") : fixed(ap, 3)),
    ),
  );
  refill($(".classes .bars"), ...rows);
});

// Runs before, to compare with

function keepForComparison() {
  if (!curves.steps.length) return;
  const free = EARLIER.find((colour) => !state.earlier.some((run) => run.colour === colour));
  const kept = free ? state.earlier : state.earlier.slice(1);
  const run = { name: state.name, colour: free ?? state.earlier[0].colour, shown: true, curves, iterations: state.iterations };
  change({ earlier: [...kept, run] });
}

on(["earlier", "name", "token", "measured", "phase"], () => {
  const entry = (run, i) => {
    const map = run.curves.evaluations.at(-1)?.map;
    const score = map == null ? "" : t("runs.map", { map: fixed(map, 3) });
    const swatch = make("span", { class: "swatch", style: `background:${run.colour}` });
    if (i === null) return make("div", { class: "run" }, swatch, t("runs.now", { name: run.name, map: score }));
    const toggle = make("input", {
      type: "checkbox", checked: run.shown, "data-key": `shown-${i}`,
      onchange: (event) => change({ earlier: state.earlier.map((other, k) => (k === i ? { ...other, shown: event.target.checked } : other)) }),
    });
    const drop = make("button", {
      class: "link", "data-key": `drop-${i}`, "aria-label": t("runs.forget.name", run),
      onclick: () => change({ earlier: state.earlier.filter((_, k) => k !== i) }),
    }, t("runs.forget"));
    return make("div", { class: "run" }, make("label", {}, toggle, " ", swatch, t("runs.earlier", { name: run.name, count: run.curves.steps.length, map: score })), drop);
  };
  const now = { name: state.name, colour: NOW(), curves };
  refill($(".compared"), ...state.earlier.map(entry), ...(curves.steps.length ? [entry(now, null)] : []));
});
