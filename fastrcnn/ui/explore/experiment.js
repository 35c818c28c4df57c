// What a view shows beside its station: the reply to an experiment on the chosen box.

import { boxInputs } from "./inspection.js";
import { change, on, requester, state } from "./page.js";

export const BUSY_WAIT = 200; // milliseconds until a view asks again, while others use all places

on(["view", "token"], () => change({ experiment: null }));

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// What a view has got from the server for the box that is chosen now, or null.
export function experimentOf(view) {
  const { chosen, experiment } = state;
  if (experiment?.view !== view || !chosen) return null;
  return same(experiment.sent.box, boxInputs().box) ? experiment : null;
}

// Makes a function that keeps `state.experiment` at the reply of the server function `name` to
// `inputs()`, while the view is open and a box is chosen.
export function experiment(view, name, inputs) {
  const isOpen = () => state.view === view && state.chosen && state.box;
  const request = requester(name, (reply, sent) => {
    if (reply.busy) return setTimeout(ask, BUSY_WAIT);
    if (isOpen() && same(sent, inputs())) change({ experiment: { view, sent, ...reply } });
  });
  function ask() {
    if (!isOpen() || same(experimentOf(view)?.sent, inputs())) return;
    request(inputs());
  }
  return ask;
}
