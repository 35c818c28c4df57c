// The link to a run: recipe, pictures, seed and all settings that were changed. Whoever opens it and
// presses Start gets the same curve.

import { copyLink } from "../shared/copy-link.js";
import { text } from "../shared/texts.js";
import { fillFrom, settings, tellOfSettings } from "./form.js";
import { $ } from "./page.js";

const TAB = "train";

function link() {
  const { recipe, pictures, values } = settings();
  const parts = new URLSearchParams({ tab: TAB, recipe, pictures, ...values });
  return `${location.origin}${location.pathname}${location.search}#${parts}`;
}

// Returns what happened, as the key of a text.
const copy = async () => (settings().folder ? "train.link.own" : copyLink(link()));
$(".copy-link").addEventListener("click", async () => ($(".link-text").textContent = text(await copy())));

function followAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  if (parts.get("tab") !== TAB || !parts.has("recipe")) return;
  fillFrom(Object.fromEntries(parts));
  tellOfSettings("train.link.set");
}
window.addEventListener("hashchange", followAddress);
followAddress();
