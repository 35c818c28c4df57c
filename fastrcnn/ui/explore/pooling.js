// Step 3: RoI pooling of the chosen box, cell by cell.

const askBox = asker(
  "box",
  (answer, asked) => {
    const now = question();
    if (!same(now.box, asked.box) || now.form !== asked.form) return;
    // A channel that was chosen meanwhile is about to be asked for.
    change({ box: answer, channel: now.channel === asked.channel ? answer.channel : now.channel });
  },
  (asked) => {
    // Another box's numbers must not pass for this one's.
    if (same(question().box, asked.box)) change({ box: null });
  },
);
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

function question() {
  const { chosen, form, channel } = state;
  return { box: chosen.box ?? chosen.index, form, channel };
}

// One question for all that may have changed together.
let asked = false;
on(["chosen", "form", "channel", "stage"], (changed) => {
  if (!state.chosen || state.stage !== "detections" || asked) return;
  // An answer names its channel: that is nothing new to ask.
  if (changed.includes("box")) return;
  asked = true;
  queueMicrotask(() => {
    asked = false;
    if (state.chosen) askBox(question()); // another picture may have come
  });
});

for (const radio of $$('input[name="explore-form"]')) {
  radio.checked = radio.value === state.form;
  radio.addEventListener("change", () => change({ form: radio.value, bin: null }));
}
$(".channel").addEventListener("change", (event) => {
  const last = model.channels - 1;
  const channel = Math.round(Number(event.target.value));
  if (!(channel >= 0 && channel <= last)) {
    say(t("pooling.channel-wrong", { last }));
    event.target.value = state.channel;
    return;
  }
  change({ channel });
});

const grid = $(".grid");
for (let row = 0; row < 7; row++) {
  const line = make("div", { role: "row" });
  for (let column = 0; column < 7; column++) {
    const cell = make("button", {
      role: "gridcell", "data-bin": `${row},${column}`, tabindex: row + column ? -1 : 0,
      onpointerenter: () => lookAt({ row, column }),
      onfocus: () => lookAt({ row, column }),
      onclick: () => lookAt({ row, column }),
    });
    line.append(cell);
  }
  grid.append(line);
}
const binButton = (row, column) => grid.children[row].children[column];

function lookAt(bin) {
  if (state.bin?.row === bin.row && state.bin?.column === bin.column) return;
  change({ bin });
}

grid.addEventListener("keydown", (event) => {
  const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
  if (!(event.key in steps)) return;
  event.preventDefault();
  const [row, column] = (document.activeElement.dataset.bin ?? "0,0").split(",").map(Number);
  const [down, right] = steps[event.key];
  const next = [Math.min(Math.max(row + down, 0), 6), Math.min(Math.max(column + right, 0), 6)];
  for (const button of grid.querySelectorAll("button")) button.tabIndex = -1;
  const button = binButton(...next);
  button.tabIndex = 0;
  button.focus();
});

let filled = 49; // how many bins the player has filled; 49: all
const stopBins = player($('.play[data-name="bins"]'), 140, () => {
  if (!state.box) return false;
  filled = filled < 49 ? filled + 1 : 1;
  const at = filled - 1;
  change({ bin: { row: Math.floor(at / 7), column: at % 7 } });
  drawGrid();
  return filled < 49;
});
on(["chosen", "form", "channel", "tab"], () => {
  stopBins();
  filled = 49;
});

function drawGrid() {
  const { box, bin } = state;
  if (!box) return;
  const values = box.pooled.flat();
  const largest = Math.max(...box.map.flat(), 1e-9);
  values.forEach((value, i) => {
    const button = binButton(Math.floor(i / 7), i % 7);
    const there = i < filled;
    const [r, g, b] = heat(value / largest);
    button.style.background = there ? `rgb(${r} ${g} ${b})` : "";
    button.style.color = r * 0.3 + g * 0.59 + b * 0.11 > 120 ? "#000" : "#fff";
    button.textContent = there ? fixed(value, value >= 100 ? 0 : 1) : "";
    button.setAttribute("aria-label", t("pooling.bin-label", { row: Math.floor(i / 7) + 1, column: (i % 7) + 1, value: fixed(value, 2) }));
    const now = bin !== null && bin.row * 7 + bin.column === i;
    button.classList.toggle("now", now);
    button.setAttribute("aria-selected", String(now));
  });
}

