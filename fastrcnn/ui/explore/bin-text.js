// In words, where the number of a bin comes from.

import { cornersOf, fixed } from "../shared/numbers.js";
import { text } from "../shared/texts.js";
import { rectangleOf, winnerOf } from "./feature-map.js";

// Counted from 1, as the bins are.
const range = (low, high) => (high - low === 1 ? String(high) : text("pooling.range", { low: low + 1, high }));

export function binText(box, bin) {
  if (!bin) return text("pooling.point");
  const { row, column } = bin;
  const [x1, y1, x2, y2] = box.bins[row][column];
  const value = fixed(box.pooled[row][column], 3);
  const name = text("pooling.bin", { row: row + 1, column: column + 1 });
  if (!box.cells) return text("pooling.bin.align", { bin: name, value });
  if (x2 <= x1 || y2 <= y1) return text("pooling.bin.outside", { bin: name });
  const winner = winnerOf(box, bin);
  return text("pooling.bin.cells", {
    bin: name, columns: range(x1, x2), rows: range(y1, y2), width: x2 - x1, height: y2 - y1,
    value, column: winner[0] + 1, row: winner[1] + 1, pixels: cornersOf(rectangleOf(box, winner)),
  });
}
