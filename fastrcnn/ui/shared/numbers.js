// Numbers as text, and boxes (x1, y1, x2, y2; x2 and y2 exclusive).

export const fixed = (value, digits) => value.toFixed(digits).replace(/^-(0(?:\.0*)?)$/, "$1");
export const percent = (value) => `${fixed(100 * value, 1)}\u00a0%`;
export const grouped = (count) => count.toLocaleString("en"); // 43,093,530,000
export const cornersOf = (box, digits = 0) => box.map((value) => fixed(value, digits)).join(", ");

export const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
export const contains = ([x1, y1, x2, y2], [x, y]) => x1 <= x && x < x2 && y1 <= y && y < y2;

export function iou(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  return (width * height) / (area(a) + area(b) - width * height);
}
