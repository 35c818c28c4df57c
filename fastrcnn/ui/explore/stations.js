// The stations of the way from the photograph to the result. The module of each registers it here.
// What lies around the stations (the strip, the photograph, the lessons, the chosen box's line,
// links) goes through this list and knows none of them.
//
// How to add a view to a station, beside what the station shows first:
//   explore.html  <div data-view="NAME"> ... </div> in the station's panel, #explore-STATION
//   texts         view.NAME, its title; lead.NAME, its lesson; legend.NAME, what its lines on the
//                 photograph are
//   its module    addView({ station: "STATION", name: "NAME", draw }), imported in main.js
// The panel then begins with a row of buttons, one a view.

import { make } from "../shared/dom.js";
import { text } from "../shared/texts.js";
import { $, $$, change, on, state } from "./page.js";

export const stations = new Map(); // by name, in the order of the way
export const views = new Map(); // by name

// name: its panel is #explore-NAME, its button on the strip has data-station=NAME.
// stage: the stage of the analysis that brings what it shows; the strip opens it then.
// draw(context, pen): draws what it shows on the photograph, in pixels of the photograph.
// summary(): what it says of the chosen box, {title, content: [elements]}, or null.
// boxesAt(point): indices of proposals that a click there chooses first.
// hovers: whether pointing at the photograph lights up proposals.
// shape(): the size of what it makes, as words under its button, or null while there is none.
// thumbnail(context, width, height): its small picture; by default `draw` on a small photograph.
export function addStation({
  name, stage, draw, summary = () => null, boxesAt = () => [], hovers = true, shape = () => null, thumbnail = null,
}) {
  stations.set(name, { stage, draw, summary, boxesAt, hovers, shape, thumbnail });
}

// draw, boxesAt, hovers: as above, while the view is open; where left out, those of the station.
// mover(): called when a drag on the photograph begins in the chosen box. Gives a function that moves
// the box by [x, y] pixels from there. Without it, dragging draws a new box.
export function addView({ station, name, ...own }) {
  views.set(name, { station, ...own });
}

// What is open: the station, with its view's own functions where a view is open.
export const openPart = () => ({ ...stations.get(state.station), ...views.get(state.view) });

export const openStation = (station, view = null) => change({ station, view, follows: false });

// The same from further down, where the station may be out of sight.
export function showStation(station) {
  openStation(station);
  strip.scrollIntoView({ block: "nearest" });
}

// The strip's buttons and the panels

const strip = $(".strip");
const buttons = $$(".strip [role=tab]");

export function showStrip() {
  for (const button of buttons) {
    const open = button.dataset.station === state.station;
    button.setAttribute("aria-selected", String(open));
    button.tabIndex = open ? 0 : -1;
    $(`#explore-${button.dataset.station}`).hidden = !open;
    // On a narrow screen the strip is wider than the page.
    if (open) strip.scrollLeft = button.offsetLeft - (strip.clientWidth - button.offsetWidth) / 2;
  }
  const panel = $(`#explore-${state.station}`);
  for (const part of panel.querySelectorAll("[data-view]")) part.hidden = part.dataset.view !== (state.view ?? "");
  for (const button of panel.querySelectorAll(".views button")) {
    button.setAttribute("aria-pressed", String(button.dataset.opens === (state.view ?? "")));
  }
}
on(["station", "view"], () => {
  showStrip();
  $(".detail").scrollTop = 0;
});

// The row of buttons of each station that has views. Called once, when all have registered.
export function addViewButtons() {
  for (const station of stations.keys()) {
    const own = [...views].filter(([, view]) => view.station === station).map(([name]) => name);
    if (!own.length) continue;
    const button = (name, title) =>
      make("button", { "data-opens": name ?? "", onclick: () => openStation(station, name) }, title);
    $(`#explore-${station}`).prepend(
      make(
        "div", { class: "views", role: "group", "aria-label": text("explore.views") },
        button(null, text(`station.${station}`)), ...own.map((name) => button(name, text(`view.${name}`))),
      ),
    );
  }
}

for (const button of buttons) button.addEventListener("click", () => openStation(button.dataset.station));

// Opens the station that is so many steps further on.
export function step(steps) {
  const at = buttons.findIndex((button) => button.dataset.station === state.station);
  const next = buttons[(at + steps + buttons.length) % buttons.length];
  openStation(next.dataset.station);
  return next;
}

strip.addEventListener("keydown", (event) => {
  const steps = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!steps) return;
  event.preventDefault();
  event.stopPropagation(); // the presenter's keys go along the strip too
  step(steps).focus();
});

on(["stage"], () => {
  const [name] = [...stations].find(([, { stage }]) => stage === state.stage) ?? [];
  if (state.follows && name) change({ station: name, view: null });
});
