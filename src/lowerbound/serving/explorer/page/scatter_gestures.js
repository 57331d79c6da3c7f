/* Gestures on the scatter: wheel, drag, pinch, lasso, keys.
 *
 * A pointer that moves less than a few pixels is a click; otherwise it pans, or draws a lasso in lasso mode or with the
 * Shift key. Two pointers pinch: their midpoint pans, their distance zooms. The wheel zooms at the pointer, and so does
 * a trackpad's pinch (which browsers report as a wheel with Ctrl). `act` receives CSS pixels.
 *
 * act: {move, hover, endHover, leave, click, pan, panShare, zoom, zoomAt, fit, isLasso, lassoStart, lassoTo, lassoEnd,
 *       lassoCancel}
 */

const CLICK_SLACK = 4; // pixels that a click may move
const DOUBLE_TAP = 350; // milliseconds between its two taps
const TAP_SLACK = 20; // pixels between them
const PAN_SHARE = 0.1; // of the view per arrow key
const ZOOM_STEP = 1.25; // per + or -
const WHEEL_RATE = 0.0015; // log of the zoom per pixel of wheel
const PINCH_RATE = 0.01; // the same for a trackpad's pinch, whose steps are small
const LINE = 16; // pixels per line, for wheels that count lines
const MAX_ZOOM = 0.5; // log of the zoom in one event, so that a wheel with Ctrl does not jump

const KEYS = {
  ArrowLeft: (act) => act.panShare(-PAN_SHARE, 0),
  ArrowRight: (act) => act.panShare(PAN_SHARE, 0),
  ArrowUp: (act) => act.panShare(0, PAN_SHARE),
  ArrowDown: (act) => act.panShare(0, -PAN_SHARE),
  "+": (act) => act.zoom(ZOOM_STEP),
  "=": (act) => act.zoom(ZOOM_STEP),
  "-": (act) => act.zoom(1 / ZOOM_STEP),
  _: (act) => act.zoom(1 / ZOOM_STEP),
  0: (act) => act.fit(),
};

/** @returns {() => void} removes every listener */
export function attachGestures(canvas, act) {
  const input = { canvas, act, pointers: new Map(), gesture: null, lastTap: null };
  const listeners = {
    pointerdown: (event) => onDown(input, event),
    pointermove: (event) => onMove(input, event),
    pointerup: (event) => onUp(input, event),
    pointercancel: (event) => onCancel(input, event),
    lostpointercapture: (event) => onCancel(input, event),
    pointerleave: (event) => onLeave(input, event),
    dblclick: () => act.fit(),
    wheel: (event) => onWheel(input, event),
    keydown: (event) => onKey(input, event),
  };
  for (const [name, listener] of Object.entries(listeners)) canvas.addEventListener(name, listener, { passive: false });
  return () => {
    for (const [name, listener] of Object.entries(listeners)) canvas.removeEventListener(name, listener);
  };
}

const at = (event) => ({ px: event.offsetX, py: event.offsetY });

function onDown(input, event) {
  if (event.pointerType === "mouse" && event.button !== 0) return;
  input.canvas.setPointerCapture(event.pointerId);
  input.pointers.set(event.pointerId, at(event));
  if (input.gesture?.kind === "lasso") input.act.lassoCancel();
  input.gesture = gestureOf(input, event);
  if (input.pointers.size === 1) input.act.move(event.offsetX, event.offsetY); // a touch has no preceding move
}

/** The gesture of the pressed pointers before any of them moves. */
function gestureOf(input, event) {
  const count = input.pointers.size;
  if (count === 1) return { kind: "press", ...at(event), isLasso: event.shiftKey || input.act.isLasso() };
  return count === 2 ? { kind: "pinch", ...spanOf(input.pointers) } : null;
}

/** Midpoint and distance of two pointers. */
function spanOf(pointers) {
  const [a, b] = [...pointers.values()];
  return { px: (a.px + b.px) / 2, py: (a.py + b.py) / 2, distance: Math.hypot(a.px - b.px, a.py - b.py) };
}

