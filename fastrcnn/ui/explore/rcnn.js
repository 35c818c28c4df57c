// Why it is fast: R-CNN runs for real on this photograph, box after box, beside Fast R-CNN's one pass.

import { ORANGE, SKY } from "../shared/colours.js";
import { make, refill } from "../shared/dom.js";
import { fixed, percent } from "../shared/numbers.js";
import { text } from "../shared/texts.js";
import { drawChosen } from "./chosen-box.js";
import { BUSY_WAIT } from "./experiment.js";
import { className } from "./names.js";
import { $, change, choose, on, requester, state } from "./page.js";
import { addView } from "./stations.js";

addView({ station: "features", name: "rcnn", draw });

const LISTED = 6; // crops

// Table 4 of the paper, VGG16 (L), in seconds a photograph without proposals. It rounds the seconds
// and says 146 times, not 147.
const PAPER = { fast: 0.32, rcnn: 47.0, times: 146 };

let runs = false;
let done = []; // {src, rcnn, fast, seconds}, by rank
let once = null; // seconds of Fast R-CNN's one pass
let boxes = 0;

const isOpen = () => runs && state.view === "rcnn" && state.stage === "detections";

const request = requester(
  "rcnn",
  (reply) => {
    if (!isOpen()) return;
    if (reply.busy) return setTimeout(next, BUSY_WAIT);
    boxes = reply.boxes;
    once ??= reply.once;
    reply.src.forEach((src, i) => done.push({ src, rcnn: reply.rcnn[i], fast: reply.fast[i], seconds: reply.seconds[i] }));
    if (done.length === boxes) runs = false;
    show();
    next();
  },
  () => stop(),
);

function next() {
  if (isOpen()) request({ first: done.length });
}

function stop() {
  runs = false;
  show();
}

$(".rcnn-run").addEventListener("click", () => {
  if (runs || state.stage !== "detections") return stop();
  if (done.length && done.length === boxes) [done, once] = [[], null];
  runs = true;
  show();
  next();
});
on(["view"], () => {
  if (runs) stop();
  show();
});
on(["token"], () => {
  [runs, done, once] = [false, [], null];
  show();
});

// The likeliest class
const likeliest = (probabilities) => probabilities.indexOf(Math.max(...probabilities));
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

function show() {
  if (state.view !== "rcnn") return;
  $(".rcnn-run").textContent = text(runs ? "rcnn.stop" : done.length ? "rcnn.go-on" : "rcnn.start");
  $(".rcnn-done").textContent = done.length ? text("rcnn.done", { done: done.length, count: boxes }) : text("rcnn.not-yet");
  refill($(".rcnn-times"), ...(done.length ? times() : []));
  $(".rcnn-gap").textContent = done.length ? gapText() : "";
  refill($(".rcnn-crops"), ...done.slice(-LISTED).map((crop, i) => cropItem(crop, Math.max(done.length - LISTED, 0) + i)));
  change({ experiment: { view: "rcnn", done: done.length } });
}

function times() {
  const spent = done.reduce((sum, { seconds }) => sum + seconds, 0);
  const all = (spent / done.length) * boxes;
  const row = (name, ...cells) => make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((words) => make("td", {}, words)));
  const seconds = (value) => text("time.seconds", { count: fixed(value, value < 10 ? 2 : 0) });
  const heads = ["", text("rcnn.passes"), text("rcnn.spent"), text("rcnn.projected", { count: boxes }), text("rcnn.paper")];
  return [
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
    make(
      "tbody", {},
      row(text("rcnn.fast"), "1", seconds(once), seconds(once), seconds(PAPER.fast)),
      row(text("rcnn.rcnn"), String(done.length), seconds(spent), seconds(all), seconds(PAPER.rcnn)),
      row(text("rcnn.ratio"), "", "", text("rcnn.times", { times: fixed(all / once, 0) }), text("rcnn.times", { times: PAPER.times })),
    ),
  ];
}

function gapText() {
  const gaps = done.map(({ fast, rcnn }) => Math.abs(fast[likeliest(fast)] - rcnn[likeliest(fast)]));
  const same = done.filter(({ fast, rcnn }) => likeliest(fast) === likeliest(rcnn)).length;
  const objects = gaps.filter((_, i) => likeliest(done[i].fast) > 0);
  const words = [text("rcnn.gap", { same, count: done.length, gap: percent(mean(gaps)) })];
  if (objects.length) words.push(text("rcnn.gap.objects", { count: objects.length, gap: percent(mean(objects)) }));
  return words.join(" ");
}

function cropItem({ src, rcnn, fast }, rank) {
  const words = (key, p) => text(key, { label: className(likeliest(p)), probability: percent(p[likeliest(p)]) });
  const name = text("result.rank", { rank: rank + 1 });
  return make(
    "li", {},
    make("button", { "data-key": rank, title: name, onclick: () => choose({ index: rank }) }, make("img", { src, alt: text("rcnn.crop", { rank: rank + 1 }), width: 64, height: 64 })),
    make("span", {}, words("rcnn.says", rcnn)), make("span", {}, words("rcnn.fast-says", fast)),
  );
}

function draw(context, pen) {
  const { proposals } = state;
  if (proposals && state.experiment?.view === "rcnn") {
    context.globalAlpha = 0.6;
    for (let i = 0; i < done.length; i++) pen.box(proposals.boxes[i], { colour: ORANGE, width: 1.2 });
    context.globalAlpha = 1;
    for (let i = Math.max(done.length - LISTED, 0); i < done.length; i++) pen.outlined(proposals.boxes[i], SKY, 2);
  }
  if (!done.length) drawChosen(pen);
}
