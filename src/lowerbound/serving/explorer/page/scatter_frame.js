/* One frame of the scatter, from its state: what the renderer is told, and what is drawn over it.
 *
 * Points are small squares: below four pixels nobody sees the difference from discs, and a processor that has to draw
 * them does. They grow with the cube root of the zoom, so that a region looked at closely is not empty.
 */

import { clear, drawLasso, drawRings, RING_RADIUS } from "explorer/scatter_overlay.js";
import { isShown } from "explorer/scatter_points.js";
import * as geometry from "explorer/scatter_view.js";

// The size of points, in CSS pixels, by how many there are: [at most this many, size].
const SIZES = [[1_000, 6], [4_000, 5], [12_000, 4], [40_000, 3], [Infinity, 2.5]];
const LARGEST_GROWTH = 2.5;
const RING_WIDTH = 1.5; // CSS pixels around a highlighted point

/** Points, and the image below them. */
export function drawPoints(state) {
  const { view, renderer, ratio, opacity } = state;
  const [cx, cy] = geometry.centre(view);
  const size = pointSize(state);
  const larger = Math.max(size + 2, Math.min(2 * size, RING_RADIUS));
  renderer.draw({
    centre: [cx - state.origin[0], cy - state.origin[1]],
    scale: [2 / (view.x1 - view.x0), 2 / (view.y1 - view.y0)],
    size: Math.max(1, Math.round(size * ratio)),
    opacity,
    count: state.x.length,
    numHighlighted: state.highlight.length,
    highlightSize: Math.round(larger * ratio),
    ringSize: Math.round((larger + 2 * RING_WIDTH) * ratio),
    ringColour: state.highlight.length ? colours(state.canvas).ring : [0, 0, 0],
    image: state.background && { rectangle: inClipSpace(state.background.rectangle, view), opacity: state.background.opacity },
  });
  state.framesDrawn++;
}

/** In CSS pixels: as asked for, or by the number of points and the zoom. */
export function pointSize(state) {
  if (state.pointSize) return state.pointSize;
  const [, size] = SIZES.find(([most]) => state.x.length <= most);
  const whole = state.bounds ? state.bounds.x1 - state.bounds.x0 || 1 : 1;
  const zoom = Math.max(1, whole / (state.view.x1 - state.view.x0));
  return size * Math.min(LARGEST_GROWTH, Math.cbrt(zoom));
}

function inClipSpace(rectangle, view) {
  const [x0, y1] = geometry.toPixels(view, 2, 2, rectangle.x0, rectangle.y1);
  const [x1, y0] = geometry.toPixels(view, 2, 2, rectangle.x1, rectangle.y0);
  return [x0 - 1, x1 - 1, 1 - y0, 1 - y1];
}

/** Rings, hooks and the lasso, in this order from below. */
export function drawOverlay(state) {
  const { overlay, hooks, lasso, highlight } = state;
  clear(overlay);
  if (!hooks.size && !lasso && !highlight.length) return;
  const { ink, paper } = colours(state.canvas);
  if (highlight.length) drawRings(overlay, ringsInView(state), ink, paper);
  for (const hook of hooks) callHook(state, hook);
  if (lasso) drawLasso(overlay, lasso.map(([x, y]) => state.scatter.toPixels(x, y)), ink, paper);
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

/** Where highlighted points lie that are shown and in view. */
function ringsInView(state) {
  const { view, x, y } = state;
  const isInView = (i) => x[i] >= view.x0 && x[i] <= view.x1 && y[i] >= view.y0 && y[i] <= view.y1;
  return Array.from(state.highlight.filter((i) => isInView(i) && isShown(state, i)), (i) => state.scatter.toPixels(x[i], y[i]));
}

/** The page's own: text colour for rings and lasso, and the background around them. */
function colours(canvas) {
  const ink = getComputedStyle(canvas).color;
  const [r, g, b] = (ink.match(/[\d.]+/g) ?? [0, 0, 0]).map(Number);
  const isLight = 0.299 * r + 0.587 * g + 0.114 * b > 128;
  return { ink, ring: [r / 255, g / 255, b / 255], paper: isLight ? "rgb(0 0 0 / 60%)" : "rgb(255 255 255 / 80%)" };
}
