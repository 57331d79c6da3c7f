// The run's decoder, and the whole model, which the page carries: two programs with the same weights.

import { createEngine } from "explorer/engine.js";
import { block } from "explorer/offline_blocks.js";

const FRAME = 16; // milliseconds that decoding may keep the page from answering to its reader
const MOST = 256; // latents decoded at once

const engines = new Map();
let atOnce = 8; // latents that the last calls have shown to take about a frame

function engine(name) {
  const make = async () => createEngine(...(await Promise.all([name, "wasm", "weights"].map(block))));
  if (!engines.has(name)) engines.set(name, make());
  return engines.get(name);
}

/** What is shown of p(x|z): pictures as bytes, n × height × width × 3, or one value for each element, n × elements. */
export async function decode(info, z) {
  const decoder = await engine("decoder");
  const parts = [];
  for (let start = 0; start < z.length;) {
    if (start) await new Promise((resolve) => setTimeout(resolve));
    const data = Float32Array.from(z.slice(start, start + atOnce * info.latent_dim));
    parts.push(await inAFrame(data.length / info.latent_dim, () => decodePart(info, decoder, data)));
    start += data.length;
  }
  return joined(parts);
}

async function decodePart(info, decoder, data) {
  const outputs = await decoder.run({ z: { shape: [data.length / info.latent_dim, info.latent_dim], data } });
  return shown(info, outputs[decoder.outputs[0]]);
}

/** Do some work, and do more or less of it at once the next time. */
async function inAFrame(count, work) {
  const start = performance.now();
  const result = await work();
  const taken = performance.now() - start;
  if (count === atOnce && taken < FRAME / 2) atOnce = Math.min(MOST, 2 * atOnce);
  if (taken > FRAME) atOnce = Math.max(1, Math.floor(atOnce / 2));
  return result;
}

/** The whole model on copies of one example x, one for each row of noise: {name: numbers}, see `lowerbound export`. */
export async function throughAll(info, x, noise) {
  const count = noise.length / info.latent_dim;
  const copies = new Float32Array(count * x.length);
  for (let copy = 0; copy < count; copy += 1) copies.set(x, copy * x.length);
  const feeds = {
    x: { shape: [count, ...info.event_shape], data: copies },
    noise: { shape: [count, info.latent_dim], data: noise },
  };
  const model = await engine("vae");
  const outputs = await model.run(Object.fromEntries(model.inputs.map((name) => [name, feeds[name]])));
  return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data]));
}

function shown(info, { shape, data }) {
  if (info.layout === "image") return asPictures(shape, data);
  const size = data.length / shape[0];
  return { shape: [shape[0], size], data: inStoredUnits(info, data, size) };
}

/** Values in the run's own units; in double precision where an offset takes more digits than a float has. */
function inStoredUnits({ range: [low, high], offset }, data, size) {
  if (low === 0 && high === 1 && !offset.some((value) => value)) return data;
  const Type = offset.length ? Float64Array : Float32Array;
  return Type.from(data, (value, i) => low + (high - low) * value + (offset[i % size] ?? 0));
}

/** Three channels are colours; of any other number the first is shown, in grey. */
function asPictures([count, channels, height, width], data) {
  const size = height * width;
  const pixels = new Uint8ClampedArray(count * size * 3); // which rounds and clamps
  for (let i = 0; i < pixels.length; i += 1) {
    const [pixel, colour] = [Math.floor(i / 3), channels === 3 ? i % 3 : 0];
    pixels[i] = 255 * data[(Math.floor(pixel / size) * channels + colour) * size + (pixel % size)];
  }
  return { shape: [count, height, width, 3], data: new Uint8Array(pixels.buffer) };
}

function joined(parts) {
  if (parts.length === 1) return parts[0];
  const data = new parts[0].data.constructor(parts.reduce((sum, part) => sum + part.data.length, 0));
  let start = 0;
  for (const part of parts) {
    data.set(part.data, start);
    start += part.data.length;
  }
  const count = parts.reduce((sum, part) => sum + part.shape[0], 0);
  return { shape: [count, ...parts[0].shape.slice(1)], data };
}
