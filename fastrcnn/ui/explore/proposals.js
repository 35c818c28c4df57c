// Step 2: the ranked boxes of all groupings, and how well they cover what is really there.

// The groupings whose boxes are shown, or null for all.
function sourceRuns() {
  if (state.source === "all") return null;
  const { runs } = state.proposals;
  return new Set(
    runs.map((run, i) => (run.space === state.source || String(i) === state.source ? i : -1)).filter((i) => i >= 0),
  );
}

const SPACE_COLOURS = [SKY, YELLOW, GREEN, PURPLE, VERMILION];

function spaceColour(index) {
  const spaces = [...new Set(state.proposals.runs.map((run) => run.space))];
  return SPACE_COLOURS[spaces.indexOf(state.proposals.runs[state.proposals.sources[index][0]].space) % 5];
}

function drawProposals(context, pen) {
  if (!state.proposals) return;
  const { boxes } = state.proposals;
  const shown = visible();
  context.globalAlpha = shown.length > 300 ? 0.35 : 0.7;
  for (const i of shown.toReversed()) pen.box(boxes[i], { colour: spaceColour(i), width: 1.2 });
  context.globalAlpha = 1;
  for (const { box, label } of state.truth) {
    pen.box(box, { colour: "#ffffff", width: 4 });
    pen.box(box, { colour: GREEN, width: 2.5, dash: [7, 4] });
    pen.label(label ?? t("proposals.true-object"), box[0], box[1], GREEN);
  }
  if (state.hovered !== null) pen.outlined(boxes[state.hovered], SKY, 2);
  drawChosen(pen);
}

$(".shown").addEventListener("input", (event) => change({ shown: Number(event.target.value) }));
$(".source").addEventListener("change", (event) => change({ source: event.target.value }));
for (const radio of $$('input[name="explore-tool"]')) {
  radio.addEventListener("change", () => change({ tool: radio.value }));
}
$(".typed").addEventListener("submit", (event) => {
  event.preventDefault();
  const box = ["x1", "y1", "x2", "y2"].map((name) => Number(event.target.elements[name].value));
  if (box[2] <= box[0] || box[3] <= box[1]) return say(t("proposals.corners-wrong"));
  useBox(box);
});

on(["proposals"], () => {
  if (!state.proposals) {
    for (const place of [".shown-told", ".source-told"]) $(place).replaceChildren();
    return;
  }
  const { boxes, runs } = state.proposals;
  $(".shown").max = boxes.length;
  const spaces = [...new Set(runs.map((run) => run.space))];
  $(".source").replaceChildren(
    make("option", { value: "all" }, t("proposals.all")),
    ...spaces.map((space) => make("option", { value: space }, t("proposals.only", { space }))),
    ...runs.map((run, i) => make("option", { value: i }, runName(run))),
  );
  change({ source: "all" });
});

on(["proposals", "shown", "source"], () => {
  if (!state.proposals) return;
  const { boxes, sources, runs } = state.proposals;
  $(".shown").value = state.shown;
  $(".shown-told").textContent = t("proposals.shown-told", { shown: state.shown, count: boxes.length });
  $(".source").value = state.source;
  const counts = new Map();
  for (const [run] of sources.slice(0, state.shown)) {
    counts.set(runs[run].space, (counts.get(runs[run].space) ?? 0) + 1);
  }
  const spaces = [...new Set(runs.map((run) => run.space))];
  $(".source-told").replaceChildren(
    ...spaces.flatMap((space, i) => [
      make("span", { class: "swatch", style: `background:${SPACE_COLOURS[i % 5]}` }),
      t("proposals.of-first", { space, count: counts.get(space) ?? 0, shown: state.shown }),
    ]),
  );
});

const askTruth = asker("truth", (answer) => change({ covered: answer.objects }));

on(["truth", "stage"], () => {
  if (state.stage !== "detections") return;
  if (state.truth.length) askTruth({ boxes: state.truth.map(({ box }) => box) });
  else change({ covered: [] });
});

// Why an object was found or not, in words. `covered` is what the server says of it.
function fateOf({ box, label }, covered) {
  const made = state.decisions;
  if (!made || !covered) return "";
  const hits = detections().filter((i) => overlap(made.voted[i], box) >= 0.5);
  const right = hits.find((i) => label === null || className(made.labels[i]) === label);
  if (right !== undefined) {
    return t("truth.found", { label: className(made.labels[right]), score: percent(made.scores[right]) });
  }
  if (covered.first === null) return t("truth.no-proposal");
  const best = t("truth.best", { rank: covered.best + 1, iou: fixed(covered.iou, 2) });
  if (hits.length) return t("truth.wrong-class", { label: className(made.labels[hits[0]]) });
  const fates = candidatesOf(covered.best);
  const own = fates.filter((i) => className(made.labels[i]) === label);
  const ordered = (own.length ? own : fates).sort((a, b) => made.scores[b] - made.scores[a]);
  if (ordered.some((i) => made.kept[i])) {
    return t("truth.moved", { best });
  }
  const loser = ordered.find((i) => made.suppressed_by[i] >= 0);
  if (loser !== undefined) {
    const by = made.suppressed_by[loser];
    return t("truth.suppressed", {
      best, label: className(made.labels[loser]), by: made.proposals[by] + 1, iou: fixed(made.overlaps[loser], 2),
    });
  }
  if (ordered.length) return t("truth.one-too-many", { best });
  return t("truth.below", {
    best, label: className(made.best_labels[covered.best]), score: percent(made.best_scores[covered.best]),
    lowest: fixed(state.score, 2),
  });
}

on(["truth", "covered", "shown", "decisions"], () => {
  const { truth, covered, shown } = state;
  if (!truth.length) {
    refill($(".truth"), make("p", {}, ...pieces("truth.mark")));
    return;
  }
  if (covered.length !== truth.length) return;
  const counted = covered.filter((_, i) => !truth[i].difficult);
  const hit = counted.filter(({ first }) => first !== null && first < shown).length;
  const nameOf = (object, i) => object.label ?? t("truth.object", { number: i + 1 });
  const items = truth.map((object, i) =>
    make(
      "li", {},
      make("b", {}, nameOf(object, i)), object.difficult ? t("truth.difficult") : ": ",
      covered[i].first === null
        ? t("truth.none", { iou: fixed(covered[i].iou, 2) })
        : t("truth.covered", { rank: covered[i].first + 1, iou: fixed(covered[i].iou, 2) }),
      fateOf(object, covered[i]), " ",
      covered[i].best === null ? null : make("button", { class: "link", "data-key": `best-${i}`, onclick: () => choose({ index: covered[i].best }) }, t("truth.its-best")),
      " ",
      make("button", { class: "link", "data-key": `remove-${i}`, "aria-label": t("truth.remove.object", { object: nameOf(object, i) }), onclick: () => change({ truth: truth.filter((_, j) => j !== i) }) }, t("truth.remove")),
    ),
  );
  refill(
    $(".truth"),
    make("p", { class: "recall" }, ...pieces(counted.length === 1 ? "truth.recall.one" : "truth.recall.other", {
      count: String(counted.length), hit: make("b", {}, String(hit)), shown: String(shown),
      recall: counted.length ? percent(hit / counted.length) : "-",
    })),
    make("ul", {}, ...items),
  );
});
