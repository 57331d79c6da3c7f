/* A scatter of many points: WebGL 2 for the points, a 2-D canvas over it for everything else.
 *
 *   const scatter = createScatter(canvas, { aspect: 1 });
 *   scatter.setPalette([[0.1, 0.5, 0.8], ...]);            up to 256 colours, 0..1
 *   scatter.setPoints(x, y, category);                     Float32Array twice, Uint8Array; the first call fits the view
 *   scatter.on("hover", (index, { px, py, x, y }) => ...)  returns a function that ends it
 *
 * Coordinates: x, y are data units with y upwards, px, py CSS pixels from the canvas's top left corner. scatter.view is
 * the rectangle {x0, x1, y0, y1} that is shown; setView shows at least what it is given (see scatter_view.js). pan(dx, dy)
 * moves the view by data units; zoom(factor, cx, cy) keeps the data point (cx, cy), by default the centre, where it is.
 * A point is shown if its coordinates are finite, its entry in setVisible's mask is not 0, and its category is not hidden
 * (setCategories(mask), or a fourth palette number of 0); what is not shown is neither hovered, nor clicked, nor selected.
 *
 * Events: hover (index or -1, place) when it changes; move (place); leave (); click ({px, py, x, y, index, shiftKey});
 * select (Uint32Array of ascending indices, polygon in data units); view (view, by: "gesture" or "program").
 * setMode("pan" or "lasso"). Drag pans or lassoes, Shift and drag always lassoes, Escape gives the lasso up; wheel and
 * pinch zoom; a double click fits (its two clicks are reported as well); arrows, +, - and 0 where the canvas has focus.
 *
 * The canvas's size comes from style sheets; its parent should be positioned. Frames are drawn when something changed,
 * never otherwise. onOverlay(fn(context, scatter)) draws in CSS pixels after each frame, above the points;
 * redrawOverlay() repeats that alone, which is cheap: for crosshairs. Rings and lasso take the canvas's `color` in CSS.
 */

import { drawOverlay, drawPoints } from "explorer/scatter_frame.js";
import { attachGestures } from "explorer/scatter_gestures.js";
import { createRenderer } from "explorer/scatter_gl.js";
import { inside, nearest } from "explorer/scatter_grid.js";
import { createOverlay, place } from "explorer/scatter_overlay.js";
import * as data from "explorer/scatter_points.js";
import * as geometry from "explorer/scatter_view.js";

const MARGIN = 0.04; // of the data's span, on each side
const UNIT = { x0: -1, x1: 1, y0: -1, y1: 1 };
const DEEPEST = 1e5; // zoom beyond the whole of the data: there float32 runs out of digits
const HOVER_RADIUS = { mouse: 8, pen: 8, touch: 16 }; // CSS pixels
const LASSO_STEP = 2; // pixels between its vertices
const MOST_RATIO = 2; // device pixels for one of CSS; more is not seen in points
/** @typedef {{aspect?: number | boolean, pointSize?: number | null, opacity?: number}} Options */

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Options} options aspect: pixels for one unit of y over pixels for one of x; 0 frees the axes
 */
export function createScatter(canvas, options = {}) {
  const state = newState(canvas, options);
  if (!state.renderer) throw new Error("The scatter needs WebGL 2, which this browser does not offer.");
  canvas.tabIndex = 0;
  Object.assign(canvas.style, { touchAction: "none", userSelect: "none" });
  data.uploadAll(state);
  const scatter = publicFace(state);
  state.scatter = scatter;
  listen(state);
  resize(state);
  return scatter;
}

