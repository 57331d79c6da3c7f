// The latents of all examples: reading them from tensors, filling them in as they arrive, sorting latents by variance.

/** The tensors of the server or the file, under the names that the page uses. */
export function asCodes(tensors) {
  const [count, latentDim] = tensors.mean.shape;
  return {
    count,
    latentDim,
    mean: tensors.mean.data,
    logVariance: tensors.log_variance?.data ?? null,
    labels: tensors.labels.data,
    splits: tensors.split.data,
  };
}

/** Codes of `count` examples, all unknown: NaN, without a label. */
export function blankCodes(count, latentDim, splitOf) {
  return {
    count,
    latentDim,
    mean: new Float32Array(count * latentDim).fill(NaN),
    logVariance: null,
    labels: new Int32Array(count).fill(-1),
    splits: Uint8Array.from({ length: count }, (_, index) => splitOf(index)),
  };
}

/** Fill in the codes of consecutive examples, the first of which has the index `start`. */
export function fillCodes(codes, part, start) {
  codes.mean.set(part.mean, start * codes.latentDim);
  codes.labels.set(part.labels, start);
  if (!part.logVariance) return;
  codes.logVariance ??= new Float32Array(codes.mean.length).fill(NaN);
  codes.logVariance.set(part.logVariance, start * codes.latentDim);
}

/** Indices of latents by the variance of the posterior means, largest first. */
export function latentsByVariance({ mean, latentDim }) {
  const sums = new Float64Array(latentDim);
  const squares = new Float64Array(latentDim);
  const known = new Float64Array(latentDim);
  mean.forEach((value, k) => {
    if (Number.isNaN(value)) return; // not encoded yet
    sums[k % latentDim] += value;
    squares[k % latentDim] += value * value;
    known[k % latentDim] += 1;
  });
  const variance = (k) => (known[k] ? squares[k] / known[k] - (sums[k] / known[k]) ** 2 : 0);
  return Array.from({ length: latentDim }, (_, k) => k).sort((a, b) => variance(b) - variance(a));
}
