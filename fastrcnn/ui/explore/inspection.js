// The server's close look at the chosen box: RoI pooling in one channel, and what the head says.

import { same } from "../shared/requests.js";
import { change, on, requester, state } from "./page.js";

// What is to be looked at.
export function boxInputs() {
  const { chosen, pooling, channel } = state;
  return { box: chosen.box ?? chosen.index, pooling, channel };
}

// The close look, or null until it is at the box that is chosen now.
export const boxNow = () => (state.chosen && same(state.box?.sent.box, boxInputs().box) ? state.box : null);

const requestBox = requester(
  "box",
  (reply, inputs) => {
    const now = boxInputs();
    if (!same(now.box, inputs.box) || now.pooling !== inputs.pooling) return;
    // A channel that was chosen meanwhile is about to be requested.
    change({ box: { ...reply, sent: inputs }, channel: now.channel === inputs.channel ? reply.channel : now.channel });
  },
  (inputs) => {
    // Another box's numbers must not pass for this one's.
    if (same(boxInputs().box, inputs.box)) change({ box: null });
  },
);

// One request for all that changes together.
let due = false;
on(["chosen", "pooling", "channel", "stage"], (changed) => {
  if (!state.chosen || state.stage !== "detections" || due) return;
  // A reply names its channel: that is nothing new to ask for.
  if (changed.includes("box")) return;
  due = true;
  queueMicrotask(() => {
    due = false;
    if (state.chosen) requestBox(boxInputs()); // another picture may have come
  });
});
