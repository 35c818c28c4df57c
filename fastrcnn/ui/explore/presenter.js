// The presenter's mode: large type, one station, arrow keys, and a link for each step.

import { link } from "./link.js";
import { change, on, root, state } from "./page.js";
import { step } from "./stations.js";

// What the arrow keys do something to already.
const OWN_KEYS = "input, select, canvas, [role=grid], [role=tablist]";

export const present = () => change({ presenting: !state.presenting });

on(["presenting"], () => {
  root.classList.toggle("presenting", state.presenting);
  document.body.classList.toggle("presenting", state.presenting); // page.css
  window.scrollTo({ top: 0 });
});

// The address is that of the step that is shown. Leaving writes it a last time, without the mode.
const LINKED = ["station", "view", "chosen", "channel", "pooling", "score_threshold", "nms_threshold", "vote"];
on(["presenting", ...LINKED], (changed) => {
  if (!state.presenting && !changed.includes("presenting")) return;
  if (state.example && state.model.ships) history.replaceState(null, "", link());
});

document.addEventListener("keydown", (event) => {
  if (!state.presenting || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "Escape") return present();
  const steps = { ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1 }[event.key];
  if (!steps || event.target.closest(OWN_KEYS)) return;
  event.preventDefault();
  step(steps);
});
