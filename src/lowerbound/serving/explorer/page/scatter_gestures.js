/* What hands do to the scatter: wheel, drag, pinch, lasso, keys.
 *
 * One pointer that moves less than a few pixels is a click; further, it pans, or lassoes where the mode or the Shift
 * key says so. Two pointers pinch: their midpoint pans, their distance zooms. The wheel zooms at the pointer, a
 * trackpad's pinch likewise (browsers report it as a wheel with Ctrl). Nothing here knows of data: `act` receives CSS
 * pixels.
 *
 * act: {move, hover, endHover, leave, click, pan, panShare, zoom, zoomAt, fit, isLasso, lassoStart, lassoTo, lassoEnd,
 *       lassoCancel}
 */

const CLICK_SLACK = 4; // pixels that a click may move
const DOUBLE_TAP = 350; // milliseconds between its two taps
const TAP_SLACK = 20; // pixels between them
const PAN_SHARE = 0.1; // of the view, by one arrow key
const ZOOM_STEP = 1.25; // by one + or -
const WHEEL_RATE = 0.0015; // log of the zoom per pixel of wheel
const PINCH_RATE = 0.01; // the same for a trackpad's pinch, whose wheel is small
const LINE = 16; // pixels of wheel, where it counts lines
const MOST_ZOOM = 0.5; // log of the zoom in one event, lest a wheel with Ctrl leaps

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
  const hands = { canvas, act, pointers: new Map(), gesture: null, lastTap: null };
  const listeners = {
    pointerdown: (event) => onDown(hands, event),
    pointermove: (event) => onMove(hands, event),
    pointerup: (event) => onUp(hands, event),
    pointercancel: (event) => onCancel(hands, event),
    lostpointercapture: (event) => onCancel(hands, event),
    pointerleave: (event) => onLeave(hands, event),
    dblclick: () => act.fit(),
    wheel: (event) => onWheel(hands, event),
    keydown: (event) => onKey(hands, event),
  };
  for (const [name, listener] of Object.entries(listeners)) canvas.addEventListener(name, listener, { passive: false });
  return () => {
    for (const [name, listener] of Object.entries(listeners)) canvas.removeEventListener(name, listener);
  };
}

const at = (event) => ({ px: event.offsetX, py: event.offsetY });

function onDown(hands, event) {
  if (event.pointerType === "mouse" && event.button !== 0) return;
  hands.canvas.setPointerCapture(event.pointerId);
  hands.pointers.set(event.pointerId, at(event));
  if (hands.gesture?.kind === "lasso") hands.act.lassoCancel();
  hands.gesture = gestureOf(hands, event);
  if (hands.pointers.size === 1) hands.act.move(event.offsetX, event.offsetY); // a finger comes from nowhere
}

/** What the pointers that are down now do, before any of them moves. */
function gestureOf(hands, event) {
  const count = hands.pointers.size;
  if (count === 1) return { kind: "press", ...at(event), isLasso: event.shiftKey || hands.act.isLasso() };
  return count === 2 ? { kind: "pinch", ...spanOf(hands.pointers) } : null;
}

/** Midpoint and distance of two pointers. */
function spanOf(pointers) {
  const [a, b] = [...pointers.values()];
  return { px: (a.px + b.px) / 2, py: (a.py + b.py) / 2, distance: Math.hypot(a.px - b.px, a.py - b.py) };
}

function onMove(hands, event) {
  const { px, py } = at(event);
  if (hands.pointers.size < 2) hands.act.move(px, py);
  if (!hands.pointers.has(event.pointerId)) return hands.act.hover(px, py, event.pointerType);
  hands.pointers.set(event.pointerId, { px, py });
  if (hands.gesture?.kind === "press") leavePress(hands, px, py);
  if (hands.gesture?.kind === "pan") pan(hands, px, py);
  if (hands.gesture?.kind === "lasso") hands.act.lassoTo(px, py);
  if (hands.gesture?.kind === "pinch") pinch(hands);
}

/** A press that moves far enough becomes a pan or a lasso, from where it began. */
function leavePress(hands, px, py) {
  const { gesture, act } = hands;
  if (Math.hypot(px - gesture.px, py - gesture.py) < CLICK_SLACK) return;
  hands.gesture = { kind: gesture.isLasso ? "lasso" : "pan", px: gesture.px, py: gesture.py };
  hands.canvas.style.cursor = gesture.isLasso ? "" : "grabbing";
  act.endHover();
  if (gesture.isLasso) act.lassoStart(gesture.px, gesture.py);
}

function pan(hands, px, py) {
  hands.act.pan(px - hands.gesture.px, py - hands.gesture.py);
  hands.gesture = { kind: "pan", px, py };
}

function pinch(hands) {
  const before = hands.gesture;
  const now = spanOf(hands.pointers);
  hands.gesture = { kind: "pinch", ...now };
  hands.act.pan(now.px - before.px, now.py - before.py);
  if (before.distance > 0 && now.distance > 0) hands.act.zoomAt(now.distance / before.distance, now.px, now.py);
}

function onUp(hands, event) {
  if (!hands.pointers.delete(event.pointerId)) return;
  const { gesture, act } = hands;
  rest(hands);
  if (gesture?.kind === "lasso") act.lassoEnd();
  if (gesture?.kind === "press") click(hands, event);
}

function click(hands, event) {
  const { px, py } = at(event);
  hands.act.click(px, py, event.pointerType, event.shiftKey);
  // Browsers agree on the double click of a mouse only.
  if (event.pointerType === "mouse") return;
  const tap = { px, py, time: event.timeStamp };
  const isDouble = hands.lastTap && isSameTap(hands.lastTap, tap);
  hands.lastTap = isDouble ? null : tap;
  if (isDouble) hands.act.fit();
}

const isSameTap = (first, second) =>
  second.time - first.time < DOUBLE_TAP && Math.hypot(second.px - first.px, second.py - first.py) < TAP_SLACK;

function onCancel(hands, event) {
  if (!hands.pointers.delete(event.pointerId)) return;
  if (hands.gesture?.kind === "lasso") hands.act.lassoCancel();
  rest(hands);
}

/** After a pointer went: the one that stays after a pinch pans on, and is no click. */
function rest(hands) {
  const [left] = hands.pointers.values();
  hands.gesture = left && hands.pointers.size === 1 ? { kind: "pan", ...left } : null;
  hands.canvas.style.cursor = "";
}

/** A finger that is lifted has not left: what it pointed at stays. */
function onLeave(hands, event) {
  if (event.pointerType !== "touch" && !hands.pointers.has(event.pointerId)) hands.act.leave();
}

function onWheel({ act, gesture }, event) {
  event.preventDefault();
  const unit = [1, LINE, 10 * LINE][event.deltaMode] ?? 1;
  const zoom = -event.deltaY * unit * (event.ctrlKey ? PINCH_RATE : WHEEL_RATE);
  const { px, py } = at(event);
  act.zoomAt(Math.exp(Math.max(-MOST_ZOOM, Math.min(MOST_ZOOM, zoom))), px, py);
  if (!gesture) act.hover(px, py, "mouse");
}

function onKey(hands, event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "Escape" && hands.gesture?.kind === "lasso") {
    hands.gesture = null;
    hands.act.lassoCancel();
    event.preventDefault();
  }
  if (!Object.hasOwn(KEYS, event.key)) return;
  KEYS[event.key](hands.act);
  event.preventDefault();
}
