// The view of one run: the plane, and the panels beside it.

import { createCursor } from "explorer/cursor.js";
import { counted, element, emitter } from "explorer/dom.js";
import { createLegend } from "explorer/legend.js";
import { loadCodes } from "explorer/loading.js";
import { createEpochsPanel } from "explorer/panels/epochs.js";
import { createImagePanel } from "explorer/panels/image.js";
import { createLinePanel } from "explorer/panels/line.js";
import { createNumbersPanel } from "explorer/panels/numbers.js";
import { createPointPanel } from "explorer/panels/point.js";
import { createReparameterisationPanel, isReparameterised } from "explorer/panels/reparameterisation.js";
import { createSamplePanel } from "explorer/panels/samples.js";
import { createSelectionPanel } from "explorer/panels/selection.js";
import { createTraversalPanel } from "explorer/panels/traversals.js";
import { addSelection } from "explorer/selection.js";
import { createStage } from "explorer/stage.js";

/** Create the view of a run; `shared` are events between the views of compared runs. `destroy` removes it. */
export async function createRunView(source, id, shared) {
  const info = await source.info(id, true);
  const events = emitter();
  const view = {
    source,
    id,
    info,
    shared,
    codes: null,
    byVariance: Array.from({ length: info.latent_dim }, (_, k) => k),
    categories: new Uint8Array(0),
    visible: null,
    line: null,
    contours: [], // levels of the prior's density, see overlay.js
    logPrior: null, // log p(z) at the current point
    isPicking: false,
    isReady: false, // whether all examples are encoded
    isDestroyed: false,
    ...events,
  };
  Object.assign(view, exampleLookups(view));
  view.node = element("article", { className: "view", "aria-label": info.title });
  showNumbers(view);
  const heading = element("h2", {}, info.title);
  view.destroy = () => {
    view.isDestroyed = true;
    events.emit("destroy");
    view.stage?.scatter.destroy();
    view.node.remove();
    view.numbers.node.remove();
  };
  if (info.state !== "finished") {
    // A run that is still training has metrics but no model.
    view.node.append(heading, element("p", { className: "notice" }, waiting(info)));
    return view;
  }
  view.cursor = createCursor(info, (name) => events.emit(name));
  view.legend = createLegend(view);
  addSelection(view);
  view.stage = createStage(view);
  view.on("axes", () => fetchContours(view));
  view.on("given", () => fetchContours(view));
  fill(view, heading);
  return view;
}

const waiting = (info) =>
  info.state === "training"
    ? "This run is still training; its latent space appears here when training ends."
    : (info.reason ?? "The model of this run cannot be read.");

/** The panel of scores and notes, made again when the data are read and more is known. */
function showNumbers(view) {
  const made = createNumbersPanel(view);
  view.numbers?.node.replaceWith(made.node);
  view.numbers = made;
}

function fill(view, heading) {
  const { info } = view;
  const line = createLinePanel(view);
  view.priorNote = element("p", { className: "quiet", hidden: true });
  const first = [
    createPointPanel(view),
    createSelectionPanel(view),
    ...(isReparameterised(info) ? [createReparameterisationPanel(view)] : []),
    line,
  ];
  const second = [
    ...(info.can.encode ? [createImagePanel(view)] : []),
    ...(info.can.sample ? [createSamplePanel(view)] : []),
    ...(info.latent_dim > 1 && info.space.name !== "codes" ? [createTraversalPanel(view)] : []),
    ...(info.frames ? [createEpochsPanel(view)] : []),
  ];
  const column = (panels) => element("div", { className: "column" }, ...panels.map((panel) => panel.node));
  const panels = element("div", { className: "panels" }, column(first), ...(second.length ? [column(second)] : []));
  view.keys = {
    a: line.begin,
    b: line.end,
    m: () => view.stage.manifold.set(!view.stage.manifold.isOn()),
    escape: () => view.cursor.pin(false),
  };
  const plane = element("div", { className: "plane-column" }, view.stage.node, view.priorNote);
  view.node.append(heading, element("div", { className: "view-main" }, plane, panels));
  labelPanels(view.node, info.title);
  view.on("info", () => showNumbers(view));
  view.start = () => start(view);
}

