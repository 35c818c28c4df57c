// The pooled values of one channel as a grid of buttons, one a bin.

import { heat } from "../shared/colours.js";
import { fixed } from "../shared/numbers.js";
import { player } from "../shared/player.js";
import { text } from "../shared/texts.js";
import { binGrid } from "./bin-grid.js";
import { $, change, on, state } from "./page.js";

let filled = Infinity; // how many bins the player has filled

export function pointAtBin(bin) {
  if (state.bin?.row === bin.row && state.bin?.column === bin.column) return;
  change({ bin });
}

const showGrid = binGrid($(".grid"), pointAtBin);

const stopBins = player($('.play[data-name="bins"]'), 140, () => {
  if (!state.box) return false;
  const size = state.box.pooled.length;
  filled = filled < size * size ? filled + 1 : 1;
  const at = filled - 1;
  change({ bin: { row: Math.floor(at / size), column: at % size } });
  show(); // also where the bin is the same as before
  return filled < size * size;
});
on(["chosen", "pooling", "channel", "station"], () => {
  stopBins();
  filled = Infinity;
});

function show() {
  const { box, bin } = state;
  if (!box) return;
  const largest = Math.max(...box.map.flat(), 1e-9);
  showGrid(box.pooled, {
    colour: (value) => heat(value / largest),
    words: (value) => fixed(value, value >= 100 ? 0 : 1),
    label: (row, column, value) => text("pooling.bin-label", { row: row + 1, column: column + 1, value: fixed(value, 2) }),
    bin,
    shown: filled,
  });
}
on(["box", "bin"], show);
