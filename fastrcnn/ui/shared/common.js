// What every view of the page is made with. `root`, `state` and `termValues` are the view's own;
// TEXTS, {language: {key: text}}, comes before it all.

// The visitor's language, where there are texts in it.
const language = navigator.language.toLowerCase().startsWith("ko") ? "ko" : "en";
document.documentElement.lang = language;

// A text with values in the place of {name}.
function t(key, values = {}) {
  return TEXTS[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// One of two texts, for one thing and for any other number of them.
const counted = (key, count, values = {}) => t(`${key}.${count === 1 ? "one" : "other"}`, { count, ...values });

// The same as pieces for an element: values may be elements, and [words|term] is explained.
const MARKUP = /(\{\w+\}|\[[\w가-힣 -]+(?:\|[\w-]+)?\])/;
function pieces(key, values = {}) {
  return TEXTS[language][key].split(MARKUP).flatMap((piece, i) => {
    if (i % 2 === 0) return piece;
    const [words, name = words] = piece.slice(1, -1).split("|");
    return piece.startsWith("{") ? values[words] ?? [] : term(name, words);
  });
}

// What the server has to say: a text of ours by its key, or a sentence from below the page.
const sentence = ({ error, said }) => (said ? t(said.key, said.values) : error);

const $ = (selector) => root.querySelector(selector);
const $$ = (selector) => [...root.querySelectorAll(selector)];

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
      say(answer ? sentence(answer) : t("no-answer"));
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

const tipName = `${root.classList[1]}-tip`;
const tip = make("div", { class: "tip", role: "tooltip", id: tipName, hidden: true });
root.append(tip);

let tipOf = null; // the term that is being explained

function showTip(event) {
  tipOf = event.currentTarget;
  tip.textContent = t(`term.${tipOf.dataset.of}`, termValues());
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
      type: "button", class: "term", "data-of": name, "data-key": `term-${name}`, "aria-describedby": tipName,
      onpointerenter: showTip, onpointerleave: hideTip, onfocus: showTip, onblur: hideTip, onclick: showTip,
    },
    text,
  );
}

// The template's words.
for (const place of $$("[data-text]")) {
  place.append(...pieces(place.dataset.text, { size: make("span", { class: "pooled-size" }) }));
}
for (const [data, attribute] of [["label", "aria-label"], ["role", "aria-roledescription"], ["title", "title"], ["hint", "placeholder"]]) {
  for (const place of $$(`[data-t-${data}]`)) place.setAttribute(attribute, t(place.getAttribute(`data-t-${data}`)));
}
for (const place of $$("[data-term]")) place.replaceWith(term(place.dataset.term, place.textContent));

const fixed = (value, digits) => value.toFixed(digits).replace(/^-(0(?:\.0*)?)$/, "$1");
const percent = (value) => `${fixed(100 * value, 1)}\u00a0%`;

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
    button.textContent = t("play");
    speak("polite");
  };
  button.addEventListener("click", () => {
    if (timer !== null) return stop();
    speak("off");
    if (step(true) === false) return stop();
    button.textContent = t("pause");
    timer = setInterval(() => step(false) === false && stop(), milliseconds);
  });
  return stop;
}

// Lines of so many screen pixels, whatever the size of the photograph.
class Pen {
  constructor(context, scale, picture) {
    this.context = context;
    this.picture = picture; // {width, height}: labels stay inside
    this.pixel = 1 / scale;
    this.labels = []; // where labels are already
  }

  box([x1, y1, x2, y2], { colour, width = 2, dash = [], fill = null }) {
    const { context, pixel } = this;
    if (fill) {
      context.fillStyle = fill;
      context.fillRect(x1, y1, x2 - x1, y2 - y1);
    }
    context.setLineDash(dash.map((length) => length * pixel));
    context.lineWidth = width * pixel;
    context.strokeStyle = colour;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.setLineDash([]);
  }

  // A box that stands out on any ground.
  outlined(box, colour, width = 3) {
    this.box(box, { colour: "#000000", width: width + 3 });
    this.box(box, { colour: "#ffffff", width: width + 1.5 });
    this.box(box, { colour, width });
  }

  label(text, x, y, colour) {
    const { context, pixel } = this;
    context.font = `600 ${13 * pixel}px system-ui, sans-serif`;
    const width = context.measureText(text).width + 8 * pixel;
    const height = 18 * pixel;
    const left = Math.max(Math.min(x, this.picture.width - width), 0);
    let top = Math.max(Math.min(y, this.picture.height) - height, 0);
    const taken = () => this.labels.some(
      (other) => Math.abs(other.top - top) < height && other.left < left + width && left < other.left + other.width,
    );
    // Below the others where there is room, else on top of them.
    for (let tries = 0; tries < 5 && taken() && top + 2 * height < this.picture.height; tries++) top += height + pixel;
    this.labels.push({ left, top, width });
    context.fillStyle = "#181818";
    context.fillRect(left, top, width, height);
    context.fillStyle = colour;
    context.fillRect(left, top, 4 * pixel, height);
    context.fillStyle = "#ffffff";
    context.fillText(text, left + 6 * pixel, top + 13.5 * pixel);
  }

  arrow([x1, y1], [x2, y2], colour) {
    const { context, pixel } = this;
    const length = Math.hypot(x2 - x1, y2 - y1);
    const angle = Math.atan2(y2 - y1, x2 - x1);
    for (const [stroke, width] of [["#ffffff", 5], [colour, 2.5]]) {
      context.strokeStyle = stroke;
      context.lineWidth = width * pixel;
      context.beginPath();
      context.moveTo(x1, y1);
      context.lineTo(x2, y2);
      const head = Math.min(10 * pixel, length);
      for (const turn of [-2.6, 2.6]) {
        context.moveTo(x2, y2);
        context.lineTo(x2 + head * Math.cos(angle + turn), y2 + head * Math.sin(angle + turn));
      }
      context.stroke();
    }
  }
}
