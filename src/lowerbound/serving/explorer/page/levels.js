// Levels of latents: which latents belong to which; level 1 is the nearest to the examples.

/** The level of a latent. */
export function levelOf(info, latent) {
  let end = 0;
  return info.levels.findIndex((size) => latent < (end += size)) + 1;
}

/** The latents of a level. */
export function latentsOfLevel(info, level) {
  const start = info.levels.slice(0, level - 1).reduce((sum, size) => sum + size, 0);
  return Array.from({ length: info.levels[level - 1] }, (_, k) => start + k);
}
