// The selected examples: their indices, and the outline in which they were caught.

/** Give a view `selection` and `select(indices, polygon)`; no indices clear the selection. */
export function addSelection(view) {
  view.selection = { indices: null, polygon: null };
  view.select = (indices, polygon) => {
    view.selection = indices.length ? { indices, polygon, projection: view.cursor.projection } : { indices: null, polygon: null };
    view.legend.apply();
    view.emit("select", indices);
  };
  // Indices count differently once the data are read.
  view.on("info", () => view.selection.indices && view.select([], null));
}

/** The outline in data units, if it was drawn in this projection of the codes. */
export const outlineOf = ({ selection, cursor }) => (selection.projection === cursor.projection ? selection.polygon : null);