const mapCanvas = $(".map");
let mapCell = 12; // screen pixels of a cell

const drawMapSoon = soon(drawMap);
function drawMap() {
  const { box, bin } = state;
  if (!box || state.tab !== "pooling") return;
  const [columns, rows] = box.map_size;
  const room = Math.max(mapCanvas.parentElement.clientWidth, 120);
  mapCell = Math.min(room / columns, 420 / rows);
  const context = canvasContext(mapCanvas, columns * mapCell, rows * mapCell);
  const largest = Math.max(...box.map.flat(), 1e-9);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const [r, g, b] = heat(box.map[y][x] / largest);
      context.fillStyle = `rgb(${r} ${g} ${b})`;
      context.fillRect(x * mapCell, y * mapCell, mapCell + 0.5, mapCell + 0.5);
    }
  }
  context.scale(mapCell, mapCell);
  const pen = { context, pixel: 1 / mapCell };
  const line = Pen.prototype.box.bind(pen);
  // Each bin's outline; bins that share cells overlap.
  for (const bins of box.bins) {
    for (const [a, b, c, d] of bins) {
      if (c > a && d > b) line([a, b, c, d], { colour: "rgba(255, 255, 255, 0.55)", width: 1 });
    }
  }
  if (box.winners) {
    context.fillStyle = VERMILION;
    for (const winner of box.winners.flat()) {
      if (winner < 0) continue;
      const [x, y] = [(winner % columns) + 0.5, Math.floor(winner / columns) + 0.5];
      context.beginPath();
      context.arc(x, y, 0.22, 0, 2 * Math.PI);
      context.fill();
    }
  }
  line(box.exact, { colour: "#000000", width: 4.5 });
  line(box.exact, { colour: ORANGE, width: 3 });
  if (box.cells) line(box.cells, { colour: "#ffffff", width: 2, dash: [5, 4] });
  if (bin) {
    const [a, b, c, d] = box.bins[bin.row][bin.column];
    if (c > a && d > b) {
      line([a, b, c, d], { colour: "#000000", width: 5 });
      line([a, b, c, d], { colour: SKY, width: 3 });
    }
    for (const [x, y] of samplesOf(box, bin)) {
      context.fillStyle = SKY;
      context.beginPath();
      context.arc(x, y, 2.5 / mapCell, 0, 2 * Math.PI);
      context.fill();
    }
  }
}

// RoIAlign's 2 x 2 samples of a bin, on the map.
function samplesOf(box, { row, column }) {
  if (box.cells) return [];
  const [x1, y1, x2, y2] = box.bins[row][column];
  return [0.25, 0.75].flatMap((v) => [0.25, 0.75].map((u) => [x1 + u * (x2 - x1), y1 + v * (y2 - y1)]));
}

mapCanvas.addEventListener("pointermove", (event) => {
  const { box } = state;
  if (!box) return;
  const { left, top } = mapCanvas.getBoundingClientRect();
  const x = (event.clientX - left) / mapCell;
  const y = (event.clientY - top) / mapCell;
  for (let row = 0; row < 7; row++) {
    for (let column = 0; column < 7; column++) {
      const [a, b, c, d] = box.bins[row][column];
      if (a <= x && x < c && b <= y && y < d) return lookAt({ row, column });
    }
  }
});

