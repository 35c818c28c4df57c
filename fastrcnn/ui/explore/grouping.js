// The regions of selective search, and how they are joined.

import { make, refill } from "../shared/dom.js";
import { cornersOf, fixed } from "../shared/numbers.js";
import { player } from "../shared/player.js";
import { inflate } from "../shared/requests.js";
import { pieces, term } from "../shared/terms.js";
import { text } from "../shared/texts.js";
import { runName } from "./names.js";
import { $, change, choose, on, requester, state } from "./page.js";
import { addStation, showStation } from "./stations.js";

addStation({ name: "grouping", stage: "segments", draw, summary, hovers: false, shape });

const requestSegments = requester("segments", async (reply, inputs) => {
  const { token } = state;
  const bytes = await inflate(reply.labels);
  if (token !== state.token || inputs.run !== state.run) return;
  const labels = reply.bits === 16 ? new Uint16Array(bytes) : new Uint32Array(bytes);
  const grouping = { ...reply, labels, merges: reply.merges ?? null };
  grouping.colours = regionColours(grouping);
  fillRuns(reply.runs);
  const merges = grouping.merges?.length ?? 0;
  change({ grouping, merge: Math.min(wantedMerge ?? 0, merges) });
  wantedMerge = null;
});
let wantedMerge = null; // for when the grouping arrives

function openGrouping(run, merge) {
  if (state.grouping?.merges && state.grouping.run === run) return change({ run, merge });
  wantedMerge = merge;
  change({ run });
  requestSegments({ run });
}

// A colour for every region; a joined one takes that of the larger of its two.
function regionColours({ count, merges, sizes }) {
  const colours = [];
  for (let i = 0; i < count; i++) {
    const hue = (i * 137.508) % 360;
    colours.push(hslToRgb(hue, 0.55 + 0.3 * ((i * 7) % 3) / 2, 0.42 + 0.22 * ((i * 5) % 4) / 3));
  }
  for (const [a, b] of merges ?? []) colours.push(colours[sizes[a] >= sizes[b] ? a : b]);
  return colours;
}

