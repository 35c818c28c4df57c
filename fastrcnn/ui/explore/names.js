// What things are called.

import { text } from "../shared/texts.js";
import { state } from "./page.js";

export const className = (label) => (label === 0 ? text("background") : state.model.classes[label - 1]);

const SIMILARITIES = { C: "colour", T: "texture", S: "size", F: "fill" };

// A grouping of selective search.
export function runName(run) {
  const name = text("grouping.run-name", run);
  if (!run.strategy) return name;
  return `${name}, ${[...run.strategy].map((letter) => text(`similarity.${SIMILARITIES[letter]}`)).join(" + ")}`;
}
