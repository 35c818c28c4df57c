// The Teach tab's place on the page, its state, and its requests to the server.

import { createRequester } from "../shared/requests.js";
import { createStore } from "../shared/store.js";
import { fillTexts } from "../shared/terms.js";
import { openView } from "../shared/view.js";

export const { root, $, $$, trigger, props, watch, server, upload, showStatus } = openView("teach");

// Everything that the tab shows follows from this. `change` is the only way to set it.
export const state = {
  token: null, // the album's name to the server
  photos: [], // {number, name, found}; found: what the taught detector finds, null before
  images: {}, // by a photograph's number: {width, height, image}
  boxes: {}, // by a photograph's number: the corners that were drawn on it
  chosen: null, // {photo, index}: the box that the keys move
  taught: null, // the name of the class that was taught
  doing: null, // {stage, done, total}
  waiting: false, // an event was sent and nothing has come back yet
  steps: [], // [iteration, loss, score of the drawn boxes, largest score of background] each
};

export const { on, change } = createStore(state);
export const requester = createRequester({ server, state, showStatus });

fillTexts(root);
