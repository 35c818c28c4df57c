// The chosen box's whole way in one line, each part a door to its step.

on(["chosen", "box", "label", "decisions", "proposals", "tab"], () => {
  const { box, chosen, proposals } = state;
  const life = $(".life");
  if (!proposals || !chosenBox()) return refill(life);
  const corners = chosenBox().map((value) => Math.round(value)).join(", ");
  const part = (tab, title, ...content) =>
    make(
      "div", { class: `part${state.tab === tab ? " open" : ""}`, "data-part": tab },
      make("button", { class: "link", "data-key": title, onclick: () => showStep(tab) }, title), ...content,
    );
  const parts = [];
  if (chosen.index != null) {
    const [run, node] = proposals.sources[chosen.index];
    const merge = node - (proposals.runs[run].segments - 1);
    parts.push(
      part(
        "grouping", "Region",
        make("p", {}, `${proposals.runs[run].space}, k = ${proposals.runs[run].threshold}: `,
          merge > 0 ? `merge ${merge}` : "a starting region"),
        make("button", { class: "origin", "data-key": "origin", onclick: () => { showStep("grouping"); openGrouping(run, Math.max(merge, 0)); } },
          merge > 0 ? "Show which two regions" : "Show it"),
      ),
      part("proposals", "Proposal", make("p", {}, `rank ${chosen.index + 1} of ${proposals.boxes.length}`), make("p", {}, corners)),
    );
  } else {
    parts.push(part("proposals", "Your own box", make("p", {}, corners)));
  }
  if (box) {
    const label = shownLabel(box);
    parts.push(
      part("pooling", "Pooled", smallMap(box.pooled, 56), make("p", {}, `channel ${box.channel}`)),
      part(
        "head", "Head",
        make("p", {}, make("b", {}, className(label)), ` ${percent(box.probabilities[label])}`),
        make("p", {}, `background ${percent(box.probabilities[0])}`),
        box.form === model.pool ? null : make("p", {}, `with ${FORMS[box.form]}`),
      ),
      part("result", "Result", make("p", { class: "fate" }, ...fate())),
    );
  }
  refill(life, make("h3", {}, "The chosen box"), make("div", { class: "parts" }, ...parts));
});

// From down here the step may be out of sight.
function showStep(tab) {
  openTab(tab);
  $(".bench").scrollIntoView({ block: "nearest" });
}
