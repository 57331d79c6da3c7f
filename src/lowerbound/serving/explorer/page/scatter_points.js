/* The data of the scatter, uploaded to the renderer: points, their visibility, colours, and the image below.
 *
 * A point is shown if its coordinates are finite, its entry in the mask is not 0, and its category is not hidden. The
 * renderer gets positions relative to the middle of the data, and two bytes per point: its category and its visibility.
 * Everything is kept in the state, because a lost context loses the renderer's copies.
 */

import { createGrid } from "explorer/scatter_grid.js";
import * as geometry from "explorer/scatter_view.js";

export const NOTHING = {
  x: new Float32Array(0),
  y: new Float32Array(0),
  category: new Uint8Array(0),
  mask: null,
  bounds: null,
  origin: [0, 0],
  grid: null,
  highlight: new Uint32Array(0),
};

export function setPoints(state, x, y, category) {
  const lengths = [x.length, y.length, category.length];
  if (new Set(lengths).size > 1) throw new Error(`x, y and category must have the same length, got ${lengths.join(", ")}.`);
  const bounds = geometry.boundsOf(x, y);
  const origin = bounds ? geometry.centre(bounds) : [0, 0];
  const { mask, highlight } = x.length === state.x.length ? state : NOTHING;
  Object.assign(state, NOTHING, { x, y, category, bounds, origin, mask, highlight });
  uploadPoints(state);
}

function uploadPoints(state) {
  const { x, y, origin, renderer } = state;
  const positions = new Float32Array(2 * x.length);
  for (let i = 0; i < x.length; i++) {
    positions[2 * i] = x[i] - origin[0];
    positions[2 * i + 1] = y[i] - origin[1];
  }
  renderer.setPositions(positions);
  renderer.setHighlight(state.highlight);
  uploadKinds(state);
}

/** A category and a flag for each point; points that are not finite are never shown. */
function uploadKinds(state) {
  const { x, y, category, mask } = state;
  const kinds = new Uint8Array(2 * x.length);
  for (let i = 0; i < x.length; i++) {
    kinds[2 * i] = category[i];
    kinds[2 * i + 1] = (!mask || mask[i]) && Number.isFinite(x[i]) && Number.isFinite(y[i]) ? 1 : 0;
  }
  state.renderer.setKinds(kinds);
}

export function setVisible(state, mask) {
  if (mask && mask.length !== state.x.length) {
    throw new Error(`setVisible takes a flag for each of ${state.x.length} points, got ${mask.length}.`);
  }
  state.mask = mask;
  uploadKinds(state);
}

export function setPalette(state, colours) {
  state.palette.set(unnamed());
  colours.slice(0, 256).forEach(([r, g, b, a = 1], k) => {
    state.palette.set([r, g, b, a > 0 ? 1 : 0].map((value) => Math.round(255 * value)), 4 * k);
  });
  uploadPalette(state);
}

/** The default palette, all grey. */
export const unnamed = () => new Uint8Array(4 * 256).map((_, k) => (k % 4 === 3 ? 255 : 128));

export function setCategories(state, mask) {
  state.categories = mask;
  uploadPalette(state);
}

function uploadPalette(state) {
  const shown = state.palette.slice();
  state.categories?.forEach((isShown, k) => isShown || shown.fill(0, 4 * k, 4 * k + 4));
  state.shownCategories = shown.filter((_, k) => k % 4 === 3);
  state.renderer.setPalette(shown);
}

export function setBackground(state, image, rectangle, { opacity = 1, sampling = "linear" } = {}) {
  state.background = image && { image: copyOf(image), rectangle: { ...rectangle }, opacity, sampling };
  if (image) state.renderer.setImage(state.background.image, sampling);
}

/** A copy of the page's image, kept for a restored context. */
function copyOf(image) {
  const copy = new OffscreenCanvas(image.width, image.height);
  copy.getContext("2d").drawImage(image, 0, 0);
  return copy;
}

export function setHighlight(state, indices) {
  state.highlight = Uint32Array.from(indices).filter((i) => i < state.x.length);
  state.renderer.setHighlight(state.highlight);
}

export function uploadAll(state) {
  uploadPoints(state);
  uploadPalette(state);
  if (state.background) state.renderer.setImage(state.background.image, state.background.sampling);
}

/** Whether the point of this index is shown. */
export function isShown(state, i) {
  return Boolean(state.shownCategories[state.category[i]] && (!state.mask || state.mask[i]));
}

/** The grid over the points, made on first use. */
export function gridOf(state) {
  state.grid ??= createGrid(state.x, state.y);
  return state.grid;
}
