// The whole view is one function's body: `element`, `trigger`, `props`, `server` and `watch` come
// from Gradio. Files are joined in the order that __init__.py gives.

const root = element.querySelector(".lens");

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

const className = (label) => (label === 0 ? "background" : model.classes[label - 1]);

// Terms with their one-sentence explanation, on hover and on focus.
const TERMS = {
  proposal: "A box in which an object may be; selective search makes about two thousand.",
  IoU: "Intersection over union: the area that two boxes share, divided by the area they cover together.",
  RoI: "Region of interest: a proposal as the network sees it.",
  RoIAlign: "A later form of RoI pooling: it reads the map between the cells instead of rounding the box.",
  "walk-through": "The program that this project follows beside the paper; it rounds the box outwards.",
  convolution: "A layer that looks for small patterns everywhere in what comes before it.",
  get channel() { return `One of the ${model.channels} patterns that the last convolution looks for; its map says where it found it.`; },
  get cell() { return `One number of the map, one for every ${model.stride} x ${model.stride} pixels of the network's input; through all layers it sees about ${model.sees} x ${model.sees}.`; },
  bin: "One of the 7 x 7 parts that the box is divided into.",
  background: "Class 0: none of the kinds of objects that the network knows, or too little of one.",
  delta: "How far to move (in box widths and heights) and stretch (as a logarithm) the proposal.",
  get fc() { return `Fully connected layers: each of their units weighs all 7 x 7 x ${model.channels} numbers, or all units before it.`; },
  NMS: "Of overlapping boxes of one class, the best stays and the others go.",
  vote: "Each detection is moved to the mean of all boxes of its class that overlap it by IoU 0.5 or more, weighted by their probability. The paper does without.",
  recall: "The share of true objects for which at least one proposal overlaps by IoU 0.5 or more.",
  softmax: "Turns the scores into probabilities: positive, and together 1.",
  loss: "L_cls punishes a low probability of the right class u; L_loc, weighted by \u03bb, a wrong box, only where u is an object.",
  colour: "How much the two regions' colour histograms have in common.",
  texture: "How much the two regions' histograms of edges, in eight directions, have in common.",
  size: "High when both regions are small, so that small regions are joined first.",
  fill: "High when the two fit into each other and leave little empty space in their common box.",
};

// The words that a sentence explains by these terms.
const TERM_WORDS = {
  proposals: "proposal", proposal: "proposal", IoU: "IoU", RoI: "RoI", channels: "channel", cells: "cell",
  cell: "cell", bin: "bin", deltas: "delta", recall: "recall", softmax: "softmax", convolutions: "convolution",
  fc6: "fc", fc7: "fc", loss: "loss",
};
