// Texts as elements, with terms that explain themselves when they are pointed at or focused.

import { make } from "./dom.js";
import { markup, text, valueOf } from "./texts.js";

const MARKUP = /(\{\w+\}|\[[\w가-힣 -]+(?:\|[\w-]+)?\])/;

// The pieces of a text. Values may be elements, and [words|term] becomes an explained term.
export function pieces(key, values = {}) {
  return markup(key).split(MARKUP).flatMap((piece, i) => {
    if (i % 2 === 0) return piece;
    const [words, name = words] = piece.slice(1, -1).split("|");
    return piece.startsWith("{") ? valueOf(words, values) : term(name, words);
  });
}

// One tip for the whole page. It is put into the view whose term is explained, for its looks.
const tip = make("div", { class: "tip", role: "tooltip", id: "tip", hidden: true });
let explained = null; // the term

function showTip(event) {
  explained = event.currentTarget;
  explained.closest(".view").append(tip);
  tip.textContent = text(`term.${explained.dataset.of}`);
  tip.hidden = false;
  placeTip();
}

function placeTip() {
  if (!explained) return;
  const place = explained.getBoundingClientRect();
  const left = Math.min(place.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
  tip.style.left = `${Math.max(left, 8)}px`;
  const above = place.top - tip.offsetHeight - 6;
  tip.style.top = `${above > 0 ? above : place.bottom + 6}px`;
}

function hideTip() {
  explained = null;
  tip.hidden = true;
}
document.addEventListener("keydown", (event) => event.key === "Escape" && hideTip());
window.addEventListener("scroll", placeTip, { passive: true });

export function term(name, words = name) {
  return make(
    "button",
    {
      type: "button", class: "term", "data-of": name, "data-key": `term-${name}`, "aria-describedby": "tip",
      onpointerenter: showTip, onpointerleave: hideTip, onfocus: showTip, onblur: hideTip, onclick: showTip,
    },
    words,
  );
}

const ATTRIBUTES = { label: "aria-label", role: "aria-roledescription", title: "title", hint: "placeholder" };

// Fills a template: `data-text` names an element's text, `data-t-label` and others an attribute's.
export function fillTexts(root) {
  for (const place of root.querySelectorAll("[data-text]")) place.replaceChildren(...pieces(place.dataset.text));
  for (const [data, attribute] of Object.entries(ATTRIBUTES)) {
    for (const place of root.querySelectorAll(`[data-t-${data}]`)) {
      place.setAttribute(attribute, text(place.getAttribute(`data-t-${data}`)));
    }
  }
  for (const place of root.querySelectorAll("[data-term]")) place.replaceWith(term(place.dataset.term, place.textContent));
}

// Fills again what has values in it, which are those of the network.
export function refillFacts(root) {
  for (const place of root.querySelectorAll("[data-text]")) {
    if (markup(place.dataset.text).includes("{")) place.replaceChildren(...pieces(place.dataset.text));
  }
}
