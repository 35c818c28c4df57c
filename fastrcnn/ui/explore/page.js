// The Explore tab's place on the page, its state, and its requests to the server.

import { createRequester } from "../shared/requests.js";
import { createStore } from "../shared/store.js";
import { fillTexts, refillFacts } from "../shared/terms.js";
import { setFacts } from "../shared/texts.js";
import { openView } from "../shared/view.js";

export const { root, $, $$, trigger, props, watch, server, showStatus } = openView("explore");

// Everything that the tab shows follows from this. `change` is the only way to set it.
export const state = {
  token: null, // the picture's name to the server
  name: "", // the file's name
  example: null, // the example's name, where it is one
  // The network that looks: {classes, backbone, convolutions, channels, stride, sees, pool_size,
  // pooling, fc6, fc7, ranks, trained, ships}.
  model: props.model,
  stage: "none", // the last stage of the analysis that is done: read, segments, proposals, features, detections
  picture: null, // {width, height, image, input: width and height of the network's input}
  station: "photo", // the station that is open
  view: null, // which of its views, null: what the station shows first
  follows: true, // the station goes along with the analysis until the visitor opens one
  run: 0, // which grouping
  grouping: null, // its segments and merges
  merge: 0, // how many merges are done
  proposals: null, // {boxes, sources, runs}
  shown: 100, // how many of them are drawn
  source: "all", // which groupings they come from
  hovered: null, // index of a proposal
  chosen: null, // {index} or {box}: what every station speaks of
  pooling: props.model.pooling,
  channel: null, // null: the strongest
  box: null, // the server's close look at the chosen box
  bin: null, // {row, column}
  label: null, // whose deltas are shown; null: the likeliest class
  tool: "own", // what dragging on the photograph makes: "own" box or "truth"
  truth: [], // [{box, label, difficult}]
  covered: [], // how well proposals cover each
  score_threshold: props.usual.score_threshold,
  lowered: false, // whether it was lowered for this picture, where nothing reached it
  nms_threshold: props.usual.nms_threshold,
  vote: true, // whether boxes vote on the edges of a detection
  decisions: null, // what became of each box that reached the score threshold
  why: null, // the question of whys.js that is being answered
  experiment: null, // what the open view shows: {view, sent, ...the server's reply}
  question: null, // what the lesson asks, as questions.js makes it
  verdict: null, // what became of the guess: {question, given, right, values}
  presenting: false, // large type and one station
  activity: null, // the mean of all channels, cell by cell, for the time before boxes are scored
};

export const { on, change } = createStore(state);
export const requester = createRequester({ server, state, showStatus });

// First of all listeners, so that the others find the network's shape in the texts.
on(["model"], () => {
  setFacts(state.model);
  refillFacts(root);
});
setFacts(state.model);
fillTexts(root);

// Choose a proposal, {index}, or a box of the visitor's own, {box}.
export const choose = (chosen) => change({ chosen, channel: null, bin: null, label: null });

// The chosen box's corners, or null.
export function chosenBox() {
  if (!state.chosen) return null;
  return state.chosen.box ?? state.proposals?.boxes[state.chosen.index] ?? null;
}
