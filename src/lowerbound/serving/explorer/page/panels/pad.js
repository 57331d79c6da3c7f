// The drawing pad: a canvas whose content is scaled to the model's size and encoded while the pen moves.

import { button, element, latestOnly } from "explorer/dom.js";

const SIDE = 224; // CSS pixels of the longer side
const PEN = 0.085; // width of the pen, as a share of the shorter side
const STEP = 0.04; // of the pen per key press, as a share of the side

export function createPad(size, send) {
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
  const pad = { canvas, context, colour, isDown: false, pen: { x: 0.5, y: 0.5 } };
  const deliver = latestOnly(() => toBlob(canvas, size).then(send));
  const clear = () => {
    context.fillStyle = "black";
    context.fillRect(0, 0, canvas.width, canvas.height);
  };
  clear();
  withPointer(pad, deliver);
  withKeys(pad, deliver);
  const controls = element("div", { className: "row" }, button("Clear", clear), size.channels === 3 ? colour : null);
  return element("div", { className: "pad-frame" }, canvas, controls);
}

/** The drawing at the model's size, as a PNG. */
async function toBlob(canvas, { width, height }) {
  const small = element("canvas", { width, height });
  const context = small.getContext("2d");
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(canvas, 0, 0, width, height);
  return new Promise((resolve) => small.toBlob(resolve, "image/png"));
}

function stroke({ canvas, context, colour }, from, to) {
  context.strokeStyle = colour.value;
  context.lineWidth = PEN * Math.min(canvas.width, canvas.height);
  context.lineCap = "round";
  context.beginPath();
  context.moveTo(from.x * canvas.width, from.y * canvas.height);
  context.lineTo(to.x * canvas.width + 0.01, to.y * canvas.height);
  context.stroke();
}

function withPointer(pad, deliver) {
  const { canvas } = pad;
  const at = (event) => ({ x: event.offsetX / canvas.clientWidth, y: event.offsetY / canvas.clientHeight });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pad.isDown = true;
    pad.pen = at(event);
    stroke(pad, pad.pen, pad.pen);
    deliver();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!pad.isDown) return;
    stroke(pad, pad.pen, at(event));
    pad.pen = at(event);
    deliver();
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, () => {
      pad.isDown = false;
      deliver();
    });
  }
}

const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function withKeys(pad, deliver) {
  pad.canvas.addEventListener("keydown", (event) => {
    const direction = DIRECTIONS[event.key];
    if (event.key === " ") pad.isDown = !pad.isDown;
    else if (!direction) return;
    event.preventDefault();
    const [dx, dy] = direction ?? [0, 0];
    const inside = (value) => Math.min(1, Math.max(0, value));
    const next = { x: inside(pad.pen.x + STEP * dx), y: inside(pad.pen.y + STEP * dy) };
    if (pad.isDown) {
      stroke(pad, pad.pen, next);
      deliver();
    }
    pad.pen = next;
  });
  pad.canvas.addEventListener("blur", () => (pad.isDown = false));
}
