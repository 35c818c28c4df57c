// Earlier runs, to compare the present one with.

import { BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION } from "../shared/colours.js";
import { make, refill } from "../shared/dom.js";
import { fixed } from "../shared/numbers.js";
import { text } from "../shared/texts.js";
import { $, change, on, state } from "./page.js";

const EARLIER = [ORANGE, GREEN, PURPLE, VERMILION, "#8c8c8c"];
const presentColour = () => (document.querySelector(".dark") ? SKY : BLUE);

const presentRun = () => ({ name: state.name, colour: presentColour(), curves: state.curves, iterations: state.iterations });

// All runs that are drawn, the present one last.
export const shownRuns = () => [...state.earlier.filter(({ shown }) => shown), presentRun()];

// Keeps the present run's curves; there is a colour for so many.
export function keepForComparison() {
  if (!state.curves.steps.length) return;
  const free = EARLIER.find((colour) => !state.earlier.some((run) => run.colour === colour));
  const kept = free ? state.earlier : state.earlier.slice(1);
  const run = { ...presentRun(), colour: free ?? state.earlier[0].colour, shown: true };
  change({ earlier: [...kept, run] });
}

const swatch = (run) => make("span", { class: "swatch", style: `background:${run.colour}` });

// The newest mAP, and how much the regression tightens the boxes.
function measuredText({ curves }) {
  const { map = null, before = null, after = null } = curves.evaluations.at(-1) ?? {};
  const words = map === null ? "" : text("runs.map", { map: fixed(map, 3) });
  return before === null ? words : words + text("runs.overlaps", { before: fixed(before, 3), after: fixed(after, 3) });
}

function earlierEntry(run, i) {
  const { earlier } = state;
  const show = (event) => change({ earlier: earlier.with(i, { ...run, shown: event.target.checked }) });
  const forget = () => change({ earlier: earlier.toSpliced(i, 1) });
  const words = text("runs.earlier", { name: run.name, count: run.curves.steps.length, measured: measuredText(run) });
  return make(
    "div", { class: "run" },
    make("label", {}, make("input", { type: "checkbox", checked: run.shown, "data-key": `shown-${i}`, onchange: show }), " ", swatch(run), words),
    make("button", { class: "link", "data-key": `drop-${i}`, "aria-label": text("runs.forget.name", run), onclick: forget }, text("runs.forget")),
  );
}

on(["earlier", "name", "token", "measured", "phase"], () => {
  const now = presentRun();
  const entry = () => make("div", { class: "run" }, swatch(now), text("runs.now", { name: now.name, measured: measuredText(now) }));
  refill($(".compared"), ...state.earlier.map(earlierEntry), state.curves.steps.length ? entry() : null);
});
