// The plane: the scatter of the latents with its toolbar, overlay and manifold.

import { announce, button, element, debounced, toggle } from "explorer/dom.js";
import { mosaic } from "explorer/pictures.js";
import { drawOverlay } from "explorer/overlay.js";
import { createScatter } from "explorer/scatter.js";

const SPREAD = 0.5; // of dots with the same one-hot code
const CELL = 30; // approximate size of an image of the manifold, in CSS pixels
const MAX_CELLS = 32; // per row or column
const LINE_RADIUS = 10; // pixels within which a click picks an example, not the position

export function createStage(view) {
  const canvas = element("canvas", {
    className: "plane",
    role: "application",
    "aria-label": `Latents of ${view.info.title}: a scatter plot of two latents. Arrow keys pan, plus and minus zoom, 0 shows everything.`,
  });
  const message = element("p", { className: "stage-message", hidden: true });
  const frame = element("div", { className: "plane-frame" }, canvas, message);
  const scatter = createScatter(canvas, { aspect: view.info.latent_dim > 1 });
  const stage = { scatter, frame, marks: [], showMessage: (text) => showMessage(message, text) };
  const bar = toolbar(view, stage);
  stage.node = element("div", { className: "stage" }, bar, frame);
  listen(view, stage);
  scatter.onOverlay((context) => drawOverlay(context, view, stage));
  stage.place = () => place(view, scatter);
  return stage;
}

function showMessage(message, text) {
  message.hidden = !text;
  message.textContent = text;
}

/**
 * Place the examples by the two chosen latents; with a single latent the height is arbitrary. Dots of the same one-hot
 * code are spread, because they would cover each other.
 */
function place(view, scatter) {
  const { codes, cursor } = view;
  const [across, up] = cursor.axes;
  const spread = view.info.space.name === "one-hot" ? SPREAD : 0;
  const coordinate = (axis, step = 0.754878) =>
    Float32Array.from(
      { length: codes.count },
      (_, k) => codes.mean[k * codes.latentDim + axis] + spread * (((k * step) % 1) - 0.5),
    );
  const heights = () => Float32Array.from({ length: codes.count }, (_, k) => ((k * 0.618034) % 1) - 0.5);
  scatter.setPoints(coordinate(across), up === undefined ? heights() : coordinate(up, 0.56984), view.categories);
}

function toolbar(view, stage) {
  const { scatter } = stage;
  const lasso = toggle("Lasso", "Select examples by drawing around them (or Shift + drag)", (on) =>
    scatter.setMode(on ? "lasso" : "pan"),
  );
  const picking = toggle("Line", "Pick two points; the path between them is decoded", (on) => {
    view.isPicking = on;
    if (on) announce("Click the start of the line, then its end.");
  });
  const manifold = toggle("Manifold", "Show a grid of decoded images across the plane (M)", (on) =>
    paint(view, stage, on),
  );
  stage.picking = picking;
  stage.manifold = manifold;
  stage.repaint = debounced(120, () => paint(view, stage, manifold.isOn()));
  const zoom = (text, label, factor) => button(text, () => scatter.zoom(factor), { "aria-label": label, title: label });
  return element(
    "div",
    { className: "toolbar", role: "toolbar", "aria-label": "The plane" },
    zoom("+", "Zoom in", 1.5),
    zoom("−", "Zoom out", 1 / 1.5),
    button("Fit", () => scatter.fit(), { title: "Show everything (0 or double-click)" }),
    lasso.node,
    picking.node,
    view.info.image ? manifold.node : null,
  );
}

function listen(view, stage) {
  const { scatter } = stage;
  scatter.on("move", ({ x, y }) => view.cursor.isPinned || view.cursor.moveTo(x, y));
  scatter.on("hover", (index) => view.emit("hover", index));
  scatter.on("click", (click) => clicked(view, stage, click));
  scatter.on("select", (indices) => view.emit("select", indices));
  scatter.on("view", () => stage.manifold.isOn() && stage.repaint());
  view.on("cursor", () => scatter.redrawOverlay());
  view.on("slice", () => stage.manifold.isOn() && stage.repaint());
  view.on("axes", () => {
    stage.place();
    scatter.fit();
  });
}

function clicked(view, stage, { x, y, index }) {
  if (view.isPicking) {
    view.emit("pick", pointAt(view, stage, x, y));
    return;
  }
  if (index >= 0) view.emit("choose", index);
  view.cursor.pin(!view.cursor.isPinned || index >= 0);
}

/** All latents of the clicked example; elsewhere the clicked position, with the other latents unchanged. */
function pointAt(view, stage, x, y) {
  const [px, py] = stage.scatter.toPixels(x, y);
  const index = stage.scatter.nearest(px, py, LINE_RADIUS);
  return index >= 0 ? { z: view.codeOf(index), index } : { z: view.cursor.at(x, y), index: -1 };
}

async function paint(view, stage, on) {
  const { scatter } = stage;
  const rectangle = scatter.view;
  if (!on || !rectangle) {
    scatter.setBackground(null);
    scatter.setOpacity(1);
    return;
  }
  const cells = (length) => Math.max(4, Math.min(MAX_CELLS, Math.round(length / CELL)));
  const [columns, rows] = [cells(scatter.width), cells(scatter.height)];
  try {
    const tensor = await view.source.decode(view.id, gridOf(view, rectangle, columns, rows));
    if (!stage.manifold.isOn()) return;
    scatter.setBackground(mosaic(tensor, columns), rectangle, { sampling: "nearest" });
    scatter.setOpacity(0.75);
  } catch (error) {
    announce(error.message);
  }
}

/** Latents at the centres of a grid's cells, row by row from the top. */
function gridOf(view, { x0, x1, y0, y1 }, columns, rows) {
  const dim = view.info.latent_dim;
  const grid = new Float32Array(columns * rows * dim);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const x = x0 + ((column + 0.5) / columns) * (x1 - x0);
      const y = y1 - ((row + 0.5) / rows) * (y1 - y0);
      grid.set(view.cursor.at(x, y), (row * columns + column) * dim);
    }
  }
  return grid;
}
