// The questions of the Train tab by name, in the order of its list. Explore's list leads to them.

// place: what is lit. panel: the panel that opens. experiment: what is set up.
export const QUESTIONS = {
  normalised: { place: "#train-loss", panel: "loss", experiment: "raw-targets" },
  "loss-rises": { place: '[data-plot="loc"]' },
  nan: { place: '[data-plot="loss"]', experiment: "high-lr" },
  background: { place: ".batch", experiment: "background-0" },
  "true-boxes": { place: '[data-plot="loc"]', experiment: "no-ground-truth" },
  "empty-pictures": { place: ".batch" },
  "batch-of-rois": { place: ".batch" },
  "low-loss": { place: "#train-precision", panel: "precision", experiment: "foreground" },
};

// The address that opens the Train tab at a question.
export const questionLink = (name) => `#${new URLSearchParams({ tab: "train", question: name })}`;