function newState(canvas, options) {
  return {
    canvas,
    renderer: createRenderer(canvas),
    overlay: createOverlay(canvas),
    aspect: Number(options.aspect ?? 1),
    pointSize: options.pointSize ?? null,
    opacity: options.opacity ?? 1,
    mode: "pan",
    ...data.NOTHING,
    palette: new Uint8Array(4 * 256).fill(255),
    categories: null,
    shownCategories: null,
    background: null,
    view: { ...UNIT },
    wanted: { ...UNIT },
    isViewChosen: false,
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
    invalidate(state);
  };
  return {
    get view() { return { ...state.view }; },
    get width() { return state.width; },
    get height() { return state.height; },
    get framesDrawn() { return state.framesDrawn; },
    get isSoftware() { return state.renderer.isSoftware; },
    setPoints: (x, y, category) => setPoints(state, x, y, category),
    setPalette: drawnAfter(data.setPalette),
    setVisible: drawnAfter(data.setVisible),
    setCategories: drawnAfter(data.setCategories),
    setView: (view) => chooseView(state, view, "program"),
    fit: () => fit(state, "program"),
    zoom: (factor, cx, cy) => zoom(state, factor, cx, cy, "program"),
    pan: (dx, dy) => chooseView(state, geometry.panned(state.view, dx, dy), "program"),
    setBackground: drawnAfter(data.setBackground),
    setOpacity: drawnAfter((_, opacity) => void (state.opacity = opacity)),
    setPointSize: drawnAfter((_, pointSize) => void (state.pointSize = pointSize)),
    setHighlight: drawnAfter(data.setHighlight),
    setMode: (mode) => void (state.mode = mode),
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
  setHovered(state, -1, null);
  if (state.isViewChosen) invalidate(state);
  else fit(state, "program");
}

// The view

function chooseView(state, wanted, by) {
  if (!geometry.isDrawable(wanted)) return;
  state.isViewChosen = true;
  state.wanted = { x0: wanted.x0, x1: wanted.x1, y0: wanted.y0, y1: wanted.y1 };
  applyView(state, by);
}

/** The view follows from what is wanted and from the canvas's shape, so that a canvas may be resized and resized back. */
function applyView(state, by) {
  const before = state.view;
  state.view = geometry.enclosing(state.wanted, state.width, state.height, state.aspect);
  invalidate(state);
  if (Object.keys(before).some((key) => before[key] !== state.view[key])) emit(state, "view", { ...state.view }, by);
}

function fit(state, by) {
  const bounds = state.bounds ?? state.background?.rectangle;
  chooseView(state, bounds ? geometry.withMargin(bounds, MARGIN) : UNIT, by);
  state.isViewChosen = by === "gesture";
}

function zoom(state, factor, cx, cy, by) {
  const [midX, midY] = geometry.centre(state.view);
  const whole = state.bounds ? geometry.withMargin(state.bounds, MARGIN) : UNIT;
  const span = (view) => Math.max(view.x1 - view.x0, view.y1 - view.y0);
  const now = span(whole) / span(state.view);
  const allowed = Math.max(1 / DEEPEST, Math.min(DEEPEST, now * factor)) / now;
  if (allowed > 0) chooseView(state, geometry.zoomed(state.view, allowed, cx ?? midX, cy ?? midY), by);
}

// What lies where

function nearestTo(state, px, py, radius) {
  const grid = data.gridOf(state);
  if (!grid || !state.width || !state.height) return -1;
  const { view } = state;
  const perUnit = [state.width / (view.x1 - view.x0), state.height / (view.y1 - view.y0)];
  return nearest(grid, ...state.scatter.toData(px, py), radius, perUnit, (i) => data.isShown(state, i));
}

function placeOf(state, px, py) {
  const [x, y] = state.scatter.toData(px, py);
  return { px, py, x, y };
}

// Events

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

function setHovered(state, index, at) {
  if (index === state.hovered) return;
  state.hovered = index;
  emit(state, "hover", index, at);
}

/** What the gestures do; they speak in pixels. */
function actions(state) {
  const toData = (px, py) => state.scatter.toData(px, py);
  return {
    move: (px, py) => emit(state, "move", placeOf(state, px, py)),
    hover: (px, py, radius = HOVER_RADIUS.mouse) => setHovered(state, nearestTo(state, px, py, radius), placeOf(state, px, py)),
    leaveHover: () => setHovered(state, -1, null),
    leave: () => leave(state),
    click: (px, py, shiftKey, kind) => click(state, px, py, shiftKey, HOVER_RADIUS[kind] ?? HOVER_RADIUS.mouse),
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

function leave(state) {
  setHovered(state, -1, null);
  emit(state, "leave");
}

function click(state, px, py, shiftKey, radius) {
  emit(state, "click", { ...placeOf(state, px, py), index: nearestTo(state, px, py, radius), shiftKey });
}

/** What is drawn moves with the pointer, so the view moves against it. */
function panPixels(state, dpx, dpy) {
  const { view, width, height } = state;
  if (!width || !height) return;
  const dx = (-dpx / width) * (view.x1 - view.x0);
  const dy = (dpy / height) * (view.y1 - view.y0);
  chooseView(state, geometry.panned(view, dx, dy), "gesture");
}

function setLasso(state, lasso) {
  state.lasso = lasso;
  request(state);
}

function extendLasso(state, px, py) {
  const [lastX, lastY] = state.scatter.toPixels(...state.lasso.at(-1));
  if (Math.hypot(px - lastX, py - lastY) < LASSO_STEP) return;
  state.lasso.push(state.scatter.toData(px, py));
  request(state);
}

function endLasso(state) {
  const polygon = state.lasso;
  setLasso(state, null);
  const grid = data.gridOf(state);
  const found = grid && polygon.length > 2 ? inside(grid, polygon, (i) => data.isShown(state, i)) : new Uint32Array(0);
  emit(state, "select", found, polygon);
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

function resize(state) {
  const { canvas, renderer } = state;
  state.width = canvas.clientWidth;
  state.height = canvas.clientHeight;
  state.ratio = Math.min(devicePixelRatio || 1, renderer.isSoftware ? 1 : MOST_RATIO);
  canvas.width = Math.max(1, Math.round(state.width * state.ratio));
  canvas.height = Math.max(1, Math.round(state.height * state.ratio));
  place(state.overlay, canvas, state.ratio);
  applyView(state, "program");
  // A resized canvas is empty: it is drawn in the same frame, or it would flicker.
  drawFrame(state);
}

function listen(state) {
  const observer = new ResizeObserver(() => resize(state));
  observer.observe(state.canvas);
  state.teardown.push(() => observer.disconnect(), attachGestures(state.canvas, actions(state)));
  const also = (target, name, listener) => {
    target.addEventListener(name, listener);
    state.teardown.push(() => target.removeEventListener(name, listener));
  };
  also(window, "resize", () => state.ratio === devicePixelRatio || resize(state));
  also(state.canvas, "webglcontextlost", (event) => lose(state, event));
  also(state.canvas, "webglcontextrestored", () => restore(state));
}

function lose(state, event) {
  event.preventDefault(); // or it would never come back
  state.isLost = true;
}

function restore(state) {
  state.isLost = false;
  state.renderer = createRenderer(state.canvas);
  data.uploadAll(state);
  invalidate(state);
}

function destroy(state) {
  cancelAnimationFrame(state.request);
  state.teardown.splice(0).forEach((undo) => undo());
  state.overlay.element.remove();
  state.renderer.destroy();
}
