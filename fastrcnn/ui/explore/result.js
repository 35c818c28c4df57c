// Step 5: what is kept, what is dropped, and by whom.

const askDecisions = asker("decisions", (answer) => {
  const first = state.decisions === null;
  change({ decisions: answer });
  // A box that became a detection has the most to show; without one, the best ranked.
  if (first && state.chosen === null) {
    const [best] = detections();
    choose({ index: best === undefined ? 0 : answer.proposals[best] });
  }
});

const selection = () => ({ score: state.score, nms: state.nms, vote: state.vote });

on(["stage", "score", "nms", "vote"], () => {
  if (state.stage === "detections") askDecisions(selection());
});

$(".score").addEventListener("input", (event) => change({ score: Number(event.target.value) }));
$(".nms").addEventListener("input", (event) => change({ nms: Number(event.target.value) }));
$(".vote").addEventListener("change", (event) => change({ vote: event.target.checked }));
on(["score", "nms", "vote"], showSliders);
function showSliders() {
  $(".score").value = state.score;
  $(".nms").value = state.nms;
  $(".vote").checked = state.vote;
  $(".score-told").textContent = fixed(state.score, 2);
  $(".nms-told").textContent = fixed(state.nms, 2);
}

// The candidates that are detections, best first.
function detections() {
  const made = state.decisions;
  if (!made) return [];
  const kept = made.kept.map((is, i) => (is ? i : -1)).filter((i) => i >= 0);
  return kept.sort((a, b) => made.scores[b] - made.scores[a] || a - b);
}

const candidatesOf = (proposal) =>
  state.decisions.proposals.map((p, i) => (p === proposal ? i : -1)).filter((i) => i >= 0);

// The detection that the chosen proposal became, if any.
function chosenDetection() {
  if (!state.decisions || state.chosen?.index == null) return undefined;
  return candidatesOf(state.chosen.index).find((i) => state.decisions.kept[i]);
}

function drawResult(context, pen) {
  const made = state.decisions;
  if (!made) return;
  const chosen = chosenDetection();
  if (chosen !== undefined) {
    made.suppressed_by.forEach((by, i) => {
      if (by === chosen) pen.box(made.boxes[i], { colour: "#ffffff", width: 1, dash: [4, 4] });
    });
  }
  for (const i of detections().toReversed()) {
    pen.outlined(made.voted[i], classColour(made.labels[i]), i === chosen ? 4 : 2);
  }
  for (const i of detections().toReversed()) {
    const [x, y] = made.voted[i];
    pen.label(`${className(made.labels[i])} ${fixed(made.scores[i], 2)}`, x, y, classColour(made.labels[i]));
  }
  if (chosen === undefined) drawChosenApart(pen);
}

on(["decisions", "chosen"], () => {
  const made = state.decisions;
  if (!made) {
    $(".count").textContent = "";
    $(".found").replaceChildren();
    return;
  }
  const found = detections();
  const dropped = made.suppressed_by.filter((by) => by >= 0).length;
  $(".count").textContent = found.length
    ? counted("result.count", found.length, { reached: made.proposals.length, dropped })
    : t("result.none", { score: fixed(state.score, 2) });
  const chosen = chosenDetection();
  const rows = found.map((i) => {
    const losers = made.suppressed_by.filter((by) => by === i).length;
    return make(
      "tr", { class: i === chosen ? "chosen" : "", "aria-current": i === chosen ? "true" : null },
      make("td", {}, make("button", { class: "link", "data-proposal": made.proposals[i], "data-key": `found-${i}`, onclick: () => choose({ index: made.proposals[i] }) }, className(made.labels[i]))),
      make("td", {}, fixed(made.scores[i], 3)),
      make("td", {}, made.voted[i].map((value) => fixed(value, 0)).join(", ")),
      make("td", {}, String(made.proposals[i] + 1)),
      make("td", {}, String(losers)),
    );
  });
  refill(
    $(".found"),
    ...(found.length
      ? [
          make(
            "table", {},
            make("thead", {}, make("tr", {}, ...["object", "score", "corners", "rank", "suppressed"].map((name) => make("th", { scope: "col" }, t(`result.head.${name}`))))),
            make("tbody", {}, ...rows),
          ),
        ]
      : []),
    suppressedBy(chosen),
  );
});

