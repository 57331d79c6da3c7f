// Colouring of the examples: by label, split, a latent, or a quantity such as the ELBO or a column.
//
// A colouring is {kind, title, names, of} for categories, where of(k) is the category of example k, or negative, or
// {kind, title, unit, low, high, of} for numbers, where of(k) may be NaN.

import { palette, sequential, unknownColour } from "explorer/colours.js";

const MAX_CATEGORIES = 250; // of the scatter's palette of 256 colours; further ones repeat colours
const NUM_STEPS = 200; // colours of a scale
const UNKNOWN = 254;
const DIMMED = 255;
const TAIL = 0.02; // share of the examples beyond each end of a scale, so that outliers do not set it

/** The groups of what can colour the examples: [title, [[key, text], ...]]. */
export function choicesOf({ label_names: labels, quantities, latent_dim: dim }) {
  const plain = quantities.filter(({ name }) => !name.includes(":"));
  const columns = quantities.filter(({ name }) => name.includes(":"));
  const entry = ({ name, title, split }) => [`quantity ${name}`, split ? `${title} (${split} examples)` : title];
  return [
    ["Groups", [...(labels.length ? [["label", "label"]] : []), ["split", "split"]]],
    ["Scores", plain.map(entry)],
    ["Columns and factors", columns.map(entry)],
    ["Latents", Array.from({ length: dim }, (_, k) => [`latent ${k}`, `z${k + 1}`])],
  ].filter(([, entries]) => entries.length);
}

/** The colouring with a key of `choicesOf`; a quantity is fetched. */
export async function colouringOf(view, key) {
  const { info } = view;
  if (key === "label")
    return { kind: "categories", title: "label", names: info.label_names, of: (k) => view.codes.labels[k] };
  if (key === "split")
    return { kind: "categories", title: "split", names: info.splits.map(({ name }) => name), of: (k) => view.codes.splits[k] };
  if (key.startsWith("latent ")) {
    const latent = Number(key.slice("latent ".length));
    return numeric(`z${latent + 1}`, "", view.codes.count, (k) => view.codes.mean[k * info.latent_dim + latent]);
  }
  const quantity = info.quantities.find(({ name }) => key === `quantity ${name}`);
  const values = await view.valuesOf(quantity.name);
  if (!quantity.levels.length) return numeric(quantity.title, quantity.unit, values.length, (k) => values[k]);
  const of = (k) => (Number.isNaN(values[k]) ? -1 : values[k]);
  return { kind: "categories", title: quantity.title, names: quantity.levels, of };
}

function numeric(title, unit, count, of) {
  const known = Float32Array.from({ length: count }, (_, k) => of(k)).filter(Number.isFinite).sort();
  const at = (share) => known[Math.min(known.length - 1, Math.floor(share * known.length))] ?? 0;
  return { kind: "numbers", title, unit, low: at(TAIL), high: at(1 - TAIL), least: at(0), most: at(1), of };
}

/** The category of each example in the scatter's palette; those that `isDim` says are dimmed. */
export function categoriesOf(colouring, count, isDim) {
  const place = colouring.kind === "numbers" ? stepOf(colouring) : categoryOf(colouring);
  return Uint8Array.from({ length: count }, (_, k) => (isDim?.(k) ? DIMMED : place(k)));
}

const categoryOf = ({ of }) => (k) => (of(k) < 0 ? UNKNOWN : of(k) % MAX_CATEGORIES);

const stepOf = ({ of, low, high }) => (k) => {
  const value = of(k);
  if (Number.isNaN(value)) return UNKNOWN;
  const share = high > low ? (value - low) / (high - low) : 0.5;
  return Math.max(0, Math.min(NUM_STEPS - 1, Math.floor(share * NUM_STEPS)));
};

/** The 256 colours of the scatter. */
export function coloursOf(colouring, dimmed) {
  const isScale = colouring.kind === "numbers";
  const own = isScale ? sequential(NUM_STEPS) : palette(Math.min(MAX_CATEGORIES, colouring.names.length));
  const unknown = isScale ? dimmed : unknownColour();
  return Array.from({ length: 256 }, (_, k) => (k === DIMMED ? dimmed : (own[k] ?? unknown)));
}
