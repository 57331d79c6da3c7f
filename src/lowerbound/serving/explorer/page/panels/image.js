// The panel for your own image: dropped, pasted, chosen or drawn, then encoded and reconstructed.

import { announce, captioned, showError, element, fixed, panel, strip, table } from "explorer/dom.js";
import { inkOf } from "explorer/ink.js";
import { createPad } from "explorer/panels/pad.js";
import { numbersOf } from "explorer/panels/point.js";
import { tile, tiles } from "explorer/pictures.js";
import { codeWord } from "explorer/space.js";
import { typicalityOf } from "explorer/typicality.js";

const NUM_MEASURED = 64; // examples whose strokes are measured
const MAX_ROWS = 12; // latents, highest rate first

export function createImagePanel(view) {
  const found = element("div", { className: "found" });
  const send = (blob) => encode(view, found, blob, true);
  // With two runs, one drawing or file is encoded by both.
  const share = (name, value) => view.shared.emit(name, value, view);
  const pad = createPad(view.info.image, (blob) => encode(view, found, blob, false), (strokes) => share("drawing", strokes));
  const give = (blob) => {
    send(blob);
    share("file", blob);
  };
  view.shared.on("drawing", (strokes, from) => from !== view && pad.load(strokes));
  view.shared.on("file", (blob, from) => from !== view && send(blob));
  const ellipses = view.info.space.name === "real" ? ", with ellipses at 1 and 2 standard deviations" : "";
  const both = view.shared.isComparison ? " Both runs encode it." : "";
  const { node } = panel(
    "Your own image",
    `Drop, paste or choose a file, or draw: its posterior is shown on the plane${ellipses}.${both}`,
    element("div", { className: "own" }, pad.node, element("div", { className: "row" }, chooser(give), pasteHint())),
    found,
  );
  acceptDrops(node, give);
  const onpaste = (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (file) send(file);
  };
  document.addEventListener("paste", onpaste);
  view.on("destroy", () => document.removeEventListener("paste", onpaste));
  view.on("ready", () => learnInk(view, pad));
  return { node };
}

/** Measure the strokes of some examples, if they are drawings in grey. */
async function learnInk(view, pad) {
  const { image, num_codes: total, splits } = view.info;
  if (image.channels !== 1 || !total || !view.info.can.images) return;
  const count = splits.at(-1).count;
  const length = Math.min(NUM_MEASURED, count);
  const indices = Array.from({ length }, (_, k) => total - 1 - Math.floor((k * count) / length));
  const last = indices.map((_, k) => total - 1 - k); // where only the last examples are embedded
  const tensor = await view.images(indices).catch(() => view.images(last)).catch(() => null);
  if (tensor && !view.isDestroyed) pad.setInk(inkOf(tensor));
}

function chooser(send) {
  const input = element("input", {
    className: "unseen",
    type: "file",
    accept: "image/*",
    onchange: () => input.files[0] && send(input.files[0]),
  });
  return element("label", { className: "file" }, "Choose a file", input);
}

const pasteHint = () => element("span", { className: "quiet" }, "or paste with Ctrl/⌘ + V");

function acceptDrops(node, send) {
  const over = (isOver) => (event) => {
    event.preventDefault();
    node.classList.toggle("over", isOver);
  };
  node.addEventListener("dragover", over(true));
  node.addEventListener("dragleave", over(false));
  node.addEventListener("drop", (event) => {
    over(false)(event);
    const file = event.dataTransfer.files[0];
    if (file) send(file);
  });
}

async function encode(view, node, blob, hasNotes) {
  try {
    const found = await view.source.encode(view.id, blob);
    const z = Float32Array.from(found.mean);
    const logVariance = found.log_variance && Float32Array.from(found.log_variance);
    view.stage.marks = [{ z, logVariance, covariance: found.covariance ?? null, name: "your image" }];
    view.cursor.setAll(z);
    view.emit("posterior", found, "your image");
    const reconstruction = await view.source.decode(view.id, z);
    const notes = (found.notes ?? []).filter((note) => hasNotes || note.startsWith("no bound"));
    await draw(view, node, { ...found, notes }, reconstruction);
    announce(`Encoded. ${view.info.is_deterministic ? "" : `ELBO ${fixed(found.elbo)} nats.`}`);
  } catch (error) {
    showError(node, error);
  }
}

