// The chosen box's whole way in one line. Each part says what a station made of it, and opens it.

import { make, refill } from "../shared/dom.js";
import { text } from "../shared/texts.js";
import { $, chosenBox, on, state } from "./page.js";
import { showStation, stations } from "./stations.js";

function part(name, { summary }) {
  const words = summary();
  if (!words) return null;
  const open = state.station === name;
  return make(
    "div", { class: `part${open ? " open" : ""}`, "data-part": name },
    make("button", { class: "link", "data-key": name, onclick: () => showStation(name) }, words.title), ...words.content,
  );
}

on(["chosen", "box", "label", "decisions", "proposals", "station"], () => {
  const life = $(".life");
  if (!state.proposals || !chosenBox()) return refill(life);
  const parts = [...stations].map(([name, station]) => part(name, station));
  refill(life, make("h3", {}, text("life.title")), make("div", { class: "parts" }, ...parts));
});
