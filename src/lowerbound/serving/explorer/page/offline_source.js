// The data source of the offline page, with the same methods as source.js but without a server: the decoder and the
// encoder run in the page, and everything else is embedded in the file.

import { asCodes } from "explorer/codes.js";
import { give, given, startWith, written } from "explorer/given.js";
import { isEmbedded, jsonOf, tensorsOf } from "explorer/offline_blocks.js";
import { encode, neighboursOf } from "explorer/offline_encode.js";
import { decode } from "explorer/offline_models.js";
import { samplePrior } from "explorer/noise.js";

const NO_PRIOR = "A deterministic autoencoder has no prior to sample from.";
const PRIOR_OF_NUMBERS =
  "This page cannot sample a prior that depends on numbers, or on several conditions; `lowerbound explore` can.";

const COLUMN = "column:"; // the start of the name of a column's quantity

const cache = new Map();

let level = 1; // of latents in several, which is decoded

/** A value that is made once, on first use. */
function once(name, make) {
  if (!cache.has(name)) cache.set(name, make());
  return cache.get(name);
}

const info = () =>
  once("info", async () => {
    const about = await jsonOf("info");
    startWith(about.id, about.given);
    return about;
  });

const facts = () => once("facts", () => jsonOf("facts"));

const tensors = () => once("tensors", () => tensorsOf("codes"));

const codes = async () => asCodes(await tensors());

/** A quantity of each example: of the embedded bounds, scores and factors, or a column of the embedded rows. */
async function values(id, name) {
  const [stored, all, rows, { first_embedded: first }] = await Promise.all([tensors(), codes(), examples(), facts()]);
  if (stored[name]) return stored[name].data;
  const column = name.startsWith(COLUMN) ? Number(name.slice(COLUMN.length)) : null;
  if (column === null || !rows) return (await once("values", () => tensorsOf("values")))[name].data;
  const size = rows.shape[1];
  return Float32Array.from({ length: all.count }, (_, k) => (k < first ? NaN : rows.data[(k - first) * size + column]));
}

/** The embedded examples: images as bytes with one or three channels, or rows of values; null for none. */
const examples = () =>
  once("examples", async () => (isEmbedded("examples") ? (await tensorsOf("examples")).examples : null));

/** Only the last examples are embedded: those of the test split. */
async function images(id, indices) {
  const [embedded, about, { first_embedded: first }] = await Promise.all([examples(), info(), facts()]);
  if (!embedded || indices.some((index) => index < first)) throw new Error(notEmbedded(about.num_codes - first));
  const rows = indices.map((index) => index - first);
  return about.layout === "image" ? imagesOf(embedded, rows) : valuesOf(embedded, rows);
}

function notEmbedded(count) {
  const last = `only the last ${count.toLocaleString("en")} examples`;
  const what = count ? last : "latents, but no examples";
  return `This page contains ${what}; \`lowerbound explore\` shows all of them.`;
}

function imagesOf({ shape: [, height, width, channels], data }, rows) {
  const [size, wanted] = [height * width * channels, height * width * 3];
  const pixels = new Uint8Array(rows.length * wanted);
  rows.forEach((row, k) => {
    for (let i = 0; i < wanted; i += 1) {
      pixels[k * wanted + i] = data[row * size + (channels === 3 ? i : Math.floor(i / 3))];
    }
  });
  return { shape: [rows.length, height, width, 3], data: pixels };
}

function valuesOf({ shape: [, size], data }, rows) {
  const values = new data.constructor(rows.length * size);
  rows.forEach((row, k) => values.set(data.subarray(row * size, (row + 1) * size), k * size));
  return { shape: [rows.length, size], data: values };
}

/** The embedded details of one example; null for those that are missing. */
async function point(id, index) {
  const [about, { num_draws: numDraws }, stored, all] = await Promise.all([info(), facts(), tensors(), codes()]);
  const row = (values) => values && [...values.slice(index * all.latentDim, (index + 1) * all.latentDim)];
  const number = (name) => (Number.isFinite(stored[name]?.data[index]) ? stored[name].data[index] : null);
  const label = all.labels[index] < 0 ? null : all.labels[index];
  const split = all.splits[index];
  return {
    index,
    id_in_split: index - about.splits.slice(0, split).reduce((sum, one) => sum + one.count, 0),
    split: about.splits[split].name,
    label,
    label_name: about.label_names[label] ?? null,
    mean: row(all.mean),
    log_variance: row(all.logVariance),
    elbo: number("elbo"),
    elbo_standard_error: number("elbo_standard_error"),
    rate: number("rate"),
    distortion: number("distortion"),
    reconstruction_error: number("reconstruction_error"),
    num_draws: stored.elbo ? numDraws : 0,
    unit: "nats",
    ...(stored.context ? { given: written(about, rowOf(stored.context, index)) } : {}),
  };
}

const rowOf = ({ shape: [, size], data }, index) => data.slice(index * size, (index + 1) * size);

/** What is embedded of the prior; of one that depends on a level, of that of the chosen level. */
async function prior() {
  const [about, found] = await Promise.all([info(), once("prior", () => jsonOf("prior"))]);
  return found.of_levels ? found.of_levels[given(about.id)[about.conditions[0].name]] : found;
}

/** The contours of the prior over two latents, which are embedded for some pairs. */
async function priorContours(id, axes) {
  const { contours, is_same_for_all: isSame } = await prior();
  const [low, high] = [...axes].sort((a, b) => a - b);
  const found = isSame ? Object.values(contours)[0] : contours[`${low},${high}`];
  if (!found) return { levels: [], problem: "this page has no contours of the prior for these two latents." };
  if (isSame || axes[0] === low) return found;
  const turned = (line) => line.map(([x, y]) => [y, x]);
  return { ...found, levels: found.levels.map((level) => ({ ...level, lines: level.lines.map(turned) })) };
}

/** Draws from the prior at a temperature; a seed gives the same draws in every page. */
async function sample(id, num, temperature, seed) {
  const about = await info();
  if (!about.can.sample) throw new Error(about.is_deterministic ? NO_PRIOR : PRIOR_OF_NUMBERS);
  const { sampling } = await prior();
  const data = samplePrior(sampling, about.latent_dim, num, temperature, seed);
  const drawn = await decode(about, data, given(id));
  return { z: { shape: [num, about.latent_dim], data }, [about.layout === "image" ? "images" : "values"]: drawn };
}

async function encodeFile(id, blob) {
  const about = await info();
  if (!about.can.encode) throw new Error("This run's examples are not images that a browser can read.");
  return encode(about, await facts(), await prior(), await examples(), await codes(), blob);
}

async function metrics(id, after) {
  const records = after ? [] : (await jsonOf("metrics")).records;
  return { records, after: 1, state: "finished" };
}

export async function openSource() {
  return {
    isOffline: true,
    runs: async () => [await info()].map(({ id, title, state, monitored }) => ({ id, title, state, monitored })),
    info,
    codes,
    values,
    decode: async (id, z) => decode(await info(), z, given(id), level),
    setLevel: (id, chosen) => (level = chosen),
    give,
    given,
    decodeWith: async (id, z, name, values) => {
      const latents = Float32Array.from(values.flatMap(() => Array.from(z)));
      return decode(await info(), latents, { ...given(id), [name]: values }, level);
    },
    images,
    priorContours,
    point,
    encode: encodeFile,
    sample,
    neighbours: async (id, z) => ({ codes: neighboursOf(z, await codes(), await info()) }),
    frames: () => tensorsOf("frames"),
    metrics,
    reportURL: () => null,
  };
}
