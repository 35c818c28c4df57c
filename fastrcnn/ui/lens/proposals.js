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
    pen.label(label ?? "true object", box[0], box[1], GREEN);
  }
  if (state.hovered !== null) pen.outlined(boxes[state.hovered], SKY, 2);
  drawChosen(pen);
}

$(".shown").addEventListener("input", (event) => change({ shown: Number(event.target.value) }));
$(".source").addEventListener("change", (event) => change({ source: event.target.value }));
for (const radio of $$('input[name="lens-tool"]')) {
  radio.addEventListener("change", () => change({ tool: radio.value }));
}
$(".typed").addEventListener("submit", (event) => {
  event.preventDefault();
  const box = ["x1", "y1", "x2", "y2"].map((name) => Number(event.target.elements[name].value));
  if (box[2] <= box[0] || box[3] <= box[1]) return say("x2 must be above x1, and y2 above y1.");
  useBox(box);
});

on(["proposals"], () => {
  if (!state.proposals) return;
  const { boxes, runs } = state.proposals;
  $(".shown").max = boxes.length;
  const spaces = [...new Set(runs.map((run) => run.space))];
  $(".source").replaceChildren(
    make("option", { value: "all" }, "all groupings"),
    ...spaces.map((space) => make("option", { value: space }, `${space} only`)),
    ...runs.map((run, i) => make("option", { value: i }, runName(run))),
  );
  change({ source: "all" });
});

on(["proposals", "shown", "source"], () => {
  if (!state.proposals) return;
  const { boxes, sources, runs } = state.proposals;
  $(".shown").value = state.shown;
  $(".shown-told").textContent = `${state.shown} of ${boxes.length}`;
  $(".source").value = state.source;
  const counts = new Map();
  for (const [run] of sources.slice(0, state.shown)) {
    counts.set(runs[run].space, (counts.get(runs[run].space) ?? 0) + 1);
  }
  const spaces = [...new Set(runs.map((run) => run.space))];
  $(".source-told").replaceChildren(
    ...spaces.flatMap((space, i) => [
      make("span", { class: "swatch", style: `background:${SPACE_COLOURS[i % 5]}` }),
      `${space}: ${counts.get(space) ?? 0} of the first ${state.shown}. `,
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
  const kept = made.kept.map((is, i) => (is ? i : -1)).filter((i) => i >= 0);
  const hits = kept.filter((i) => overlap(made.boxes[i], box) >= 0.5);
  const right = hits.find((i) => label === null || className(made.labels[i]) === label);
  if (right !== undefined) {
    return `Found as ${className(made.labels[right])}, ${percent(made.scores[right])}.`;
  }
  if (covered.first === null) {
    return `Not found: no proposal overlaps it by 0.5; the best, rank ${covered.best + 1}, has IoU ${fixed(covered.iou, 2)}.`;
  }
  const start = `The best proposal (rank ${covered.best + 1}) overlaps it by ${fixed(covered.iou, 2)}`;
  if (hits.length) return `Wrong class: called ${className(made.labels[hits[0]])}. ${start}.`;
  const fates = made.proposals
    .map((proposal, i) => (proposal === covered.best ? i : -1))
    .filter((i) => i >= 0);
  const loser = fates.find((i) => made.suppressed_by[i] >= 0);
  if (loser !== undefined) {
    const by = made.suppressed_by[loser];
    return (
      `Not found: ${start}, but was suppressed as ${className(made.labels[loser])} by proposal ` +
      `${made.proposals[by] + 1} (IoU ${fixed(made.overlaps[loser], 2)}).`
    );
  }
  if (fates.length) return `Box too loose: ${start} and is kept, but the regressed box is off.`;
  const best = covered.best;
  return (
    `Not found: ${start}; its likeliest class is ${className(made.best_labels[best])} with ` +
    `${percent(made.best_scores[best])}, below the lowest score of ${state.score}.`
  );
}

on(["truth", "covered", "shown", "decisions"], () => {
  const { truth, covered, shown } = state;
  if (!truth.length) {
    $(".truth").replaceChildren(
      make("p", { class: "hint" }, "Mark the true objects to see how many of them the proposals cover: their ", term("recall"), "."),
    );
    return;
  }
  if (covered.length !== truth.length) return;
  const hit = covered.filter(({ first }) => first !== null && first < shown).length;
  const items = truth.map((object, i) =>
    make(
      "li", {},
      make("b", {}, object.label ?? `object ${i + 1}`), " ",
      covered[i].first === null
        ? `no proposal with IoU 0.5 (best ${fixed(covered[i].iou, 2)}). `
        : `covered from rank ${covered[i].first + 1} on, best IoU ${fixed(covered[i].iou, 2)}. `,
      fateOf(object, covered[i]), " ",
      covered[i].best === null ? null : make("button", { class: "link", onclick: () => choose({ index: covered[i].best }) }, "Its best proposal"),
      " ",
      make("button", { class: "link", "aria-label": `Remove ${object.label ?? `object ${i + 1}`}`, onclick: () => change({ truth: truth.filter((_, j) => j !== i) }) }, "Remove"),
    ),
  );
  $(".truth").replaceChildren(
    make(
      "p", { class: "recall" }, "Of ", String(truth.length), truth.length === 1 ? " true object " : " true objects ",
      make("b", {}, String(hit)), ` have a proposal with `, term("IoU"), ` 0.5 among the first ${shown}: `,
      term("recall"), ` ${percent(hit / truth.length)}.`,
    ),
    make("ul", {}, ...items),
  );
});
