// The page's name, its languages, and Gradio's own two pages where the address asks for one.

import { make } from "../shared/dom.js";
import { fillTexts } from "../shared/terms.js";
import { language } from "../shared/texts.js";
import { openView } from "../shared/view.js";

const { root, $, props } = openView("header");
fillTexts(root);

// The same address in another language.
function address(lang) {
  const search = new URLSearchParams(location.search);
  search.set("lang", lang);
  return `?${search}${location.hash}`;
}

$(".languages").append(
  ...props.languages.map((lang) => {
    const name = new Intl.DisplayNames([lang], { type: "language" }).of(lang);
    const follow = (event) => (event.currentTarget.href = address(lang)); // what is shown may have changed
    return make("a", { href: address(lang), lang, "aria-current": lang === language ? "true" : null, onclick: follow }, name);
  }),
);

// ?view=api and ?view=settings. Gradio takes them for open, but loads them at a click alone: the
// first click closes, the second opens.
const BUTTONS = { api: ".show-api", settings: ".settings" };
const button = document.querySelector(`footer ${BUTTONS[new URLSearchParams(location.search).get("view")]}`);
button?.click();
button?.click();
