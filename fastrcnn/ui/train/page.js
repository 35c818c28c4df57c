// The Train tab's place on the page, its state, and its requests to the server.

import { classText } from "../shared/class-names.js";
import { createRequester } from "../shared/requests.js";
import { createStore } from "../shared/store.js";
import { fillTexts } from "../shared/terms.js";
import { text } from "../shared/texts.js";
import { openView } from "../shared/view.js";

export const { root, $, $$, trigger, props, watch, server, showStatus } = openView("train");

// steps: [iteration, total, class, box, lr, seconds, foreground RoIs] each. smooth: their running means, [total, class, box].
// validations: [iteration, total, class, box] each. evaluations: {iteration, map, ap,
// before, after} each; the last two: mean IoU of foreground boxes before and after regression.
export const newCurves = () => ({ steps: [], smooth: [], validations: [], evaluations: [] });

// Everything that the tab shows follows from this. `change` is the only way to set it.
export const state = {
  token: null, // the run's name to the server
  name: "", // what is different about it
  starting: false, // a run was asked for and its token is not there yet
  phase: "none", // waiting, preparing, training, paused, finished, stopped, failed; none: no run
  trouble: null, // why it failed
  refused: null, // why a start was not possible
  told: null, // the text about new settings, until a run starts with them
  ahead: 0, // how many trainings come first
  doing: null, // {stage, done, total}: a longer stage between steps
  iterations: 0,
  left: null, // seconds
  classes: [],
  curves: newCurves(), // they grow in place; `length` and `measured` tell of it
  length: 0, // how many steps there are
  measured: 0, // how often mAP was
  log: false, // the scale of the curves
  raw: true, // whether every step is drawn
  hovered: null, // the iteration that is pointed at
  earlier: [], // runs before: {name, colour, shown, curves, iterations}
  batch: null, // the last mini-batch, its images loaded
  roi: null, // {picture, index}: the box in it that is pointed at
  latestScenes: null, // the iteration of the newest detections on the server
  scenes: null, // {iteration, found}: those that are shown
  pictures: null, // the held-out pictures, their images loaded
  followed: null, // {scene, box}: the box whose way through training is shown
  history: null, // what the network made of it: {iterations, probabilities, corner_labels, corners}
  look: null, // which of these looks is shown; null: the newest
  latestPrecision: null, // the iteration of the newest precision-recall curves on the server
  precision: null, // {iteration, curves}: those that are shown
  curveOf: null, // the class whose curve is singled out
  panel: "box", // the panel that is open below the curves: box, loss, precision
  experiment: null, // the experiment that is set up
  settings: null, // those of the form
  trained: null, // those that the run was started with
};

export const { on, change } = createStore(state);
export const requester = createRequester({ server, state, showStatus });

export const className = (label) => (label === 0 ? text("background") : classText(state.classes[label - 1]));

const RUNNING = ["waiting", "preparing", "training"];
const ENDED = ["finished", "stopped", "failed"];
export const isRunning = (phase = state.phase) => RUNNING.includes(phase);
export const isUnderWay = () => isRunning() || state.phase === "paused";
export const isOver = (phase = state.phase) => ENDED.includes(phase);

// Whether a part of the page is in view. What nobody looks at need not be requested.
export function isSeen(place) {
  const { top, bottom } = place.getBoundingClientRect();
  return root.offsetParent !== null && bottom > 0 && top < window.innerHeight;
}

fillTexts(root);
