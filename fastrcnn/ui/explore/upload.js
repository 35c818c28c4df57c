// The place for a photograph of one's own. It is Gradio's, so it lies outside this view and may come
// later; it opens over the page. page.css reads what is set here.

import { $ } from "./page.js";

const button = $(".own-photo");
const { body } = document;

function show(open) {
  button.setAttribute("aria-expanded", String(open));
  body.classList.toggle("uploading", open);
  if (!open) return;
  const { left, bottom } = button.getBoundingClientRect();
  body.style.setProperty("--photo-left", `${left}px`);
  body.style.setProperty("--photo-top", `${bottom + 6}px`);
}

button.addEventListener("click", () => show(button.getAttribute("aria-expanded") !== "true"));
// A file that is dragged onto the page finds the place open.
window.addEventListener("dragenter", (event) => event.dataTransfer?.types.includes("Files") && show(true));
document.addEventListener("keydown", (event) => event.key === "Escape" && show(false));
document.addEventListener("pointerdown", (event) => {
  if (!event.target.closest("#photo") && event.target !== button) show(false);
});
// server.py sends this event when an upload has begun.
window.addEventListener("explore-upload", () => show(false));
