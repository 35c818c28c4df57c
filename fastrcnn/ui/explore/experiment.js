// What a view shows beside its station: the reply to an experiment on the chosen box.

import { same } from "../shared/requests.js";
import { boxInputs, boxNow } from "./inspection.js";
import { change, on, requester, state } from "./page.js";

export const BUSY_WAIT = 200; // milliseconds until a view asks again, while others use all places

on(["view", "token"], () => change({ experiment: null }));

// What a view has got from the server for the box that is chosen now, or null.
export function experimentOf(view) {
  const { experiment } = state;
  if (experiment?.view !== view || !state.chosen) return null;
  return same(experiment.sent.box, boxInputs().box) ? experiment : null;
}

// Makes a function that keeps `state.experiment` at the reply of the server function `name` to
// `inputs()`, while the view is open and a box is chosen. Inputs may be null, as long as something is
// missing that they need.
export function experiment(view, name, inputs) {
  const isOpen = () => state.view === view && state.chosen && state.stage === "detections";
  const wanted = () => (isOpen() ? inputs() : null);
  let asked = null; // the inputs whose reply is on its way
  let found = null;
  const answered = (sent) => {
    if (same(sent, asked)) asked = null;
  };
  const request = requester(
    name,
    (reply, sent) => {
      answered(sent);
      if (reply.busy) return setTimeout(ask, BUSY_WAIT);
      found = { view, sent, ...reply };
      keep();
    },
    answered,
  );
  // The close look at the box is requested at the same time. A view shows both, so it waits for both.
  function keep() {
    if (found && boxNow() && same(found.sent, wanted())) change({ experiment: found });
  }
  on(["box"], keep);
  on(["view", "token"], () => ([asked, found] = [null, null]));
  function ask() {
    const now = wanted();
    if (!now || same(asked, now) || same(experimentOf(view)?.sent, now)) return;
    asked = now;
    request(now);
  }
  return ask;
}