// While the boxes are being scored: what the convolutions answer to, laid over the photograph.
function drawActivity(context) {
  const { map, map_size: [columns, rows], cell } = state.activity;
  const largest = Math.max(...map.flat(), 1e-9);
  context.globalAlpha = 0.55;
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const [r, g, b] = heat(map[y][x] / largest);
      context.fillStyle = `rgb(${r} ${g} ${b})`;
      context.fillRect(x * cell[0], y * cell[1], cell[0] + 0.5, cell[1] + 0.5);
    }
  }
  context.globalAlpha = 1;
}

// Cells of the map as a rectangle of the photograph.
const onPhoto = (box, [x1, y1, x2, y2]) => [
  x1 * box.cell[0], y1 * box.cell[1], x2 * box.cell[0], y2 * box.cell[1],
];

function drawPatch(context, pen) {
  if (!state.box && state.activity) drawActivity(context);
  drawChosen(pen);
  const { box, bin } = state;
  if (!box) return;
  if (box.cells) {
    const cut = onPhoto(box, box.cells);
    pen.box(cut, { colour: "#ffffff", width: 2, dash: [5, 4] });
  }
  if (!bin) return;
  const source = box.bins[bin.row][bin.column];
  if (source[2] <= source[0] || source[3] <= source[1]) return;
  pen.outlined(onPhoto(box, source), SKY, 2);
  const winner = box.winners?.[bin.row][bin.column] ?? -1;
  if (winner >= 0) {
    const [x, y] = [winner % box.map_size[0], Math.floor(winner / box.map_size[0])];
    pen.box(onPhoto(box, [x, y, x + 1, y + 1]), { colour: VERMILION, width: 2, fill: "rgba(213, 94, 0, 0.45)" });
  }
}

// "2" or "2 to 3", of the sizes that there are.
function sizes(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return low === high ? String(low) : t("pooling.range", { low, high });
}

function tellRounding() {
  const { box } = state;
  if (box.form === "align") {
    return t("pooling.align-told");
  }
  const [left, top, right, bottom] = box.moved.map((value) => `${value > 0 ? "+" : ""}${fixed(value, 1)}`);
  const [x1, y1, x2, y2] = box.cells;
  const all = box.bins.flat().filter(([a, b, c, d]) => c > a && d > b);
  const widths = sizes(all.map(([a, , c]) => c - a));
  const heights = sizes(all.map(([, b, , d]) => d - b));
  const whole = (x2 - x1) % 7 === 0 && (y2 - y1) % 7 === 0;
  const [columns, rows] = box.map_size;
  const off = x1 < 0 || y1 < 0 || x2 > columns || y2 > rows;
  const told = [
    t("pooling.moved", { left, top, right, bottom }), t(`pooling.how.${box.form}`),
    t(whole ? "pooling.cells" : "pooling.cells.uneven", { columns: x2 - x1, rows: y2 - y1, widths, heights }),
    off ? t("pooling.off") : "",
  ];
  return told.join("");
}

function tellBin() {
  const { box, bin } = state;
  if (!bin) return t("pooling.point");
  const value = box.pooled[bin.row][bin.column];
  const [a, b, c, d] = box.bins[bin.row][bin.column];
  const name = t("pooling.bin", { row: bin.row + 1, column: bin.column + 1 });
  if (box.form === "align") return t("pooling.bin.align", { bin: name, value: fixed(value, 3) });
  if (c <= a || d <= b) return t("pooling.bin.outside", { bin: name });
  const winner = box.winners[bin.row][bin.column];
  // Counted from 1, as the bins are.
  const range = (low, high) => (high - low === 1 ? `${high}` : t("pooling.range", { low: low + 1, high }));
  const [column, row] = [winner % box.map_size[0], Math.floor(winner / box.map_size[0])];
  const pixels = onPhoto(box, [column, row, column + 1, row + 1]).map((v) => Math.round(v)).join(", ");
  return t("pooling.bin.cells", {
    bin: name, columns: range(a, c), rows: range(b, d), width: c - a, height: d - b,
    value: fixed(value, 3), column: column + 1, row: row + 1, pixels,
  });
}

