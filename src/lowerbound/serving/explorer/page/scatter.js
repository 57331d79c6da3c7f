/* A scatter of many points, and a 2-D canvas over it for everything that is not a point.
 *
 *   const scatter = createScatter(canvas, { aspect: 1 });
 *   scatter.setPalette([[0.1, 0.5, 0.8], ...]);            up to 256 colours, 0..1
 *   scatter.setPoints(x, y, category);                     Float32Array twice, and Uint8Array into the palette
 *   scatter.on("hover", (index, { px, py, x, y }) => ...)  returns a function that ends it
 *
 * Coordinates: x, y are data units with y upwards; px, py are CSS pixels from the canvas's top left corner.
 * scatter.view is the rectangle {x0, x1, y0, y1} that is shown; setView shows at least what it is given, see
 * scatter_view.js. pan(dx, dy) moves the view by data units; zoom(factor, cx, cy) leaves the data point (cx, cy), or
 * else the centre, where it is. A fitted view, which is how one begins, follows new points; one that was chosen stays.
 *
 * A point is shown if its coordinates are finite, its entry in setVisible(mask) is not 0, and its category is neither
 * 0 in setCategories(mask) nor transparent in the palette. What is not shown is not hovered, clicked or selected. Mask
 * and highlight outlast setPoints if the number of points stays the same: other axes of the same codes.
 *
 * Events: hover (index or -1, place), when it changes; move (place); leave (); click ({px, py, x, y, index,
 * shiftKey}); select (indices as Uint32Array, ascending; polygon in data units); view (view, "gesture" or "program").
 * Drag pans, or lassoes after setMode("lasso"); Shift and drag always lassoes, Escape gives the lasso up; wheel and
 * pinch zoom; a double click fits, and its two clicks are reported as well; arrows, +, - and 0 where the canvas has
 * focus.
 *
 * The canvas is sized by style sheets, in a positioned parent, and belongs to one scatter for good. Frames are drawn
 * when something changed, never otherwise. onOverlay(fn(context, scatter)) draws in CSS pixels above the points, after
 * each frame; redrawOverlay() repeats only that, for crosshairs. Ring and lasso take the canvas's `color` in CSS.
 */

import { drawOverlay, drawPoints } from "explorer/scatter_frame.js";
import { attachGestures } from "explorer/scatter_gestures.js";
import * as webgl from "explorer/scatter_gl.js";
import { inside, nearest } from "explorer/scatter_grid.js";
import { createOverlay, place } from "explorer/scatter_overlay.js";
import * as data from "explorer/scatter_points.js";
import * as raster from "explorer/scatter_raster.js";
import * as geometry from "explorer/scatter_view.js";

const MARGIN = 0.04; // of the data's span, on each side
const UNIT = { x0: -1, x1: 1, y0: -1, y1: 1 };
const DEEPEST = 1e5; // zoom, where 1 shows the whole of the data: beyond it float32 runs out of digits
const FARTHEST = 0.01;
const RADIUS = { mouse: 8, pen: 8, touch: 16 }; // CSS pixels within which a point is meant
const LASSO_STEP = 2; // CSS pixels between its vertices
const MOST_RATIO = 2; // device pixels for one of CSS
const MOST_RASTER_PIXELS = 1.5e6; // what a processor fills sixty times a second, beside other work

/**
 * @param {HTMLCanvasElement} canvas
 * @param {object} options
 * @param {number | boolean} [options.aspect] pixels for one unit of y over pixels for one of x; 0 frees the axes
 * @param {number} [options.pointSize] in CSS pixels; else it follows from the number of points and the zoom
 * @param {number} [options.opacity]
 * @param {"webgl" | "raster"} [options.renderer] else whichever is faster here
 */
export function createScatter(canvas, options = {}) {
  const state = newState(canvas, options);
  canvas.tabIndex = 0;
  Object.assign(canvas.style, { touchAction: "none", userSelect: "none" });
  data.uploadAll(state);
  state.scatter = publicFace(state);
  listen(state);
  resize(state);
  return state.scatter;
}

/** WebGL where a graphics processor draws it, else the loop of scatter_raster.js, which outruns WebGL in software. */
function createRenderer(canvas, kind = webgl.isAccelerated() ? "webgl" : "raster") {
  return (kind === "webgl" && webgl.createRenderer(canvas)) || raster.createRenderer(canvas);
}

function newState(canvas, options) {
  return {
    canvas,
    renderer: createRenderer(canvas, options.renderer),
    overlay: createOverlay(canvas),
    aspect: Number(options.aspect ?? 1),
    pointSize: options.pointSize ?? null,
    opacity: options.opacity ?? 1,
    mode: "pan",
    ...data.NOTHING,
    palette: data.unnamed(),
    categories: null,
    shownCategories: null,
    background: null,
    view: { ...UNIT },
    wanted: { ...UNIT },
    isFitted: true,
    hovered: -1,
    lasso: null,
    hooks: new Set(),
    events: new Map(),
    teardown: [],
    width: 0,
    height: 0,
    ratio: 1,
    request: 0,
    isStale: false,
    isLost: false,
    framesDrawn: 0,
  };
}

