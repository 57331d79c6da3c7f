// Numbers drawn from a standard normal distribution, by a seed: the same seed gives the same numbers in every page.
// They are not those that the same seed gives in Python, whose generator is another.

const WARM_UP = 64; // steps until the seed, which is most often a small number, has reached every bit

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

/** `count` draws from N(0, 1), by Box and Muller's transform. */
export function standardNormal(count, seed) {
  const next = uniform(seed);
  return Float32Array.from({ length: count }, () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next()));
}
