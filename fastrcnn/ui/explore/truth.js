// The objects that are truly on the photograph: which proposals cover them, and why each was found or not.

import { classText } from "../shared/class-names.js";
import { make, refill } from "../shared/dom.js";
import { fixed, iou, percent } from "../shared/numbers.js";
import { pieces } from "../shared/terms.js";
import { text } from "../shared/texts.js";
import { candidatesOf, detections } from "./detections.js";
import { className, classOf } from "./names.js";
import { $, change, choose, on, requester, state } from "./page.js";

const requestTruth = requester("truth", (reply) => change({ covered: reply.objects }));

on(["truth", "stage"], () => {
  if (state.stage !== "detections") return;
  if (state.truth.length) requestTruth({ boxes: state.truth.map(({ box }) => box) });
  else change({ covered: [] });
});

// Why an object was found or not, in words. `covered` is what the server says of it.
function fateOf({ box, label }, covered) {
  const { decisions } = state;
  if (!decisions || !covered) return "";
  const hits = detections().filter((i) => iou(decisions.voted[i], box) >= 0.5);
  const right = hits.find((i) => label === null || classOf(decisions.labels[i]) === label);
  if (right !== undefined) {
    return text("truth.found", { label: className(decisions.labels[right]), score: percent(decisions.scores[right]) });
  }
  if (covered.first === null) return text("truth.no-proposal");
  const best = text("truth.best", { rank: covered.best + 1, iou: fixed(covered.iou, 2) });
  if (hits.length) return text("truth.wrong-class", { label: className(decisions.labels[hits[0]]) });
  const fates = candidatesOf(covered.best);
  const own = fates.filter((i) => classOf(decisions.labels[i]) === label);
  const ordered = (own.length ? own : fates).sort((a, b) => decisions.scores[b] - decisions.scores[a]);
  if (ordered.some((i) => decisions.kept[i])) {
    return text("truth.moved", { best });
  }
  const loser = ordered.find((i) => decisions.suppressed_by[i] >= 0);
  if (loser !== undefined) {
    const by = decisions.suppressed_by[loser];
    return text("truth.suppressed", {
      best, label: className(decisions.labels[loser]), by: decisions.proposals[by] + 1, iou: fixed(decisions.overlaps[loser], 2),
    });
  }
  if (ordered.length) return text("truth.one-too-many", { best });
  return text("truth.below", {
    best, label: className(decisions.best_labels[covered.best]), score: percent(decisions.best_scores[covered.best]),
    threshold: fixed(state.score_threshold, 2),
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
  const nameOf = ({ label }, i) => label !== null ? classText(label) : text("truth.object", { number: i + 1 });
  const items = truth.map((object, i) =>
    make(
      "li", {},
      make("b", {}, nameOf(object, i)), object.difficult ? text("truth.difficult") : ": ",
      covered[i].first === null
        ? text("truth.none", { iou: fixed(covered[i].iou, 2) })
        : text("truth.covered", { rank: covered[i].first + 1, iou: fixed(covered[i].iou, 2) }),
      fateOf(object, covered[i]), " ",
      covered[i].best === null ? null : make("button", { class: "link", "data-key": `best-${i}`, onclick: () => choose({ index: covered[i].best }) }, text("truth.its-best")),
      " ",
      make("button", { class: "link", "data-key": `remove-${i}`, "aria-label": text("truth.remove.object", { object: nameOf(object, i) }), onclick: () => change({ truth: truth.filter((_, j) => j !== i) }) }, text("truth.remove")),
    ),
  );
  refill(
    $(".truth"),
    make("p", { class: "recall" }, ...pieces("truth.recall", {
      count: String(counted.length), hit: make("b", {}, String(hit)), shown: String(shown),
      recall: counted.length ? percent(hit / counted.length) : "-",
    })),
    make("ul", {}, ...items),
  );
});
