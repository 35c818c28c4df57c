// The link to what is shown: which example, station, view, box, channel, pooling and thresholds. An upload
// has none: nobody else has the photograph.

import { copyLink } from "../shared/copy-link.js";
import { text } from "../shared/texts.js";
import { isExample, openExample } from "./analysis.js";
import { insidePhoto } from "./own-boxes.js";
import { $, change, on, state } from "./page.js";
import { stations, views } from "./stations.js";

const THRESHOLDS = ["score_threshold", "nms_threshold"];
const POOLINGS = ["paper", "walkthrough", "align"];

export function link() {
  const { example, station, view, chosen, channel, pooling, model, vote, presenting } = state;
  const parts = new URLSearchParams({ example, station });
  if (view) parts.set("view", view);
  if (chosen?.box) parts.set("box", chosen.box.join(","));
  else if (chosen) parts.set("rank", chosen.index + 1);
  if (channel !== null) parts.set("channel", channel);
  if (pooling !== model.pooling) parts.set("pooling", pooling);
  for (const name of THRESHOLDS) parts.set(name, state[name]);
  if (!vote) parts.set("vote", "off");
  if (presenting) parts.set("present", "on");
  // The language stays, where the address asks for one.
  return `${location.origin}${location.pathname}${location.search}#${parts}`;
}

// Returns what happened, as the key of a text.
async function copy() {
  if (!state.model.ships) return "link.trained";
  return state.example ? copyLink(link()) : "link.own";
}
$(".copy-link").addEventListener("click", async () => ($(".link-text").textContent = text(await copy())));

function number(value, low, high) {
  const parsed = value === null || value === "" ? NaN : Number(value);
  return parsed >= low && parsed <= high ? parsed : null;
}

// The part of the state that a link names, where it fits the picture.
function stateOf(parts) {
  const changes = { vote: parts.get("vote") !== "off", presenting: parts.get("present") === "on" };
  const rank = number(parts.get("rank"), 1, state.proposals.boxes.length);
  const corners = (parts.get("box") ?? "").split(",").map(Number);
  const box = corners.length === 4 && corners.every(Number.isFinite) && insidePhoto(corners);
  if (box) changes.chosen = { box };
  else if (Number.isInteger(rank)) changes.chosen = { index: rank - 1 };
  const channel = number(parts.get("channel"), 0, state.model.channels - 1);
  if (Number.isInteger(channel)) changes.channel = channel;
  if (POOLINGS.includes(parts.get("pooling"))) changes.pooling = parts.get("pooling");
  const [station, view] = [parts.get("station"), parts.get("view")];
  if (stations.has(station)) {
    Object.assign(changes, { station, view: views.get(view)?.station === station ? view : null, follows: false });
  }
  for (const name of THRESHOLDS) {
    const value = number(parts.get(name), 0.01, 0.99);
    if (value !== null) changes[name] = value;
  }
  return changes;
}

const fromAddress = () => new URLSearchParams(location.hash.slice(1));

// What the link asks for, until the picture is there to show it on.
let wanted = fromAddress();

on(["stage", "proposals", "picture"], () => {
  if (state.stage !== "detections" || !state.proposals || !state.picture || wanted === null) return;
  if (wanted.get("example") === state.example) change(stateOf(wanted));
  wanted = null;
});

// The example that the link names, or undefined.
export const linkedExample = () => [wanted?.get("example")].find(isExample);

// A link that is pasted into the open page.
window.addEventListener("hashchange", () => {
  wanted = fromAddress();
  if (linkedExample()) openExample(linkedExample());
});
