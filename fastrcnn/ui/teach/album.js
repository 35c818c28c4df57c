// Photographs come into the album: uploads, examples, and the lesson that is ready to try.

import { make } from "../shared/dom.js";
import { text } from "../shared/texts.js";
import { $, change, on, props, showStatus, state, trigger, upload } from "./page.js";

const picker = $(".upload input");
const nameInput = $(".name");
nameInput.maxLength = props.longest;

export const className = () => nameInput.value.trim();

function add(inputs) {
  if (state.waiting) return;
  change({ waiting: true });
  trigger("collect", inputs);
}

picker.addEventListener("change", async () => {
  const chosen = [...picker.files].slice(0, props.most);
  picker.value = "";
  if (!chosen.length) return;
  showStatus(text("teach.uploading"));
  try {
    const files = await Promise.all(chosen.map(async (file) => ({ uploaded: (await upload(file)).path, name: file.name })));
    add({ files });
  } catch {
    showStatus(text("no-reply"));
  }
});

$(".examples").append(
  ...props.examples.map(({ name, src }) =>
    make("button", { type: "button", "data-example": name, "aria-label": text("teach.add", { name }), onclick: () => add({ examples: [name] }) }, make("img", { src, alt: "" })),
  ),
);

// The lesson's boxes are drawn when its photographs are there.
let drawn = null;
$(".try").hidden = !Object.keys(props.lesson).length;
$(".try").addEventListener("click", () => {
  nameInput.value = text("teach.lesson.name");
  const names = Object.keys(props.lesson);
  drawn = { first: state.photos.length, names };
  add({ examples: names });
});
on(["photos"], () => {
  if (!drawn) return;
  const boxes = { ...state.boxes };
  drawn.names.forEach((name, i) => {
    const photo = state.photos[drawn.first + i];
    if (photo && !boxes[photo.number]) boxes[photo.number] = props.lesson[name];
  });
  change({ boxes });
  if (state.photos.length >= drawn.first + drawn.names.length) drawn = null;
});

on(["waiting"], () => {
  for (const button of [$(".try"), picker, ...$(".examples").children]) button.disabled = state.waiting;
});
