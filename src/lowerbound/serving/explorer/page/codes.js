// The latents of all examples: reading them from tensors, and sorting latents by variance.

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

/** Indices of latents by the variance of the posterior means, largest first. */
export function latentsByVariance({ mean, count, latentDim }) {
  const sums = new Float64Array(latentDim);
  const squares = new Float64Array(latentDim);
  mean.forEach((value, k) => {
    sums[k % latentDim] += value;
    squares[k % latentDim] += value * value;
  });
  const variance = (k) => squares[k] / count - (sums[k] / count) ** 2;
  return Array.from({ length: latentDim }, (_, k) => k).sort((a, b) => variance(b) - variance(a));
}
