// The settings: a recipe's values to begin with, and what was changed since.

import { make } from "../shared/dom.js";
import { text } from "../shared/texts.js";
import { $, $$, change, on, props, showStatus, state } from "./page.js";

const form = $(".knobs");
const recipeSelect = form.elements.recipe;

for (const name of Object.keys(props.recipes)) recipeSelect.append(make("option", { value: name }, name));
recipeSelect.value = "shapes";
$(".folder").hidden = !props.local;

// A value as its input shows it.
const written = (value) => (typeof value === "number" ? String(Number(value.toPrecision(6))) : String(value));

function knobInput(knob, value, layers) {
  const attributes = { name: knob.name, form: form.id }; // the knobs stand outside the form
  if (knob.kind === "switch") return make("input", { ...attributes, type: "checkbox", checked: value });
  if (knob.kind === "number") return make("input", { ...attributes, type: "text", inputmode: "decimal", value: written(value), size: 7 });
  const choices = knob.choices.length ? knob.choices : layers;
  return make("select", attributes, ...choices.map((choice) => make("option", { value: choice, selected: choice === value }, choice)));
}

function fillKnobs() {
  const { values, layers } = props.recipes[recipeSelect.value];
  $(".knob-list").replaceChildren(
    ...props.knobs.map((knob) =>
      make(
        "div", { class: "knob", "data-knob": knob.name },
        make("label", {}, make("span", {}, text(`knob.${knob.name}.label`)), knobInput(knob, values[knob.name], layers)),
        make("p", {}, text(`knob.${knob.name}.text`)),
      ),
    ),
  );
}

const knobValue = ({ name, kind }) => {
  const input = form.elements[name];
  return kind === "switch" ? String(input.checked) : input.value.trim();
};

// {name: value} of the knobs that are not where the recipe has them.
function turned() {
  const { values } = props.recipes[recipeSelect.value];
  return Object.fromEntries(
    props.knobs.filter((knob) => knobValue(knob) !== written(values[knob.name])).map((knob) => [knob.name, knobValue(knob)]),
  );
}

// What the server needs to start a run.
export function settings() {
  return {
    recipe: recipeSelect.value,
    pictures: Number(form.elements.pictures.value),
    folder: props.local ? form.elements.folder.value.trim() : "",
    values: turned(),
  };
}

export const plannedIterations = () => Number(form.elements.iterations.value) || 1;

function fillForm() {
  $(".recipe-text").textContent = text(`recipe.${recipeSelect.value}`);
  form.elements.pictures.value = props.recipes[recipeSelect.value].pictures;
  fillKnobs();
}
fillForm();

recipeSelect.addEventListener("change", fillForm);
form.addEventListener("submit", (event) => event.preventDefault());
$(".controls").addEventListener("input", () => {
  markTurned();
  change({ refused: null });
});

function markTurned() {
  const values = turned();
  for (const place of $$(".knob")) {
    place.classList.toggle("turned", place.dataset.knob in values);
    place.classList.remove("wanted");
  }
}

// Runs worth comparing with a plain one.
const EXPERIMENTS = {
  plain: {},
  "no-regression": { bbox_reg: false },
  "lambda-0": { loc_weight: 0 },
  frozen: { first_trainable: "fc6" },
  foreground: { fg_fraction: 0.1 },
};

function setKnobs(values) {
  fillKnobs();
  for (const [name, value] of Object.entries(values)) {
    const input = form.elements[name];
    if (typeof value === "boolean") input.checked = value;
    else input.value = String(value);
  }
  $(".more").open = true;
  markTurned();
  showStatus(text("train.set"));
}

$(".experiment-list").append(
  ...Object.entries(EXPERIMENTS).map(([name, values]) =>
    make(
      "p", {}, make("button", { type: "button", onclick: () => setKnobs(values) }, text(`experiment.${name}.title`)),
      ` ${text(`experiment.${name}.look`)}`,
    ),
  ),
);

// A sentence that names a knob lights it up.
on(["trouble", "refused"], () => {
  const sentence = state.refused ?? state.trouble;
  for (const place of $$(".knob")) {
    const named = sentence !== null && new RegExp(`\\b${place.dataset.knob}\\b`).test(sentence);
    place.classList.toggle("wanted", named);
    if (named) $(".more").open = true;
  }
});
