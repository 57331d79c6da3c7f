// The drawing pad: strokes that are encoded while the pen moves.

import { button, element, latestOnly } from "explorer/dom.js";
import { paint, rendered } from "explorer/drawing.js";

const SIDE = 224; // CSS pixels of the longer side
const STEP = 0.04; // of the pen per key press, as a share of the side

/**
 * A pad for images of this size; `send` gets each drawing as a file, `share` its strokes. `load` shows the strokes of
 * another pad, and `setInk` tells what the drawings of the data are like.
 */
export function createPad(size, send, share) {
  const zoom = SIDE / Math.max(size.width, size.height);
  const canvas = element("canvas", {
    className: "pad",
    width: Math.round(size.width * zoom),
    height: Math.round(size.height * zoom),
    tabIndex: 0,
    role: "application",
    "aria-label": "Draw here. With the keyboard: arrow keys move the pen, the space bar lowers or lifts it.",
  });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const colour = element("input", { type: "color", value: "#ffffff", "aria-label": "Colour of the pen" });
  const fit = element("input", { type: "checkbox", checked: true, onchange: () => deliver() });
  const about = "Give the drawing the size, place and stroke width of the data's drawings";
  const fitChoice = element("label", { className: "choice", hidden: true, title: about }, fit, " fit to the data");
  const pad = { canvas, strokes: [], ink: null, isDown: false, pen: [0.5, 0.5] };
  const redraw = () => paint(context, pad.strokes, size, { zoom, ink: pad.ink });
  const encode = latestOnly(() => rendered(pad.strokes, size, pad.ink, fit.checked).then(send));
  const deliver = () => pad.strokes.length && encode();
  pad.begin = (point) => pad.strokes.push({ points: [point], colour: colour.value });
  pad.extend = (point) => pad.strokes.at(-1).points.push(point);
  pad.changed = () => {
    redraw();
    deliver();
    share(pad.strokes);
  };
  const load = (strokes) => {
    pad.strokes = strokes;
    redraw();
    deliver();
  };
  const setInk = (ink) => {
    pad.ink = ink;
    fitChoice.hidden = !ink;
    load(pad.strokes);
  };
  const clear = () => {
    pad.strokes = [];
    redraw();
    share(pad.strokes);
  };
  redraw();
  withPointer(pad);
  withKeys(pad);
  const controls = element("div", { className: "row" }, button("Clear", clear), size.channels === 3 ? colour : null, fitChoice);
  return { node: element("div", { className: "pad-frame" }, canvas, controls), load, setInk };
}

function withPointer(pad) {
  const { canvas } = pad;
  const at = (event) => [event.offsetX / canvas.clientWidth, event.offsetY / canvas.clientHeight];
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pad.isDown = true;
    pad.pen = at(event);
    pad.begin(pad.pen);
    pad.changed();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!pad.isDown) return;
    pad.pen = at(event);
    pad.extend(pad.pen);
    pad.changed();
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (pad.isDown = false));
}

const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function withKeys(pad) {
  pad.canvas.addEventListener("keydown", (event) => {
    const direction = DIRECTIONS[event.key];
    if (event.key !== " " && !direction) return;
    event.preventDefault();
    if (!direction) {
      pad.isDown = !pad.isDown;
      if (pad.isDown) pad.begin(pad.pen);
      return;
    }
    pad.pen = pad.pen.map((value, axis) => Math.min(1, Math.max(0, value + STEP * direction[axis])));
    if (!pad.isDown) return;
    pad.extend(pad.pen);
    pad.changed();
  });
  pad.canvas.addEventListener("blur", () => (pad.isDown = false));
}
