// One run: the plane, the point, and the panels about it.

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

/** A run on the page; `destroy` takes it off again. */
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
    isPicking: false,
    ...events,
  };
  Object.assign(view, aboutExamples(view));
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
    // A run that is still training has numbers and curves, and no model yet.
    view.node.append(heading, element("p", { className: "notice" }, waiting(info)));
    return view;
  }
  view.cursor = createCursor(info, (name) => events.emit(name));
  view.stage = createStage(view);
  fill(view, heading);
  return view;
}

const waiting = (info) =>
  info.state === "training"
    ? "This run is still training: its latent space appears here when the training has ended."
    : (info.reason ?? "This run has no model that can be read.");

function fill(view, heading) {
  const { info } = view;
  const line = createLinePanel(view);
  const legend = element("div");
  const own = info.can.encode ? [createImagePanel(view)] : [];
  const others = [
    ...(info.can.sample ? [createSamplePanel(view)] : []),
    ...(info.latent_dim > 1 ? [createTraversalPanel(view)] : []),
    createSelectionPanel(view),
  ];
  // Two columns of their own height: a panel that grows must not push what somebody is drawing on.
  const column = (panels) => element("div", { className: "beside" }, ...panels.map((panel) => panel.node));
  const panels = element("div", { className: "panels" }, column(others), column(own));
  view.keys = {
    a: line.begin,
    b: line.end,
    m: () => view.stage.painted.set(!view.stage.painted.isOn()),
    escape: () => view.cursor.hold(false),
  };
  const main = element(
    "div",
    { className: "view-main" },
    element("div", {}, view.stage.node, legend),
    column([createPointPanel(view), line]),
  );
  view.node.append(heading, main, panels);
  nameParts(view.node, info.title);
  view.start = () => load(view, legend);
}

/** Beside another run a panel's heading alone would not tell whose it is. */
function nameParts(node, title) {
  for (const part of node.querySelectorAll(".panel")) {
    part.setAttribute("aria-label", `${part.querySelector("h3").textContent} of ${title}`);
    part.removeAttribute("aria-labelledby");
  }
}

/** Fetch the codes, then show them; until then the decoder can be used already. */
async function load(view, legend) {
  const { stage } = view;
  view.byVariance = Array.from({ length: view.info.latent_dim }, (_, k) => k);
  stage.scatter.setView({ x0: -4, x1: 4, y0: -4, y1: 4 });
  view.cursor.hold(false);
  stage.say("Encoding the data …");
  try {
    view.codes = await view.source.codes(view.id, (progress) => progress && stage.say(inWords(progress)));
  } catch (error) {
    stage.say(error.message);
    view.emit("ready");
    return;
  }
  stage.say("");
  view.byVariance = latentsByVariance(view.codes);
  if (view.codes.count) {
    const made = createLegend(view);
    view.legend = made;
    legend.replaceWith(made.node);
    made.apply();
    stage.scatter.fit();
  }
  announce(`${view.info.title}: ${counted(view.codes.count)} codes.`);
  view.emit("ready");
}

function inWords({ stage, done, total }) {
  return total > 1 ? `${stage}: ${counted(done)} of ${counted(total)}` : `${stage} …`;
}

/** What is known of an example by its number among the codes. */
function aboutExamples(view) {
  const { info } = view;
  const starts = [];
  info.splits.reduce((start, split) => (starts.push(start), start + split.count), 0);
  const splitOf = (index) => info.splits[view.codes.splits[index]]?.name ?? "";
  const unseen = "The examples of this run are unavailable; its notes say why.";
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
    images: (indices) => (info.can.images ? view.source.images(view.id, indices) : Promise.reject(new Error(unseen))),
    codeOf: (index) => view.codes.mean.slice(index * info.latent_dim, (index + 1) * info.latent_dim),
  };
}
