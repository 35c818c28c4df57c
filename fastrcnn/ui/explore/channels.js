// The choice of a channel: the strongest of the chosen box as pictures, any other by its number.

import { canvasContext, drawCells } from "../shared/canvas.js";
import { make, refill } from "../shared/dom.js";
import { text } from "../shared/texts.js";
import "./inspection.js";
import { $, $$, change, on, showStatus, state } from "./page.js";

const input = $(".channel");
input.addEventListener("change", () => {
  const last = state.model.channels - 1;
  const channel = Math.round(Number(input.value));
  if (!(channel >= 0 && channel <= last)) {
    showStatus(text("pooling.channel-wrong", { last }));
    input.value = state.channel;
    return;
  }
  change({ channel });
});

export function smallMap(values, side) {
  const canvas = make("canvas", { "aria-hidden": "true" });
  drawCells(canvasContext(canvas, side, side), values, [side / values.length, side / values.length]);
  return canvas;
}

const channelButton = ({ channel, largest, pooled }) =>
  make(
    "button",
    {
      "aria-pressed": String(channel === state.box.channel), "data-channel": channel, "data-key": channel,
      "aria-label": text("pooling.channel-label", { channel, largest }), onclick: () => change({ channel }),
    },
    smallMap(pooled, 28), make("span", {}, String(channel)),
  );

on(["box"], () => {
  const { box } = state;
  for (const place of $$(".channels")) refill(place, ...(box ? box.strongest.map(channelButton) : []));
  if (!box) return;
  // Nobody's typing is written over.
  if (document.activeElement !== input) input.value = box.channel;
  input.max = box.channels - 1;
});
