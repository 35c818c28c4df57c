// The method in six short steps. Each lights up the live part that it speaks of.

const COUNTS = { 4: "four", 5: "five", 6: "six", 13: "thirteen" };
const LESSONS = [
  {
    title: "Where could an object be?",
    what: "Selective search joins alike neighbouring regions until one is left, and keeps the box of every region on the way.",
    why: "An object is mostly one thing in colour or texture, at a size that nobody knows beforehand; a hierarchy has all sizes.",
    formula: "s(a, b) = s_colour + s_texture + s_size + s_fill, each 0 to 1",
    try: "Press Play and watch two regions fuse; then step with the small arrows and read their four similarities.",
    tab: "grouping", lights: ".merge-told",
  },
  {
    title: "Two thousand guesses",
    what: "Several groupings, in two colour spaces, are pooled and ranked. Most boxes are wrong; it is enough that one of them fits.",
    why: "Looking at 2,000 boxes is far less work than at the millions that a picture has.",
    formula: "recall = objects with a proposal of IoU \u2265 0.5 / all objects",
    try: "Move the slider from 2,000 boxes down to 50, and watch the recall of the marked objects fall.",
    tab: "proposals", lights: ".truth",
  },
  {
    title: "One look at the photograph",
    get what() { return `${model.backbone.startsWith("vgg16") ? "VGG16's" : "The network's"} ${COUNTS[model.convolutions] ?? model.convolutions} convolutions turn the whole photograph into ${model.channels} maps, once. Every box is cut out of the same maps.`; },
    why: "R-CNN ran the network on each box by itself, 2,000 times; sharing the maps made Fast R-CNN 146 times faster to run, the time for proposals aside.",
    get formula() { return `a cell of the map = ${model.stride} x ${model.stride} pixels of the network's input`; },
    try: "Click through the strip of channels: which part of the object does each answer to?",
    tab: "pooling", lights: ".strip",
  },
  {
    title: "Any box becomes 7 x 7",
    what: "RoI pooling lays a 7 x 7 grid over the box on the map; of each bin only the largest value is kept.",
    why: "The layers that follow need the same number of inputs for every box, however large or long it is.",
    formula: "a bin is about h/7 x w/7 cells; y = the largest x in the bin",
    try: "Point at a bin: its cells light up on the map, and their place on the photograph. Then switch the rounding.",
    tab: "pooling", lights: ".maps",
  },
  {
    title: "Two answers at once",
    get what() { return `fc6 and fc7 read the 7 x 7 x ${model.channels} numbers; one output names the class, the other moves the box.`; },
    why: "Trained together, with one loss, the two help each other: L = L_cls + \u03bb [u \u2265 1] L_loc.",
    formula: "p = softmax(scores);  \u011c = (Pw dx + Px, Ph dy + Py, Pw exp(dw), Ph exp(dh))",
    try: "Drag a box around half of an object: do the deltas know where the other half is?",
    tab: "head", lights: ".formula",
  },
  {
    title: "One box for each object",
    what: "Hundreds of boxes may find the same object. The best of a class stays; those that overlap it too much go, but first they vote on where its edges are.",
    why: "Without it every object would be reported many times.",
    formula: "drop a box when IoU with a better one of its class > 0.3;  edges = \u03a3 p box / \u03a3 p where IoU \u2265 0.5",
    try: "Switch the vote off and on and see which edges jump. Raise the allowed overlap to 0.9 and count the boxes; choose one and see whom it had suppressed.",
    tab: "result", lights: ".nms",
  },
];

let lesson = 0;

function openLesson(next) {
  lesson = next;
  showLesson();
  openTab(LESSONS[lesson].tab);
  light(LESSONS[lesson].lights);
}

function darken() {
  for (const lit of $$(".lit")) lit.classList.remove("lit");
}

function light(selector) {
  darken();
  const part = $(selector);
  const shown = part.matches("input") ? part.closest("label") : part;
  shown.classList.add("lit");
  shown.scrollIntoView({ block: "nearest" });
}

function showLesson() {
  const { title, what, why, formula, try: task } = LESSONS[lesson];
  refill(
    $(".lessons"),
    make("h3", {}, `Learn ${lesson + 1} of ${LESSONS.length}: ${title}`),
    make(
      "dl", {},
      make("dt", {}, "What"), make("dd", {}, ...explained(what)),
      make("dt", {}, "Why"), make("dd", {}, ...explained(why)),
      make("dt", {}, "Formula"), make("dd", { class: "rule" }, ...explained(formula)),
      make("dt", {}, "Try this"), make("dd", {}, ...explained(task)),
    ),
    make(
      "div", { class: "player" },
      make("button", { "data-key": "back", disabled: lesson === 0, onclick: () => openLesson(lesson - 1) }, "Back"),
      make("button", { "data-key": "show", onclick: () => openLesson(lesson) }, "Show me"),
      make("button", { "data-key": "next", disabled: lesson === LESSONS.length - 1, onclick: () => openLesson(lesson + 1) }, "Next"),
    ),
  );
}
