// What each lesson asks before it shows. The answers are the network's own numbers.
//
// QUESTIONS[station]() is null where there is nothing to ask, or
//   kind: how it is answered. "choice": one of `options`; "slider": a number of `range`, {max, step};
//     "place": a point of the photograph.
//   values: those of the texts guess.STATION.ask and guess.STATION.truth.
//   draw(context, pen): what is on the photograph meanwhile; nothing that gives the answer away.
//   judge(answer): {right, values}: whether it is right, and what the truth's text needs beside.
//   show(context, pen): what is on the photograph afterwards, beside what the station draws.

import { ORANGE, SKY, VERMILION } from "../shared/colours.js";
import { area, contains, fixed, grouped, iou, percent } from "../shared/numbers.js";
import { drawChosen } from "./chosen-box.js";
import { chosenDetection, suppressedBy } from "./detections.js";
import { rectangleOf, winnerOf } from "./feature-map.js";
import { drawRegions, regionAt, summedSimilarity } from "./grouping.js";
import { likeliest } from "./head.js";
import { className } from "./names.js";
import { change, chosenBox, state } from "./page.js";

const CLOSE = 0.1; // of the slider's range
const LARGEST = 0.7; // share of the photograph: all sides of a box should be seen
const REGIONS_LEFT = 12; // when it is asked which join next

const drawBox = (context, pen) => drawChosen(pen);

// How many boxes could be drawn on the picture.
export function possibleBoxes() {
  const { width, height } = state.picture;
  return (width * (width + 1) * height * (height + 1)) / 4;
}

