// Step 1: the regions, and how they are joined.

const askSegments = asker("segments", async (answer, question) => {
  const token = state.token;
  const bytes = await inflate(answer.labels);
  if (token !== state.token || question.run !== state.run) return;
  const labels = answer.bits === 16 ? new Uint16Array(bytes) : new Uint32Array(bytes);
  const grouping = { ...answer, labels, merges: answer.merges ?? null };
  grouping.colours = regionColours(grouping);
  fillRuns(answer.runs);
  const merges = grouping.merges?.length ?? 0;
  change({ grouping, merge: Math.min(wantedMerge ?? 0, merges) });
  wantedMerge = null;
});
let wantedMerge = null; // for when the grouping arrives

function openGrouping(run, merge) {
  if (state.grouping?.merges && state.grouping.run === run) return change({ run, merge });
  wantedMerge = merge;
  change({ run });
  askSegments({ run });
}

// A colour for every region; a joined one takes that of the larger of its two.
function regionColours({ count, merges, sizes }) {
  const colours = [];
  for (let i = 0; i < count; i++) {
    const hue = (i * 137.508) % 360;
    colours.push(hslToRgb(hue, 0.55 + 0.3 * ((i * 7) % 3) / 2, 0.42 + 0.22 * ((i * 5) % 4) / 3));
  }
  for (const [a, b] of merges ?? []) colours.push(colours[sizes[a] >= sizes[b] ? a : b]);
  return colours;
}

