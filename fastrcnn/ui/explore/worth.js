// Why this class? What each bin, and each of the strongest channels, is worth to the class and to its
// rival: by how much the score falls when the head runs without it.

import { SKY, rgb, signed } from "../shared/colours.js";
import { make, refill } from "../shared/dom.js";
import { fixed, percent } from "../shared/numbers.js";
import { text } from "../shared/texts.js";
import { binGrid } from "./bin-grid.js";
import { smallMap } from "./channels.js";
import { drawChosen } from "./chosen-box.js";
import { rectangleOf } from "./feature-map.js";
import { shownLabel } from "./head.js";
import { boxInputs } from "./inspection.js";
import { className } from "./names.js";
import { $, $$, change, on, state } from "./page.js";
import { pointAtBin } from "./pooled-grid.js";
import { experiment, experimentOf } from "./experiment.js";
import { addView } from "./stations.js";

const MOST_LISTED = 6; // channels

addView({ station: "head", name: "worth", draw });

const ask = experiment("worth", "occlusion", () => {
  const { box, pooling } = boxInputs();
  return { box, pooling };
});
on(["view", "chosen", "pooling", "stage"], ask);

// The class in question and the class that comes nearest to it, which may be the background.
function labels({ scores }) {
  const label = shownLabel(state.box);
  const others = scores.map((_, other) => other).filter((other) => other !== label);
  return [label, others.reduce((best, other) => (scores[other] > scores[best] ? other : best))];
}

const worthOf = ({ scores }, without, label) => scores[label] - without[label];
const worths = (found, label) => found.bins.map((line) => line.map((without) => worthOf(found, without, label)));
const largest = (found) => Math.max(...labels(found).flatMap((label) => worths(found, label).flat()).map(Math.abs), 1e-9);
const plus = (value, digits = 2) => `${value > 0 ? "+" : ""}${fixed(value, digits)}`;

function probability(scores, label) {
  const most = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - most));
  return powers[label] / powers.reduce((a, b) => a + b);
}

const grids = $$(".worth-grid").map((place) => binGrid(place, pointAtBin));

function show() {
  const found = experimentOf("worth");
  $('[data-view="worth"]').classList.toggle("empty", !found);
  if (!found) return;
  const both = labels(found);
  both.forEach((label, i) => {
    grids[i](worths(found, label), {
      colour: (value) => signed(value / largest(found)),
      words: (value) => fixed(value, largest(found) < 1 ? 2 : 1),
      label: (row, column, value) => text("worth.bin-label", { label: className(label), row: row + 1, column: column + 1, value: plus(value) }),
      bin: state.bin,
    });
    const score = { label: className(label), score: fixed(found.scores[label], 2), probability: percent(probability(found.scores, label)) };
    $$(".worth-class")[i].textContent = text(i ? "worth.rival" : "worth.class", score);
  });
  $(".worth-text").textContent = binText(found, both);
}
on(["experiment", "bin", "label", "view"], show);

function binText(found, both) {
  if (!state.bin) return text("worth.point");
  const { row, column } = state.bin;
  const without = found.bins[row][column];
  const [first, second] = both.map((label) =>
    text("worth.change", {
      label: className(label), before: fixed(found.scores[label], 2), after: fixed(without[label], 2),
      from: percent(probability(found.scores, label)), to: percent(probability(without, label)),
    }),
  );
  return text("worth.bin", { row: row + 1, column: column + 1, first, second });
}

// The channels, the one that matters most to the class first.
on(["experiment", "label", "channel"], () => {
  const found = experimentOf("worth");
  if (!found) return refill($(".worth-channels"));
  const both = labels(found);
  const rows = found.channels.map((channel, i) => ({
    channel, both: both.map((label) => worthOf(found, found.without_channel[i], label)),
    pooled: state.box.strongest.find((strong) => strong.channel === channel)?.pooled,
  }));
  rows.sort((a, b) => Math.abs(b.both[0]) - Math.abs(a.both[0]));
  const heads = [text("worth.channel"), ...both.map(className)];
  refill(
    $(".worth-channels"),
    make("caption", {}, text("worth.channels")),
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, ...rows.slice(0, MOST_LISTED).map(channelRow)),
  );
});

function channelRow({ channel, both, pooled }) {
  const name = make(
    "button", { class: "link", "data-key": channel, onclick: () => change({ channel }) },
    text("worth.channel-name", { channel }),
  );
  const most = Math.max(...both.map(Math.abs), 1e-9);
  const cell = (value) => make("td", {}, make("span", { class: "swatch", style: `background:${rgb(signed(value / most))}` }), plus(value));
  return make(
    "tr", { class: channel === state.box.channel ? "chosen" : "" },
    make("td", {}, make("div", { class: "with-map" }, pooled ? smallMap(pooled, 20) : null, name)), ...both.map(cell),
  );
}

// Each bin of the class on its part of the photograph. Bins that share cells overlap on the map; here
// the box is simply divided.
function draw(context, pen) {
  const { box, bin } = state;
  const found = experimentOf("worth");
  if (found) {
    const [left, top, right, bottom] = rectangleOf(box, box.cells ?? box.exact);
    const [label] = labels(found);
    const values = worths(found, label);
    const [width, height] = [(right - left) / values[0].length, (bottom - top) / values.length];
    const partOf = (row, column) => [left + column * width, top + row * height, left + (column + 1) * width, top + (row + 1) * height];
    values.forEach((line, row) =>
      line.forEach((value, column) => {
        const share = value / largest(found);
        context.globalAlpha = 0.9 * Math.min(Math.abs(share), 1);
        context.fillStyle = rgb(signed(Math.sign(share)));
        const [x1, y1] = partOf(row, column);
        context.fillRect(x1, y1, width, height);
      }),
    );
    context.globalAlpha = 1;
    if (bin) pen.outlined(partOf(bin.row, bin.column), SKY, 2);
  }
  drawChosen(pen);
}
