// Principal components: the two orthogonal directions in which codes vary most, by orthogonal iteration.

const MAX_PRODUCTS = 1e8; // multiplications for the covariance, about a tenth of a second
const NUM_ITERATIONS = 300;

/** The first two eigenvectors of the codes' covariance, with their shares of the total variance. */
export function principalVectors(codes) {
  const covariance = covarianceOf(codes);
  const total = covariance.reduce((sum, row, k) => sum + row[k], 0);
  let vectors = startingVectors(covariance);
  for (let step = 0; step < NUM_ITERATIONS; step += 1) vectors = orthonormal(vectors.map((vector) => times(covariance, vector)));
  // A sign is arbitrary: the largest element is positive, so that the same codes give the same picture.
  vectors = vectors.map((vector) => scaled(vector, Math.sign(largest(vector)) || 1));
  const shares = vectors.map((vector) => dot(vector, times(covariance, vector)) / (total || 1));
  return { vectors, shares };
}

function covarianceOf({ mean, count, latentDim: dim }) {
  const step = Math.max(1, Math.ceil((count * dim * dim) / MAX_PRODUCTS));
  const rows = [];
  for (let k = 0; k < count; k += step) if (!Number.isNaN(mean[k * dim])) rows.push(mean.subarray(k * dim, (k + 1) * dim));
  const centre = Float64Array.from({ length: dim }, (_, j) => rows.reduce((sum, row) => sum + row[j], 0) / rows.length);
  const covariance = Array.from({ length: dim }, () => new Float64Array(dim));
  const centred = new Float64Array(dim);
  for (const row of rows) {
    for (let j = 0; j < dim; j += 1) centred[j] = row[j] - centre[j];
    for (let i = 0; i < dim; i += 1) for (let j = i; j < dim; j += 1) covariance[i][j] += centred[i] * centred[j];
  }
  for (let i = 0; i < dim; i += 1)
    for (let j = i; j < dim; j += 1) covariance[j][i] = covariance[i][j] /= Math.max(1, rows.length - 1);
  return covariance;
}

/** The axes of largest variance, slightly tilted: an exact axis may be orthogonal to an eigenvector. */
function startingVectors(covariance) {
  const order = covariance.map((row, k) => k).sort((a, b) => covariance[b][b] - covariance[a][a]);
  return orthonormal(order.slice(0, 2).map((axis, n) => covariance.map((_, k) => (k === axis ? 1 : 0.01 / (k + n + 1)))));
}

function orthonormal([first, second]) {
  const unit = normalised(first, 0);
  const overlap = dot(unit, second);
  return [unit, normalised(second.map((value, k) => value - overlap * unit[k]), 1)];
}

/** A vector of length 1; an axis for a vector of length 0. */
function normalised(vector, axis) {
  const norm = Math.sqrt(dot(vector, vector));
  return norm > 1e-300 ? scaled(vector, 1 / norm) : vector.map((_, k) => Number(k === axis));
}

/** The product of a vector with another, of which only as many elements count. */
export const dot = (a, b) => a.reduce((sum, value, k) => sum + value * b[k], 0);
const scaled = (vector, factor) => Array.from(vector, (value) => value * factor);
const times = (matrix, vector) => matrix.map((row) => dot(row, vector));
const largest = (vector) => vector.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
