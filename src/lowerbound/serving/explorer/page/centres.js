// The middle of each category's visible examples in the plane, where its name is written.

const MAX_EXAMPLES = 1500; // of each category, from which the medians are computed

/** Name and position of each category with visible examples, the largest first: medians, which outliers do not move. */
export function groupCentres({ codes, visible, stage }, { names, of }) {
  const [xs, ys] = stage.coordinates;
  const members = names.map(() => []);
  for (let k = 0; k < codes.count; k += 1) {
    const category = of(k);
    if (category >= 0 && (!visible || visible[k]) && Number.isFinite(xs[k]) && Number.isFinite(ys[k])) members[category]?.push(k);
  }
  return members
    .map((indices, k) => ({ name: names[k], count: indices.length, indices: thinned(indices) }))
    .filter(({ count }) => count)
    .sort((a, b) => b.count - a.count)
    .map(({ name, indices }) => ({ name, x: median(indices, xs), y: median(indices, ys) }));
}

function thinned(indices) {
  const step = Math.ceil(indices.length / MAX_EXAMPLES);
  return step > 1 ? indices.filter((_, k) => k % step === 0) : indices;
}

function median(indices, values) {
  const sorted = Float32Array.from(indices, (k) => values[k]).sort();
  return sorted[Math.floor(sorted.length / 2)];
}
