// The panel of the epochs: codes of some test examples and decoded pictures as they were during training.

import { colourOf, palette, unknownColour } from "explorer/colours.js";
import { button, captioned, element, panel, pluralised, showError, slider, toggle } from "explorer/dom.js";
import { mosaic } from "explorer/pictures.js";

const PERIOD = 400; // milliseconds between two frames
const SIDE = 360; // of the plane, in pixels of its canvas
const MARGIN = 0.05; // of the plane's span, on each side
const CAPTIONS = {
  manifold: "decoded images across the plane",
  samples: "samples from the prior, from the same noise",
  reconstructions: "reconstructions of test examples",
};

export function createEpochsPanel(view) {
  const state = { frames: null, places: [], reach: 1, at: 0, timer: 0 };
  const plane = element("canvas", { width: SIDE, height: SIDE, role: "img", "aria-label": "Codes of test examples at this epoch" });
  const pictures = element("figure");
  const words = element("p", { className: "place", role: "status" });
  const shown = element("div", { className: "frames" }, captioned(plane, "codes of test examples"), pictures);
  const scrubber = slider({ label: "epoch", min: 0, max: 1, step: 1, value: 0, show: () => "", oninput: (at) => show(at) });
  const play = toggle("Play", "From the start of training to its end", (on) => (on ? begin() : clearTimeout(state.timer)));
  const live = element("div", { className: "panel-body", hidden: true }, shown, scrubber.node, element("div", { className: "row" }, play.node), words);
  const load = button("Show the epochs", () => open());
  const { node } = panel("Over the epochs", `How the codes and the decoder changed in training: ${pluralised(view.info.frames.count, "frame")}.`, load, live);

  async function open() {
    try {
      state.frames = framesOf(await view.source.frames(view.id));
    } catch (error) {
      showError(live, error);
      live.hidden = false;
      return;
    }
    load.hidden = true;
    live.hidden = false;
    scrubber.input.max = state.frames.count - 1;
    locate();
    show(state.frames.count - 1);
  }

  /** Place the codes of all frames; the range is the same in every frame, so that movements are visible. */
  function locate() {
    const { frames } = state;
    const place = placing(view);
    const places = (at) => Array.from({ length: frames.size }, (_, k) => place(frames.code(at, k)));
    state.places = Array.from({ length: frames.count }, (_, at) => places(at));
    state.reach = Math.max(...state.places.flat(2).map(Math.abs)) * (1 + MARGIN) || 1;
  }

  function show(at) {
    const { frames } = state;
    state.at = at;
    scrubber.set(at);
    const epoch = frames.epochs[at];
    scrubber.node.querySelector("output").textContent = String(epoch);
    const which = frames.isKept[at] ? `The weights that were kept, of epoch ${epoch}` : `Epoch ${epoch}`;
    words.textContent = epoch ? `${which}.` : "Before training.";
    drawPlane(plane, view, state);
    drawPictures(pictures, view, frames, at);
  }

  function begin() {
    if (state.at === state.frames.count - 1) show(0);
    state.timer = setTimeout(step, PERIOD);
  }

  function step() {
    if (view.isDestroyed) return;
    show(state.at + 1);
    if (state.at < state.frames.count - 1) state.timer = setTimeout(step, PERIOD);
    else play.set(false);
  }

  const redraw = () => state.frames && drawPlane(plane, view, state);
  view.on("axes", () => {
    if (state.frames) locate();
    redraw();
  });
  view.on("theme", redraw);
  view.on("destroy", () => clearTimeout(state.timer));
  return { node };
}

function framesOf({ codes, pictures, epochs, is_kept: isKept, labels }) {
  const [count, size, latentDim] = codes.shape;
  const code = (at, k) => codes.data.subarray((at * size + k) * latentDim, (at * size + k + 1) * latentDim);
  const [, tiles, ...shape] = pictures.shape;
  const length = pictures.data.length / count;
  const tensor = (at) => ({ shape: [tiles, ...shape], data: pictures.data.subarray(at * length, (at + 1) * length) });
  return { count, size, code, tensor, numTiles: tiles, epochs: epochs.data, isKept: isKept.data, labels: labels?.data ?? null };
}

/** The position of a code: that of the plane of the view, or its first two latents where that has no codes. */
const placing = ({ cursor, info }) =>
  cursor.projection.hasCodes ? cursor.projection.toPlane : (z) => info.axes.map((axis) => z[axis]);

function drawPlane(canvas, view, { frames, places, reach, at }) {
  const pixel = (value) => ((value / reach + 1) / 2) * canvas.width;
  const context = canvas.getContext("2d");
  const colours = palette(view.info.label_names.length);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.strokeStyle = colourOf("line");
  context.beginPath();
  for (const [x0, y0, x1, y1] of [[-reach, 0, reach, 0], [0, -reach, 0, reach]]) {
    context.moveTo(pixel(x0), pixel(y0));
    context.lineTo(pixel(x1), pixel(y1));
  }
  context.stroke();
  places[at].forEach(([x, y], k) => {
    context.fillStyle = colours[frames.labels?.[k]] ?? unknownColour();
    context.beginPath();
    context.arc(pixel(x), canvas.height - pixel(y), 3, 0, 2 * Math.PI);
    context.fill();
  });
}

function drawPictures(figure, view, frames, at) {
  if (!frames.numTiles) return;
  const tensor = inColour(frames.tensor(at));
  const canvas = mosaic(tensor, Math.ceil(Math.sqrt(frames.numTiles)));
  const caption = CAPTIONS[view.info.frames.kind] ?? "decoded images";
  canvas.className = "pictures";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${caption} at epoch ${frames.epochs[at]}`);
  figure.replaceChildren(canvas, element("figcaption", {}, caption));
}

/** Grey pictures with three equal channels, as `mosaic` takes them. */
function inColour({ shape, data }) {
  const [count, height, width, channels] = shape;
  if (channels === 3) return { shape, data };
  return { shape: [count, height, width, 3], data: Uint8Array.from({ length: 3 * data.length }, (_, i) => data[Math.floor(i / 3)]) };
}