function publicFace(state) {
  const drawnAfter = (set) => (...values) => {
    set(state, ...values);
    if (state.hovered >= 0 && !data.isShown(state, state.hovered)) setHovered(state, -1);
    invalidate(state);
  };
  return {
    get view() { return { ...state.view }; },
    get width() { return state.width; },
    get height() { return state.height; },
    get framesDrawn() { return state.framesDrawn; },
    get renderer() { return state.renderer.kind; },
    setPoints: (x, y, category) => setPoints(state, x, y, category),
    setPalette: drawnAfter(data.setPalette),
    setVisible: drawnAfter(data.setVisible),
    setCategories: drawnAfter(data.setCategories),
    setHighlight: drawnAfter(data.setHighlight),
    setBackground: drawnAfter(data.setBackground),
    setOpacity: drawnAfter((_, opacity) => void (state.opacity = opacity)),
    setPointSize: drawnAfter((_, pointSize) => void (state.pointSize = pointSize)),
    setMode: (mode) => void (state.mode = mode),
    setView: (view) => chooseView(state, view, "program"),
    fit: () => fit(state, "program"),
    zoom: (factor, cx, cy) => zoom(state, factor, cx, cy, "program"),
    pan: (dx, dy) => chooseView(state, geometry.panned(state.view, dx, dy), "program"),
    toData: (px, py) => geometry.toData(state.view, state.width, state.height, px, py),
    toPixels: (x, y) => geometry.toPixels(state.view, state.width, state.height, x, y),
    nearest: (px, py, radius) => nearestTo(state, px, py, radius),
    on: (name, listener) => subscribe(state, name, listener),
    onOverlay: (hook) => addHook(state, hook),
    redraw: () => invalidate(state),
    redrawOverlay: () => request(state),
    destroy: () => destroy(state),
  };
}

function setPoints(state, x, y, category) {
  data.setPoints(state, x, y, category);
  setHovered(state, -1);
  invalidate(state);
  if (state.isFitted) fit(state, "program");
}

// The view

function chooseView(state, wanted, by) {
  if (!geometry.isDrawable(wanted)) return;
  const { x0, x1, y0, y1 } = wanted;
  Object.assign(state, { wanted: { x0, x1, y0, y1 }, isFitted: false });
  applyView(state, by);
}

/** The view follows from what is wanted and the canvas's shape, so that a canvas may be resized, and resized back. */
function applyView(state, by) {
  const before = state.view;
  state.view = geometry.enclosing(state.wanted, state.width, state.height, state.aspect);
  if (Object.keys(before).every((key) => before[key] === state.view[key])) return;
  invalidate(state);
  emit(state, "view", { ...state.view }, by);
}

function fit(state, by) {
  chooseView(state, whole(state), by);
  state.isFitted = true;
}

function whole({ bounds, background }) {
  const rectangle = bounds ?? background?.rectangle;
  return rectangle ? geometry.withMargin(rectangle, MARGIN) : UNIT;
}

function zoom(state, factor, cx, cy, by) {
  const [midX, midY] = geometry.centre(state.view);
  const now = geometry.span(whole(state)) / geometry.span(state.view);
  const then = Math.max(FARTHEST, Math.min(DEEPEST, now * factor));
  chooseView(state, geometry.zoomed(state.view, then / now, cx ?? midX, cy ?? midY), by);
}

/** What is drawn moves with the pointer, so the view moves against it. */
function panPixels(state, dpx, dpy) {
  const [sx, sy] = geometry.pixelsPerUnit(state.view, state.width, state.height);
  chooseView(state, geometry.panned(state.view, -dpx / sx, dpy / sy), "gesture");
}

// What lies where, and what gestures do about it

function nearestTo(state, px, py, radius) {
  const grid = data.gridOf(state);
  if (!grid || !state.width || !state.height) return -1;
  const perUnit = geometry.pixelsPerUnit(state.view, state.width, state.height);
  return nearest(grid, ...state.scatter.toData(px, py), radius, perUnit, (i) => data.isShown(state, i));
}

function placeOf(state, px, py) {
  const [x, y] = state.scatter.toData(px, py);
  return { px, py, x, y };
}

