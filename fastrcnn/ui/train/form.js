// The settings: a recipe's values to begin with, and what was changed since.

import { make } from "../shared/dom.js";
import { same } from "../shared/requests.js";
import { text } from "../shared/texts.js";
import { $, $$, change, isUnderWay, on, props, state } from "./page.js";

const form = $(".knobs");
const recipeSelect = form.elements.recipe;
const GROUPS = ["solver", "batch", "loss"];
// The questions that come up at a knob.
const ASKED = {
  lr: "nan", rois_per_batch: "batch-of-rois", bg_iou_low: "background", add_ground_truth: "true-boxes",
  normalise_targets: "normalised",
};

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

function knobPlace(knob, values, layers) {
  const asked = ASKED[knob.name];
  return make(
    "div", { class: "knob", "data-knob": knob.name },
    make("label", {}, make("span", {}, text(`knob.${knob.name}.label`)), knobInput(knob, values[knob.name], layers)),
    make(
      "p", {}, text(`knob.${knob.name}.text`),
      asked && make("button", { type: "button", class: "why", "data-ask": asked }, text("questions.why")),
    ),
  );
}

function fillKnobs() {
  const { values, layers } = props.recipes[recipeSelect.value];
  const open = $$(".knob-group[open]").map((group) => group.dataset.group);
  $(".knob-list").replaceChildren(
    ...GROUPS.map((group) =>
      make(
        "details", { class: "knob-group", "data-group": group, open: open.includes(group) },
        make("summary", {}, text(`knobs.${group}`), " ", make("span", { class: "turned-count" })),
        ...props.knobs.filter((knob) => knob.group === group).map((knob) => knobPlace(knob, values, layers)),
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
  markTurned();
}
fillForm();

recipeSelect.addEventListener("change", fillForm);
form.addEventListener("submit", (event) => event.preventDefault());
$(".controls").addEventListener("input", () => {
  markTurned();
  change({ refused: null, experiment: null });
});

function markTurned() {
  const values = turned();
  for (const place of $$(".knob")) {
    place.classList.toggle("turned", place.dataset.knob in values);
    place.classList.remove("wanted");
  }
  for (const group of $$(".knob-group")) {
    const count = group.querySelectorAll(".turned").length;
    group.querySelector(".turned-count").textContent = count ? text("knobs.turned", { count }) : "";
  }
  change({ settings: settings() });
}

function setKnobs(values) {
  fillKnobs();
  for (const [name, value] of Object.entries(values)) {
    const input = form.elements[name];
    if (input.type === "checkbox") input.checked = value === true || value === "true";
    else input.value = String(value);
    input.closest("details").open = true;
  }
  markTurned();
}

// Whether the run under way has other settings than those of the form.
export const hasOtherSettings = () => isUnderWay() && !same(state.settings, state.trained);

// What to do about new settings. While a run is under way, the status tells of it.
export function tellOfSettings(key) {
  if (!isUnderWay()) change({ told: key });
}

// The form as a link names it: {recipe, pictures} and values of knobs. What does not fit is left out.
export function fillFrom({ recipe, pictures, ...values }) {
  if (recipe in props.recipes) recipeSelect.value = recipe;
  fillForm();
  if (Number(pictures) >= 1) form.elements.pictures.value = Number(pictures);
  setKnobs(Object.fromEntries(Object.entries(values).filter(([name]) => props.knobs.some((knob) => knob.name === name))));
  change({ experiment: null });
}

// Runs worth comparing with a plain one.
const EXPERIMENTS = {
  plain: {},
  "high-lr": { lr: 0.3 },
  "no-ground-truth": { add_ground_truth: false },
  "background-0": { bg_iou_low: 0 },
  "lambda-0": { loc_weight: 0 },
  "raw-targets": { normalise_targets: false },
  frozen: { first_trainable: "fc6" },
  foreground: { fg_fraction: 0.1 },
  "no-regression": { bbox_reg: false },
};

// Turns the knobs of an experiment and leaves the others as the recipe has them.
export function setExperiment(experiment) {
  setKnobs(EXPERIMENTS[experiment]);
  change({ experiment, refused: null });
  tellOfSettings("train.set");
}

$(".experiment-list").append(
  ...Object.keys(EXPERIMENTS).map((name) =>
    make("button", { type: "button", "data-experiment": name, "aria-pressed": "false", onclick: () => setExperiment(name) }, text(`experiment.${name}.title`)),
  ),
);
on(["experiment"], () => {
  for (const button of $$("[data-experiment]")) button.setAttribute("aria-pressed", String(button.dataset.experiment === state.experiment));
});

// What to look at does not hold for a run with other settings. A new run is offered in its place.
on(["experiment", "settings", "trained", "phase"], () => {
  const offers = hasOtherSettings();
  $(".anew").hidden = !offers;
  $(".experiment-look").hidden = offers;
  $(".experiment-look").textContent = state.experiment ? text(`experiment.${state.experiment}.look`) : "";
});

// A sentence that names a knob lights it up.
on(["trouble", "refused"], () => {
  const sentence = state.refused ?? state.trouble;
  for (const place of $$(".knob")) {
    const named = sentence !== null && new RegExp(`\\b${place.dataset.knob}\\b`).test(sentence);
    place.classList.toggle("wanted", named);
    if (named) place.closest("details").open = true;
  }
});
