// What things are called.

import { classText } from "../shared/class-names.js";
import { text } from "../shared/texts.js";
import { state } from "./page.js";

// A class by its number, as the network's list has it, and as the visitor reads it.
export const classOf = (label) => (label === 0 ? "background" : state.model.classes[label - 1]);
export const className = (label) => (label === 0 ? text("background") : classText(classOf(label)));

const SIMILARITIES = { C: "colour", T: "texture", S: "size", F: "fill" };

// A grouping of selective search.
export function runName(run) {
  const name = text("grouping.run-name", run);
  if (!run.strategy) return name;
  return `${name}, ${[...run.strategy].map((letter) => text(`similarity.${SIMILARITIES[letter]}`)).join(" + ")}`;
}
