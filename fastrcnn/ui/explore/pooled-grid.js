// The pooled values of one channel as a grid of buttons, one a bin.

import { heat, rgb } from "../shared/colours.js";
import { make } from "../shared/dom.js";
import { fixed } from "../shared/numbers.js";
import { player } from "../shared/player.js";
import { text } from "../shared/texts.js";
import { $, change, on, state } from "./page.js";

const grid = $(".grid");
let size = 0; // bins a side
let filled = Infinity; // how many bins the player has filled

export function pointAtBin(bin) {
  if (state.bin?.row === bin.row && state.bin?.column === bin.column) return;
  change({ bin });
}

// A grid of this many bins a side.
function build(side) {
  size = side;
  const cell = (row, column) => {
    const point = () => pointAtBin({ row, column });
    return make("button", {
      role: "gridcell", "data-bin": `${row},${column}`, tabindex: row + column ? -1 : 0,
      onpointerenter: point, onfocus: point, onclick: point,
    });
  };
  const numbers = Array.from({ length: size }, (_, i) => i);
  grid.replaceChildren(...numbers.map((row) => make("div", { role: "row" }, ...numbers.map((column) => cell(row, column)))));
}

const buttonOf = (row, column) => grid.children[row].children[column];

grid.addEventListener("keydown", (event) => {
  const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
  if (!step) return;
  event.preventDefault();
  const here = (document.activeElement.dataset.bin ?? "0,0").split(",").map(Number);
  const [row, column] = here.map((at, i) => Math.min(Math.max(at + step[i], 0), size - 1));
  for (const button of grid.querySelectorAll("button")) button.tabIndex = -1;
  buttonOf(row, column).tabIndex = 0;
  buttonOf(row, column).focus();
});

const stopBins = player($('.play[data-name="bins"]'), 140, () => {
  if (!state.box) return false;
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
  if (box.pooled.length !== size) build(box.pooled.length);
  const largest = Math.max(...box.map.flat(), 1e-9);
  box.pooled.flat().forEach((value, i) => {
    const [row, column] = [Math.floor(i / size), i % size];
    const button = buttonOf(row, column);
    const [r, g, b] = heat(value / largest);
    button.style.background = i < filled ? rgb([r, g, b]) : "";
    button.style.color = r * 0.3 + g * 0.59 + b * 0.11 > 120 ? "#000" : "#fff";
    button.textContent = i < filled ? fixed(value, value >= 100 ? 0 : 1) : "";
    button.setAttribute("aria-label", text("pooling.bin-label", { row: row + 1, column: column + 1, value: fixed(value, 2) }));
    const now = bin?.row === row && bin?.column === column;
    button.classList.toggle("now", now);
    button.setAttribute("aria-selected", String(now));
  });
}
on(["box", "bin"], show);
