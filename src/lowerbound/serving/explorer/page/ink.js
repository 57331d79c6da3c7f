// The ink of a data set of drawings: how wide its strokes are, how large its drawings, and where they lie.

const BORDER = 0.1; // the most ink of a typical pixel at the edge of a drawing
const SHARE = 0.3; // of an image's darkest ink, from which a pixel belongs to the drawing

/**
 * Medians over images of one channel, in pixels: `stroke` width, `size` of the longer side, `centre` of mass; and whether
 * the ink is dark on a light background. Null for images that are not drawings on an even background.
 */
export function inkOf({ shape: [count, height, width], data }) {
  const images = Array.from({ length: count }, (_, n) =>
    Float32Array.from({ length: height * width }, (_, k) => data[3 * (n * height * width + k)] / 255),
  );
  const isDark = median(images.flatMap((image) => borderOf(image, width, height))) > 0.5;
  if (isDark) for (const image of images) image.forEach((value, k) => (image[k] = 1 - value));
  if (median(images.flatMap((image) => borderOf(image, width, height))) > BORDER) return null;
  const measured = images.map((image) => measure(image, width, height)).filter(Boolean);
  if (!measured.length) return null;
  const of = (name) => median(measured.map((one) => one[name]));
  return { isDark, stroke: of("stroke"), size: of("size"), centre: [of("x"), of("y")] };
}

function borderOf(image, width, height) {
  return [...image].filter((_, k) => {
    const [row, column] = [Math.floor(k / width), k % width];
    return row === 0 || column === 0 || row === height - 1 || column === width - 1;
  });
}

/** A stroke of width w and length l has the area w l and edges of length 2 l, whose ratio gives w. */
function measure(image, width, height) {
  const most = Math.max(...image);
  if (most < BORDER) return null;
  const at = (row, column) => (row < height && column < width && row >= 0 && column >= 0 ? image[row * width + column] : 0);
  let [area, edges, x, y] = [0, 0, 0, 0];
  const box = [Infinity, -Infinity, Infinity, -Infinity];
  for (let row = -1; row < height; row += 1) {
    for (let column = -1; column < width; column += 1) {
      const value = at(row, column);
      area += value;
      x += value * (column + 0.5);
      y += value * (row + 0.5);
      edges += Math.hypot(at(row, column + 1) - value, at(row + 1, column) - value);
      if (value < SHARE * most) continue;
      box[0] = Math.min(box[0], column);
      box[1] = Math.max(box[1], column + 1);
      box[2] = Math.min(box[2], row);
      box[3] = Math.max(box[3], row + 1);
    }
  }
  return { stroke: (2 * area) / edges, size: Math.max(box[1] - box[0], box[3] - box[2]), x: x / area, y: y / area };
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
