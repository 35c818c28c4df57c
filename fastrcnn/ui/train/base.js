// The whole view is one function's body: `element`, `trigger`, `props`, `server` and `watch` come
// from Gradio. Files are joined in the order that __init__.py gives.

const root = element.querySelector(".train");

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
const className = (label) => (label === 0 ? t("background") : state.classes[label - 1]);

const termValues = () => ({}); // no explanation here speaks of the network
