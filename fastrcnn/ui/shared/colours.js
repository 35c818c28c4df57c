// Colours that stay apart for every kind of colour vision.

// Okabe and Ito's.
export const BLUE = "#0072b2", SKY = "#56b4e9", ORANGE = "#e69f00", VERMILION = "#d55e00";
export const GREEN = "#009e73", YELLOW = "#f0e442", PURPLE = "#cc79a7";

const CLASS_COLOURS = [ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE];
export const classColour = (label) => CLASS_COLOURS[(label - 1) % CLASS_COLOURS.length];

// From dark blue over grey to yellow: colour-blind eyes read it as dark to light (cividis).
const STOPS = [[0, 32, 77], [57, 72, 107], [112, 113, 115], [171, 157, 104], [255, 234, 70]];

// The red, green and blue of a share from 0 to 1.
export function heat(share) {
  const at = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1);
  const low = Math.min(Math.floor(at), STOPS.length - 2);
  return STOPS[low].map((value, i) => Math.round(value + (STOPS[low + 1][i] - value) * (at - low)));
}

export const rgb = ([r, g, b]) => `rgb(${r} ${g} ${b})`;

// From vermilion (-1) over white (0) to blue (1).
export function signed(share) {
  const end = share < 0 ? [213, 94, 0] : [0, 114, 178];
  return end.map((value) => Math.round(255 + (value - 255) * Math.min(Math.abs(share), 1)));
}

// Black or white, whichever is easier to read on this ground.
export const inkOn = ([r, g, b]) => (r * 0.3 + g * 0.59 + b * 0.11 > 120 ? "#000" : "#fff");
