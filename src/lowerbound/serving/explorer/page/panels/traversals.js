// The panel of traversals: each latent moves through the quantiles of the prior, with the others fixed at the current point.

import { element, panel, debounced } from "explorer/dom.js";
import { slice, tiles } from "explorer/pictures.js";

// Middles of eleven slices of equal probability under N(0, 1), as in the report.
const STEPS = [-1.6906, -1.0968, -0.7479, -0.4728, -0.2299, 0, 0.2299, 0.4728, 0.7479, 1.0968, 1.6906];
const MAX_LATENTS = { image: 8, array: 4, table: 3 }; // those with the largest variance first
const DELAY = 150; // milliseconds after the last move of the point

export function createTraversalPanel(view) {
  const max = MAX_LATENTS[view.info.layout];
  const rows = element("div", { className: "traversals" });
  const { node } = panel(
    "Traversals",
    `Each row moves one latent through the prior's quantiles${view.info.latent_dim > max ? `, the ${max} that the codes vary most in` : ""}; the others stay as they are at the point.`,
    rows,
  );
  const show = debounced(DELAY, async () => {
    const latents =
      view.info.latent_dim > max ? view.byVariance.slice(0, max) : [...view.byVariance].sort((a, b) => a - b);
    const tensor = await view.source.decode(view.id, walks(view.cursor.z, latents)).catch(() => null);
    if (tensor) rows.replaceChildren(...latents.map((latent, row) => drawRow(view, tensor, latent, row)));
  });
  view.on("cursor", () => view.cursor.isPinned && show());
  view.on("ready", show);
  return { node };
}

function walks(z, latents) {
  const points = new Float32Array(latents.length * STEPS.length * z.length);
  latents.forEach((latent, row) =>
    STEPS.forEach((value, step) => {
      const start = (row * STEPS.length + step) * z.length;
      points.set(z, start);
      points[start + latent] = value;
    }),
  );
  return points;
}

function drawRow(view, tensor, latent, row) {
  const part = slice(tensor, row * STEPS.length, (row + 1) * STEPS.length);
  const described = (k) => `z${latent + 1} at ${STEPS[k].toFixed(2)}`;
  return element(
    "div",
    { className: "strip-row" },
    element("span", { className: "axis" }, `z${latent + 1}`),
    element("div", { className: "strip" }, ...tiles(view.info, part, described)),
  );
}