async function draw(view, node, found, reconstruction) {
  const seen = {
    shape: [1, ...found.seen.shape],
    data: Uint8Array.from(atob(found.seen.data), (letter) => letter.charCodeAt(0)),
  };
  const pair = element(
    "div",
    { className: "point-pair" },
    captioned(tile(view.info, seen, 0, "The image as the model sees it"), "as the model sees it"),
    captioned(tile(view.info, reconstruction, 0, "Its reconstruction"), "reconstruction"),
  );
  const notes = found.notes.map((note) => element("p", { className: "quiet" }, note));
  const [typicality, ...neighbours] = await Promise.all([
    typicalityOf(view, found).catch(() => ""),
    neighbourRow(view, "Nearest by pixels", found.neighbours?.pixels),
    neighbourRow(view, "Nearest in latent space", found.neighbours?.codes),
  ]);
  node.replaceChildren(pair, typicality, numbersOf(found), split(found), posterior(found, view.info), ...notes, ...neighbours);
}

/** −ELBO as a bar of two parts, distortion and rate. */
function split(found) {
  if (found.elbo === null || found.elbo === undefined) return "";
  const total = found.rate + found.distortion;
  const part = (name, value) => {
    const bar = element("span", { className: `part ${name}`, title: `${name} ${fixed(value)} nats` });
    bar.style.flexGrow = Math.max(0, value / total);
    return bar;
  };
  const words = `−ELBO = distortion ${fixed(found.distortion)} + rate ${fixed(found.rate)} nats`;
  const bar = element(
    "div",
    { className: "parts", role: "img", "aria-label": words },
    part("distortion", found.distortion),
    part("rate", found.rate),
  );
  return element("div", {}, bar, element("p", { className: "place" }, words));
}

function posterior(found, info) {
  const order = found.mean.map((_, k) => k);
  if (found.rate_per_dimension) order.sort((a, b) => found.rate_per_dimension[b] - found.rate_per_dimension[a]);
  const deviation = (k) => Math.exp(found.log_variance[k] / 2);
  const rates = found.rate_per_dimension; // null if the KL is not a sum over latents
  const rows = order
    .slice(0, MAX_ROWS)
    .map((k) => [
      `z${k + 1}`,
      fixed(found.mean[k], 3),
      ...(found.log_variance ? [fixed(deviation(k), 3)] : []),
      ...(rates ? [fixed(rates[k])] : []),
    ]);
  const which = rates ? `the ${MAX_ROWS} of ${order.length} latents with the highest rate` : `the first ${MAX_ROWS} latents`;
  const title = order.length > MAX_ROWS ? `Posterior: ${which}` : "Posterior";
  const head = ["latent", codeWord(info), ...(found.log_variance ? ["standard deviation"] : []), ...(rates ? ["rate, nats"] : [])];
  return element("div", { className: "scroll" }, table(title, head, rows));
}

async function neighbourRow(view, title, neighbours) {
  if (!neighbours?.length) return "";
  const indices = neighbours.map((one) => one.index);
  const described = (k) => `${view.nameOf(indices[k])}, distance ${fixed(neighbours[k].distance)}`;
  const tensor = await view.images(indices).catch(() => null);
  if (!tensor)
    return element(
      "div",
      {},
      element("h4", {}, title),
      element("p", { className: "quiet" }, indices.map((_, k) => described(k)).join("; ")),
    );
  const figures = tiles(view.info, tensor, described).map((picture, k) =>
    captioned(picture, neighbours[k].label_name || view.splitOf(indices[k])),
  );
  return element("div", {}, element("h4", {}, title), strip(title, ...figures));
}