function smallMap(values, size = 42) {
  const canvas = make("canvas", { "aria-hidden": "true" });
  const context = canvasContext(canvas, size, size);
  const largest = Math.max(...values.flat(), 1e-9);
  values.forEach((line, row) =>
    line.forEach((value, column) => {
      const [r, g, b] = heat(value / largest);
      context.fillStyle = `rgb(${r} ${g} ${b})`;
      context.fillRect((column * size) / 7, (row * size) / 7, size / 7 + 0.5, size / 7 + 0.5);
    }),
  );
  return canvas;
}

on(["box", "bin", "tab"], () => {
  const { box } = state;
  $("#explore-pooling").classList.toggle("empty", !box);
  if (!box) return;
  drawGrid();
  drawMapSoon();
  $(".bin-told").textContent = tellBin();
});

on(["box"], () => {
  const { box } = state;
  if (!box) {
    $(".rounding-told").textContent = "";
    return $(".strip").replaceChildren();
  }
  // Nobody's typing is written over.
  if (document.activeElement !== $(".channel")) $(".channel").value = box.channel;
  $(".channel").max = box.channels - 1;
  $(".rounding-told").textContent = tellRounding();
  const [columns, rows] = box.map_size;
  $(".map-told").replaceChildren(
    ...pieces("pooling.map-told", { channel: String(box.channel), columns: String(columns), rows: String(rows) }),
    box.cells ? t("pooling.map-told.cells") : ".",
  );
  mapCanvas.setAttribute(
    "aria-label",
    t("pooling.map-label", { channel: box.channel, columns, rows }),
  );
  refill(
    $(".strip"),
    ...box.strongest.map(({ channel, largest, pooled }) =>
      make(
        "button",
        {
          "aria-pressed": String(channel === box.channel), "data-channel": channel, "data-key": channel,
          "aria-label": t("pooling.strip-label", { channel, largest }),
          onclick: () => change({ channel }),
        },
        smallMap(pooled), make("span", {}, String(channel)),
      ),
    ),
  );
  openMosaic();
});

// The mosaic: every channel's pooled map, 32 in a line.
const ACROSS = 32;
const TILE = 23; // 7 x 3 pixels and a gap
const mosaicCanvas = $(".mosaic");
const askMosaic = asker("mosaic", async (answer) => {
  const token = state.token;
  const levels = new Uint8Array(await inflate(answer.levels));
  if (token !== state.token) return;
  const lines = Math.ceil(answer.channels / ACROSS);
  const context = canvasContext(mosaicCanvas, ACROSS * TILE, lines * TILE);
  for (let channel = 0; channel < answer.channels; channel++) {
    const [left, top] = [(channel % ACROSS) * TILE, Math.floor(channel / ACROSS) * TILE];
    for (let i = 0; i < 49; i++) {
      const [r, g, b] = heat(levels[channel * 49 + i] / 255);
      context.fillStyle = `rgb(${r} ${g} ${b})`;
      context.fillRect(left + (i % 7) * 3, top + Math.floor(i / 7) * 3, 3, 3);
    }
  }
  mosaicCanvas.dataset.channels = answer.channels;
});
let mosaicOf = null; // whose it is

function openMosaic() {
  if (!$(".all").open || !state.box || !state.chosen) return;
  const { box, form } = question();
  const of = JSON.stringify([state.token, box, form]);
  if (of === mosaicOf) return;
  mosaicOf = of;
  askMosaic({ box, form });
}
$(".all").addEventListener("toggle", openMosaic);
mosaicCanvas.addEventListener("click", (event) => {
  const { left, top } = mosaicCanvas.getBoundingClientRect();
  const channel =
    Math.floor((event.clientY - top) / TILE) * ACROSS + Math.floor((event.clientX - left) / TILE);
  if (channel < Number(mosaicCanvas.dataset.channels)) change({ channel });
});
new ResizeObserver(drawMapSoon).observe($(".maps"));
