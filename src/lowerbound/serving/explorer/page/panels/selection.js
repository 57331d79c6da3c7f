// The panel for the selected examples: counts by label, the first examples, and export as CSV.

import { announce, button, counted, element, panel, pluralised, table } from "explorer/dom.js";
import { tiles } from "explorer/pictures.js";

const MAX_SHOWN = 24;

export function createSelectionPanel(view) {
  const none = () => element("p", { className: "quiet" }, "Nothing selected.");
  const content = element("div", { className: "panel-body" }, none());
  const { node } = panel("Selection", "Shift + drag around points, or press Lasso above the plane.", content);

  view.on("select", async (indices) => {
    node.classList.toggle("filled", indices.length > 0);
    announce(`${countText(indices.length)} selected.`);
    if (!indices.length) {
      content.replaceChildren(none());
      return;
    }
    const grid = element("div", { className: "grid" });
    content.replaceChildren(
      element(
        "div",
        { className: "row" },
        element("strong", {}, countText(indices.length)),
        button("Save as CSV", () => save(view, indices)),
        button("Clear", () => view.select([], null)),
      ),
      ...(view.info.label_names.length ? [counts(view, indices)] : []),
      grid,
    );
    const first = indices.slice(0, MAX_SHOWN);
    const tensor = await view.images(first).catch((error) => error);
    if (!grid.isConnected) return;
    if (tensor instanceof Error) grid.replaceChildren(element("p", { className: "quiet" }, tensor.message));
    else grid.replaceChildren(...tiles(view.info, tensor, (k) => view.nameOf(first[k])));
  });
  return { node };
}

const countText = (count) => pluralised(count, "example");

function counts(view, indices) {
  const found = new Map();
  for (const index of indices) found.set(view.labelOf(index), (found.get(view.labelOf(index)) ?? 0) + 1);
  const rows = [...found]
    .sort((a, b) => b[1] - a[1])
    .map(([name, count]) => [name, counted(count), `${Math.round((100 * count) / indices.length)} %`]);
  return element("div", { className: "scroll" }, table("Labels", ["label", "examples", "share"], rows));
}

/** Download split, label and latents of the selected examples. */
function save(view, indices) {
  const quote = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const head = [
    "split",
    "number_in_split",
    "label",
    ...Array.from({ length: view.info.latent_dim }, (_, k) => `mean_${k + 1}`),
  ];
  const rows = indices.map((index) => [
    view.splitOf(index),
    view.numberInSplit(index),
    quote(view.labelOf(index)),
    ...view.codeOf(index),
  ]);
  const blob = new Blob([[head, ...rows].map((row) => row.join(",")).join("\n"), "\n"], { type: "text/csv" });
  const link = element("a", { href: URL.createObjectURL(blob), download: `${view.id}-selection.csv` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
