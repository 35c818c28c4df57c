// A new picture, each stage of its analysis as the server tells of it, and the network that made it.

import { make, refill } from "../shared/dom.js";
import { fixed } from "../shared/numbers.js";
import { pieces } from "../shared/terms.js";
import { counted, sentence, text } from "../shared/texts.js";
import { $, $$, change, on, props, requester, root, showStatus, state, trigger } from "./page.js";

const requestPicture = requester("picture", (reply) => {
  const image = new Image();
  const { token } = state;
  image.onload = () => {
    if (token !== state.token) return;
    const { width, height, input } = reply;
    change({ picture: { width, height, image, input }, truth: reply.objects });
  };
  image.src = reply.src;
});

const requestProposals = requester("proposals", (reply) => {
  change({ proposals: reply, shown: Math.min(state.shown, reply.boxes.length) });
});

const requestActivity = requester("activity", (reply) => change({ activity: reply }));

// A note from the server: a stage is done, or something went wrong.
export function receive(note) {
  if (!note) return;
  if (note.error) {
    // The picture before it, if any, is still there.
    setBusy(false);
    return showStatus(sentence(note));
  }
  if (note.token !== state.token) {
    const { model } = note;
    if (JSON.stringify(model) !== JSON.stringify(state.model)) change({ model, pooling: model.pooling });
    // Nothing of the picture before may stay behind.
    change({
      token: note.token, name: note.name, example: note.example, stage: "read",
      picture: null, grouping: null, merge: 0, run: 0, proposals: null, hovered: null,
      chosen: null, box: null, bin: null, channel: null, label: null, truth: [], covered: [],
      decisions: null, activity: null, shown: 100, source: "all",
    });
  }
  change({ stage: note.stage });
}

const desk = $(".desk");
const setBusy = (busy) => desk.setAttribute("aria-busy", String(busy));

on(["stage", "token"], () => {
  const { stage } = state;
  root.dataset.stage = stage;
  setBusy(stage !== "detections");
  if (stage !== "detections") showStatus(text(`working.${stage}`, { name: state.name }));
  if (stage !== "read" && state.picture === null) requestPicture({});
  if (["proposals", "features", "detections"].includes(stage) && state.proposals === null) requestProposals({});
  if (stage === "features") requestActivity({});
});

// How long each stage took. What was said of an input that was refused goes when another is accepted.
on(["decisions", "chosen", "truth", "channel", "experiment"], () => {
  const { decisions, name } = state;
  if (!decisions || desk.getAttribute("aria-busy") === "true") return;
  const stages = Object.entries(decisions.seconds).map(([stage, seconds]) =>
    text("explore.stage-time", { stage: text(`stage.${stage}`), seconds: fixed(seconds, 2) }),
  );
  const total = Object.values(decisions.seconds).reduce((a, b) => a + b, 0);
  showStatus(text("explore.analysed", { name, total: fixed(total, 1), stages: stages.join(", ") }));
});

// The page may go over to a network that the visitor trained, or taught a class, and back.
on(["model"], () => {
  const { model } = state;
  const whose = $(".whose");
  whose.hidden = model.ships;
  if (model.ships) return;
  const goBack = () => {
    showWaiting();
    trigger("untrain", {});
  };
  const back = make("button", { class: "link", "data-key": "untrain", onclick: goBack }, text("explore.go-back"));
  const words = model.taught
    ? pieces("explore.whose.taught", { taught: model.taught.name, back })
    : pieces("explore.whose", { iterations: String(model.trained), classes: model.classes.join(", "), back });
  refill(whose, ...words);
});

// Examples

for (const { name, src } of props.examples) {
  const label = name.replaceAll("-", " ");
  $(".examples").append(
    make(
      "button", { "data-name": name, title: label, "aria-pressed": "false", onclick: () => openExample(name) },
      make("img", { src, alt: text("explore.example", { name: label }) }),
    ),
  );
}
on(["example"], () => {
  for (const button of $$(".examples button")) {
    button.setAttribute("aria-pressed", String(button.dataset.name === state.example));
  }
});

export const isExample = (name) => props.examples.some((example) => example.name === name);

export function openExample(name) {
  showWaiting();
  trigger("example", { name });
}

function showWaiting() {
  setBusy(true);
  showStatus(counted("explore.waiting", props.at_once));
}

// server.py sends this event when an upload has begun.
window.addEventListener("explore-upload", showWaiting);
