// Drawing on canvases.

import { heat, rgb } from "./colours.js";

// Sizes a canvas for sharp lines and returns its context, in CSS pixels.
export function canvasContext(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const pixels = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) {
    [canvas.width, canvas.height] = pixels;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

// Draws a picture as wide as there is room; returns a context and a pen in the picture's pixels.
export function drawPicture(canvas, { image, ...picture }, scale) {
  const [width, height] = [picture.width * scale, picture.height * scale];
  const context = canvasContext(canvas, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  const ratio = window.devicePixelRatio || 1;
  context.setTransform(ratio * scale, 0, 0, ratio * scale, 0, 0);
  return { context, pen: new Pen(context, scale, picture) };
}

// A map of numbers (rows of columns) as coloured cells of this width and height; `largest` is yellow.
export function drawCells(context, map, [width, height], largest = Math.max(...map.flat(), 1e-9)) {
  map.forEach((row, y) =>
    row.forEach((value, x) => {
      context.fillStyle = rgb(heat(value / largest));
      context.fillRect(x * width, y * height, width + 0.5, height + 0.5);
    }),
  );
}

// Lines of so many screen pixels, whatever the size of the photograph. `writes`: with labels.
export class Pen {
  constructor(context, scale, picture, writes = true) {
    this.context = context;
    this.picture = picture; // {width, height}: labels stay inside
    this.writes = writes;
    this.pixel = 1 / scale;
    this.labels = []; // where labels are already
  }

  box([x1, y1, x2, y2], { colour, width = 2, dash = [], fill = null }) {
    const { context, pixel } = this;
    if (fill) {
      context.fillStyle = fill;
      context.fillRect(x1, y1, x2 - x1, y2 - y1);
    }
    context.setLineDash(dash.map((length) => length * pixel));
    context.lineWidth = width * pixel;
    context.strokeStyle = colour;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.setLineDash([]);
  }

  // A box that stands out on any ground.
  outlined(box, colour, width = 3) {
    this.box(box, { colour: "#000000", width: width + 3 });
    this.box(box, { colour: "#ffffff", width: width + 1.5 });
    this.box(box, { colour, width });
  }

  label(text, x, y, colour) {
    if (!this.writes) return;
    const { context, pixel } = this;
    context.font = `600 ${13 * pixel}px system-ui, sans-serif`;
    const width = context.measureText(text).width + 8 * pixel;
    const height = 18 * pixel;
    const left = Math.max(Math.min(x, this.picture.width - width), 0);
    let top = Math.max(Math.min(y, this.picture.height) - height, 0);
    const taken = () => this.labels.some(
      (other) => Math.abs(other.top - top) < height && other.left < left + width && left < other.left + other.width,
    );
    // Below the others where there is room, else on top of them.
    for (let tries = 0; tries < 5 && taken() && top + 2 * height < this.picture.height; tries++) top += height + pixel;
    this.labels.push({ left, top, width });
    context.fillStyle = "#181818";
    context.fillRect(left, top, width, height);
    context.fillStyle = colour;
    context.fillRect(left, top, 4 * pixel, height);
    context.fillStyle = "#ffffff";
    context.fillText(text, left + 6 * pixel, top + 13.5 * pixel);
  }

  arrow([x1, y1], [x2, y2], colour) {
    const { context, pixel } = this;
    const length = Math.hypot(x2 - x1, y2 - y1);
    const angle = Math.atan2(y2 - y1, x2 - x1);
    for (const [stroke, width] of [["#ffffff", 5], [colour, 2.5]]) {
      context.strokeStyle = stroke;
      context.lineWidth = width * pixel;
      context.beginPath();
      context.moveTo(x1, y1);
      context.lineTo(x2, y2);
      const head = Math.min(10 * pixel, length);
      for (const turn of [-2.6, 2.6]) {
        context.moveTo(x2, y2);
        context.lineTo(x2 + head * Math.cos(angle + turn), y2 + head * Math.sin(angle + turn));
      }
      context.stroke();
    }
  }
}
