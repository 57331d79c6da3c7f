/* A grid over the points, which finds the nearest point to a pixel and the points inside a lasso.
 *
 * The bounding rectangle is divided into about one cell per four points; `order` lists the points cell by cell, row by
 * row, and cell c contains order[start[c]] up to order[start[c + 1]]. Points are inside a polygon by the even-odd rule:
 * a ray to the right crosses the edges an odd number of times. The edges that can be crossed are collected once per row
 * of cells, so that a lasso of a thousand vertices around 70,000 points takes milliseconds.
 */

import { boundsOf } from "explorer/scatter_view.js";

const POINTS_PER_CELL = 4;

/**
 * @typedef {{x: Float32Array, y: Float32Array, bounds: import("explorer/scatter_view.js").View, side: number,
 *            start: Uint32Array, order: Uint32Array}} Grid
 */

/** @returns {Grid | null} null if no point has finite coordinates */
export function createGrid(x, y) {
  const bounds = boundsOf(x, y);
  if (!bounds) return null;
  const side = Math.max(1, Math.min(1024, Math.ceil(Math.sqrt(x.length / POINTS_PER_CELL))));
  const grid = { x, y, bounds, side, start: new Uint32Array(side * side + 1), order: new Uint32Array(x.length) };
  fill(grid);
  return grid;
}

/** Counting sort by cell, stable within a cell. */
function fill(grid) {
  const { x, y, side, start, order } = grid;
  const cells = new Int32Array(x.length).fill(-1);
  for (let i = 0; i < x.length; i++) {
    if (!Number.isFinite(x[i]) || !Number.isFinite(y[i])) continue;
    cells[i] = rowOf(grid, y[i]) * side + columnOf(grid, x[i]);
    start[cells[i] + 1]++;
  }
  for (let c = 0; c < side * side; c++) start[c + 1] += start[c];
  const next = start.slice();
  for (let i = 0; i < x.length; i++) if (cells[i] >= 0) order[next[cells[i]]++] = i;
}

function place(value, low, high, side) {
  const share = high > low ? (value - low) / (high - low) : 0;
  return Math.max(0, Math.min(side - 1, Math.floor(share * side)));
}
const columnOf = (grid, x) => place(x, grid.bounds.x0, grid.bounds.x1, grid.side);
const rowOf = (grid, y) => place(y, grid.bounds.y0, grid.bounds.y1, grid.side);

const overlaps = (a, b) => a.x1 >= b.x0 && a.x0 <= b.x1 && a.y1 >= b.y0 && a.y0 <= b.y1;

/** Call visit(row, from, to) with a range of `order` for each row of cells that the rectangle overlaps. */
function eachRow(grid, rectangle, visit) {
  if (!overlaps(grid.bounds, rectangle)) return;
  const first = columnOf(grid, rectangle.x0);
  const last = columnOf(grid, rectangle.x1);
  for (let row = rowOf(grid, rectangle.y0); row <= rowOf(grid, rectangle.y1); row++) {
    visit(row, grid.start[row * grid.side + first], grid.start[row * grid.side + last + 1]);
  }
}

/**
 * The index of the point nearest to (x, y) in pixels for which isShown(index) is true; -1 if none is within the radius.
 * Of points at the same distance, the last one, which is drawn on top.
 * @param {[number, number]} pixelsPerUnit on each axis
 */
export function nearest(grid, x, y, radius, pixelsPerUnit, isShown) {
  const [sx, sy] = pixelsPerUnit;
  const reach = { x0: x - radius / sx, x1: x + radius / sx, y0: y - radius / sy, y1: y + radius / sy };
  let best = -1;
  let least = radius * radius;
  eachRow(grid, reach, (row, from, to) => {
    for (let k = from; k < to; k++) {
      const i = grid.order[k];
      const squared = ((grid.x[i] - x) * sx) ** 2 + ((grid.y[i] - y) * sy) ** 2;
      if (squared > least || (squared === least && i < best) || !isShown(i)) continue;
      best = i;
      least = squared;
    }
  });
  return best;
}

/**
 * The indices of the points inside a polygon for which isShown(index) is true, in ascending order.
 * @param {[number, number][]} polygon vertices in data units; the last is joined to the first
 * @returns {Uint32Array}
 */
export function inside(grid, polygon, isShown) {
  const found = [];
  const edges = edgesOf(polygon);
  eachRow(grid, boundsOf(polygon.map((p) => p[0]), polygon.map((p) => p[1])), (row, from, to) => {
    if (from === to) return;
    const near = edgesNear(grid, edges, from, to);
    for (let k = from; k < to; k++) {
      const i = grid.order[k];
      if (isInside(near, grid.x[i], grid.y[i]) && isShown(i)) found.push(i);
    }
  });
  return Uint32Array.from(found).sort();
}

/** Edges from the lower to the upper end; horizontal ones are never crossed. */
function edgesOf(polygon) {
  return polygon
    .map((a, k) => [a, polygon[(k + 1) % polygon.length]])
    .filter(([a, b]) => a[1] !== b[1])
    .map(([a, b]) => (a[1] < b[1] ? [...a, ...b] : [...b, ...a]));
}

/** The edges that a ray from one of these points can cross, as one flat array of (ax, ay, bx, by). */
function edgesNear(grid, edges, from, to) {
  let low = Infinity;
  let high = -Infinity;
  for (let k = from; k < to; k++) {
    low = Math.min(low, grid.y[grid.order[k]]);
    high = Math.max(high, grid.y[grid.order[k]]);
  }
  return Float64Array.from(edges.filter(([, ay, , by]) => ay <= high && by > low).flat());
}

function isInside(edges, x, y) {
  let odd = false;
  for (let e = 0; e < edges.length; e += 4) {
    const ay = edges[e + 1];
    const by = edges[e + 3];
    if (y < ay || y >= by) continue;
    if (x < edges[e] + ((y - ay) / (by - ay)) * (edges[e + 2] - edges[e])) odd = !odd;
  }
  return odd;
}
