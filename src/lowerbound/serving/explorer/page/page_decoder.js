// The decoder of a served run, in the page: the point under the pointer needs no request, whose way to the server and
// back takes longer than decoding. Used where its outputs are the server's, and where it is faster.

import { decodeWith } from "explorer/decoding.js";
import { contextOf, given } from "explorer/given.js";

const MOST = 16; // latents decoded in the page; more would block it
const NUM_TIMED = 3; // calls, the fastest of which counts
const TOLERANCE = 1e-4; // of values, relative to the largest; bytes may be rounded differently
const RUNTIME = "/assets/vendor/ort-wasm-simd-threaded.wasm.gz";

/**
 * A function that decodes latents, with the chosen values of conditions or `others`: in the page as soon as `fetchModel`
 * has returned the decoder, an ONNX program, and that has been compared with `ask`, which decodes on the server; until
 * then, and for many latents, by `ask`.
 */
export function createDecoder(info, fetchModel, ask) {
  let decoder = null;
  let isTried = false;
  const prepare = async (z) => {
    const found = await engineOf(fetchModel).catch(() => null);
    if (!found || !(await isBetter(info, found, ask, z))) return;
    decoder = found;
    performance.mark("decoder-in-page");
  };
  return async (z, others = {}) => {
    if (z.length > MOST * info.latent_dim) return ask(z, others);
    if (decoder) return decodeHere(decoder, info, z, others);
    const decoded = await ask(z, others);
    if (!isTried) prepare(z.slice(0, info.latent_dim)).catch(() => {});
    isTried = true;
    return decoded;
  };
}

const decodeHere = (decoder, info, z, others) =>
  decodeWith(decoder, info, z, contextOf(info, { ...given(info.id), ...others }, z.length / info.latent_dim));

/** The decoder as a session of the runtime, which is only loaded for it; null if the run has none. */
async function engineOf(fetchModel) {
  const model = await fetchModel();
  if (!model.byteLength) return null;
  const [{ createEngine }, runtime] = await Promise.all([import("explorer/engine.js"), fetch(RUNTIME)]);
  const unpacked = runtime.body.pipeThrough(new DecompressionStream("gzip"));
  return createEngine(model, await new Response(unpacked).arrayBuffer());
}

async function isBetter(info, decoder, ask, z) {
  const here = await decodeHere(decoder, info, z);
  const there = await ask(z);
  if (!isEqual(here, there)) return false;
  return (await shortest(() => decodeHere(decoder, info, z))) < (await shortest(() => ask(z)));
}

/** The shortest time of some calls, in milliseconds. */
async function shortest(work) {
  let least = Infinity;
  for (let call = 0; call < NUM_TIMED; call += 1) {
    const start = performance.now();
    await work();
    least = Math.min(least, performance.now() - start);
  }
  return least;
}

function isEqual(here, there) {
  const isSame = here.shape.join() === there.shape.join() && !here.logPrior === !there.logPrior;
  return isSame && isClose(here.data, there.data) && (!here.logPrior || isClose(here.logPrior, there.logPrior));
}

function isClose(here, there) {
  const largest = there.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const accepted = there instanceof Uint8Array ? 1 : TOLERANCE * largest;
  return here.every((value, k) => Math.abs(value - there[k]) <= accepted);
}
