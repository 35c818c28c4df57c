// The page's texts in the visitor's language, else in English.

export const language = navigator.language.toLowerCase().startsWith("ko") ? "ko" : "en";
document.documentElement.lang = language;

const TEXTS = await (await fetch(new URL(`../texts/${language}.json`, import.meta.url))).json();

export const hasText = (key) => key in TEXTS;
export const markup = (key) => TEXTS[key];

// Values that every text may use: the shape of the network that is looked at.
const facts = {};
export const setFacts = (values) => Object.assign(facts, values);
export const valueOf = (name, values) => values[name] ?? facts[name] ?? "";

// A text with values in the place of {name}.
export function text(key, values = {}) {
  return TEXTS[key].replace(/\{(\w+)\}/g, (_, name) => valueOf(name, values));
}

// One of two texts: for one thing, and for any other number of them.
export const counted = (key, count, values = {}) => text(`${key}.${count === 1 ? "one" : "other"}`, { count, ...values });

// What the server says: one of these texts by its key, or a sentence from the package below the page.
export const sentence = ({ error, text: own }) => (own ? text(own.key, own.values) : error);
