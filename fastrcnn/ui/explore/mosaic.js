// The mosaic: the pooled maps of all channels, so many in a line.

import { canvasContext } from "../shared/canvas.js";
import { heat, rgb } from "../shared/colours.js";
import { inflate } from "../shared/requests.js";
import { boxInputs } from "./inspection.js";
import { $, change, on, requester, state } from "./page.js";

const ACROSS = 32; // channels in a line
const PIXELS = 3; // of a bin, on a side
const GAP = 2; // pixels between two maps

const canvas = $(".mosaic");
const tile = () => state.model.pool_size * PIXELS + GAP;

const requestMosaic = requester("mosaic", async ({ channels, size, levels: packed }) => {
  const { token } = state;
  const levels = new Uint8Array(await inflate(packed));
  if (token !== state.token) return;
  const context = canvasContext(canvas, ACROSS * tile(), Math.ceil(channels / ACROSS) * tile());
  levels.forEach((level, i) => {
    const [channel, bin] = [Math.floor(i / (size * size)), i % (size * size)];
    const left = (channel % ACROSS) * tile() + (bin % size) * PIXELS;
    const top = Math.floor(channel / ACROSS) * tile() + Math.floor(bin / size) * PIXELS;
    context.fillStyle = rgb(heat(level / 255));
    context.fillRect(left, top, PIXELS, PIXELS);
  });
  canvas.dataset.channels = channels;
});

let requested = null; // what the mosaic was requested for

function show() {
  if (!$(".all").open || !state.box || !state.chosen) return;
  const { box, pooling } = boxInputs();
  const wanted = JSON.stringify([state.token, box, pooling]);
  if (wanted === requested) return;
  requested = wanted;
  requestMosaic({ box, pooling });
}
on(["box"], show);
$(".all").addEventListener("toggle", show);

canvas.addEventListener("click", (event) => {
  const { left, top } = canvas.getBoundingClientRect();
  const [column, row] = [event.clientX - left, event.clientY - top].map((at) => Math.floor(at / tile()));
  const channel = row * ACROSS + column;
  if (channel < Number(canvas.dataset.channels)) change({ channel });
});
