// The whole view is one function's body: `element`, `trigger`, `props`, `server` and `watch` come
// from Gradio. Files are joined in the order that __init__.py gives.

const root = element.querySelector(".explore");

// What is looked at. Everything on the page follows from this; `change` is the only way to set it.
const state = {
  token: null, // the picture's name to the server
  name: "", // the file's name
  example: null, // the example's name, where it is one
  stage: "none", // the last stage that is done: read, segments, proposals, features, detections
  picture: null, // {width, height, image}
  tab: "grouping",
  follows: true, // the tab goes along with the analysis until one is chosen
  run: 0, // which grouping
  grouping: null, // its segments and merges
  merge: 0, // how many merges are done
  proposals: null, // {boxes, sources, runs}
  shown: 100,
  source: "all",
  hovered: null, // index of a proposal
  chosen: null, // {index} or {box}: what the rest of the page speaks of
  form: props.model.pool,
  channel: null, // null: the strongest
  box: null, // the server's close look at the chosen box
  bin: null, // {row, column}
  label: null, // whose deltas are shown; null: the likeliest class
  tool: "mine",
  truth: [], // [{box, label, difficult}]
  covered: [], // how well proposals cover each
  score: 0.5,
  nms: 0.3,
  vote: true, // whether boxes vote on where a detection's edges are
  decisions: null,
  activity: null, // how strongly all channels together answer, cell by cell, before there are boxes
};

// The network that looks: {classes, backbone, convolutions, channels, stride, sees, pool, trained, ships}.
let model = props.model;

const className = (label) => (label === 0 ? t("background") : model.classes[label - 1]);

// What the explanations of terms say of the network.
const termValues = () => model;