let listOpen = false;

// The boxes that a detection suppressed; from one of them the list stays that of its winner.
function suppressedBy(detection) {
  const made = state.decisions;
  const lost = candidatesOf(state.chosen?.index).find((i) => made.suppressed_by[i] >= 0);
  const chosen = detection ?? made.suppressed_by[lost];
  if (chosen === undefined) return null;
  const losers = made.suppressed_by.map((by, i) => (by === chosen ? i : -1)).filter((i) => i >= 0);
  if (!losers.length) return null;
  const item = (i) => {
    const attributes = { class: "link", "data-key": `lost-${i}`, onclick: () => choose({ index: made.proposals[i] }) };
    return make("li", {}, make("button", attributes, t("result.rank", { rank: made.proposals[i] + 1 })), t("result.lost", { score: fixed(made.scores[i], 3), iou: fixed(made.overlaps[i], 2) }));
  };
  return make(
    "details", { class: "suppressed", open: listOpen, ontoggle: (event) => (listOpen = event.target.open) },
    make("summary", { "data-key": "suppressed" }, t("result.suppressed-by", { count: losers.length, label: className(made.labels[chosen]), rank: made.proposals[chosen] + 1 })),
    make("ul", {}, ...losers.slice(0, 50).map(item)),
  );
}

// The proposals behind the detections at a point, the smallest box first.
function detectedAt([x, y]) {
  const made = state.decisions;
  if (!made) return [];
  return detections()
    .filter((i) => made.voted[i][0] <= x && x < made.voted[i][2] && made.voted[i][1] <= y && y < made.voted[i][3])
    .sort((i, j) => area(made.voted[i]) - area(made.voted[j]))
    .map((i) => made.proposals[i]);
}

// What became of the chosen box, in one sentence; parts may be elements.
function fate() {
  const made = state.decisions;
  if (!made || !state.chosen) return [""];
  if (state.chosen.box) return [t("fate.own")];
  const index = state.chosen.index;
  const mine = candidatesOf(index);
  const kept = mine.filter((i) => made.kept[i]);
  if (kept.length) {
    const list = kept.map((i) => `${className(made.labels[i])} ${fixed(made.scores[i], 3)}`).join(t("fate.and"));
    return [t("fate.kept", { kept: list }), ...kept.map(poll)];
  }
  const loser = mine.find((i) => made.suppressed_by[i] >= 0);
  if (loser !== undefined) {
    const by = made.suppressed_by[loser];
    const rank = t("result.rank", { rank: made.proposals[by] + 1 });
    return pieces("fate.suppressed", {
      label: className(made.labels[loser]), score: fixed(made.scores[loser], 3), by_score: fixed(made.scores[by], 3),
      by: make("button", { class: "link", "data-key": "by", onclick: () => choose({ index: made.proposals[by] }) }, rank),
      iou: fixed(made.overlaps[loser], 3), most: fixed(state.nms, 2),
    });
  }
  if (mine.length) return [t("fate.over-limit")];
  const best = `${className(made.best_labels[index])} ${fixed(made.best_scores[index], 3)}`;
  const ground = made.background[index];
  if (ground > made.best_scores[index]) {
    return [t("fate.background", { ground: fixed(ground, 3), best })];
  }
  return [t("fate.below", { best, lowest: fixed(state.score, 2) })];
}

// How the boxes voted on a detection's edges.
function poll(i) {
  const { boxes, votes, voted } = state.decisions;
  if (!votes[i]) return "";
  const moved = voted[i].map((value, side) => fixed(value - boxes[i][side], 0));
  return counted("poll", votes[i], { moved: moved.join(", ") });
}

const askTakeaway = asker("takeaway", (answer) => {
  const href = answer.src ?? URL.createObjectURL(new Blob([answer.text], { type: "application/json" }));
  make("a", { href, download: answer.name }).click();
  if (!answer.src) URL.revokeObjectURL(href);
});
for (const kind of ["png", "json"]) {
  $(`.save-${kind}`).addEventListener("click", () => {
    if (state.stage === "detections") askTakeaway({ kind, ...selection() });
  });
}
