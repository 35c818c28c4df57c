// The views beside the stations. Each is an experiment on the chosen box, and has a panel and a
// drawing on the photograph like a station, but no place on the way: a button in its station's panel
// opens it. It registers by addStation, with `of`.

import { make } from "../shared/dom.js";
import { text } from "../shared/texts.js";
import { boxInputs } from "./inspection.js";
import { $, change, on, requester, state } from "./page.js";
import { openStation, stations } from "./stations.js";

// The buttons to each view and back. A view's button also says whose view it is.
export function showSideViews() {
  for (const [name, { of }] of stations) {
    if (of === name) continue;
    const open = make("button", { "data-view": name, onclick: () => openView(name) }, text(`view.${name}`));
    buttonsOf(of).append(open);
    const back = make("button", { class: "back", onclick: () => leaveView(name, of) }, text("view.back", { station: text(`station.${of}`) }));
    $(`#explore-${name}`).prepend(make("div", { class: "player" }, back, make("h3", {}, text(`view.${name}`))));
  }
}

function buttonsOf(station) {
  const panel = $(`#explore-${station}`);
  const there = panel.querySelector(".closer");
  if (there) return there;
  const made = make("div", { class: "closer", role: "group", "aria-label": text("view.closer") }, make("span", {}, text("view.closer")));
  panel.querySelector(".lead").after(made);
  return made;
}

// The focus goes along, as the button that had it is gone.
export function openView(name) {
  openStation(name);
  $(`#explore-${name} .back`).focus({ preventScroll: true });
}

function leaveView(name, station) {
  openStation(station);
  $(`[data-view="${name}"]`).focus({ preventScroll: true });
}

on(["station", "token"], () => change({ experiment: null }));

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// What a view has got from the server for the box that is chosen now, or null.
export function experimentOf(view) {
  const { chosen, experiment } = state;
  if (experiment?.view !== view || !chosen) return null;
  return same(experiment.sent.box, boxInputs().box) ? experiment : null;
}

// Makes a function that keeps `state.experiment` at the reply of the server function `name` to
// `inputs()`, while the view is open and a box is chosen.
export function experiment(view, name, inputs) {
  const isOpen = () => state.station === view && state.chosen && state.box;
  const request = requester(name, (reply, sent) => {
    if (isOpen() && same(sent, inputs())) change({ experiment: { view, sent, ...reply } });
  });
  return () => {
    if (!isOpen() || same(experimentOf(view)?.sent, inputs())) return;
    request(inputs());
  };
}