function hslToRgb(hue, saturation, light) {
  const amount = saturation * Math.min(light, 1 - light);
  return [0, 8, 4].map((n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (light - amount * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  });
}

// The region that each starting segment is part of after so many merges.
function regionsAfter(grouping, merges) {
  const parent = new Int32Array(grouping.count + merges).fill(-1);
  for (let m = 0; m < merges; m++) {
    for (const child of grouping.merges[m]) parent[child] = grouping.count + m;
  }
  // A parent's number is above its children's, so one pass from the top finds every root.
  const rootOf = new Int32Array(parent.length);
  for (let node = parent.length - 1; node >= 0; node--) {
    rootOf[node] = parent[node] === -1 ? node : rootOf[parent[node]];
  }
  return rootOf.subarray(0, grouping.count);
}

const layer = document.createElement("canvas");

function drawGrouping(context, pen) {
  const { grouping, merge } = state;
  if (!grouping) return;
  const { width, height, labels } = grouping;
  // The last merge's two regions are still apart in the picture, so that both can be seen.
  const regions = grouping.merges ? regionsAfter(grouping, Math.max(merge - 1, 0)) : null;
  const pair = merge > 0 ? grouping.merges[merge - 1] : [];
  const table = new Uint32Array(grouping.count);
  for (let i = 0; i < grouping.count; i++) {
    const region = regions ? regions[i] : i;
    let [r, g, b] = grouping.colours[region];
    let alpha = 190;
    if (pair.length) {
      alpha = 120;
      if (region === pair[0]) [r, g, b, alpha] = [230, 159, 0, 235];
      if (region === pair[1]) [r, g, b, alpha] = [0, 114, 178, 235];
    }
    table[i] = (alpha << 24) | (b << 16) | (g << 8) | r;
  }
  layer.width = width;
  layer.height = height;
  const layerContext = layer.getContext("2d");
  const pixels = layerContext.createImageData(width, height);
  const words = new Uint32Array(pixels.data.buffer);
  for (let i = 0; i < words.length; i++) words[i] = table[labels[i]];
  layerContext.putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(layer, 0, 0, state.picture.width, state.picture.height);
  if (merge > 0) pen.outlined(grouping.boxes[grouping.count + merge - 1], "#ffffff", 2);
}

function runName(run) {
  const name = t("grouping.run-name", run);
  if (!run.strategy) return name;
  const names = { C: "colour", T: "texture", S: "size", F: "fill" };
  return `${name}, ${[...run.strategy].map((letter) => t(`similarity.${names[letter]}`)).join(" + ")}`;
}

function fillRuns(runs) {
  const select = $(".run");
  const options = runs.map((run, i) => make("option", { value: i }, runName(run)));
  select.replaceChildren(...options);
  select.value = String(state.run);
}

const stopMerges = player($('.play[data-name="merges"]'), 120, (first) => {
  const merges = state.grouping?.merges?.length ?? 0;
  if (!merges) return false;
  if (first && state.merge === merges) change({ merge: 0 });
  // The thousandth merge is no more interesting than the tenth: the whole takes some 15 seconds.
  const stride = Math.max(1, Math.round(merges / 125));
  change({ merge: Math.min(state.merge + stride, merges) });
  return state.merge < merges;
});

$(".merge").addEventListener("input", (event) => {
  stopMerges();
  change({ merge: Number(event.target.value) });
});
for (const [name, step] of [[".back", -1], [".on", 1]]) {
  $(name).addEventListener("click", () => {
    stopMerges();
    const merges = state.grouping?.merges?.length ?? 0;
    change({ merge: Math.min(Math.max(state.merge + step, 0), merges) });
  });
}
$(".run").addEventListener("change", (event) => {
  stopMerges();
  openGrouping(Number(event.target.value), 0);
});

on(["stage", "token"], () => {
  if (state.stage === "read") {
    stopMerges();
    wantedMerge = null;
  }
  // First the segments alone, later the same with their merges.
  const wanted = state.stage === "segments" ? !state.grouping : !state.grouping?.merges;
  if (["segments", "proposals", "features", "detections"].includes(state.stage) && wanted) {
    askSegments({ run: state.run });
  }
});

on(["grouping", "merge", "proposals"], () => {
  const told = $(".merge-told");
  const { grouping, merge } = state;
  const merges = grouping?.merges?.length ?? 0;
  $(".merge").max = merges;
  $(".merge").value = merge;
  for (const control of [...$$("#explore-grouping .player button"), $(".merge")]) control.disabled = !merges;
  $(".run").disabled = !grouping?.merges;
  if (!grouping) return told.replaceChildren();
  if (!grouping.merges) {
    return told.replaceChildren(make("p", {}, t("grouping.starting", grouping)));
  }
  if (merge === 0) {
    return told.replaceChildren(
      make("p", {}, merges ? t("grouping.to-come", { count: grouping.count, merges }) : t("grouping.nothing")),
    );
  }
  const node = grouping.count + merge - 1;
  const [a, b] = grouping.merges[merge - 1];
  const similarities = grouping.similarities[merge - 1];
  const sum = similarities.reduce((total, s, i) => total + (grouping.used[i] ? s : 0), 0);
  const rows = grouping.names.map((name, i) =>
    make(
      "tr",
      { class: grouping.used[i] ? "" : "unused" },
      make("th", { scope: "row" }, term(name, t(`similarity.${name}`))),
      make("td", {}, make("meter", { min: 0, max: 1, value: similarities[i], "aria-label": t(`similarity.${name}`) })),
      make("td", {}, fixed(similarities[i], 3)),
      make("td", {}, grouping.used[i] ? "" : t("grouping.not-used")),
    ),
  );
  const rank = state.proposals?.sources.findIndex(([run, n]) => run === grouping.run && n === node) ?? -1;
  const box = grouping.boxes[node].map((value) => Math.round(value)).join(", ");
  // Regions are counted at working size; the student sees the photograph.
  const larger = (state.picture.width * state.picture.height) / (grouping.width * grouping.height);
  const pixels = (region) => t("grouping.region", { region, pixels: Math.round(grouping.sizes[region] * larger) });
  refill(
    told,
    make("p", {}, ...pieces("grouping.merge", {
      merge: String(merge), merges: String(merges), sum: fixed(sum, 3),
      first: make("span", { class: "key orange" }, pixels(a)),
      second: make("span", { class: "key blue" }, pixels(b)),
    })),
    make("table", {}, make("tbody", {}, ...rows)),
    make("p", {}, ...pieces(!state.proposals ? "grouping.together" : rank >= 0 ? "grouping.together.ranked" : "grouping.together.unranked", {
      node: String(node), box, rank: String(rank + 1),
      choose: make("button", { class: "link", "data-key": "choose", onclick: () => choose({ index: rank }) }, t("grouping.choose")),
    })),
  );
});
