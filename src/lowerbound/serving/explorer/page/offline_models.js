// The models of the offline page: the run's decoder, and the whole model, two ONNX programs with the same weights.

import { decodeWith } from "explorer/decoding.js";
import { createEngine } from "explorer/engine.js";
import { contextOf } from "explorer/given.js";
import { block } from "explorer/offline_blocks.js";

const engines = new Map();

function engine(name) {
  const make = async () => createEngine(...(await Promise.all([name, "wasm", "weights"].map(block))));
  if (!engines.has(name)) engines.set(name, make());
  return engines.get(name);
}

/**
 * The decoded latents: images as bytes, n × height × width × 3, or values, n × elements; of a level above the first with
 * the levels below it at their means.
 */
export const decode = async (info, z, values, level = 1) =>
  decodeWith(await engine(level > 1 ? `decoder-${level}` : "decoder"), info, z, contextOf(info, values, z.length / info.latent_dim));

/**
 * The outputs of the whole model for copies of one example x, one per row of noise: {name: numbers}; `values` are those
 * of a conditional model's conditions.
 */
export async function runModel(info, x, noise, values) {
  const count = noise.length / info.latent_dim;
  const copies = new Float32Array(count * x.length);
  for (let copy = 0; copy < count; copy += 1) copies.set(x, copy * x.length);
  const feeds = {
    x: { shape: [count, ...info.event_shape], data: copies },
    noise: { shape: [count, info.latent_dim], data: noise },
    context: contextOf(info, values, count),
  };
  const model = await engine("vae");
  const outputs = await model.run(Object.fromEntries(model.inputs.map((name) => [name, feeds[name]])));
  return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data]));
}
