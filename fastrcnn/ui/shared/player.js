// A play button.

import { text } from "./texts.js";

// Calls `step(isFirst)` at each tick until it returns false or the button is pressed again. Returns
// a function that stops it.
export function player(button, milliseconds, step) {
  let timer = null;
  // What changes several times a second is not to be read out.
  const spoken = [...button.closest(".panel").querySelectorAll("[aria-live]")];
  const speak = (how) => spoken.forEach((place) => place.setAttribute("aria-live", how));
  const stop = () => {
    clearInterval(timer);
    timer = null;
    button.textContent = text("play");
    speak("polite");
  };
  button.addEventListener("click", () => {
    if (timer !== null) return stop();
    speak("off");
    if (step(true) === false) return stop();
    button.textContent = text("pause");
    timer = setInterval(() => step(false) === false && stop(), milliseconds);
  });
  return stop;
}
