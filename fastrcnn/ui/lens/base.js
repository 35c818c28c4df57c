// The whole view is one function's body: `element`, `trigger`, `props`, `server` and `watch` come
// from Gradio. Files are joined in the order that __init__.py gives.

const root = element.querySelector(".lens");
const $ = (selector) => root.querySelector(selector);
const $$ = (selector) => [...root.querySelectorAll(selector)];

// What is looked at. Everything on the page follows from this; `change` is the only way to set it.
const state = {
  token: null, // the picture's name to the server
  name: "", // the file's name
  example: null, // the example's name, where it is one
  stage: "none", // the last stage that is done: read, segments, proposals, features, detections
  picture: null, // {width, height, image}
  tab: "grouping",
  follows: true, // the tab goes along with the analysis until one is chosen
  run: 0, // which grouping
  grouping: null, // its segments and merges
  merge: 0, // how many merges are done
  proposals: null, // {boxes, sources, runs}
  shown: 100,
  source: "all",
  hovered: null, // index of a proposal
  chosen: null, // {index} or {box}: what the rest of the page speaks of
  form: props.model.pool,
  channel: null, // null: the strongest
  box: null, // the server's close look at the chosen box
  bin: null, // {row, column}
  label: null, // whose deltas are shown; null: the likeliest class
  tool: "mine",
  truth: [], // [{box, label, difficult}]
  covered: [], // how well proposals cover each
  score: 0.5,
  nms: 0.3,
  decisions: null,
  activity: null, // how strongly all channels together answer, cell by cell, before there are boxes
};

// The network that looks: {classes, backbone, convolutions, channels, stride, sees, pool, trained, ships}.
let model = props.model;

const listeners = [];

// on(["chosen", "form"], f): f runs after any of these changed.
function on(names, listener) {
  listeners.push({ names, listener });
}

function change(changes) {
  const changed = Object.keys(changes).filter((name) => state[name] !== changes[name]);
  if (!changed.length) return;
  Object.assign(state, changes);
  for (const { names, listener } of listeners) {
    if (names.some((name) => changed.includes(name))) listener(changed);
  }
}

// Asks the server one thing at a time; of questions that arrive meanwhile only the last is asked.
// `then` gets the answer, `failed` is told that there is none, unless the picture has changed since.
function asker(name, then, failed = () => {}) {
  let busy = false;
  let next = null;
  return async function ask(question) {
    const { token } = state;
    if (busy) {
      next = { token, question };
      return;
    }
    busy = true;
    try {
      const answer = await server[name]({ token, ...question });
      if (token !== state.token) return;
      if (answer && !answer.error) return await then(answer, question);
      say(answer?.error ?? "The server did not answer; it may have been stopped.");
      failed(question);
    } finally {
      busy = false;
      const waiting = next;
      next = null;
      if (waiting?.token === state.token) ask(waiting.question);
    }
  };
}

function say(sentence) {
  $(".status").textContent = sentence;
}

// Elements from plain values: make("button", {class: "x", onclick}, "text", child).
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

// New children for an element; the button that had the focus keeps it, by its data-key.
function refill(parent, ...children) {
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  parent.replaceChildren(...children.filter((child) => child != null));
  if (!focused || focused === parent) return;
  const same = parent.querySelector(`[data-key="${focused.dataset.key}"]:not(:disabled)`);
  (same ?? parent.querySelector("button:not(:disabled)"))?.focus({ preventScroll: true });
}

// Terms with their one-sentence explanation, on hover and on focus.
const TERMS = {
  proposal: "A box in which an object may be; selective search makes about two thousand.",
  IoU: "Intersection over union: the area that two boxes share, divided by the area they cover together.",
  RoI: "Region of interest: a proposal as the network sees it.",
  RoIAlign: "A later form of RoI pooling: it reads the map between the cells instead of rounding the box.",
  "walk-through": "The program that this project follows beside the paper; it rounds the box outwards.",
  convolution: "A layer that looks for small patterns everywhere in what comes before it.",
  get channel() { return `One of the ${model.channels} patterns that the last convolution looks for; its map says where it found it.`; },
  get cell() { return `One number of the map, one for every ${model.stride} x ${model.stride} pixels of the network's input; through all layers it sees about ${model.sees} x ${model.sees}.`; },
  bin: "One of the 7 x 7 parts that the box is divided into.",
  background: "Class 0: none of the kinds of objects that the network knows, or too little of one.",
  delta: "How far to move (in box widths and heights) and stretch (as a logarithm) the proposal.",
  get fc() { return `Fully connected layers: each of their units weighs all 7 x 7 x ${model.channels} numbers, or all units before it.`; },
  NMS: "Of overlapping boxes of one class, the best stays and the others go.",
  recall: "The share of true objects for which at least one proposal overlaps by IoU 0.5 or more.",
  softmax: "Turns the scores into probabilities: positive, and together 1.",
  loss: "L_cls punishes a low probability of the right class u; L_loc, weighted by \u03bb, a wrong box, only where u is an object.",
  colour: "How much the two regions' colour histograms have in common.",
  texture: "How much the two regions' histograms of edges, in eight directions, have in common.",
  size: "High when both regions are small, so that small regions are joined first.",
  fill: "High when the two fit into each other and leave little empty space in their common box.",
};

