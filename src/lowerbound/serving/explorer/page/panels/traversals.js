// The panel of traversals: each latent moves through the quantiles of the prior, with the others fixed at the current point.

import { element, panel, debounced, strip } from "explorer/dom.js";
import { slice, tiles } from "explorer/pictures.js";
import { snap } from "explorer/space.js";

const MAX_LATENTS = { image: 8, array: 4, table: 3 }; // those with the largest variance first
const NUM_STEPS = 11; // of a prior without quantiles
const DELAY = 150; // milliseconds after the last move of the point

export function createTraversalPanel(view) {
  if (view.info.space.name === "one-hot") return createCategoryPanel(view);
  const max = MAX_LATENTS[view.info.layout];
  const hasQuantiles = Boolean(view.info.prior_geometry?.quantiles);
  const rows = element("div", { className: "traversals" });
  const { node } = panel(
    "Traversals",
    `Each row moves one latent through ${hasQuantiles ? "the prior's quantiles" : "the quantiles of the encoded examples"}${view.info.latent_dim > max ? `, for the ${max} latents with the largest variance` : ""}; ${view.info.space.name === "real" ? "the others stay at the current point" : "the others keep their proportions"}.`,
    rows,
  );
  const show = debounced(DELAY, async () => {
    const latents =
      view.info.latent_dim > max ? view.byVariance.slice(0, max) : [...view.byVariance].sort((a, b) => a - b);
    const steps = view.info.prior_geometry?.quantiles ?? exampleQuantiles(view.codes);
    if (!steps) return;
    const tensor = await view.source.decode(view.id, walks(view.info, view.cursor.z, latents, steps)).catch(() => null);
    if (tensor) rows.replaceChildren(...latents.map((latent, row) => drawRow(view, tensor, latent, row, steps)));
  });
  view.on("cursor", () => view.cursor.isPinned && show());
  view.on("ready", show);
  return { node };
}

/** For one-hot codes: every category of each group, with the other groups as at the current point. */
function createCategoryPanel(view) {
  const { latent_dim: dim, space } = view.info;
  const size = space.num_categories;
  const count = Math.min(dim / size, MAX_LATENTS[view.info.layout]);
  const rows = element("div", { className: "traversals" });
  const which = count < dim / size ? `, for the first ${count} groups` : "";
  const { node } = panel("Categories", `Each row shows every category of one group${which}; the others stay at the current point.`, rows);
  const show = debounced(DELAY, async () => {
    const points = new Float32Array(count * size * dim);
    for (let k = 0; k < count * size; k += 1) {
      const moved = view.cursor.z.slice();
      moved[k] = 1;
      points.set(snap(view.info, moved, [k]), k * dim);
    }
    const tensor = await view.source.decode(view.id, points).catch(() => null);
    if (tensor) rows.replaceChildren(...Array.from({ length: count }, (_, group) => drawGroup(view, tensor, group, size)));
  });
  view.on("cursor", () => view.cursor.isPinned && show());
  view.on("ready", show);
  return { node };
}

function drawGroup(view, tensor, group, size) {
  const part = slice(tensor, group * size, (group + 1) * size);
  return element(
    "div",
    { className: "strip-row" },
    element("span", { className: "axis" }, String(group + 1)),
    strip(`Categories of group ${group + 1}`, ...tiles(view.info, part, (k) => `group ${group + 1}, category ${k + 1}`)),
  );
}

/** The quantiles of the posterior means of all examples, one row per step; null without examples. */
function exampleQuantiles(codes) {
  if (!codes?.count) return null;
  const columns = Array.from({ length: codes.latentDim }, (_, latent) =>
    Float32Array.from({ length: codes.count }, (_, k) => codes.mean[k * codes.latentDim + latent]).sort(),
  );
  const place = (step) => Math.floor(((step + 0.5) / NUM_STEPS) * codes.count);
  return Array.from({ length: NUM_STEPS }, (_, step) => columns.map((column) => column[place(step)]));
}

/** Every latent at every step; on a sphere or a simplex the others move, too, to stay in the space. */
function walks(info, z, latents, steps) {
  const points = new Float32Array(latents.length * steps.length * z.length);
  latents.forEach((latent, row) =>
    steps.forEach((values, step) => {
      const start = (row * steps.length + step) * z.length;
      const moved = z.slice();
      moved[latent] = values[latent];
      points.set(snap(info, moved, [latent]), start);
    }),
  );
  return points;
}

function drawRow(view, tensor, latent, row, steps) {
  const part = slice(tensor, row * steps.length, (row + 1) * steps.length);
  const described = (k) => `z${latent + 1} at ${steps[k][latent].toFixed(2)}`;
  return element(
    "div",
    { className: "strip-row" },
    element("span", { className: "axis" }, `z${latent + 1}`),
    strip(`Traversal of z${latent + 1}`, ...tiles(view.info, part, described)),
  );
}
