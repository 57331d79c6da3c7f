// The legend in the corner of the plane: what the colours mean, and buttons that show and hide examples.

import { categoriesOf, choicesOf, colouringOf, coloursOf } from "explorer/colouring.js";
import { components, dimmedColour, palette, sequential } from "explorer/colours.js";
import { button, counted, element, fixed, groupedChoice, pluralised } from "explorer/dom.js";
import { groupCentres } from "explorer/centres.js";

const SEVERAL_SPLITS = 2;
const NUM_STOPS = 12; // of the drawn scale

export function createLegend(view) {
  const { info } = view;
  const state = { key: info.label_names.length ? "label" : "split", colouring: null, hidden: new Map(), hasNames: true };
  const list = element("div", { className: "legend-list", role: "group", "aria-label": "Show and hide examples" });
  const splits = element("div", { className: "legend-list splits", role: "group", "aria-label": "Splits shown" });
  const title = element("summary", {}, "Legend");
  // Open on the first screen; on a small one it would cover the plane, and is below it.
  const node = element("details", { className: "legend", open: true }, title, list, splits);
  const by = groupedChoice("Colour by", choicesOf(info), (key) => legend.colourBy(key));
  const legend = { node, choice: by.node, state };

  const hiddenIn = (key) => state.hidden.get(key) ?? state.hidden.set(key, new Set()).get(key);

  legend.colourBy = async (key) => {
    try {
      const colouring = await colouringOf(view, key);
      Object.assign(state, { key, colouring });
      legend.apply();
    } catch (error) {
      view.stage.showMessage(error.message);
    }
    by.select.value = state.key;
  };

  /** Show the codes, of which there may be more than before. */
  legend.update = async () => {
    by.fill(choicesOf(info));
    await legend.colourBy(state.key);
  };

  legend.apply = () => {
    const { colouring } = state;
    if (!colouring || !view.codes) return;
    const chosen = view.selection.indices && new Set(view.selection.indices);
    view.categories = categoriesOf(colouring, view.codes.count, chosen && ((k) => !chosen.has(k)));
    view.stage.scatter.setPalette(coloursOf(colouring, dimmedColour()).map(components));
    view.stage.place();
    view.stage.scatter.setHighlight(view.selection.indices ?? []);
    filter();
  };

  function filter() {
    const { colouring, key } = state;
    const hiddenSplits = hiddenIn("split");
    const hiddenHere = colouring.kind === "categories" && key !== "split" ? hiddenIn(key) : new Set();
    const shows = (k) => !hiddenHere.has(colouring.of(k)) && !hiddenSplits.has(view.codes.splits[k]);
    const isFiltered = hiddenHere.size + hiddenSplits.size > 0;
    view.visible = isFiltered ? Uint8Array.from({ length: view.codes.count }, (_, k) => Number(shows(k))) : null;
    view.stage.scatter.setVisible(view.visible);
    legend.placeNames();
    draw();
  }

  /** The names of categories at the middle of their examples. */
  legend.placeNames = () => {
    const { colouring, hasNames } = state;
    const isNamed = hasNames && colouring?.kind === "categories" && state.key !== "split";
    view.stage.names = isNamed ? groupCentres(view, colouring) : [];
    view.stage.scatter.redrawOverlay();
  };

  function entry(name, k, set, colour, count, total) {
    const isOn = !set.has(k);
    const onclick = (event) => {
      if (event.altKey || event.detail === 2) only(set, k, total);
      else if (isOn) set.add(k);
      else set.delete(k);
      filter();
      node.querySelector(`[data-key="${CSS.escape(name)}"]`)?.focus();
    };
    const swatch = element("span", { className: "swatch", "aria-hidden": "true" });
    if (colour) swatch.style.background = colour;
    const press = button("", onclick, {
      "aria-pressed": String(isOn),
      title: `${name}: ${pluralised(count, "example")}; click to hide or show, Alt + click to show only these`,
    });
    press.dataset.key = name;
    press.append(colour ? swatch : "", element("span", {}, name), element("small", {}, counted(count)));
    return press;
  }

  function draw() {
    const { colouring, key } = state;
    title.textContent = titleOf(colouring);
    list.replaceChildren(...(colouring.kind === "numbers" ? [scaleOf(colouring)] : entries(colouring, key)));
    const hasSplits = key !== "split" && info.splits.length >= SEVERAL_SPLITS;
    const ofSplit = ({ name, count }, k) => entry(name, k, hiddenIn("split"), null, count, info.splits.length);
    splits.replaceChildren(...(hasSplits ? info.splits.map(ofSplit) : []));
  }

  function entries(colouring, key) {
    const { names } = colouring;
    const [colours, hidden] = [palette(names.length), hiddenIn(key)];
    const counts = countsOf(names.length, colouring.of, view.codes.count);
    const all = () => hidden.clear();
    const none = () => names.forEach((_, k) => hidden.add(k));
    const quiet = (text, change, more) => button(text, () => (change(), filter()), { className: "quiet", ...more });
    const toggleNames = quiet("Names", () => (state.hasNames = !state.hasNames), {
      "aria-pressed": String(state.hasNames),
      title: "Write the names at the middle of their examples",
    });
    return [
      ...names.map((name, k) => entry(name, k, hidden, colours[k], counts[k], names.length)),
      element("div", { className: "legend-all" }, quiet("All", all), quiet("None", none), key === "split" ? null : toggleNames),
    ];
  }

  return legend;
}

const titleOf = ({ kind, title, unit }) => (kind === "categories" ? `Legend: ${title}` : [title, unit].filter(Boolean).join(", "));

function only(set, k, total) {
  set.clear();
  for (let other = 0; other < total; other += 1) if (other !== k) set.add(other);
}

/** A scale of numbers; its ends are quantiles, beyond which the colour stays the same. */
function scaleOf({ low, high, least, most, unit, title }) {
  const bar = element("div", { className: "scale-bar" });
  bar.style.background = `linear-gradient(to right, ${sequential(NUM_STOPS).join(", ")})`;
  const end = (value, sign, isCut) => element("span", {}, `${isCut ? `${sign} ` : ""}${fixed(value)}`);
  return element(
    "div",
    { className: "scale", role: "img", "aria-label": `${title} from ${fixed(low)} to ${fixed(high)} ${unit}` },
    bar,
    element("div", { className: "scale-ends" }, end(low, "≤", least < low), end(high, "≥", most > high)),
  );
}

function countsOf(length, category, total) {
  const counts = new Array(length).fill(0);
  for (let k = 0; k < total; k += 1) if (category(k) >= 0) counts[category(k)] += 1;
  return counts;
}
