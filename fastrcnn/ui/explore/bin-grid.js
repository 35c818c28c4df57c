// A grid of buttons, one for each bin of RoI pooling. The arrow keys walk it.

import { inkOn, rgb } from "../shared/colours.js";
import { make } from "../shared/dom.js";

// place: an empty element with the role of a grid. point({row, column}): called for the bin that is
// pointed at or focused. Returns a function that shows numbers (rows of columns) in the bins.
export function binGrid(place, point) {
  let size = 0; // bins a side
  const buttonOf = (row, column) => place.children[row].children[column];

  function build(side) {
    size = side;
    const cell = (row, column) => {
      const pointHere = () => point({ row, column });
      return make("button", {
        role: "gridcell", "data-bin": `${row},${column}`, tabindex: row + column ? -1 : 0,
        onpointerenter: pointHere, onfocus: pointHere, onclick: pointHere,
      });
    };
    const places = Array.from({ length: size }, (_, i) => i);
    place.replaceChildren(...places.map((row) => make("div", { role: "row" }, ...places.map((column) => cell(row, column)))));
  }

  place.addEventListener("keydown", (event) => {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    const here = (document.activeElement.dataset.bin ?? "0,0").split(",").map(Number);
    const [row, column] = here.map((at, i) => Math.min(Math.max(at + step[i], 0), size - 1));
    for (const button of place.querySelectorAll("button")) button.tabIndex = -1;
    buttonOf(row, column).tabIndex = 0;
    buttonOf(row, column).focus();
  });

  // colour(value): red, green and blue. words(value): the text in a bin. label: its accessible name,
  // from row and column, counted from 0, and value. shown: the first so many bins; the rest stay
  // empty. bin: the one that is pointed at, or null.
  return function show(values, { colour, words, label, bin, shown = Infinity }) {
    if (values.length !== size) build(values.length);
    values.flat().forEach((value, i) => {
      const [row, column] = [Math.floor(i / size), i % size];
      const button = buttonOf(row, column);
      const shade = colour(value);
      button.style.background = i < shown ? rgb(shade) : "";
      button.style.color = inkOn(shade);
      button.textContent = i < shown ? words(value) : "";
      button.setAttribute("aria-label", label(row, column, value));
      const now = bin?.row === row && bin?.column === column;
      button.classList.toggle("now", now);
      button.setAttribute("aria-selected", String(now));
    });
  };
}