export const QUESTIONS = {
  photo() {
    const { width, height } = state.picture;
    const count = possibleBoxes();
    const rounded = Number(count.toPrecision(1));
    if (rounded < 1e6) return null; // too few for two smaller options
    const options = { low: rounded / 1e6, middle: rounded / 1e3, high: rounded };
    for (const name of Object.keys(options)) options[name] = grouped(options[name]);
    return {
      kind: "choice", options: Object.keys(options), values: { width, height, ...options }, draw: drawBox,
      judge: (answer) => ({ right: answer === "high", values: { count: grouped(count) } }),
    };
  },

  grouping() {
    const { grouping } = state;
    const last = (grouping?.merges?.length ?? 0) - 1;
    if (last < 1) return null;
    const merge = Math.max(last - REGIONS_LEFT, 0);
    change({ merge });
    return {
      kind: "place", values: {}, draw: (context) => drawRegions(context, false),
      judge(point) {
        const chosen = regionAt(point);
        change({ merge: merge + 1 });
        return { right: grouping.merges[merge].includes(chosen), values: { sum: fixed(summedSimilarity(grouping, merge), 2) } };
      },
    };
  },

  proposals() {
    const box = chosenBox();
    const whole = state.picture.width * state.picture.height;
    const other = state.proposals.boxes.find((candidate) => {
      const overlap = iou(box, candidate);
      return overlap > 0.3 && overlap < 0.8 && area(candidate) < LARGEST * whole;
    });
    if (!other) return null;
    const truth = iou(box, other);
    const both = (truth * (area(box) + area(other))) / (1 + truth);
    const draw = (context, pen) => {
      pen.outlined(other, SKY, 3);
      drawChosen(pen);
    };
    return {
      kind: "slider", range: { max: 1, step: 0.01 }, values: {}, draw, show: draw,
      judge: (answer) => ({
        right: Math.abs(answer - truth) <= CLOSE,
        values: { iou: fixed(truth, 2), shared: Math.round(both), union: Math.round(area(box) + area(other) - both) },
      }),
    };
  },

  features() {
    const { map, channel, cell } = state.box;
    const columns = map[0].length;
    const flat = map.flat();
    const best = flat.indexOf(Math.max(...flat));
    const [x, y] = [best % columns, Math.floor(best / columns)];
    const place = rectangleOf(state.box, [x, y, x + 1, y + 1]);
    return {
      kind: "place", values: { channel }, draw: drawBox, show: (context, pen) => pen.outlined(place, VERMILION, 3),
      judge(point) {
        const away = Math.hypot(point[0] / cell[0] - x - 0.5, point[1] / cell[1] - y - 0.5);
        return { right: away <= 2, values: { column: x + 1, row: y + 1, away: fixed(away, 1) } };
      },
    };
  },

  pooling() {
    const { box } = state;
    if (!box.winners) return null;
    const values = box.pooled.flat();
    const largest = values.indexOf(Math.max(...values));
    const bin = { row: Math.floor(largest / box.pooled.length), column: largest % box.pooled.length };
    const winner = winnerOf(box, bin);
    if (!winner) return null;
    change({ bin });
    const outline = rectangleOf(box, box.bins[bin.row][bin.column]);
    return {
      kind: "place", values: { row: bin.row + 1, column: bin.column + 1 },
      draw(context, pen) {
        drawChosen(pen);
        pen.outlined(outline, SKY, 2);
      },
      judge: (point) => ({
        right: contains(rectangleOf(box, winner), point),
        values: { cell_column: winner[0] + 1, cell_row: winner[1] + 1, value: fixed(values[largest], 1) },
      }),
    };
  },

  fc() {
    const units = state.box.fc7;
    const silent = units.filter((value) => value === 0).length / units.length;
    return {
      kind: "slider", range: { max: 100, step: 1 }, values: {}, draw: drawBox,
      judge: (answer) => ({ right: Math.abs(answer / 100 - silent) <= CLOSE, values: { silent: percent(silent) } }),
    };
  },

  head() {
    const { box } = state;
    const label = likeliest(box);
    const [x1, y1, x2, y2] = box.box;
    const [a1, b1, a2, b2] = box.regressed[label];
    const moves = [
      ["right", "left", (a1 + a2 - x1 - x2) / 2], ["down", "up", (b1 + b2 - y1 - y2) / 2],
      ["wider", "narrower", a2 - a1 - (x2 - x1)], ["taller", "lower", b2 - b1 - (y2 - y1)],
    ];
    const [more, less, most] = moves.toSorted((a, b) => Math.abs(b[2]) - Math.abs(a[2]))[0];
    const values = Object.fromEntries(["x", "y", "width", "height"].map((name, i) => [name, fixed(moves[i][2], 1)]));
    return {
      kind: "choice", options: moves.flatMap(([up, down]) => [up, down]), values: { label: className(label) }, draw: drawBox,
      judge: (answer) => ({ right: answer === (most >= 0 ? more : less), values }),
    };
  },

  nms() {
    const { decisions } = state;
    const winner = chosenDetection();
    // Of the boxes that it suppressed, the one that overlaps it least: it is easy to tell apart.
    const byOverlap = (i, j) => decisions.overlaps[i] - decisions.overlaps[j];
    const [loser] = winner === undefined ? [] : suppressedBy(winner).sort(byOverlap);
    if (loser === undefined) return null;
    const [a, b] = winner % 2 ? [winner, loser] : [loser, winner]; // the winner is not always the first
    const draw = (context, pen) => {
      for (const [name, i, colour] of [["a", a, ORANGE], ["b", b, SKY]]) {
        pen.outlined(decisions.boxes[i], colour, 3);
        pen.label(name.toUpperCase(), decisions.boxes[i][0], decisions.boxes[i][1], colour);
      }
    };
    const shown = (i) => fixed(decisions.scores[i], 3);
    return {
      kind: "choice", options: ["a", "b"], values: {}, draw,
      judge: (answer) => ({
        right: (answer === "a" ? a : b) === winner,
        values: {
          winner: winner === a ? "A" : "B", score: shown(winner), other: shown(loser),
          iou: fixed(decisions.overlaps[loser], 2), threshold: fixed(state.nms_threshold, 2),
        },
      }),
    };
  },

  result() {
    const chosen = chosenDetection();
    if (chosen === undefined) return null;
    const count = suppressedBy(chosen).length;
    const options = ["0", "1-5", "6-20", "21"];
    const truth = options[[1, 6, 21].filter((low) => count >= low).length];
    return {
      kind: "choice", options, values: { label: className(state.decisions.labels[chosen]) },
      judge: (answer) => ({ right: answer === truth, values: { count, all: state.proposals.boxes.length } }),
    };
  },
};
