// The chosen box's whole way in one line, each part a door to its step.

on(["chosen", "box", "label", "decisions", "proposals", "tab"], () => {
  const { box, chosen, proposals } = state;
  const life = $(".life");
  if (!proposals || !chosenBox()) return refill(life);
  const corners = chosenBox().map((value) => Math.round(value)).join(", ");
  const part = (tab, name, ...content) => {
    const title = t(`life.${name}`);
    return make(
      "div", { class: `part${state.tab === tab ? " open" : ""}`, "data-part": tab },
      make("button", { class: "link", "data-key": name, onclick: () => showStep(tab) }, title), ...content,
    );
  };
  const parts = [];
  if (chosen.index != null) {
    const [run, node] = proposals.sources[chosen.index];
    const merge = node - (proposals.runs[run].segments - 1);
    parts.push(
      part(
        "grouping", "region",
        make("p", {}, t("life.from", proposals.runs[run]), merge > 0 ? t("life.merge", { merge }) : t("life.start")),
        make("button", { class: "origin", "data-key": "origin", onclick: () => { showStep("grouping"); openGrouping(run, Math.max(merge, 0)); } },
          merge > 0 ? t("life.show-two") : t("life.show")),
      ),
      part("proposals", "proposal", make("p", {}, t("life.rank", { rank: chosen.index + 1, count: proposals.boxes.length })), make("p", {}, corners)),
    );
  } else {
    parts.push(part("proposals", "own", make("p", {}, corners)));
  }
  if (box) {
    const label = shownLabel(box);
    parts.push(
      part("pooling", "pooled", smallMap(box.pooled, 56), make("p", {}, t("life.channel", box))),
      part(
        "head", "head",
        make("p", {}, make("b", {}, className(label)), ` ${percent(box.probabilities[label])}`),
        make("p", {}, t("life.background", { probability: percent(box.probabilities[0]) })),
        box.form === model.pool ? null : make("p", {}, t("life.with-form", { form: t(`form.${box.form}`) })),
      ),
      part("result", "result", make("p", { class: "fate" }, ...fate())),
    );
  }
  refill(life, make("h3", {}, t("life.title")), make("div", { class: "parts" }, ...parts));
});

// From down here the step may be out of sight.
function showStep(tab) {
  openTab(tab);
  $(".bench").scrollIntoView({ block: "nearest" });
}
