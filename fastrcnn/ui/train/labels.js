// Places for labels on a picture, so that none covers another.

const overlap = (a, b) =>
  Math.max(Math.min(a.left + a.width, b.left + b.width) - Math.max(a.left, b.left), 0) *
  Math.max(Math.min(a.top + a.height, b.top + b.height) - Math.max(a.top, b.top), 0);

// boxes: the box that each label belongs to. widths: of the labels. All in one unit, as are `height`
// of a label and the picture's `size`. Returns {left, top, width, height} for each.
//
// A label stands above its box, inside at the top, below it, or at the right. Where all four places
// are taken, it takes the free place of the picture that is nearest to its box's corner.
export function placeLabels(boxes, widths, height, size) {
  const placed = [];
  return boxes.map(([x1, y1, x2, y2], i) => {
    const width = widths[i];
    const at = (left, top) => ({
      left: Math.max(Math.min(left, size.width - width), 0), top: Math.max(Math.min(top, size.height - height), 0), width, height,
    });
    const taken = (place) => placed.reduce((sum, other) => sum + overlap(place, other), 0);
    const near = [at(x1, y1 - height), at(x1, y1), at(x1, y2), at(x2, y1)];
    const rows = Array.from({ length: Math.floor(size.height / height) }, (_, row) => row * height);
    const columns = [x1, 0, size.width / 2, size.width];
    const everywhere = rows.flatMap((top) => columns.map((left) => at(left, top)));
    const distance = (place) => Math.hypot(place.left - x1, place.top - y1);
    everywhere.sort((a, b) => distance(a) - distance(b));
    const places = [...near, ...everywhere];
    const chosen = places.find((place) => taken(place) === 0) ?? places.reduce((a, b) => (taken(b) < taken(a) ? b : a));
    placed.push(chosen);
    return chosen;
  });
}
