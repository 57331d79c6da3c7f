// The run as a page in one file carries it, under the name that the server's answers have online: the same methods, no
// server. The decoder and the encoder run here, and all else was written down when the page was.

import { asCodes } from "explorer/codes.js";
import { isCarried, jsonOf, tensorsOf } from "explorer/offline_blocks.js";
import { encode, neighboursOf } from "explorer/offline_encode.js";
import { decode } from "explorer/offline_models.js";
import { standardNormal } from "explorer/offline_noise.js";

const kept = new Map();

/** A value that is made once, when it is first asked for. */
function once(name, make) {
  if (!kept.has(name)) kept.set(name, make());
  return kept.get(name);
}

const info = () => once("info", () => jsonOf("info"));

const facts = () => once("facts", () => jsonOf("facts"));

const tensors = () => once("tensors", () => tensorsOf("codes"));

const codes = async () => asCodes(await tensors());

/** Examples as the page has them: bytes of pictures with one channel or three, or values of elements; null for none. */
const examples = () =>
  once("examples", async () => (isCarried("examples") ? (await tensorsOf("examples")).examples : null));

/** Carried are the last examples: those of the test split. */
async function images(id, indices) {
  const [carried, about, { first_carried: first }] = await Promise.all([examples(), info(), facts()]);
  if (!carried || indices.some((index) => index < first)) throw new Error(notCarried(about.num_codes - first));
  const rows = indices.map((index) => index - first);
  return about.layout === "image" ? picturesOf(carried, rows) : valuesOf(carried, rows);
}

function notCarried(count) {
  const last = `pictures or values of the last ${count.toLocaleString("en")} examples`;
  const what = count ? last : "no examples, only their codes";
  return `This page carries ${what}; \`lowerbound explore\` shows all of them.`;
}

function picturesOf({ shape: [, height, width, channels], data }, rows) {
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

/** What was written down of one example; null for what was not. */
async function point(id, index) {
  const [about, { num_draws: numDraws }, found, all] = await Promise.all([info(), facts(), tensors(), codes()]);
  const row = (values) => values && [...values.slice(index * all.latentDim, (index + 1) * all.latentDim)];
  const number = (name) => (Number.isFinite(found[name]?.data[index]) ? found[name].data[index] : null);
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
    num_draws: found.elbo ? numDraws : 0,
    unit: "nats",
  };
}

/** Draws from N(0, I), the standard deviation times `temperature`; a seed gives the same ones in every page. */
async function sample(id, num, temperature, seed) {
  const about = await info();
  if (!about.can.sample) throw new Error("A deterministic autoencoder has no prior to sample from.");
  const data = standardNormal(num * about.latent_dim, seed).map((value) => value * temperature);
  const drawn = await decode(about, data);
  return { z: { shape: [num, about.latent_dim], data }, [about.layout === "image" ? "images" : "values"]: drawn };
}

async function encodeFile(id, blob) {
  const about = await info();
  if (!about.can.encode) throw new Error("This run's examples are no images that a browser could read.");
  return encode(about, await facts(), await examples(), await codes(), blob);
}

async function metrics(id, after) {
  const records = after ? [] : (await jsonOf("metrics")).records;
  return { records, after: 1, state: "finished" };
}

export async function openSource() {
  return {
    isOffline: true,
    runs: async () => [await info()].map(({ id, title, state }) => ({ id, title, state })),
    info,
    codes,
    decode: async (id, z) => decode(await info(), z),
    images,
    point,
    encode: encodeFile,
    sample,
    neighbours: async (id, z) => ({ codes: neighboursOf(z, await codes(), await info()) }),
    metrics,
    reportURL: () => null,
  };
}
