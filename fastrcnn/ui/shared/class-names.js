// The names of the classes in the visitor's language, where there is a word for it.

import { hasText, text } from "./texts.js";

export const classText = (name) => (hasText(`class.${name}`) ? text(`class.${name}`) : name);
