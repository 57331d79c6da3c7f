// Projections of codes onto the plane: two latents, the first two principal components, or UMAP.
//
// A projection has a kind; `names` of its axes; `axes`, the latents that are its axes, if they are; `toPlane(z)`, the
// position of a code; `coordinates(codes)`, those of all examples; `hasCodes`, whether every position has a code, which
// `lift(z, x, y)` gives, the nearest to z; `spread(variance, covariance)`, the covariance in the plane, as [xx, xy, yy], or null.

import { dot, principalVectors } from "explorer/principal.js";

const SPREAD = 0.5; // of dots with the same one-hot code
const STEPS = [0.754878, 0.56984]; // of a sequence that fills the unit square evenly
const GOLDEN = 0.618034;

/** Two latents, or the only one, whose height in the plane is arbitrary. */
export function latentProjection({ space }, axes) {
  const [across, up] = axes;
  const jitter = space.name === "one-hot" ? SPREAD : 0;
  const along = (axis, step) => (codes) =>
    numbers(codes.count, (k) => codes.mean[k * codes.latentDim + axis] + jitter * (((k * step) % 1) - 0.5));
  const height = (codes) => numbers(codes.count, (k) => (isKnown(codes, k) ? ((k * GOLDEN) % 1) - 0.5 : NaN));
  return {
    kind: "latents",
    hasCodes: true,
    axes,
    names: axes.map((axis) => `z${axis + 1}`),
    toPlane: (z) => [z[across], up === undefined ? 0 : z[up]],
    coordinates: (codes) => [along(across, STEPS[0])(codes), up === undefined ? height(codes) : along(up, STEPS[1])(codes)],
    lift: (z, x, y) => moved(z, [across, x], [up, y]),
    spread: (variance, covariance) =>
      up === undefined ? null : [variance[across], covariance ? covariance[across][up] : 0, variance[up]],
  };
}

/** The two directions of the largest variance of the codes; the origin stays in its place. */
export function principalProjection(codes) {
  const { vectors, shares } = principalVectors(codes);
  const along = (vector) => numbers(codes.count, (k) => dot(vector, codes.mean.subarray(k * codes.latentDim)));
  const quadratic = (a, b, variance, covariance) =>
    covariance
      ? a.reduce((sum, value, i) => sum + value * dot(b, covariance[i]), 0)
      : a.reduce((sum, value, k) => sum + value * b[k] * variance[k], 0);
  const [first, second] = vectors;
  return {
    kind: "pca",
    hasCodes: true,
    axes: [],
    names: shares.map((share, k) => `PC${k + 1} (${Math.round(100 * share)} %)`),
    toPlane: (z) => [dot(first, z), dot(second, z)],
    coordinates: () => [along(first), along(second)],
    lift: (z, x, y) => {
      const [dx, dy] = [x - dot(first, z), y - dot(second, z)];
      return z.map((value, k) => value + dx * first[k] + dy * second[k]);
    },
    spread: (variance, covariance) => [
      quadratic(first, first, variance, covariance),
      quadratic(first, second, variance, covariance),
      quadratic(second, second, variance, covariance),
    ],
  };
}

/** Given positions of the examples; other codes have the position of the nearest example. */
export function fixedProjection(codes, plane) {
  const at = (side) => numbers(codes.count, (k) => plane[2 * k + side]);
  return {
    kind: "umap",
    hasCodes: false,
    axes: [],
    names: ["UMAP 1", "UMAP 2"],
    toPlane: (z) => {
      const k = nearestCode(codes, z);
      return [plane[2 * k], plane[2 * k + 1]];
    },
    coordinates: () => [at(0), at(1)],
    lift: (z) => z.slice(),
    spread: () => null,
  };
}

const numbers = (count, at) => Float32Array.from({ length: count }, (_, k) => at(k));

const isKnown = (codes, k) => !Number.isNaN(codes.mean[k * codes.latentDim]);

function moved(z, ...changes) {
  const out = z.slice();
  for (const [latent, value] of changes) if (latent !== undefined) out[latent] = value;
  return out;
}

function nearestCode({ mean, count, latentDim }, z) {
  let [best, least] = [0, Infinity];
  for (let k = 0; k < count; k += 1) {
    let sum = 0;
    for (let j = 0; j < latentDim && sum < least; j += 1) sum += (mean[k * latentDim + j] - z[j]) ** 2;
    if (sum < least) [best, least] = [k, sum];
  }
  return best;
}
