// The manifold: a grid of decoded images behind the examples, whose dots can be made transparent.

import { announce, debounced, slider, toggle } from "explorer/dom.js";
import { mosaic } from "explorer/pictures.js";

const CELL = 30; // approximate size of an image, in CSS pixels
const MAX_CELLS = 32; // per row or column
const DELAY = 120; // milliseconds after the last change of the view
const OPACITY = 0.5; // of the dots, at first

/** The toggle of the manifold as `toggle`, and the slider for the dots' opacity as `opacity`. */
export function createManifold(view, stage) {
  const { scatter } = stage;
  const manifold = { isOn: () => press.isOn(), share: OPACITY };
  const press = toggle("Manifold", "Show a grid of decoded images across the plane (M)", (on) => {
    opacity.node.hidden = !on;
    paint(view, stage, manifold);
  });
  const opacity = slider({
    label: "dots",
    min: 0,
    max: 1,
    step: 0.05,
    value: OPACITY,
    show: (share) => `${Math.round(100 * share)} %`,
    oninput: (share) => {
      manifold.share = share;
      if (press.isOn()) scatter.setOpacity(share);
    },
  });
  opacity.node.hidden = true;
  opacity.node.classList.add("dots");
  opacity.node.title = "Opacity of the dots over the manifold";
  const repaint = debounced(DELAY, () => paint(view, stage, manifold));
  scatter.on("view", () => press.isOn() && repaint());
  view.on("slice", () => press.isOn() && repaint());
  // Where positions have no codes, there is nothing to decode.
  view.on("axes", () => {
    press.node.disabled = !view.cursor.projection.hasCodes;
    if (press.node.disabled && press.isOn()) press.set(false);
  });
  const set = (on) => press.node.disabled || press.set(on);
  return Object.assign(manifold, { toggle: press, opacity, set });
}

async function paint(view, stage, manifold) {
  const { scatter } = stage;
  const rectangle = scatter.view;
  if (!manifold.isOn()) {
    scatter.setBackground(null);
    scatter.setOpacity(1);
    return;
  }
  const cells = (length) => Math.max(4, Math.min(MAX_CELLS, Math.round(length / CELL)));
  const [columns, rows] = [cells(scatter.width), cells(scatter.height)];
  try {
    const tensor = await view.source.decode(view.id, gridOf(view, rectangle, columns, rows));
    if (!manifold.isOn()) return;
    scatter.setBackground(mosaic(tensor, columns), rectangle, { sampling: "nearest" });
    scatter.setOpacity(manifold.share);
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
