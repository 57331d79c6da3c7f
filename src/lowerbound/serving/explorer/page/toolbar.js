// The toolbar of the plane: zoom, lasso, line, manifold; colour, projection, and search.

import { createConditions } from "explorer/conditions.js";
import { announce, button, element, toggle } from "explorer/dom.js";
import { createProjectionChoice } from "explorer/projection_choice.js";
import { createSearch } from "explorer/search.js";

export function createToolbar(view, stage) {
  const { scatter, manifold } = stage;
  const lasso = toggle("Lasso", "Select examples by drawing around them (or Shift + drag)", (on) =>
    scatter.setMode(on ? "lasso" : "pan"),
  );
  stage.picking = toggle("Line", "Pick two points; the path between them is decoded", (on) => {
    view.isPicking = on;
    if (on) announce("Click the start of the line, then its end.");
  });
  const zoom = (text, label, factor) => button(text, () => scatter.zoom(factor), { "aria-label": label, title: label });
  return element(
    "div",
    { className: "toolbar", role: "toolbar", "aria-label": "The plane" },
    zoom("+", "Zoom in", 1.5),
    zoom("−", "Zoom out", 1 / 1.5),
    button("Fit", () => scatter.fit(), { title: "Show everything (0 or double-click)" }),
    lasso.node,
    stage.picking.node,
    view.info.image ? manifold.toggle.node : null,
    view.legend.choice,
    ...(view.info.conditions?.length && view.source.give ? createConditions(view) : []),
    view.info.latent_dim > 2 ? createProjectionChoice(view) : null,
    createSearch(view),
  );
}
