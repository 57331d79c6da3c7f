/* One frame of the scatter, drawn from its state: points by the renderer, and the overlay on top.
 *
 * Points are discs whose size depends on their number, and grows with the cube root of the zoom, so that a zoomed region
 * is not empty. Highlighted points are drawn again above all others.
 */

import { clear, drawLasso } from "explorer/scatter_overlay.js";
import * as geometry from "explorer/scatter_view.js";

// The size of points in CSS pixels by their number: [maximum number, size].
const SIZES = [
  [1_000, 6],
  [4_000, 5],
  [12_000, 4],
  [40_000, 3],
  [Infinity, 2.5],
];
const LARGEST_GROWTH = 2.5;
const HALO = 1; // CSS pixels around a highlighted point

/** Draw the points, and the image below them. */
export function drawPoints(state) {
  const { view, ratio, opacity, highlight } = state;
  const [cx, cy] = geometry.centre(view);
  const size = pointSize(state);
  state.renderer.draw({
    centre: [cx - state.origin[0], cy - state.origin[1]],
    scale: [2 / (view.x1 - view.x0), 2 / (view.y1 - view.y0)],
    size: Math.max(1, Math.round(size * ratio)),
    opacity,
    count: state.x.length,
    numHighlighted: highlight.length,
    discs: highlight.length ? discsOf(state, size) : [],
    image: imageOf(state),
  });
  state.framesDrawn++;
}

/** The discs of a highlighted point, from bottom to top: a halo in the colour of the background, and the point. */
function discsOf({ canvas, ratio }, size) {
  const { isLight } = inkOf(canvas);
  const discs = [
    { size: size + 2 * HALO, colour: isLight ? [0, 0, 0] : [1, 1, 1] },
    { size, colour: null },
  ];
  return discs.map((disc) => ({ ...disc, size: Math.max(1, Math.round(disc.size * ratio)) }));
}

/** In CSS pixels: as set, or by the number of points and the zoom. */
export function pointSize(state) {
  if (state.pointSize) return state.pointSize;
  const [, size] = SIZES.find(([most]) => state.x.length <= most);
  const whole = state.bounds ? state.bounds.x1 - state.bounds.x0 || 1 : 1;
  const zoom = Math.max(1, whole / (state.view.x1 - state.view.x0));
  return size * Math.min(LARGEST_GROWTH, Math.cbrt(zoom));
}

function imageOf({ background, view }) {
  return background && { rectangle: inClipSpace(background.rectangle, view), opacity: background.opacity };
}

function inClipSpace(rectangle, view) {
  const [x0, y1] = geometry.toPixels(view, 2, 2, rectangle.x0, rectangle.y1);
  const [x1, y0] = geometry.toPixels(view, 2, 2, rectangle.x1, rectangle.y0);
  return [x0 - 1, x1 - 1, 1 - y0, 1 - y1];
}

/** Draw the page's hooks, and the lasso on top. */
export function drawOverlay(state) {
  const { overlay, hooks, lasso, scatter } = state;
  clear(overlay);
  for (const hook of hooks) callHook(state, hook);
  if (!lasso) return;
  const outline = lasso.map(([x, y]) => scatter.toPixels(x, y));
  drawLasso(overlay, outline, inkOf(state.canvas));
}

function callHook(state, hook) {
  const { overlay, scatter } = state;
  overlay.isBlank = false;
  overlay.context.save();
  try {
    hook(overlay.context, scatter);
  } finally {
    overlay.context.restore();
  }
}

/** The text colour of the page, for ring and lasso. */
export function inkOf(canvas) {
  const { color } = getComputedStyle(canvas);
  const [red, green, blue] = /^rgb/.test(color) ? color.match(/[\d.]+/g).map(Number) : [0, 0, 0];
  const isLight = 0.299 * red + 0.587 * green + 0.114 * blue > 128;
  return { color, components: [red / 255, green / 255, blue / 255], isLight };
}