function onMove(input, event) {
  const { px, py } = at(event);
  if (input.pointers.size < 2) input.act.move(px, py);
  if (!input.pointers.has(event.pointerId)) return input.act.hover(px, py, event.pointerType);
  input.pointers.set(event.pointerId, { px, py });
  if (input.gesture?.kind === "press") leavePress(input, px, py);
  if (input.gesture?.kind === "pan") pan(input, px, py);
  if (input.gesture?.kind === "lasso") input.act.lassoTo(px, py);
  if (input.gesture?.kind === "pinch") pinch(input);
}

/** A press that moves far enough becomes a pan or a lasso, from its start. */
function leavePress(input, px, py) {
  const { gesture, act } = input;
  if (Math.hypot(px - gesture.px, py - gesture.py) < CLICK_SLACK) return;
  input.gesture = { kind: gesture.isLasso ? "lasso" : "pan", px: gesture.px, py: gesture.py };
  input.canvas.style.cursor = gesture.isLasso ? "" : "grabbing";
  act.endHover();
  if (gesture.isLasso) act.lassoStart(gesture.px, gesture.py);
}

function pan(input, px, py) {
  input.act.pan(px - input.gesture.px, py - input.gesture.py);
  input.gesture = { kind: "pan", px, py };
}

function pinch(input) {
  const before = input.gesture;
  const now = spanOf(input.pointers);
  input.gesture = { kind: "pinch", ...now };
  input.act.pan(now.px - before.px, now.py - before.py);
  if (before.distance > 0 && now.distance > 0) input.act.zoomAt(now.distance / before.distance, now.px, now.py);
}

function onUp(input, event) {
  if (!input.pointers.delete(event.pointerId)) return;
  const { gesture, act } = input;
  rest(input);
  if (gesture?.kind === "lasso") act.lassoEnd();
  if (gesture?.kind === "press") click(input, event);
}

function click(input, event) {
  const { px, py } = at(event);
  input.act.click(px, py, event.pointerType, event.shiftKey);
  // Browsers agree only on the double click of a mouse.
  if (event.pointerType === "mouse") return;
  const tap = { px, py, time: event.timeStamp };
  const isDouble = input.lastTap && isSameTap(input.lastTap, tap);
  input.lastTap = isDouble ? null : tap;
  if (isDouble) input.act.fit();
}

const isSameTap = (first, second) =>
  second.time - first.time < DOUBLE_TAP && Math.hypot(second.px - first.px, second.py - first.py) < TAP_SLACK;

function onCancel(input, event) {
  if (!input.pointers.delete(event.pointerId)) return;
  if (input.gesture?.kind === "lasso") input.act.lassoCancel();
  rest(input);
}

/** After a pointer is released: the one left after a pinch continues to pan, and is not a click. */
function rest(input) {
  const [left] = input.pointers.values();
  input.gesture = left && input.pointers.size === 1 ? { kind: "pan", ...left } : null;
  input.canvas.style.cursor = "";
}

/** Lifting a finger does not end its hover. */
function onLeave(input, event) {
  if (event.pointerType !== "touch" && !input.pointers.has(event.pointerId)) input.act.leave();
}

function onWheel({ act, gesture }, event) {
  event.preventDefault();
  const unit = [1, LINE, 10 * LINE][event.deltaMode] ?? 1;
  const zoom = -event.deltaY * unit * (event.ctrlKey ? PINCH_RATE : WHEEL_RATE);
  const { px, py } = at(event);
  act.zoomAt(Math.exp(Math.max(-MAX_ZOOM, Math.min(MAX_ZOOM, zoom))), px, py);
  if (!gesture) act.hover(px, py, "mouse");
}

function onKey(input, event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "Escape" && input.gesture?.kind === "lasso") {
    input.gesture = null;
    input.act.lassoCancel();
    event.preventDefault();
  }
  if (!Object.hasOwn(KEYS, event.key)) return;
  KEYS[event.key](input.act);
  event.preventDefault();
}
