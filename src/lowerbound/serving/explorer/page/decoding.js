// Decoding in the page: latents through the run's decoder, an ONNX program, in batches that do not block the page.

const FRAME = 16; // milliseconds that decoding may block the page
const MAX_BATCH = 256; // latents decoded at once

let batchSize = 8; // latents that take about one frame, adapted by the time of the last calls

/**
 * The decoded latents: images as bytes, n × height × width × 3, or values, n × elements; `context` has the conditions of
 * each for a conditional model.
 */
export async function decodeWith(decoder, info, z, context = null) {
  const parts = [];
  for (let start = 0; start < z.length;) {
    if (start) await new Promise((resolve) => setTimeout(resolve));
    const data = Float32Array.from(z.slice(start, start + batchSize * info.latent_dim));
    parts.push(await timed(data.length / info.latent_dim, () => decodePart(info, decoder, data, rowsOf(context, start / info.latent_dim, data.length / info.latent_dim))));
    start += data.length;
  }
  return joined(parts);
}

/** Some consecutive rows of a tensor. */
function rowsOf(tensor, first, count) {
  if (!tensor) return null;
  const size = tensor.shape[1];
  return { shape: [count, size], data: tensor.data.slice(first * size, (first + count) * size) };
}

async function decodePart(info, decoder, data, context) {
  const feeds = { z: { shape: [data.length / info.latent_dim, info.latent_dim], data }, context };
  const outputs = await decoder.run(Object.fromEntries(decoder.inputs.map((name) => [name, feeds[name]])));
  const decoded = Object.keys(outputs).find((name) => name !== "log_prior");
  return { ...displayed(info, outputs[decoded]), logPrior: outputs.log_prior?.data ?? null };
}

/** Run `work`, and adapt the batch size to the time it takes. */
async function timed(count, work) {
  const start = performance.now();
  const result = await work();
  const taken = performance.now() - start;
  if (count === batchSize && taken < FRAME / 2) batchSize = Math.min(MAX_BATCH, 2 * batchSize);
  if (taken > FRAME) batchSize = Math.max(1, Math.floor(batchSize / 2));
  return result;
}

function displayed(info, { shape, data }) {
  if (info.layout === "image") return asImages(shape, data);
  const size = data.length / shape[0];
  return { shape: [shape[0], size], data: inStoredUnits(info, data, size) };
}

/** Values in stored units; in double precision if an offset has more digits than a float. */
function inStoredUnits({ range: [low, high], offset }, data, size) {
  if (low === 0 && high === 1 && !offset.some((value) => value)) return data;
  const Type = offset.length ? Float64Array : Float32Array;
  return Type.from(data, (value, i) => low + (high - low) * value + (offset[i % size] ?? 0));
}

/** Three channels are RGB; of any other number the first is displayed in grey. */
function asImages([count, channels, height, width], data) {
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
  const logPrior = parts[0].logPrior && Float32Array.from(parts.flatMap((part) => [...part.logPrior]));
  return { shape: [count, ...parts[0].shape.slice(1)], data, logPrior };
}
