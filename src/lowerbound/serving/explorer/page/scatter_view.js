/* The geometry of the view: coordinates, zoom, pan, bounds.
 *
 * A view is a rectangle {x0, x1, y0, y1} in data units; y points upwards. The canvas measures width × height CSS
 * pixels with its origin at the top left, so that
 *
 *   px = (x - x0) / (x1 - x0) · width        py = (y1 - y) / (y1 - y0) · height
 *
 * The aspect is the number of pixels per unit of y over the number per unit of x: 1 draws circles as circles, 0 makes
 * the axes independent.
 */

/** @typedef {{x0: number, x1: number, y0: number, y1: number}} View */

/** @param {View} view */
export const isDrawable = (view) =>
  [view.x0, view.x1, view.y0, view.y1].every(Number.isFinite) && view.x1 > view.x0 && view.y1 > view.y0;

/** @returns {[number, number]} */
export function toPixels(view, width, height, x, y) {
  return [((x - view.x0) / (view.x1 - view.x0)) * width, ((view.y1 - y) / (view.y1 - view.y0)) * height];
}

/** @returns {[number, number]} */
export function toData(view, width, height, px, py) {
  return [view.x0 + (px / width) * (view.x1 - view.x0), view.y1 - (py / height) * (view.y1 - view.y0)];
}

/** The smallest view of the given aspect that contains `wanted`, with the same centre. */
export function enclosing(wanted, width, height, aspect) {
  if (!aspect || !width || !height) return { ...wanted };
  const unitsPerPixel = Math.max((wanted.x1 - wanted.x0) / width, ((wanted.y1 - wanted.y0) * aspect) / height);
  const halfX = (unitsPerPixel * width) / 2;
  const halfY = (unitsPerPixel * height) / aspect / 2;
  const [cx, cy] = centre(wanted);
  return { x0: cx - halfX, x1: cx + halfX, y0: cy - halfY, y1: cy + halfY };
}

/** The rectangle, extended on the right so that it leaves `free` pixels there once it is displayed. */
export function withFreeRight(wanted, width, height, aspect, free) {
  if (!free || free >= width || !height) return wanted;
  const across = (wanted.x1 - wanted.x0) / (width - free);
  const unitsPerPixel = aspect ? Math.max(across, ((wanted.y1 - wanted.y0) * aspect) / height) : across;
  return { ...wanted, x1: wanted.x1 + free * unitsPerPixel };
}

/** @returns {[number, number]} */
export const centre = (view) => [(view.x0 + view.x1) / 2, (view.y0 + view.y1) / 2];

/** The longer side, in data units. */
export const span = (view) => Math.max(view.x1 - view.x0, view.y1 - view.y0);

/** @returns {[number, number]} on each axis */
export const pixelsPerUnit = (view, width, height) => [width / (view.x1 - view.x0), height / (view.y1 - view.y0)];

/** The view zoomed by `factor`, with the data point (cx, cy) fixed on the screen. */
export function zoomed(view, factor, cx, cy) {
  return {
    x0: cx - (cx - view.x0) / factor,
    x1: cx + (view.x1 - cx) / factor,
    y0: cy - (cy - view.y0) / factor,
    y1: cy + (view.y1 - cy) / factor,
  };
}

/** The view moved by (dx, dy) data units. */
export function panned(view, dx, dy) {
  return { x0: view.x0 + dx, x1: view.x1 + dx, y0: view.y0 + dy, y1: view.y1 + dy };
}

/** The bounding rectangle of all points with finite coordinates, or null if there are none. */
export function boundsOf(x, y) {
  const bounds = { x0: Infinity, x1: -Infinity, y0: Infinity, y1: -Infinity };
  for (let i = 0; i < x.length; i++) {
    if (!Number.isFinite(x[i]) || !Number.isFinite(y[i])) continue;
    if (x[i] < bounds.x0) bounds.x0 = x[i];
    if (x[i] > bounds.x1) bounds.x1 = x[i];
    if (y[i] < bounds.y0) bounds.y0 = y[i];
    if (y[i] > bounds.y1) bounds.y1 = y[i];
  }
  return bounds.x0 <= bounds.x1 ? bounds : null;
}

/** A rectangle with a margin on each side, as a share of its span; a span of zero becomes one unit. */
export function withMargin(bounds, margin) {
  const [cx, cy] = centre(bounds);
  const halfX = (bounds.x1 - bounds.x0 || 1) * (0.5 + margin);
  const halfY = (bounds.y1 - bounds.y0 || 1) * (0.5 + margin);
  return { x0: cx - halfX, x1: cx + halfX, y0: cy - halfY, y1: cy + halfY };
}
