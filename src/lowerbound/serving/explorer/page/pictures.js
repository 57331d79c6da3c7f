// Display of decoded examples: images as canvases, signals as lines, table rows as lists.
//
// A tensor is {shape: [n, height, width, 3], data: bytes} or {shape: [n, elements], data: floats}.

import { element, fixed, table } from "explorer/dom.js";
import { colourOf } from "explorer/colours.js";

const MAX_CELLS = 40; // of a row
const SIGNAL = { width: 112, height: 56 };

export const isImages = (tensor) => tensor.shape.length === 4;

/** Draw image k of a tensor on a canvas, pixel by pixel. */
export function draw(canvas, tensor, k = 0) {
  const [, height, width] = tensor.shape;
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(imageData(tensor, k), 0, 0);
}

function imageData(tensor, k) {
  const [, height, width] = tensor.shape;
  const image = new ImageData(width, height);
  const start = k * height * width * 3;
  for (let pixel = 0; pixel < height * width; pixel += 1) {
    image.data.set(tensor.data.subarray(start + 3 * pixel, start + 3 * pixel + 3), 4 * pixel);
    image.data[4 * pixel + 3] = 255;
  }
  return image;
}

/** All images of a tensor on one canvas, with `columns` per row. */
export function mosaic(tensor, columns) {
  const [count, height, width] = tensor.shape;
  const canvas = element("canvas", { width: columns * width, height: Math.ceil(count / columns) * height });
  const context = canvas.getContext("2d");
  for (let k = 0; k < count; k += 1)
    context.putImageData(imageData(tensor, k), (k % columns) * width, Math.floor(k / columns) * height);
  return canvas;
}

/** An element that displays one example, with a description for screen readers. */
export function tile(info, tensor, k, description) {
  if (isImages(tensor)) return imageTile(tensor, k, description);
  const values = tensor.data.subarray(k * tensor.shape[1], (k + 1) * tensor.shape[1]);
  return info.columns ? rowTile(info.columns, values, description) : signalTile(values, description);
}

/** Elements that display several examples: images, or one table with a column per row of data. */
export function tiles(info, tensor, describe) {
  if (!isImages(tensor) && info.columns) return [comparison(info.columns, tensor, describe)];
  return Array.from({ length: tensor.shape[0] }, (_, k) => tile(info, tensor, k, describe(k)));
}

function comparison(columns, tensor, describe) {
  const count = tensor.shape[0];
  const value = (k, column) => tensor.data[k * tensor.shape[1] + column];
  const rows = columns
    .slice(0, MAX_CELLS)
    .map((column, j) => [column.name, ...Array.from({ length: count }, (_, k) => cell(column, value(k, j)))]);
  const left = columns.length - rows.length;
  const caption = left > 0 ? `The first ${MAX_CELLS} of ${columns.length} columns` : "";
  const body = table(caption, ["", ...Array.from({ length: count }, (_, k) => describe(k))], rows);
  return element(
    "div",
    { className: "scroll comparison", tabIndex: 0, role: "region", "aria-label": "Values side by side" },
    body,
  );
}

function imageTile(tensor, k, description) {
  const canvas = element("canvas", { className: "tile", role: "img", "aria-label": description, title: description });
  draw(canvas, tensor, k);
  return canvas;
}

function rowTile(columns, values, description) {
  const cells = columns
    .slice(0, MAX_CELLS)
    .flatMap((column, k) => [element("dt", {}, column.name), element("dd", {}, cell(column, values[k]))]);
  const rest =
    columns.length > MAX_CELLS ? [element("dt", {}, `and ${columns.length - MAX_CELLS} more`), element("dd")] : [];
  return element("dl", { className: "row-tile", title: description }, ...cells, ...rest);
}

function cell(column, value) {
  if (Number.isNaN(value)) return "–";
  if (column.levels?.length) return column.levels[Math.round(value)] ?? "–";
  return column.kind === "count" ? String(Math.round(value)) : fixed(value, Math.abs(value) < 10 ? 3 : 1);
}

function signalTile(values, description) {
  const canvas = element("canvas", {
    className: "tile signal",
    ...SIGNAL,
    role: "img",
    "aria-label": description,
    title: description,
  });
  const context = canvas.getContext("2d");
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  context.strokeStyle = colourOf("accent");
  context.lineWidth = 1.5;
  values.forEach((value, k) => {
    const x = 2 + (k / Math.max(1, values.length - 1)) * (SIGNAL.width - 4);
    const y = SIGNAL.height - 3 - ((value - low) / span) * (SIGNAL.height - 6);
    if (k) context.lineTo(x, y);
    else context.moveTo(x, y);
  });
  context.stroke();
  return canvas;
}

/** The examples of a tensor at the given positions. */
export function picked(tensor, places) {
  const size = tensor.shape.slice(1).reduce((product, length) => product * length, 1);
  const data = new tensor.data.constructor(places.length * size);
  places.forEach((place, k) => data.set(tensor.data.subarray(place * size, (place + 1) * size), k * size));
  return { shape: [places.length, ...tensor.shape.slice(1)], data };
}

/** The examples of a tensor from `start` up to, but not including, `end`. */
export const slice = (tensor, start, end) =>
  picked(
    tensor,
    Array.from({ length: end - start }, (_, k) => start + k),
  );
