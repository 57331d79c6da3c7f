// Numbers drawn from a standard normal distribution, by a seed: the same seed gives the same numbers in every browser.
// They are not those that the same seed gives in Python, whose generator is another.

/** Uniform numbers in (0, 1): mulberry32, 32 bits of state, public domain, by Tommy Ettinger. */
function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    // Never 0, whose logarithm is infinite.
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32 + 2 ** -33;
  };
}

/** `count` draws from N(0, 1), by Box and Muller's transform. */
export function standardNormal(count, seed) {
  const next = uniform(seed);
  return Float32Array.from({ length: count }, () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next()));
}