/** With two runs, a panel's label needs the name of its run. */
function labelPanels(node, title) {
  for (const part of node.querySelectorAll(".panel")) {
    part.setAttribute("aria-label", `${part.querySelector("h3").textContent} of ${title}`);
    part.removeAttribute("aria-labelledby");
  }
}

/** Fetch the contours of the prior in the plane, or show why there are none. */
async function fetchContours(view) {
  const { projection } = view.cursor;
  view.contours = [];
  const axes = contouredAxes(projection, view.info);
  const { levels, problem } = axes
    ? await view.source.priorContours(view.id, axes).catch((error) => ({ levels: [], problem: error.message }))
    : { levels: [], problem: "" };
  if (projection !== view.cursor.projection) return; // it has changed meanwhile
  view.contours = levels;
  view.priorNote.textContent = problem ? `Prior: ${problem}` : "";
  view.priorNote.hidden = !problem;
  view.stage.scatter.redrawOverlay();
}

/** The latents whose contours the plane shows; a standard normal has the same ones in every plane through the origin. */
function contouredAxes({ kind, axes }, info) {
  if (!info.prior_geometry) return null;
  if (kind === "latents") return axes.length > 1 ? axes : null;
  return kind === "pca" && info.prior === "standard-normal" ? [0, 1] : null;
}

/** The view that shows the range of the prior on both axes. */
function initialView({ prior_geometry: prior, axes }) {
  const [x, y] = axes.map((latent) => prior?.ranges[latent] ?? [-4, 4]);
  const [x0, x1] = x;
  const [y0, y1] = y ?? x;
  return { x0, x1, y0, y1 };
}

/** Start to load the latents; meanwhile the decoder already works. */
function start(view) {
  view.stage.scatter.setView(initialView(view.info));
  view.on("codes", () => {
    if (!view.codes.count) return;
    const isFirst = !view.legend.state.colouring;
    view.legend.update().then(() => isFirst && view.stage.scatter.fit());
  });
  view.on("ready", () => (view.isReady = true));
  fetchContours(view);
  view.cursor.pin(false);
  view.emit("start");
  return loadCodes(view);
}

/** Lookups for an example by its index. */
function exampleLookups(view) {
  const { info } = view;
  /** The number of an example's split. */
  const splitAt = (index) => {
    let start = 0;
    return info.splits.findIndex(({ count }) => index < (start += count));
  };
  /** The index of the first example of a split. */
  const startOf = (split) => info.splits.slice(0, split).reduce((sum, { count }) => sum + count, 0);
  const splitOf = (index) => info.splits[splitAt(index)]?.name ?? "";
  const numberInSplit = (index) => index - startOf(splitAt(index));
  const labelOf = (index) => info.label_names[view.codes.labels[index]] ?? "";
  const unavailable = () =>
    new Error(info.is_loading ? "The data are being read …" : "The examples of this run are unavailable; see its notes.");
  const points = new Map(); // the last example whose details were requested
  const pointOf = (index) => {
    if (!points.has(index)) {
      points.clear();
      points.set(index, view.source.point(view.id, index));
    }
    return points.get(index);
  };
  const quantities = new Map();
  /** A quantity of all examples, fetched once unless that fails. */
  const valuesOf = (name) => {
    if (!quantities.has(name)) {
      const found = view.source.values(view.id, name);
      found.catch(() => quantities.delete(name));
      quantities.set(name, found);
    }
    return quantities.get(name);
  };
  return {
    pointOf,
    valuesOf,
    splitAt,
    startOf,
    splitOf,
    numberInSplit,
    labelOf,
    nameOf: (index) =>
      [labelOf(index) && `label ${labelOf(index)}`, `${splitOf(index)} ${counted(numberInSplit(index))}`]
        .filter(Boolean)
        .join(" · "),
    images: (indices) => (info.can.images ? view.source.images(view.id, indices) : Promise.reject(unavailable())),
    codeOf: (index) => view.codes.mean.slice(index * info.latent_dim, (index + 1) * info.latent_dim),
  };
}
