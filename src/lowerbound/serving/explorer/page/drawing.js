// A drawing as strokes, rendered at the model's size; if the ink of the data is known, with its strokes, size and place.

const FINE = 8; // rendered pixels per pixel of the model
const PEN = 0.085; // width of the pen where the ink is unknown, as a share of the shorter side
const MARGIN = 0.5; // pixels of the model that stay free at the edge
const MAX_ZOOM = 4; // of a small drawing

/** The width of the pen, in pixels of the model. */
export const penWidth = ({ width, height }, ink) => ink?.stroke ?? PEN * Math.min(width, height);

/**
 * Draw strokes, {points: [[x, y], ...], colour} in shares of the canvas's sides, on a canvas with `zoom` canvas pixels per
 * pixel of the model. `move` maps shares to pixels of the model.
 */
export function paint(context, strokes, size, { zoom, ink, move = ([x, y]) => [x * size.width, y * size.height] }) {
  const { width, height } = context.canvas;
  context.fillStyle = ink?.isDark ? "white" : "black";
  context.fillRect(0, 0, width, height);
  Object.assign(context, { lineWidth: penWidth(size, ink) * zoom, lineCap: "round", lineJoin: "round" });
  for (const { points, colour } of strokes) {
    context.strokeStyle = ink?.isDark ? "black" : colour;
    context.beginPath();
    points.map(move).forEach(([x, y], k) => (k ? context.lineTo(x * zoom, y * zoom) : context.moveTo(x * zoom, y * zoom)));
    // A stroke of one point is a dot.
    if (points.length === 1) context.lineTo(move(points[0])[0] * zoom + 0.01, move(points[0])[1] * zoom);
    context.stroke();
  }
}

/** The drawing at the model's size, as a PNG; fitted to the data if their ink is known. */
export function rendered(strokes, size, ink, isFitted) {
  const fine = canvasOf(size.width * FINE, size.height * FINE);
  const context = fine.getContext("2d", { willReadFrequently: true });
  const options = { zoom: FINE, ink };
  const { move, room } = isFitted && ink && strokes.length ? fitted(strokes, size, ink) : {};
  paint(context, strokes, size, { ...options, move });
  if (move) {
    // The centre of mass is that of the data, as long as the drawing stays inside of the image.
    const [dx, dy] = offCentre(context, ink).map((shift, axis) => Math.max(-room[axis], Math.min(room[axis], shift)));
    paint(context, strokes, size, { ...options, move: (point) => [move(point)[0] + dx, move(point)[1] + dy] });
  }
  const small = canvasOf(size.width, size.height);
  const target = small.getContext("2d");
  target.imageSmoothingQuality = "high";
  target.drawImage(fine, 0, 0, size.width, size.height);
  return new Promise((resolve) => small.toBlob(resolve, "image/png"));
}

/** The map that gives the drawing the size of the data's drawings, around their centre; and the room left on each axis. */
function fitted(strokes, size, ink) {
  const points = strokes.flatMap((stroke) => stroke.points).map(([x, y]) => [x * size.width, y * size.height]);
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const longer = Math.max(x1 - x0, y1 - y0);
  const zoom = longer ? Math.min(MAX_ZOOM, Math.max(0, ink.size - ink.stroke) / longer) : 1;
  const [cx, cy] = [(x0 + x1) / 2, (y0 + y1) / 2];
  const move = ([x, y]) => [ink.centre[0] + zoom * (x * size.width - cx), ink.centre[1] + zoom * (y * size.height - cy)];
  const left = (side, extent) => Math.max(0, (side - zoom * extent - ink.stroke) / 2 - MARGIN);
  return { move, room: [left(size.width, x1 - x0), left(size.height, y1 - y0)] };
}

/** How far the centre of mass lies from that of the data, in pixels of the model. */
function offCentre(context, { isDark, centre }) {
  const { width, height } = context.canvas;
  const { data } = context.getImageData(0, 0, width, height);
  let [mass, x, y] = [0, 0, 0];
  for (let k = 0; k < width * height; k += 1) {
    const value = isDark ? 255 - data[4 * k] : data[4 * k];
    mass += value;
    x += value * ((k % width) + 0.5);
    y += value * (Math.floor(k / width) + 0.5);
  }
  return mass ? [centre[0] - x / mass / FINE, centre[1] - y / mass / FINE] : [0, 0];
}

const canvasOf = (width, height) => Object.assign(document.createElement("canvas"), { width, height });
