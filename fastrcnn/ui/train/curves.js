// The figures of the curves: running means, what is known now, and the AP of each class.

import { fixed } from "../shared/numbers.js";
import { text } from "../shared/texts.js";
import { $, isOver, on, state } from "./page.js";

const SMOOTH = 0.06; // weight of the newest step in the running mean

// Adds the running means of new steps.
export function smoothOn({ steps, smooth }) {
  for (let i = smooth.length; i < steps.length; i++) {
    const before = smooth[i - 1];
    // Early on a plain mean, so that the first value does not weigh for ever.
    const weight = Math.max(SMOOTH, 1 / (i + 1));
    smooth.push([1, 2, 3].map((at, k) => (before ? before[k] + weight * (steps[i][at] - before[k]) : steps[i][at])));
  }
}

// The figures above the curves

function duration(seconds) {
  if (seconds < 60) return text("time.seconds", { count: Math.ceil(seconds) });
  if (seconds < 5400) return text("time.minutes", { count: Math.round(seconds / 60) });
  return text("time.hours", { count: fixed(seconds / 3600, 1) });
}

on(["length", "measured", "phase", "left", "iterations"], () => {
  const fact = (name, value) => ($(`[data-fact="${name}"]`).textContent = value);
  const { steps, evaluations } = state.curves;
  const recent = steps.slice(-20);
  const seconds = recent.reduce((sum, step) => sum + step[5], 0);
  fact("iteration", state.iterations ? `${steps.length} / ${state.iterations}` : "-");
  fact("lr", steps.length ? steps.at(-1)[4].toPrecision(3) : "-");
  fact("foreground", steps.length ? steps.at(-1)[6] : "-");
  fact("pace", seconds ? fixed(recent.length / seconds, 1) : "-");
  fact("left", isOver() || state.left === null ? "-" : duration(state.left));
  const map = evaluations.at(-1)?.map;
  fact("map", map == null ? "-" : fixed(map, 3));
});
