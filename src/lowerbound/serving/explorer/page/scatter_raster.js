/* CPU renderer of the scatter, for machines without a GPU, with the interface of scatter_gl.js.
 *
 * Software WebGL takes at least half a microsecond per point, regardless of its size. Writing a point's pixels into an
 * array takes twenty nanoseconds: 70,000 points of nine pixels are drawn in one or two milliseconds. The array is then
 * put on a 2-D canvas, over the background image if there is one. A point of size s around (px, py) covers the pixels
 * whose centres are within s / 2 of it.
 *
 * Pixels are 32-bit numbers with alpha in the highest byte, which assumes a little-endian machine.
 */

const OPAQUE = 0xff000000;

export function createRenderer(canvas) {
  // willReadFrequently keeps the canvas in main memory, where its pixels are written.
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const layer = new OffscreenCanvas(1, 1);
  const raster = {
    context,
    layer: layer.getContext("2d", { willReadFrequently: true }),
    positions: new Float32Array(0),
    kinds: new Uint8Array(0),
    highlight: new Uint32Array(0),
    palette: new Uint32Array(256),
    inks: null,
    image: null,
    sampling: "linear",
    pixels: null,
  };
  return {
    kind: "raster",
    setPositions: (positions) => void (raster.positions = positions),
    setKinds: (kinds) => void Object.assign(raster, { kinds, inks: null }),
    setHighlight: (indices) => void (raster.highlight = indices),
    setPalette: (rgba) => void Object.assign(raster, { palette: new Uint32Array(rgba.slice().buffer), inks: null }),
    setImage: (image, sampling) => void Object.assign(raster, { image, sampling }),
    draw: (frame) => draw(raster, frame),
    destroy: () => {},
  };
}

function draw(raster, frame) {
  const { context, image } = raster;
  const { width, height } = context.canvas;
  if (raster.pixels?.width !== width || raster.pixels.height !== height) setSize(raster, width, height);
  const target = { words: new Uint32Array(raster.pixels.data.buffer), width, height };
  target.words.fill(0);
  paintPoints(raster, target, frame);
  if (!frame.image) return context.putImageData(raster.pixels, 0, 0);
  context.clearRect(0, 0, width, height);
  drawImage(raster, frame.image, width, height);
  raster.layer.putImageData(raster.pixels, 0, 0);
  context.drawImage(raster.layer.canvas, 0, 0);
}

function setSize(raster, width, height) {
  raster.pixels = raster.context.createImageData(width, height);
  Object.assign(raster.layer.canvas, { width, height });
}

function drawImage({ context, image, sampling }, { rectangle: [x0, x1, y0, y1], opacity }, width, height) {
  const left = ((x0 + 1) / 2) * width;
  const top = ((1 - y1) / 2) * height;
  context.imageSmoothingEnabled = sampling !== "nearest";
  context.globalAlpha = opacity;
  context.drawImage(image, left, top, ((x1 - x0) / 2) * width, ((y1 - y0) / 2) * height);
  context.globalAlpha = 1;
}

function paintPoints(raster, target, frame) {
  raster.inks ??= inksOf(raster);
  const { positions, inks, highlight } = raster;
  const place = placing(frame, target);
  const paint = frame.opacity < 1 ? blending(frame.opacity) : fill;
  stampAll(target, positions, inks, null, place, insets(frame.size), paint);
  if (!frame.numHighlighted) return;
  for (const { size, colour } of frame.discs) {
    const own = colour ? inks.map((ink) => ink && packed(colour)) : inks;
    stampAll(target, positions, own, highlight, place, insets(size), fill);
  }
}

const packed = ([red, green, blue]) =>
  (OPAQUE | (Math.round(255 * blue) << 16) | (Math.round(255 * green) << 8) | Math.round(255 * red)) >>> 0;

/** The colour of each point; 0 if it is hidden. */
function inksOf({ kinds, palette }) {
  const inks = new Uint32Array(kinds.length / 2);
  for (let i = 0; i < inks.length; i++) if (kinds[2 * i + 1]) inks[i] = palette[kinds[2 * i]];
  return inks;
}

/** From positions to pixels: px = position · across + left, and the same for y. */
function placing({ centre, scale }, { width, height }) {
  const across = (scale[0] * width) / 2;
  const down = (-scale[1] * height) / 2;
  return { across, left: width / 2 - centre[0] * across, down, top: height / 2 - centre[1] * down };
}

/** For each row of a disc of `size` pixels, the number of pixels outside of it on either side. */
function insets(size) {
  const radius = size / 2;
  return Array.from({ length: size }, (_, row) => {
    const above = row + 0.5 - radius;
    return Math.ceil(radius - 0.5 - Math.sqrt(Math.max(0, radius * radius - above * above)));
  });
}

/** Draw every point, or those in `order`, as a disc in its colour. */
function stampAll(target, positions, inks, order, place, rows, paint) {
  const { words, width, height } = target;
  const size = rows.length;
  const corner = size / 2 + 0.5; // to the first pixel whose centre is covered
  const count = order ? order.length : inks.length;
  for (let k = 0; k < count; k++) {
    const i = order ? order[k] : k;
    if (!inks[i]) continue;
    const left = Math.ceil(positions[2 * i] * place.across + place.left - corner);
    const top = Math.ceil(positions[2 * i + 1] * place.down + place.top - corner);
    if (left <= -size || left >= width || top <= -size || top >= height) continue;
    const last = Math.min(size, height - top);
    for (let row = Math.max(0, -top); row < last; row++) {
      const start = (top + row) * width;
      const from = Math.max(0, left + rows[row]);
      paint(words, start + from, start + Math.min(width, left + size - rows[row]), inks[i]);
    }
  }
}

function fill(words, from, to, ink) {
  for (let k = from; k < to; k++) words[k] = ink;
}

/**
 * Blend over the existing pixels, whose colours are not premultiplied by their alpha b: painting with alpha a gives
 * a + b - ab, of which the new colour's share is a.
 */
function blending(a) {
  const share = new Uint16Array(256);
  const alpha = new Uint32Array(256);
  for (let b = 0; b < 256; b++) {
    const together = a + (b / 255) * (1 - a);
    share[b] = together ? Math.round((256 * a) / together) : 0;
    alpha[b] = Math.round(255 * together) << 24;
  }
  return (words, from, to, ink) => {
    for (let k = from; k < to; k++) {
      const b = words[k] >>> 24;
      words[k] = alpha[b] | mixed(words[k], ink, share[b]);
    }
  };
}

/** Blend red, green and blue, two of them in one multiplication; `share` out of 256 is that of the new colour. */
function mixed(under, over, share) {
  const rest = 256 - share;
  const redBlue = (Math.imul(under & 0xff00ff, rest) + Math.imul(over & 0xff00ff, share)) >>> 8;
  const green = (Math.imul(under & 0xff00, rest) + Math.imul(over & 0xff00, share)) >>> 8;
  return (redBlue & 0xff00ff) | (green & 0xff00);
}
