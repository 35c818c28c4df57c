// The place for a photograph of one's own. It is Gradio's, so it lies outside this view; it opens over it.

import { $ } from "./page.js";

const button = $(".own-photo");
const place = document.querySelector("#photo");

function show(open) {
  button.setAttribute("aria-expanded", String(open));
  place.classList.toggle("open", open);
  if (!open) return;
  const { left, bottom } = button.getBoundingClientRect();
  place.style.left = `${left}px`;
  place.style.top = `${bottom + 6}px`;
}

button.addEventListener("click", () => show(button.getAttribute("aria-expanded") !== "true"));
// A file that is dragged onto the page finds the place open.
window.addEventListener("dragenter", (event) => event.dataTransfer?.types.includes("Files") && show(true));
document.addEventListener("keydown", (event) => event.key === "Escape" && show(false));
document.addEventListener("pointerdown", (event) => {
  if (!place.contains(event.target) && event.target !== button) show(false);
});
// server.py sends this event when an upload has begun.
window.addEventListener("explore-upload", () => show(false));
