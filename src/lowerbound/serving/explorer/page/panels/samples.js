// The panel with decoded samples from the prior.

import { button, showError, element, panel, slider } from "explorer/dom.js";
import { tiles } from "explorer/pictures.js";

const NUM = 24;

export function createSamplePanel(view) {
  const shown = element("div", { className: "grid" });
  const state = { seed: 1, temperature: 1 };
  const seed = element("input", {
    type: "number",
    min: 0,
    max: 4294967295,
    step: 1,
    value: state.seed,
    onchange: () => draw(Number(seed.value)),
  });
  const temperature = slider({
    label: "temperature",
    min: 0,
    max: 2,
    step: 0.05,
    value: 1,
    oninput: (value) => {
      state.temperature = value;
      draw(state.seed);
    },
  });
  const { node } = panel(
    "Samples from the prior",
    `The mean of p(x|z) for z drawn from the prior${view.info.prior_geometry?.has_temperature ? " at a temperature" : ""}. The same seed gives the same samples.`,
    element(
      "div",
      { className: "row" },
      view.info.prior_geometry?.has_temperature ? temperature.node : null,
      element("label", { className: "choice" }, "seed ", seed),
      button("Resample", () => draw(state.seed + 1)),
    ),
    shown,
  );

  async function draw(next) {
    state.seed = Math.max(0, Math.floor(next) || 0);
    seed.value = state.seed;
    const { seed: requested, temperature: at } = state;
    try {
      const found = await view.source.sample(view.id, NUM, at, requested);
      if (requested !== state.seed || at !== state.temperature) return;
      const drawn = found.images ?? found.values;
      const pictures = tiles(view.info, drawn, (k) => `sample ${k + 1}`);
      const isOneEach = pictures.length === drawn.shape[0];
      shown.replaceChildren(...(isOneEach ? pictures.map((one, k) => pickable(view, one, found.z, k)) : pictures));
    } catch (error) {
      showError(shown, error);
    }
  }

  view.on("start", () => draw(state.seed));
  return { node };
}

/** A sample that moves the current point to its latents when clicked. */
function pickable(view, tile, z, k) {
  const dim = view.info.latent_dim;
  const onclick = () => view.cursor.setAll(z.data.slice(k * dim, (k + 1) * dim));
  return button("", onclick, {
    className: "pick",
    title: "Move the point here",
    "aria-label": `Move the point to sample ${k + 1}`,
  }).appendChild(tile).parentNode;
}
