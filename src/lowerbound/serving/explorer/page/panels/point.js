// The panel for the current point: the decoded image, sliders, and the example under the pointer with label and ELBO.

import {
  button, captioned, counted, debounced, element, fixed, latestOnly, panel, slider, strip, withError,
} from "explorer/dom.js";
import { draw, isImages, tile } from "explorer/pictures.js";

const DEFAULT_RANGE = [-4, 4]; // of sliders, without a prior
const MAX_MEASURES = 500;
const HOVER_DELAY = 60; // milliseconds before an example is requested
const LEVELS_DELAY = 80; // before the point is decoded with every level of a condition
const MAX_LEVELS = 12;
const ELBO_DELAY = 150; // and before its ELBO, whose computation would slow down a moving pointer

export function createPointPanel(view) {
  const drawn = element("div", { className: "drawn" });
  const place = element("p", { className: "place" });
  const example = element("div", { className: "example" });
  const levels = createLevels(view);
  const { node, body } = panel(
    "Decoder",
    "The mean of p(x|z) at the point under the pointer. Click to pin the point, press Escape to release it.",
    element("div", { className: "point-pair" }, element("div", {}, drawn, place), example),
    levels.node,
    sliders(view),
  );
  const show = latestOnly(async (moved) => {
    await decodePoint(view, drawn, moved);
    place.textContent = describe(view); // with log p(z), which comes with the decoded image
  });
  view.on("cursor", () => show(performance.now()));
  const hint = () =>
    example.replaceChildren(element("p", { className: "quiet" }, "Hover over a point to see its example."));
  hint();
  const showExample = debounced(HOVER_DELAY, (index) => drawExample(view, example, index));
  view.on("hover", (index) => {
    view.request = (view.request ?? 0) + 1; // invalidates requests for other examples
    if (index >= 0 && view.codes) showExample(index);
  });
  view.on("choose", (index) => {
    view.cursor.setAll(view.codeOf(index));
    drawExample(view, example, index);
    takeConditions(view, index);
  });
  return { node, body };
}

/** The point decoded with every level of the first condition that has some. */
function createLevels(view) {
  const condition = view.info.conditions?.find(({ levels }) => levels.length > 1);
  const node = element("div", { hidden: true });
  if (!condition || !view.source.decodeWith) return { node };
  const shown = condition.levels.slice(0, MAX_LEVELS);
  const show = latestOnly(async () => {
    const tensor = await view.source.decodeWith(view.id, view.cursor.z, condition.name, shown).catch(() => null);
    if (!tensor || !isImages(tensor)) return;
    const pictures = shown.map((level, k) => captioned(tile(view.info, tensor, k, `${condition.name} ${level}`), level));
    node.replaceChildren(
      element("p", { className: "quiet" }, `The same point as each ${condition.name}`),
      strip(`The point as each ${condition.name}`, ...pictures),
    );
    node.hidden = false;
  });
  view.on("cursor", debounced(LEVELS_DELAY, show));
  return { node };
}

/** Decode as the example that was chosen: with its own values of the conditions. */
async function takeConditions(view, index) {
  if (!view.giveAs) return;
  const { given } = await view.pointOf(index).catch(() => ({}));
  if (given) view.giveAs(given);
}

function describe({ cursor, info, logPrior }) {
  const { names, toPlane, kind, axes } = cursor.projection;
  const position = toPlane(cursor.z);
  const parts = names.map((name, k) => `${name} = ${fixed(position[k])}`);
  const others = info.latent_dim - axes.length;
  const which = kind === "latents" ? "more latents" : "latents";
  const rest = others ? `, ${others} ${which} on sliders` : "";
  const density = info.prior_geometry ? ` · log p(z) = ${fixed(logPrior)} nats` : "";
  return `${parts.join(", ")}${rest}${density}${cursor.isPinned ? " · pinned" : ""}`;
}

/** Decode and draw the point; the time since the point moved is recorded as a performance entry. */
async function decodePoint(view, drawn, start) {
  try {
    const tensor = await view.source.decode(view.id, view.cursor.z.slice());
    view.logPrior = tensor.logPrior?.[0] ?? null;
    if (isImages(tensor)) drawImage(view, drawn, tensor);
    else drawn.replaceChildren(tile(view.info, tensor, 0, "The decoded point"));
    if (performance.getEntriesByName("pointer-to-image").length >= MAX_MEASURES)
      performance.clearMeasures("pointer-to-image");
    performance.measure("pointer-to-image", { start, end: performance.now() });
  } catch (error) {
    drawn.replaceChildren(element("p", { className: "notice" }, error.message));
  }
}

function drawImage(view, drawn, tensor) {
  let canvas = drawn.querySelector("canvas");
  if (!canvas) {
    canvas = element("canvas", {
      className: "tile large",
      role: "img",
      "aria-label": "The decoded point",
    });
    drawn.replaceChildren(canvas);
  }
  draw(canvas, tensor);
}

async function drawExample(view, node, index) {
  const request = (view.request = (view.request ?? 0) + 1);
  const name = view.nameOf(index);
  const picture = await view.images([index]).then(
    (tensor) => tile(view.info, tensor, 0, `Example: ${name}`),
    (error) => element("p", { className: "quiet" }, error.message),
  );
  if (request !== view.request) return;
  const numbers = element("div");
  node.replaceChildren(picture, element("p", { className: "place" }, element("strong", {}, name)), numbers);
  await new Promise((resolve) => setTimeout(resolve, ELBO_DELAY));
  if (request !== view.request) return;
  const about = await view
    .pointOf(index)
    .then(numbersOf, (error) => element("p", { className: "quiet" }, error.message));
  if (request === view.request) numbers.replaceChildren(about);
}

/** ELBO, rate and distortion as a list. */
export function numbersOf(found) {
  const rows = [];
  if (found.elbo !== null && found.elbo !== undefined)
    rows.push(["ELBO", withError(found.elbo, found.elbo_standard_error)]);
  if (found.rate !== null && found.rate !== undefined) rows.push(["rate", fixed(found.rate)]);
  if (found.distortion !== null && found.distortion !== undefined) rows.push(["distortion", fixed(found.distortion)]);
  if (found.reconstruction_error !== null && found.reconstruction_error !== undefined)
    rows.push(["reconstruction error", fixed(found.reconstruction_error)]);
  const title = found.num_draws ? `nats; mean over ${counted(found.num_draws)} draws from the posterior` : "nats";
  return element(
    "dl",
    { className: "numbers", title },
    ...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, `${value} nats`)]),
  );
}

function sliders(view) {
  const all = Array.from({ length: view.info.latent_dim }, (_, latent) => {
    const [min, max] = view.info.prior_geometry?.ranges[latent] ?? DEFAULT_RANGE;
    return slider({
      label: `z${latent + 1}`,
      min: Math.floor(100 * min) / 100,
      max: Math.ceil(100 * max) / 100,
      step: 0.01,
      value: 0,
      show: (v) => fixed(v),
      oninput: (value) => view.cursor.set(latent, value),
    });
  });
  view.on("cursor", () =>
    all.forEach(
      (entry, latent) => entry.input.value === String(view.cursor.z[latent]) || entry.set(view.cursor.z[latent]),
    ),
  );
  const reset = button("Reset", () => view.cursor.setAll(new Float32Array(view.info.latent_dim)), {
    className: "quiet",
  });
  return element(
    "div",
    {},
    element("div", { className: "sliders", role: "group", "aria-label": "Latents" }, ...all.map((entry) => entry.node)),
    reset,
  );
}
