// Codes of many examples, whoever sent them: where each lies, and which latents they vary most in.

/** Tensors as they were sent, under the names that the page uses. */
export function asCodes(found) {
  const [count, latentDim] = found.mean.shape;
  return {
    count,
    latentDim,
    mean: found.mean.data,
    logVariance: found.log_variance?.data ?? null,
    labels: found.labels.data,
    splits: found.split.data,
  };
}

/** Latents by the variance of the codes' means, greatest first. */
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
