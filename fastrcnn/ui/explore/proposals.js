// The ranked boxes of all groupings, and how well they cover what is truly on the photograph.

import { GREEN, PURPLE, SKY, VERMILION, YELLOW } from "../shared/colours.js";
import { make } from "../shared/dom.js";
import { cornersOf } from "../shared/numbers.js";
import { text } from "../shared/texts.js";
import { drawChosen } from "./chosen-box.js";
import { runName } from "./names.js";
import { useBox } from "./own-boxes.js";
import { drawTruth, nameTruth } from "./photo-station.js";
import { $, $$, change, chosenBox, on, showStatus, state } from "./page.js";
import { shownProposals } from "./shown-proposals.js";
import { addStation } from "./stations.js";
import "./truth.js";

addStation({ name: "proposals", stage: "proposals", draw, summary, shape });

const COLOURS = [SKY, YELLOW, GREEN, PURPLE, VERMILION]; // of the colour spaces

const colourSpaces = () => [...new Set(state.proposals.runs.map((run) => run.space))];
const colourOf = (space) => COLOURS[colourSpaces().indexOf(space) % COLOURS.length];

function draw(context, pen) {
  if (!state.proposals) return;
  const { boxes, sources, runs } = state.proposals;
  const shown = shownProposals();
  const colours = runs.map((run) => colourOf(run.space));
  context.globalAlpha = shown.length > 300 ? 0.35 : 0.7;
  for (const i of shown.toReversed()) pen.box(boxes[i], { colour: colours[sources[i][0]], width: 1.2 });
  context.globalAlpha = 1;
  drawTruth(pen);
  if (state.hovered !== null) pen.outlined(boxes[state.hovered], SKY, 2);
  drawChosen(pen);
  nameTruth(pen);
}

function shape() {
  return state.proposals && text("shape.proposals", { count: state.proposals.boxes.length });
}

$(".shown").addEventListener("input", (event) => change({ shown: Number(event.target.value) }));
$(".source").addEventListener("change", (event) => change({ source: event.target.value }));
for (const radio of $$('input[name="explore-tool"]')) {
  radio.addEventListener("change", () => change({ tool: radio.value }));
}
$(".typed").addEventListener("submit", (event) => {
  event.preventDefault();
  const box = ["x1", "y1", "x2", "y2"].map((name) => Number(event.target.elements[name].value));
  if (box[2] <= box[0] || box[3] <= box[1]) return showStatus(text("proposals.corners-wrong"));
  useBox(box);
});

on(["proposals"], () => {
  if (!state.proposals) {
    for (const place of [".shown-text", ".source-text"]) $(place).replaceChildren();
    return;
  }
  const { boxes, runs } = state.proposals;
  $(".shown").max = boxes.length;
  $(".source").replaceChildren(
    make("option", { value: "all" }, text("proposals.all")),
    ...colourSpaces().map((space) => make("option", { value: space }, text("proposals.only", { space }))),
    ...runs.map((run, i) => make("option", { value: i }, runName(run))),
  );
  change({ source: "all" });
});

on(["proposals", "shown", "source"], () => {
  if (!state.proposals) return;
  const { proposals: { boxes, sources, runs }, shown, source } = state;
  $(".shown").value = shown;
  $(".shown-text").textContent = text("proposals.count", { shown, count: boxes.length });
  $(".source").value = source;
  const first = sources.slice(0, shown).map(([run]) => runs[run].space);
  $(".source-text").replaceChildren(
    ...colourSpaces().flatMap((space) => [
      make("span", { class: "swatch", style: `background:${colourOf(space)}` }),
      text("proposals.of-first", { space, count: first.filter((other) => other === space).length, shown }),
    ]),
  );
});

function summary() {
  const corners = make("p", {}, cornersOf(chosenBox()));
  if (state.chosen.box) return { title: text("life.own"), content: [corners] };
  const rank = text("life.rank", { rank: state.chosen.index + 1, count: state.proposals.boxes.length });
  return { title: text("life.proposal"), content: [make("p", {}, rank), corners] };
}
