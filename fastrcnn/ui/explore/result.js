// The detections that are left, as a table, and as files and a link to take away.

import { make, refill, saveFile } from "../shared/dom.js";
import { cornersOf, fixed } from "../shared/numbers.js";
import { counted, text } from "../shared/texts.js";
import { chooseCandidate, chosenDetection, detectedAt, detections, selection, suppressedBy } from "./detections.js";
import { className } from "./names.js";
import { drawDetections } from "./nms.js";
import { $, on, requester, state } from "./page.js";
import { addStation } from "./stations.js";

addStation({
  name: "result", stage: "detections", boxesAt: detectedAt, shape,
  draw: (context, pen) => state.decisions && drawDetections(pen, chosenDetection()),
});

function shape() {
  return state.decisions && counted("shape.result", detections().length);
}

const requestFile = requester("takeaway", (reply) => saveFile(reply, "application/json"));
for (const kind of ["png", "json"]) {
  $(`.save-${kind}`).addEventListener("click", () => {
    if (state.stage === "detections") requestFile({ kind, ...selection() });
  });
}

on(["decisions", "chosen"], () => {
  const found = detections();
  refill($(".found"), found.length ? table(found, chosenDetection()) : null);
});

function table(found, chosen) {
  const columns = ["object", "score", "corners", "rank", "suppressed"];
  return make(
    "table", {},
    make("thead", {}, make("tr", {}, ...columns.map((name) => make("th", { scope: "col" }, text(`result.head.${name}`))))),
    make("tbody", {}, ...found.map((i) => row(i, i === chosen))),
  );
}

function row(i, isChosen) {
  const { labels, scores, voted, proposals } = state.decisions;
  const name = { class: "link", "data-proposal": proposals[i], "data-key": `found-${i}`, onclick: () => chooseCandidate(i) };
  return make(
    "tr", { class: isChosen ? "chosen" : "", "aria-current": isChosen ? "true" : null },
    make("td", {}, make("button", name, className(labels[i]))),
    make("td", {}, fixed(scores[i], 3)),
    make("td", {}, cornersOf(voted[i])),
    make("td", {}, String(proposals[i] + 1)),
    make("td", {}, String(suppressedBy(i).length)),
  );
}
