/* The scatter plot of many points, with a 2-D canvas on top for everything that is not a point.
 *
 *   const scatter = createScatter(canvas, { aspect: 1 });
 *   scatter.setPalette([[0.1, 0.5, 0.8], ...]);            up to 256 colours, 0..1
 *   scatter.setPoints(x, y, category);                     Float32Array twice, and Uint8Array into the palette
 *   scatter.on("hover", (index, { px, py, x, y }) => ...)  returns a function that unsubscribes
 *
 * Coordinates: x, y are data units with y upwards; px, py are CSS pixels from the canvas's top left corner.
 * scatter.view is the displayed rectangle {x0, x1, y0, y1}; setView shows at least the given rectangle, see
 * scatter_view.js. pan(dx, dy) moves the view by data units; zoom(factor, cx, cy) keeps the data point (cx, cy), or
 * else the centre, in place. A fitted view, which is the initial one, follows new points; a chosen view stays.
 *
 * A point is shown if its coordinates are finite, its entry in setVisible(mask) is not 0, and its category is neither
 * 0 in setCategories(mask) nor transparent in the palette. Hidden points are not hovered, clicked or selected. Mask and
 * highlight are kept by setPoints if the number of points stays the same, as for other axes of the same latents.
 *
 * Events: hover (index or -1, place), when it changes; move (place); leave (); click ({px, py, x, y, index,
 * shiftKey}); select (indices as Uint32Array, ascending; polygon in data units); view (view, "gesture" or "program").
 * Drag pans, or selects with a lasso after setMode("lasso"); Shift + drag always selects, Escape cancels the lasso; wheel
 * and pinch zoom; a double click fits, and its two clicks are reported as well; arrow keys, +, - and 0 work while the
 * canvas has the focus.
 *
 * The canvas is sized by style sheets, in a positioned parent, and belongs to one scatter. Frames are drawn only when
 * something has changed. onOverlay(fn(context, scatter)) draws in CSS pixels above the points, after each frame;
 * redrawOverlay() repeats only that, for crosshairs. The lasso has the canvas's CSS `color`.
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
const MAX_ZOOM = 1e5; // relative to the view of all data; beyond it float32 has too few digits
const MIN_ZOOM = 0.01;
const RADIUS = { mouse: 8, pen: 8, touch: 16 }; // CSS pixels within which a point is hit
const LASSO_STEP = 2; // CSS pixels between its vertices
const MAX_RATIO = 2; // device pixels per CSS pixel
const MAX_RASTER_PIXELS = 1.5e6; // that a CPU can fill sixty times a second besides other work

/**
 * @param {HTMLCanvasElement} canvas
 * @param {object} options
 * @param {number | boolean} [options.aspect] pixels per unit of y over pixels per unit of x; 0 for independent axes
 * @param {number} [options.pointSize] in CSS pixels; by default chosen by the number of points and the zoom
 * @param {number} [options.opacity]
 * @param {() => number} [options.reserved] CSS pixels on the right that a fitted view leaves free, as for a legend
 * @param {"webgl" | "raster"} [options.renderer] by default the faster one
 */
export function createScatter(canvas, options = {}) {
  const state = newState(canvas, options);
  canvas.tabIndex = 0;
  Object.assign(canvas.style, { touchAction: "none", userSelect: "none" });
  data.uploadAll(state);
  state.scatter = publicInterface(state);
  listen(state);
  resize(state);
  return state.scatter;
}

/** WebGL with a GPU, else scatter_raster.js, which is faster than WebGL in software. */
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
    reserved: options.reserved ?? (() => 0),
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

function publicInterface(state) {
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

/** Compute the view from the wanted rectangle and the canvas's shape, so that resizing a canvas is reversible. */
function applyView(state, by) {
  const before = state.view;
  state.view = geometry.enclosing(state.wanted, state.width, state.height, state.aspect);
  if (Object.keys(before).every((key) => before[key] === state.view[key])) return;
  invalidate(state);
  emit(state, "view", { ...state.view }, by);
}

function fit(state, by) {
  const { width, height, aspect, reserved } = state;
  chooseView(state, geometry.withFreeRight(whole(state), width, height, aspect, reserved()), by);
  state.isFitted = true;
}

function whole({ bounds, background }) {
  const rectangle = bounds ?? background?.rectangle;
  return rectangle ? geometry.withMargin(rectangle, MARGIN) : UNIT;
}

function zoom(state, factor, cx, cy, by) {
  const [midX, midY] = geometry.centre(state.view);
  const now = geometry.span(whole(state)) / geometry.span(state.view);
  const then = Math.max(MIN_ZOOM, Math.min(MAX_ZOOM, now * factor));
  chooseView(state, geometry.zoomed(state.view, then / now, cx ?? midX, cy ?? midY), by);
}

/** The content moves with the pointer, so the view moves in the opposite direction. */
function panPixels(state, dpx, dpy) {
  const [sx, sy] = geometry.pixelsPerUnit(state.view, state.width, state.height);
  chooseView(state, geometry.panned(state.view, -dpx / sx, dpy / sy), "gesture");
}

// Hit testing, and the actions of gestures

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

/** The vertices are in data units, so that the lasso stays in place when the view changes. */
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

/** Request a frame with points and overlay. */
function invalidate(state) {
  state.isStale = true;
  request(state);
}

/** Request a frame with at least the overlay. */
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
  // A window that moves to a screen of higher density gets this event, although CSS pixels stay the same.
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
  // A resized canvas is empty; without a frame it would flicker.
  state.isStale = true;
  drawFrame(state);
}

/** Device pixels per CSS pixel. */
function ratioOf({ width, height, renderer }) {
  const affordable = renderer.kind === "raster" ? Math.sqrt(MAX_RASTER_PIXELS / (width * height || 1)) : Infinity;
  return Math.min(devicePixelRatio || 1, MAX_RATIO, Math.max(1, affordable));
}

function lose(state, event) {
  event.preventDefault(); // otherwise it would never be restored
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
