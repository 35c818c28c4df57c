// Tabs, links, and the start.

const tabs = $$('[role="tab"]');

function showTab() {
  for (const tab of tabs) {
    const open = tab.dataset.tab === state.tab;
    tab.setAttribute("aria-selected", String(open));
    tab.tabIndex = open ? 0 : -1;
    $(`#explore-${tab.dataset.tab}`).hidden = !open;
  }
}
for (const tab of tabs) tab.addEventListener("click", () => openTab(tab.dataset.tab));
$(".tabs").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const at = tabs.findIndex((tab) => tab.dataset.tab === state.tab);
  const next = tabs[(at + step + tabs.length) % tabs.length];
  openTab(next.dataset.tab);
  next.focus();
});
// Until a step is chosen the page goes along with the analysis.
function openTab(tab) {
  darken();
  change({ tab, follows: false });
}
on(["stage"], () => {
  const tab = {
    segments: "grouping", proposals: "proposals", features: "pooling", detections: "result",
  }[state.stage];
  if (state.follows && tab) change({ tab });
});

on(["tab"], () => {
  stopMerges();
  showTab();
});

let toldOf = null; // the picture whose times have been told
on(["decisions"], () => {
  const made = state.decisions;
  if (!made || toldOf === state.token) return;
  toldOf = state.token;
  const stages = Object.entries(made.seconds).map(([name, value]) =>
    t("explore.stage-time", { stage: t(`stage.${name}`), seconds: fixed(value, 2) }),
  );
  const total = Object.values(made.seconds).reduce((a, b) => a + b, 0);
  say(t("explore.analysed", { name: state.name, total: fixed(total, 1), stages: stages.join(", ") }));
});

// The link: which example, step, box, channel, rounding and sliders. An upload has none: nobody
// else has the photograph.
function link() {
  const parts = new URLSearchParams({ example: state.example, tab: state.tab });
  if (state.chosen?.box) parts.set("box", state.chosen.box.join(","));
  else if (state.chosen) parts.set("rank", state.chosen.index + 1);
  if (state.channel !== null) parts.set("channel", state.channel);
  if (state.form !== model.pool) parts.set("pool", state.form);
  parts.set("score", state.score);
  parts.set("nms", state.nms);
  if (!state.vote) parts.set("vote", "off");
  return `${location.origin}${location.pathname}#${parts}`;
}

$(".copy-link").addEventListener("click", async () => {
  const told = $(".link-told");
  if (!model.ships) {
    told.textContent = t("link.trained");
    return;
  }
  if (!state.example) {
    told.textContent = t("link.own");
    return;
  }
  history.replaceState(null, "", link());
  try {
    await navigator.clipboard.writeText(link());
    told.textContent = t("link.copied");
  } catch {
    told.textContent = t("link.address-bar");
  }
});

// What a link asks for, once the proposals are there.
let wanted = new URLSearchParams(location.hash.slice(1));

function number(text, low, high) {
  const value = text === null || text === "" ? NaN : Number(text);
  return value >= low && value <= high ? value : null;
}

on(["stage", "proposals", "picture"], () => {
  if (state.stage !== "detections" || !state.proposals || !state.picture || wanted === null) return;
  if (wanted.get("example") === state.example) {
    const changes = {};
    const rank = number(wanted.get("rank"), 1, 1e6);
    const box = (wanted.get("box") ?? "").split(",").map(Number);
    const inside = box.length === 4 && box.every(Number.isFinite) && onlyInside(box);
    if (inside) changes.chosen = { box: inside };
    else if (Number.isInteger(rank) && rank <= state.proposals.boxes.length) changes.chosen = { index: rank - 1 };
    const channel = number(wanted.get("channel"), 0, model.channels - 1);
    if (Number.isInteger(channel)) changes.channel = channel;
    if (["paper", "walkthrough", "align"].includes(wanted.get("pool"))) changes.form = wanted.get("pool");
    if (tabs.some((tab) => tab.dataset.tab === wanted.get("tab"))) Object.assign(changes, { tab: wanted.get("tab"), follows: false });
    for (const name of ["score", "nms"]) {
      const value = number(wanted.get(name), 0.05, 0.95);
      if (value !== null) changes[name] = value;
    }
    changes.vote = wanted.get("vote") !== "off";
    for (const radio of $$('input[name="explore-form"]')) radio.checked = radio.value === (changes.form ?? state.form);
    change(changes);
  }
  wanted = null;
});

// A link that is pasted into the open page.
window.addEventListener("hashchange", () => {
  wanted = new URLSearchParams(location.hash.slice(1));
  if (props.examples.some(({ name }) => name === wanted.get("example"))) openExample(wanted.get("example"));
});

watch("value", () => receive(props.value));

showTab();
showLegend();
showSliders();
showLesson();
$(".pooled-size").textContent = `7 x 7 x ${model.channels}`;
const linked = props.examples.some(({ name }) => name === wanted.get("example"));
if (props.examples.length) openExample(linked ? wanted.get("example") : props.first);
else say(t("explore.choose-first"));
