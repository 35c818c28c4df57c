// The knobs: a recipe's values to begin with, and what was turned since.

const form = $(".knobs");
const recipeSelect = form.elements.recipe;

for (const name of Object.keys(props.recipes)) recipeSelect.append(make("option", { value: name }, name));
recipeSelect.value = "shapes";
$(".folder").hidden = !props.local;

const written = (value) => (typeof value === "number" ? String(Number(value.toPrecision(6))) : String(value));

function knobInput(knob, value, layers) {
  const place = { name: knob.name, form: form.id }; // the knobs stand outside the form
  if (knob.kind === "switch") return make("input", { ...place, type: "checkbox", checked: value });
  if (knob.kind === "number") return make("input", { ...place, type: "text", inputmode: "decimal", value: written(value), size: 7 });
  const choices = knob.choices.length ? knob.choices : layers;
  return make("select", place, ...choices.map((choice) => make("option", { value: choice, selected: choice === value }, choice)));
}

function fillKnobs() {
  const { values, layers } = props.recipes[recipeSelect.value];
  $(".knob-list").replaceChildren(
    ...props.knobs.map((knob) =>
      make(
        "div", { class: "knob", "data-knob": knob.name },
        make("label", {}, make("span", {}, t(`knob.${knob.name}.label`)), knobInput(knob, values[knob.name], layers)),
        make("p", {}, t(`knob.${knob.name}.says`)),
      ),
    ),
  );
}

const knobValue = ({ name, kind }) => {
  const input = form.elements[name];
  return kind === "switch" ? String(input.checked) : input.value.trim();
};

// {key: value} of the knobs that are not where the recipe has them.
function turned() {
  const { values } = props.recipes[recipeSelect.value];
  return Object.fromEntries(
    props.knobs.filter((knob) => knobValue(knob) !== written(values[knob.name])).map((knob) => [knob.name, knobValue(knob)]),
  );
}

function settings() {
  return {
    recipe: recipeSelect.value,
    pictures: Number(form.elements.pictures.value),
    folder: props.local ? form.elements.folder.value.trim() : "",
    values: turned(),
  };
}

function fillForm() {
  $(".recipe-says").textContent = t(`recipe.${recipeSelect.value}`);
  form.elements.pictures.value = props.recipes[recipeSelect.value].pictures;
  fillKnobs();
}

recipeSelect.addEventListener("change", fillForm);
$(".controls").addEventListener("input", markTurned);
form.addEventListener("submit", (event) => event.preventDefault());
function markTurned() {
  const values = turned();
  for (const place of $$(".knob")) {
    place.classList.toggle("turned", place.dataset.knob in values);
    place.classList.remove("wanted");
  }
}
fillForm();

// Runs worth comparing with a plain one: what to turn, and what to look for.
const EXPERIMENTS = {
  plain: {},
  "no-regression": { bbox_reg: false },
  "lambda-0": { loc_weight: 0 },
  frozen: { first_trainable: "fc6" },
  foreground: { fg_fraction: 0.1 },
};

function experiment(knobs) {
  fillKnobs();
  for (const [name, value] of Object.entries(knobs)) {
    const input = form.elements[name];
    if (typeof value === "boolean") input.checked = value;
    else input.value = String(value);
  }
  $(".more").open = true;
  markTurned();
  say(t("bench.set"));
}

$(".experiment-list").append(
  ...Object.entries(EXPERIMENTS).map(([name, knobs]) =>
    make(
      "p", {}, make("button", { type: "button", onclick: () => experiment(knobs) }, t(`experiment.${name}.title`)),
      ` ${t(`experiment.${name}.look`)}`,
    ),
  ),
);

// A sentence that names a knob lights it up.
on(["trouble", "refused"], () => {
  const told = state.refused ?? state.trouble;
  for (const place of $$(".knob")) {
    const named = told !== null && new RegExp(`\\b${place.dataset.knob}\\b`).test(told);
    place.classList.toggle("wanted", named);
    if (named) $(".more").open = true;
  }
});
