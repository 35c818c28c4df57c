// The stations of the way from the photograph to the result. The module of each registers it here.
// What lies around the stations (the strip, the photograph, the chosen box's line, links) goes
// through this list and knows none of them.

import { $, $$, change, on, state } from "./page.js";

export const stations = new Map(); // by name, in the order of the way

// name: its panel is #explore-NAME, its button on the strip has data-station=NAME.
// stage: the stage of the analysis that brings what it shows; the strip opens it then.
// draw(context, pen): draws what it shows on the photograph, in pixels of the photograph.
// summary(): what it says of the chosen box, {title, content: [elements]}, or null.
// boxesAt(point): indices of proposals that a click there chooses first.
// mover(): called when a drag begins in the chosen box; gives a function that moves it by [x, y] pixels
// from there. Without it, dragging draws a new box.
// hovers: whether pointing at the photograph lights up proposals.
// of: for a view that stands beside a station, the station. See side-views.js.
export function addStation({ name, of = name, stage, draw, summary, boxesAt = () => [], mover, hovers = true }) {
  stations.set(name, { of, stage, draw, summary, boxesAt, mover, hovers });
}

export const openStation = (station) => change({ station, follows: false });

// The same from further down, where the station may be out of sight.
export function showStation(station) {
  openStation(station);
  $(".desk").scrollIntoView({ block: "nearest" });
}

// The strip

const buttons = $$(".strip [role=tab]");

const isOpen = (button) => button.dataset.station === stations.get(state.station).of;

export function showStrip() {
  for (const button of buttons) {
    button.setAttribute("aria-selected", String(isOpen(button)));
    button.tabIndex = isOpen(button) ? 0 : -1;
  }
  for (const name of stations.keys()) $(`#explore-${name}`).hidden = name !== state.station;
}
on(["station"], showStrip);

for (const button of buttons) button.addEventListener("click", () => openStation(button.dataset.station));
$(".strip").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const at = buttons.findIndex(isOpen);
  const next = buttons[(at + step + buttons.length) % buttons.length];
  openStation(next.dataset.station);
  next.focus();
});

on(["stage"], () => {
  const [name] = [...stations].find(([, { stage }]) => stage === state.stage) ?? [];
  if (state.follows && name) change({ station: name });
});
