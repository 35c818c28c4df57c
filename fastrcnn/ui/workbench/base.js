// The whole view is one function's body: `element`, `trigger`, `props`, `server` and `watch` come
// from Gradio. Files are joined in the order that __init__.py gives.

const root = element.querySelector(".workbench");

// The training that is open. Everything shown follows from this; `change` is the only way to set it.
const state = {
  token: null, // the run's name to the server
  name: "", // what is different about it
  phase: "none", // waiting, preparing, training, paused, finished, stopped, failed; none: no run
  trouble: null, // why it failed
  refused: null, // why a start was not possible
  ahead: 0, // how many come first
  doing: null, // {stage, done, total}: a longer stage between steps
  iterations: 0,
  left: null, // seconds
  classes: [],
  length: 0, // how many steps there are; the curves themselves grow in `curves`
  measured: 0, // how often mAP was
  log: false,
  raw: true,
  hovered: null, // the iteration that is pointed at
  earlier: [], // curves of runs before: {name, colour, shown, curves, iterations}
  batch: null, // the last mini-batch, its images loaded
  roi: null, // {picture, index} in it
  scenes: null, // {iteration, found}
  pictures: null, // the held-out pictures, their images loaded
};

// steps: [iteration, total, class, box, lr, seconds] each; smooth: their running means, [total, class, box].
// validations: [iteration, total, class, box] each. evaluations: {iteration, map, ap} each.
const newCurves = () => ({ steps: [], smooth: [], validations: [], evaluations: [] });
let curves = newCurves();

const RUNNING = ["waiting", "preparing", "training"];
const ENDED = ["finished", "stopped", "failed"];
const className = (label) => (label === 0 ? "background" : state.classes[label - 1]);

const TERMS = {
  loss: "How wrong the network is on the mini-batch: the class loss plus lambda times the box loss; learning makes it smaller.",
  mAP: "Mean average precision: 1 when every object of every class is found with nothing wrong in between. Here at IoU 0.5, on pictures held out from training.",
  "mini-batch": "N pictures and R boxes from them, the share that one step learns from.",
  IoU: "Intersection over union: the area that two boxes share, divided by the area they cover together.",
  RoI: "Region of interest: a proposal as the network sees it.",
  target: "What bbox_pred is taught for this box: how far to move and stretch it onto its object, normalised.",
};
const TERM_WORDS = { IoU: "IoU", RoIs: "RoI", RoI: "RoI", target: "target" };
