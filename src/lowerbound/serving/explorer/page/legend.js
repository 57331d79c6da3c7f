// The legend: colours by label or split, and buttons that show and hide examples.

import { components, palette, unknownColour } from "explorer/colours.js";
import { button, choice, counted, element, pluralised } from "explorer/dom.js";

const SEVERAL_SPLITS = 2;

export function createLegend(view) {
  const { info, codes } = view;
  const hasLabels = info.label_names.length > 0;
  const state = { by: hasLabels ? "label" : "split", hiddenLabels: new Set(), hiddenSplits: new Set() };
  const list = element("div", { className: "legend-list", role: "group", "aria-label": "Show and hide examples" });
  const legend = { node: element("div", { className: "legend" }) };

  const names = () => (state.by === "label" ? info.label_names : info.splits.map((split) => split.name));
  const hidden = () => (state.by === "label" ? state.hiddenLabels : state.hiddenSplits);
  const category = (k) => (state.by === "label" ? codes.labels[k] : codes.splits[k]);

  legend.apply = () => {
    const count = names().length;
    // Examples without a label come last.
    view.categories = Uint8Array.from({ length: codes.count }, (_, k) => (category(k) < 0 ? count : category(k)));
    view.stage.scatter.setPalette([...palette(count), unknownColour()].map(components));
    view.stage.place();
    filter();
  };

  function filter() {
    const { hiddenLabels, hiddenSplits } = state;
    const shows = (k) => !hiddenLabels.has(codes.labels[k]) && !hiddenSplits.has(codes.splits[k]);
    const isFiltered = hiddenLabels.size + hiddenSplits.size > 0;
    view.visible = isFiltered ? Uint8Array.from({ length: codes.count }, (_, k) => Number(shows(k))) : null;
    view.stage.scatter.setVisible(view.visible);
    draw();
  }

  function entry(name, k, set, colour, count) {
    const isOn = !set.has(k);
    const onclick = (event) => {
      if (event.altKey || event.detail === 2) only(set, k);
      else if (isOn) set.add(k);
      else set.delete(k);
      filter();
      legend.node.querySelector(`[data-key="${CSS.escape(name)}"]`)?.focus();
    };
    const swatch = element("span", { className: "swatch", "aria-hidden": "true" });
    if (colour) swatch.style.background = colour;
    const node = button("", onclick, {
      "aria-pressed": String(isOn),
      title: `${name}: ${pluralised(count, "example")}; click to hide or show, Alt + click to show only these`,
    });
    node.dataset.key = name;
    node.append(colour ? swatch : "", element("span", {}, name), element("small", {}, counted(count)));
    return node;
  }

  function only(set, k) {
    const all = state.by === "label" && set === state.hiddenLabels ? info.label_names.length : info.splits.length;
    set.clear();
    for (let other = 0; other < all; other += 1) if (other !== k) set.add(other);
  }

  function draw() {
    const colours = palette(names().length);
    const counts = countsOf(names().length, category, codes.count);
    const entries = names().map((name, k) => entry(name, k, hidden(), colours[k], counts[k]));
    const all = button(
      "All",
      () => {
        hidden().clear();
        filter();
      },
      { className: "quiet" },
    );
    const none = button(
      "None",
      () => {
        names().forEach((_, k) => hidden().add(k));
        filter();
      },
      { className: "quiet" },
    );
    list.replaceChildren(...entries, all, none);
    drawSplits();
  }

  const splits = element("div", { className: "legend-list splits", role: "group", "aria-label": "Splits shown" });
  function drawSplits() {
    const hasSplits = state.by === "label" && info.splits.length >= SEVERAL_SPLITS;
    splits.replaceChildren(
      ...(hasSplits ? info.splits.map((split, k) => entry(split.name, k, state.hiddenSplits, null, split.count)) : []),
    );
  }

  const by = choice(
    "Colour by",
    [
      ["label", "label"],
      ["split", "split"],
    ],
    (value) => {
      state.by = value;
      legend.apply();
    },
  );
  by.select.value = state.by;
  legend.node.append(...(hasLabels ? [by.node] : []), list, splits);
  return legend;
}

function countsOf(length, category, total) {
  const counts = new Array(length).fill(0);
  for (let k = 0; k < total; k += 1) if (category(k) >= 0) counts[category(k)] += 1;
  return counts;
}
