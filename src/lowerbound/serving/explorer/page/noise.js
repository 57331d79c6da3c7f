// Seeded random numbers: uniform and standard normal. A seed gives the same numbers in every page, but not the numbers
// that Python's generator gives for it.

const WARM_UP = 64; // steps until a small seed has affected every bit

/** Uniform numbers in (0, 1). Source: G. Marsaglia, "Xorshift RNGs", J. Stat. Software 8(14), 2003, `xor128`. */
function uniform(seed) {
  let state = [seed | 0, 362436069, 521288629, 88675123];
  const next = () => {
    const [first, second, third, last] = state;
    const mixed = first ^ (first << 11);
    state = [second, third, last, last ^ (last >>> 19) ^ mixed ^ (mixed >>> 8)];
    // Never 0, whose logarithm is infinite.
    return (state[3] >>> 0) / 2 ** 32 + 2 ** -33;
  };
  for (let step = 0; step < WARM_UP; step += 1) next();
  return next;
}

/**
 * `count` draws from the prior at a temperature, which scales the standard deviations; `sampling` has the weights, means
 * and deviations of a mixture of normals, or draws to choose from.
 */
export function samplePrior({ weights, means, deviations, draws }, latentDim, count, temperature, seed) {
  const next = uniform(seed);
  const rows = draws ?? weights;
  const chosen = Array.from({ length: count }, () => {
    if (rows.length === 1) return 0;
    return draws ? Math.floor(next() * draws.length) : component(weights, next());
  });
  if (draws) return Float32Array.from(chosen.flatMap((row) => draws[row]));
  const noise = rows.length === 1 ? standardNormal(count * latentDim, seed) : normals(count * latentDim, next);
  return noise.map((value, i) => {
    const [row, latent] = [chosen[Math.floor(i / latentDim)], i % latentDim];
    return means[row][latent] + temperature * deviations[row][latent] * value;
  });
}

/** The component whose interval of the cumulated weights contains `share`. */
function component(weights, share) {
  let sum = 0;
  const found = weights.findIndex((weight) => (sum += weight) > share);
  return found < 0 ? weights.length - 1 : found;
}

/** `count` draws from N(0, 1), by the Box–Muller transform. */
export function standardNormal(count, seed) {
  return normals(count, uniform(seed));
}

const normals = (count, next) =>
  Float32Array.from({ length: count }, () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next()));