function hslToRgb(hue, saturation, light) {
  const amount = saturation * Math.min(light, 1 - light);
  return [0, 8, 4].map((n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (light - amount * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  });
}

// The region that each starting segment is part of after so many merges.
function regionsAfter(grouping, merges) {
  const parent = new Int32Array(grouping.count + merges).fill(-1);
  for (let m = 0; m < merges; m++) {
    for (const child of grouping.merges[m]) parent[child] = grouping.count + m;
  }
  // A parent's number is above its children's, so one pass from the top finds every root.
  const rootOf = new Int32Array(parent.length);
  for (let node = parent.length - 1; node >= 0; node--) {
    rootOf[node] = parent[node] === -1 ? node : rootOf[parent[node]];
  }
  return rootOf.subarray(0, grouping.count);
}

// The region at a point of the photograph, after the merges so far.
export function regionAt([x, y]) {
  const { grouping, merge, picture } = state;
  const { width, height, labels } = grouping;
  const column = Math.min(Math.max(Math.floor((x * width) / picture.width), 0), width - 1);
  const row = Math.min(Math.max(Math.floor((y * height) / picture.height), 0), height - 1);
  return regionsAfter(grouping, merge)[labels[row * width + column]];
}

// How alike the two regions of a merge are: the sum of the similarities that its grouping uses.
export const summedSimilarity = ({ similarities, used }, merge) =>
  similarities[merge].reduce((total, s, i) => total + (used[i] ? s : 0), 0);

const layer = document.createElement("canvas"); // the regions, in pixels of the working size
let painted = {}; // {grouping, merge, marked} of `layer`

// marked: the last merge's two regions are still apart in the picture, so that both can be seen.
function paint(grouping, merge, marked) {
  if (painted.grouping === grouping && painted.merge === merge && painted.marked === marked) return;
  painted = { grouping, merge, marked };
  const { width, height, labels } = grouping;
  const regions = grouping.merges ? regionsAfter(grouping, marked ? Math.max(merge - 1, 0) : merge) : null;
  const pair = marked && merge > 0 ? grouping.merges[merge - 1] : [];
  const table = new Uint32Array(grouping.count);
  for (let i = 0; i < grouping.count; i++) {
    const region = regions ? regions[i] : i;
    let [r, g, b] = grouping.colours[region];
    let alpha = 190;
    if (pair.length) {
      alpha = 120;
      if (region === pair[0]) [r, g, b, alpha] = [230, 159, 0, 235];
      if (region === pair[1]) [r, g, b, alpha] = [0, 114, 178, 235];
    }
    table[i] = (alpha << 24) | (b << 16) | (g << 8) | r;
  }
  layer.width = width;
  layer.height = height;
  const layerContext = layer.getContext("2d");
  const pixels = layerContext.createImageData(width, height);
  const words = new Uint32Array(pixels.data.buffer);
  for (let i = 0; i < words.length; i++) words[i] = table[labels[i]];
  layerContext.putImageData(pixels, 0, 0);
}

export function drawRegions(context, marked) {
  paint(state.grouping, state.merge, marked);
  context.imageSmoothingEnabled = false;
  context.drawImage(layer, 0, 0, state.picture.width, state.picture.height);
}

function draw(context, pen) {
  const { grouping, merge } = state;
  if (!grouping) return;
  drawRegions(context, true);
  if (merge > 0) pen.outlined(grouping.boxes[grouping.count + merge - 1], "#ffffff", 2);
}

// How many regions there are after the merges so far.
function shape() {
  return state.grouping && text("shape.grouping", { count: state.grouping.count - state.merge });
}

function fillRuns(runs) {
  const select = $(".run");
  const options = runs.map((run, i) => make("option", { value: i }, runName(run)));
  select.replaceChildren(...options);
  select.value = String(state.run);
}

const stopMerges = player($('.play[data-name="merges"]'), 120, (first) => {
  const merges = state.grouping?.merges?.length ?? 0;
  if (!merges) return false;
  if (first && state.merge === merges) change({ merge: 0 });
  // The thousandth merge is no more interesting than the tenth: the whole takes some 15 seconds.
  const stride = Math.max(1, Math.round(merges / 125));
  change({ merge: Math.min(state.merge + stride, merges) });
  return state.merge < merges;
});

$(".merge").addEventListener("input", (event) => {
  stopMerges();
  change({ merge: Number(event.target.value) });
});
for (const [name, step] of [[".back", -1], [".on", 1]]) {
  $(name).addEventListener("click", () => {
    stopMerges();
    const merges = state.grouping?.merges?.length ?? 0;
    change({ merge: Math.min(Math.max(state.merge + step, 0), merges) });
  });
}
$(".run").addEventListener("change", (event) => {
  stopMerges();
  openGrouping(Number(event.target.value), 0);
});

on(["station"], stopMerges);

on(["stage", "token"], () => {
  if (state.stage === "read") {
    stopMerges();
    wantedMerge = null;
  }
  // First the segments alone, later the same with their merges.
  const missing = state.stage === "segments" ? !state.grouping : !state.grouping?.merges;
  if (["segments", "proposals", "features", "detections"].includes(state.stage) && missing) {
    requestSegments({ run: state.run });
  }
});

const panel = $("#explore-grouping");

on(["grouping", "merge", "proposals"], () => {
  const { grouping, merge } = state;
  const merges = grouping?.merges?.length ?? 0;
  $(".merge").max = merges;
  $(".merge").value = merge;
  for (const control of panel.querySelectorAll(".player :is(button, input)")) control.disabled = !merges;
  $(".run").disabled = !grouping?.merges;
  refill($(".merge-text"), ...(grouping ? mergeText(grouping, merge) : []));
});

// What the last merge joined, and why these two.
function mergeText(grouping, merge) {
  const { count, merges } = grouping;
  if (!merges) return [make("p", {}, text("grouping.starting", { count }))];
  if (merge === 0) {
    return [make("p", {}, merges.length ? text("grouping.to-come", { count, merges: merges.length }) : text("grouping.nothing"))];
  }
  const node = count + merge - 1; // the joined region's number
  const [a, b] = merges[merge - 1];
  const similarities = grouping.similarities[merge - 1];
  const rank = state.proposals?.sources.findIndex(([run, n]) => run === grouping.run && n === node) ?? -1;
  const together = !state.proposals ? "grouping.together" : rank >= 0 ? "grouping.together.ranked" : "grouping.together.unranked";
  // Regions are counted at working size. The visitor sees the photograph.
  const larger = (state.picture.width * state.picture.height) / (grouping.width * grouping.height);
  const region = (number) => text("grouping.region", { region: number, pixels: Math.round(grouping.sizes[number] * larger) });
  return [
    make("p", {}, ...pieces("grouping.merge", {
      merge: String(merge), merges: String(merges.length), sum: fixed(summedSimilarity(grouping, merge - 1), 3),
      first: make("span", { class: "key orange" }, region(a)),
      second: make("span", { class: "key blue" }, region(b)),
    })),
    make("table", {}, make("tbody", {}, ...grouping.names.map((name, i) => similarityRow(name, similarities[i], grouping.used[i])))),
    make("p", {}, ...pieces(together, {
      node: String(node), box: cornersOf(grouping.boxes[node]), rank: String(rank + 1),
      choose: make("button", { class: "link", "data-key": "choose", onclick: () => choose({ index: rank }) }, text("grouping.choose")),
    })),
  ];
}

function similarityRow(name, value, used) {
  const words = text(`similarity.${name}`);
  return make(
    "tr", { class: used ? "" : "unused" },
    make("th", { scope: "row" }, term(name, words)),
    make("td", {}, make("meter", { min: 0, max: 1, value, "aria-label": words })),
    make("td", {}, fixed(value, 3)),
    make("td", {}, used ? "" : text("grouping.not-used")),
  );
}

// Which merge the chosen proposal comes from.
function summary() {
  const { chosen, proposals } = state;
  if (chosen.index == null) return null;
  const [number, node] = proposals.sources[chosen.index];
  const run = proposals.runs[number];
  const merge = node - (run.segments - 1);
  const open = () => {
    showStation("grouping");
    openGrouping(number, Math.max(merge, 0));
  };
  return {
    title: text("life.region"),
    content: [
      make("p", {}, text("life.from", run), merge > 0 ? text("life.merge", { merge }) : text("life.start")),
      make("button", { class: "origin", "data-key": "origin", onclick: open }, text(merge > 0 ? "life.show-two" : "life.show")),
    ],
  };
}