function actions(state) {
  const toData = (px, py) => state.scatter.toData(px, py);
  return {
    move: (px, py) => emit(state, "move", placeOf(state, px, py)),
    hover: (px, py, kind) => setHovered(state, nearestTo(state, px, py, RADIUS[kind] ?? RADIUS.mouse), px, py),
    endHover: () => setHovered(state, -1),
    leave: () => leave(state),
    click: (px, py, kind, shiftKey) => click(state, px, py, RADIUS[kind] ?? RADIUS.mouse, shiftKey),
    pan: (dpx, dpy) => panPixels(state, dpx, dpy),
    panShare: (shareX, shareY) => panPixels(state, -shareX * state.width, shareY * state.height),
    zoom: (factor) => zoom(state, factor, undefined, undefined, "gesture"),
    zoomAt: (factor, px, py) => zoom(state, factor, ...toData(px, py), "gesture"),
    fit: () => fit(state, "gesture"),
    isLasso: () => state.mode === "lasso",
    lassoStart: (px, py) => setLasso(state, [toData(px, py)]),
    lassoTo: (px, py) => extendLasso(state, px, py),
    lassoEnd: () => endLasso(state),
    lassoCancel: () => setLasso(state, null),
  };
}

function setHovered(state, index, px = NaN, py = NaN) {
  if (index === state.hovered) return;
  state.hovered = index;
  emit(state, "hover", index, placeOf(state, px, py));
}

function leave(state) {
  setHovered(state, -1);
  emit(state, "leave");
}

function click(state, px, py, radius, shiftKey) {
  emit(state, "click", { ...placeOf(state, px, py), index: nearestTo(state, px, py, radius), shiftKey });
}

/** Its vertices are data points: it stays where it was drawn when the view changes below it. */
function setLasso(state, lasso) {
  state.lasso = lasso;
  request(state);
}

function extendLasso(state, px, py) {
  const [lastX, lastY] = state.scatter.toPixels(...state.lasso.at(-1));
  if (Math.hypot(px - lastX, py - lastY) < LASSO_STEP) return;
  setLasso(state, [...state.lasso, state.scatter.toData(px, py)]);
}

function endLasso(state) {
  const polygon = state.lasso;
  const grid = data.gridOf(state);
  setLasso(state, null);
  const found = grid && polygon.length > 2 ? inside(grid, polygon, (i) => data.isShown(state, i)) : new Uint32Array(0);
  emit(state, "select", found, polygon);
}

// Events and hooks

function subscribe(state, name, listener) {
  if (!state.events.has(name)) state.events.set(name, new Set());
  state.events.get(name).add(listener);
  return () => state.events.get(name).delete(listener);
}

function emit(state, name, ...values) {
  state.events.get(name)?.forEach((listener) => listener(...values));
}

function addHook(state, hook) {
  state.hooks.add(hook);
  request(state);
  return () => state.hooks.delete(hook) && request(state);
}

// Frames and lifetime

/** Asks for a frame with points and overlay. */
function invalidate(state) {
  state.isStale = true;
  request(state);
}

/** Asks for a frame with the overlay, at least. */
function request(state) {
  state.request ||= requestAnimationFrame(() => drawFrame(state));
}

function drawFrame(state) {
  cancelAnimationFrame(state.request);
  state.request = 0;
  if (!state.width || !state.height || state.isLost) return;
  if (state.isStale) drawPoints(state);
  state.isStale = false;
  drawOverlay(state);
}

function listen(state) {
  const { canvas, teardown } = state;
  const observer = new ResizeObserver(() => resize(state));
  observer.observe(canvas);
  teardown.push(() => observer.disconnect(), attachGestures(canvas, actions(state)));
  const also = (target, name, listener) => {
    target.addEventListener(name, listener);
    teardown.push(() => target.removeEventListener(name, listener));
  };
  // A window that moves to a finer screen is told so, though nothing changes in CSS pixels.
  also(window, "resize", () => state.ratio === ratioOf(state) || resize(state));
  also(canvas, "webglcontextlost", (event) => lose(state, event));
  also(canvas, "webglcontextrestored", () => restore(state));
}

function resize(state) {
  const { canvas } = state;
  state.width = canvas.clientWidth;
  state.height = canvas.clientHeight;
  state.ratio = ratioOf(state);
  canvas.width = Math.max(1, Math.round(state.width * state.ratio));
  canvas.height = Math.max(1, Math.round(state.height * state.ratio));
  place(state.overlay, canvas, state.ratio);
  applyView(state, "program");
  // A resized canvas is empty, and would flicker until the next frame.
  state.isStale = true;
  drawFrame(state);
}

/** Device pixels for one of CSS. */
function ratioOf({ width, height, renderer }) {
  const affordable = renderer.kind === "raster" ? Math.sqrt(MOST_RASTER_PIXELS / (width * height || 1)) : Infinity;
  return Math.min(devicePixelRatio || 1, MOST_RATIO, Math.max(1, affordable));
}

function lose(state, event) {
  event.preventDefault(); // or it would never come back
  state.isLost = true;
}

function restore(state) {
  state.isLost = false;
  state.renderer = webgl.createRenderer(state.canvas);
  data.uploadAll(state);
  invalidate(state);
}

function destroy(state) {
  state.teardown.splice(0).forEach((undo) => undo());
  cancelAnimationFrame(state.request);
  state.isLost = true;
  state.overlay.element.remove();
  state.renderer.destroy();
}
