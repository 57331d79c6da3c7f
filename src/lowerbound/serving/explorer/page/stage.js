// The plane: the scatter of the latents with its toolbar, legend, overlay and manifold.

import { element } from "explorer/dom.js";
import { createManifold } from "explorer/manifold.js";
import { drawOverlay } from "explorer/overlay.js";
import { createScatter } from "explorer/scatter.js";
import { createToolbar } from "explorer/toolbar.js";

const LEGEND_SHARE = 0.4; // of the plane's width, above which no room is left for the legend
const LINE_RADIUS = 10; // pixels within which a click picks an example, not the position

export function createStage(view) {
  const canvas = element("canvas", {
    className: "plane",
    role: "application",
    "aria-label": `Latents of ${view.info.title}: a scatter plot. Arrow keys pan, plus and minus zoom, 0 shows everything.`,
  });
  const message = element("p", { className: "stage-message", hidden: true });
  const frame = element("div", { className: "plane-frame" }, canvas, message);
  const reserved = () => widthOver(view.legend.node, frame);
  const scatter = createScatter(canvas, { aspect: view.info.latent_dim > 1, reserved });
  const stage = { scatter, frame, marks: [], names: [], draws: [], coordinates: [[], []] };
  stage.showMessage = (text) => showMessage(message, text);
  stage.manifold = createManifold(view, stage);
  frame.append(stage.manifold.opacity.node);
  const bar = createToolbar(view, stage);
  stage.node = element("div", { className: "stage" }, bar, frame, view.legend.node);
  listen(view, stage);
  scatter.onOverlay((context) => drawOverlay(context, view, stage));
  stage.place = () => scatter.setPoints(...stage.coordinates, view.categories);
  return stage;
}

/** The width of a legend that lies over the plane; 0 if it is closed or below the plane. */
function widthOver(legend, frame) {
  const isOver = legend.open && legend.offsetTop < frame.offsetTop + frame.offsetHeight;
  const isNarrow = legend.offsetWidth < LEGEND_SHARE * frame.clientWidth;
  return isOver && isNarrow ? legend.offsetWidth : 0;
}

function showMessage(message, text) {
  message.hidden = !text;
  message.textContent = text;
}

/** Compute where the examples are in the plane; they are placed there when they are coloured. */
function locate(view, stage) {
  stage.coordinates = view.cursor.projection.coordinates(view.codes);
}

function listen(view, stage) {
  const { scatter } = stage;
  scatter.on("move", ({ x, y }) => view.cursor.isPinned || view.cursor.moveTo(x, y));
  scatter.on("hover", (index) => hovered(view, index));
  scatter.on("click", (click) => clicked(view, stage, click));
  scatter.on("select", (indices, polygon) => view.select(Array.from(indices), polygon));
  view.on("cursor", () => scatter.redrawOverlay());
  view.on("codes", () => locate(view, stage));
  view.on("axes", () => {
    if (view.codes) {
      locate(view, stage);
      view.legend.apply();
    }
    scatter.fit();
  });
}

/** Where a position has no code of its own, the point is that of the example under the pointer. */
function hovered(view, index) {
  const { cursor } = view;
  if (index >= 0 && !cursor.isPinned && !cursor.projection.hasCodes) cursor.setAll(view.codeOf(index), false);
  view.emit("hover", index);
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
