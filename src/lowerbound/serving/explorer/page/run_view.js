// The view of one run: the plane, and the panels.

import { latentsByVariance } from "explorer/codes.js";
import { createCursor } from "explorer/cursor.js";
import { announce, counted, element, emitter } from "explorer/dom.js";
import { createLegend } from "explorer/legend.js";
import { createImagePanel } from "explorer/panels/image.js";
import { createLinePanel } from "explorer/panels/line.js";
import { createNumbersPanel } from "explorer/panels/numbers.js";
import { createPointPanel } from "explorer/panels/point.js";
import { createSamplePanel } from "explorer/panels/samples.js";
import { createSelectionPanel } from "explorer/panels/selection.js";
import { createTraversalPanel } from "explorer/panels/traversals.js";
import { createStage } from "explorer/stage.js";

/** Create the view of a run; `destroy` removes it. */
export async function createRunView(source, id) {
  const info = await source.info(id);
  const events = emitter();
  const view = {
    source,
    id,
    info,
    codes: null,
    categories: new Uint8Array(0),
    visible: null,
    line: null,
    contours: [], // levels of the prior's density, see overlay.js
    logPrior: null, // log p(z) at the current point
    isPicking: false,
    ...events,
  };
  Object.assign(view, exampleLookups(view));
  view.node = element("article", { className: "view", "aria-label": info.title });
  view.numbers = createNumbersPanel(view);
  const heading = element("h2", {}, info.title);
  view.destroy = () => {
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
  view.stage = createStage(view);
  view.on("axes", () => fetchContours(view));
  fill(view, heading);
  return view;
}

const waiting = (info) =>
  info.state === "training"
    ? "This run is still training; its latent space appears here when training ends."
    : (info.reason ?? "The model of this run cannot be read.");

function fill(view, heading) {
  const { info } = view;
  const line = createLinePanel(view);
  const legend = element("div");
  view.priorNote = element("p", { className: "quiet", hidden: true });
  const own = info.can.encode ? [createImagePanel(view)] : [];
  const others = [
    ...(info.can.sample ? [createSamplePanel(view)] : []),
    ...(info.latent_dim > 1 ? [createTraversalPanel(view)] : []),
    createSelectionPanel(view),
  ];
  // Two independent columns: a growing panel must not move the drawing pad.
  const column = (panels) => element("div", { className: "column" }, ...panels.map((panel) => panel.node));
  const panels = element("div", { className: "panels" }, column(others), column(own));
  view.keys = {
    a: line.begin,
    b: line.end,
    m: () => view.stage.manifold.set(!view.stage.manifold.isOn()),
    escape: () => view.cursor.pin(false),
  };
  const main = element(
    "div",
    { className: "view-main" },
    element("div", {}, view.stage.node, view.priorNote, legend),
    column([createPointPanel(view), line]),
  );
  view.node.append(heading, main, panels);
  labelPanels(view.node, info.title);
  view.start = () => load(view, legend);
}

/** With two runs, a panel's label needs the name of its run. */
function labelPanels(node, title) {
  for (const part of node.querySelectorAll(".panel")) {
    part.setAttribute("aria-label", `${part.querySelector("h3").textContent} of ${title}`);
    part.removeAttribute("aria-labelledby");
  }
}

/** Fetch the contours of the prior for the two latents of the plane, or show why there are none. */
async function fetchContours(view) {
  const axes = view.cursor.axes;
  view.contours = [];
  if (axes.length < 2 || !view.info.prior_geometry) return;
  const { levels, problem } = await view.source.priorContours(view.id, axes).catch((error) => ({ levels: [], problem: error.message }));
  if (axes !== view.cursor.axes) return; // the axes have changed meanwhile
  view.contours = levels;
  view.priorNote.textContent = problem ? `Prior: ${problem}` : "";
  view.priorNote.hidden = !problem;
  view.stage.scatter.redrawOverlay();
}

/** The view that shows the range of the prior on both axes. */
function initialView({ prior_geometry: prior, axes }) {
  const [x, y] = axes.map((latent) => prior?.ranges[latent] ?? [-4, 4]);
  const [x0, x1] = x;
  const [y0, y1] = y ?? x;
  return { x0, x1, y0, y1 };
}

/** Fetch the latents, then show them; meanwhile the decoder already works. */
async function load(view, legend) {
  const { stage } = view;
  view.byVariance = Array.from({ length: view.info.latent_dim }, (_, k) => k);
  stage.scatter.setView(initialView(view.info));
  fetchContours(view);
  view.cursor.pin(false);
  stage.showMessage("Encoding the data …");
  try {
    view.codes = await view.source.codes(view.id, (progress) => progress && stage.showMessage(progressText(progress)));
  } catch (error) {
    stage.showMessage(error.message);
    view.emit("ready");
    return;
  }
  stage.showMessage("");
  view.byVariance = latentsByVariance(view.codes);
  if (view.codes.count) {
    const made = createLegend(view);
    view.legend = made;
    legend.replaceWith(made.node);
    made.apply();
    stage.scatter.fit();
  }
  announce(`${view.info.title}: ${counted(view.codes.count)} examples.`);
  view.emit("ready");
}

function progressText({ stage, done, total }) {
  return total > 1 ? `${stage}: ${counted(done)} of ${counted(total)}` : `${stage} …`;
}

/** Lookups for an example by its index. */
function exampleLookups(view) {
  const { info } = view;
  const starts = [];
  info.splits.reduce((start, split) => (starts.push(start), start + split.count), 0);
  const splitOf = (index) => info.splits[view.codes.splits[index]]?.name ?? "";
  const unavailable = "The examples of this run are unavailable; see its notes.";
  const numberInSplit = (index) => index - (starts[view.codes.splits[index]] ?? 0);
  const labelOf = (index) => info.label_names[view.codes.labels[index]] ?? "";
  return {
    splitOf,
    numberInSplit,
    labelOf,
    nameOf: (index) =>
      [labelOf(index) && `label ${labelOf(index)}`, `${splitOf(index)} ${counted(numberInSplit(index))}`]
        .filter(Boolean)
        .join(" · "),
    images: (indices) => (info.can.images ? view.source.images(view.id, indices) : Promise.reject(new Error(unavailable))),
    codeOf: (index) => view.codes.mean.slice(index * info.latent_dim, (index + 1) * info.latent_dim),
  };
}