const tip = make("div", { class: "tip", role: "tooltip", id: "lens-tip", hidden: true });
root.append(tip);

let tipOf = null; // the term that is being explained

function showTip(event) {
  tipOf = event.currentTarget;
  tip.textContent = TERMS[tipOf.dataset.of];
  tip.hidden = false;
  placeTip();
}

function placeTip() {
  if (!tipOf) return;
  const place = tipOf.getBoundingClientRect();
  const left = Math.min(place.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
  tip.style.left = `${Math.max(left, 8)}px`;
  const above = place.top - tip.offsetHeight - 6;
  tip.style.top = `${above > 0 ? above : place.bottom + 6}px`;
}

function hideTip() {
  tipOf = null;
  tip.hidden = true;
}
root.addEventListener("keydown", (event) => event.key === "Escape" && hideTip());
window.addEventListener("scroll", placeTip, { passive: true });

function term(name, text = name) {
  return make(
    "button",
    {
      type: "button", class: "term", "data-of": name, "data-key": `term-${name}`, "aria-describedby": "lens-tip",
      onpointerenter: showTip, onpointerleave: hideTip, onfocus: showTip, onblur: hideTip, onclick: showTip,
    },
    text,
  );
}

// A sentence with its terms explained.
const TERM_WORDS = {
  proposals: "proposal", proposal: "proposal", IoU: "IoU", RoI: "RoI", channels: "channel", cells: "cell",
  cell: "cell", bin: "bin", deltas: "delta", recall: "recall", softmax: "softmax", convolutions: "convolution",
  fc6: "fc", fc7: "fc", loss: "loss",
};
const TERM_PATTERN = new RegExp(`\\b(${Object.keys(TERM_WORDS).join("|")})\\b`);
function explained(sentence) {
  return sentence.split(TERM_PATTERN).map((part) => (part in TERM_WORDS ? term(TERM_WORDS[part], part) : part));
}

const fixed = (value, digits) => value.toFixed(digits).replace(/^-(0(?:\.0*)?)$/, "$1");
const className = (label) => (label === 0 ? "background" : model.classes[label - 1]);
const percent = (value) => `${fixed(100 * value, 1)} %`;

function overlap(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const area = (c) => (c[2] - c[0]) * (c[3] - c[1]);
  return (width * height) / (area(a) + area(b) - width * height);
}

// Okabe and Ito's colours, which stay apart for every kind of colour vision.
const BLUE = "#0072b2", SKY = "#56b4e9", ORANGE = "#e69f00", VERMILION = "#d55e00";
const GREEN = "#009e73", YELLOW = "#f0e442", PURPLE = "#cc79a7";
const CLASS_COLOURS = [ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE];
const classColour = (label) => CLASS_COLOURS[(label - 1) % CLASS_COLOURS.length];

// A scale from dark blue over grey to yellow that colour-blind eyes read as light and dark (cividis).
const STOPS = [[0, 32, 77], [57, 72, 107], [112, 113, 115], [171, 157, 104], [255, 234, 70]];
function heat(share) {
  const at = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1);
  const low = Math.min(Math.floor(at), STOPS.length - 2);
  return STOPS[low].map((value, i) => Math.round(value + (STOPS[low + 1][i] - value) * (at - low)));
}

// A drawing that is due is drawn once, when the page is laid out.
function soon(draw) {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      draw();
    });
  };
}

// Sizes a canvas for sharp lines and returns its context, in CSS pixels.
function canvasContext(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const pixels = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) {
    [canvas.width, canvas.height] = pixels;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

// A play button: calls `step` at each tick until it says false or the button is pressed again.
function player(button, milliseconds, step) {
  let timer = null;
  // What changes several times a second is not to be read out.
  const spoken = [...button.closest(".panel").querySelectorAll("[aria-live]")];
  const speak = (how) => spoken.forEach((place) => place.setAttribute("aria-live", how));
  const stop = () => {
    clearInterval(timer);
    timer = null;
    button.textContent = "Play";
    speak("polite");
  };
  button.addEventListener("click", () => {
    if (timer !== null) return stop();
    speak("off");
    if (step(true) === false) return stop();
    button.textContent = "Pause";
    timer = setInterval(() => step(false) === false && stop(), milliseconds);
  });
  return stop;
}
