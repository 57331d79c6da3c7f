// Encoding of an image in the offline page: its posterior, its ELBO with rate and distortion, and its neighbours.
//
//     rate        KL(q(z|x) ‖ p(z)), or the mean of log q(z|x) − log p(z) over draws, nats: an output of the model
//     distortion  −E[log p(x|z)], the mean over draws from q(z|x), nats

import { given } from "explorer/given.js";
import { runModel } from "explorer/offline_models.js";
import { standardNormal } from "explorer/noise.js";
import { readPicture } from "explorer/offline_picture.js";

const NUM_DRAWS = 64;
const DRAWS_AT_ONCE = 8; // after which the page can respond to input
const NUM_NEIGHBOURS = 8;

export async function encode(info, facts, prior, examples, codes, blob) {
  const { x, seen, wasResized } = await readPicture(blob, info.image, facts);
  const encoded = info.is_deterministic ? await codeOf(info, x) : await boundOf(info, prior, x);
  const pixels = examples ? nearest(distancesTo(examples, seen.data), codes, info, facts.first_embedded) : [];
  const convention = facts.conventions[isBinary(x) ? "binary" : "grey"];
  const notes = [...(wasResized ? [RESIZED] : []), ...facts.encode_notes, ...(convention ? [] : [facts.no_bound])];
  return {
    ...encoded,
    ...(convention ? {} : UNSCORED),
    unit: "nats",
    convention: convention ?? "",
    neighbours: { pixels, codes: neighboursOf(encoded.mean, codes, info) },
    seen: { shape: seen.shape, data: base64(seen.data) },
    notes,
  };
}

const isBinary = (x) => x.every((value) => value === 0 || value === 1);

const RESIZED =
  "resized by this browser, whose filter differs slightly from the one used for the run's data";

const UNSCORED = { elbo: null, elbo_standard_error: null, distortion: null, reconstruction_error: null, num_draws: 0 };

/** The embedded examples whose posterior means are nearest to z. */
export function neighboursOf(z, codes, info) {
  const { count, latentDim, mean } = codes;
  const distances = Float32Array.from({ length: count }, (_, row) => {
    let sum = 0;
    for (let k = 0; k < latentDim; k += 1) sum += (mean[row * latentDim + k] - z[k]) ** 2;
    return Math.sqrt(sum);
  });
  return nearest(distances, codes, info);
}

async function codeOf(info, x) {
  const noise = new Float32Array(info.latent_dim); // not an input of the model; its one row stands for one example
  const { code, log_likelihood: logLikelihood } = await runModel(info, x, noise, given(info.id));
  const none = { ...UNSCORED, log_variance: null, rate: null, rate_per_dimension: null };
  return { ...none, mean: [...code], reconstruction_error: -logLikelihood[0] };
}

async function boundOf(info, prior, x) {
  // The same noise every time, so that an image always has the same ELBO.
  const noise = standardNormal(NUM_DRAWS * info.latent_dim, 0);
  const size = DRAWS_AT_ONCE * info.latent_dim;
  const [logLikelihoods, rates] = [[], []];
  let posterior;
  for (let start = 0; start < noise.length; start += size) {
    posterior = await runModel(info, x, noise.slice(start, start + size), given(info.id));
    logLikelihoods.push(...posterior.log_likelihood);
    rates.push(...posterior.rate);
    await new Promise((resolve) => setTimeout(resolve));
  }
  const mean = [...posterior.mean.slice(0, info.latent_dim)];
  const logVariance = [...posterior.log_variance.slice(0, info.latent_dim)];
  const average = (values) => values.reduce((sum, value) => sum + value, 0) / NUM_DRAWS;
  const elbos = logLikelihoods.map((value, draw) => value - rates[draw]);
  const [elbo, rate] = [average(elbos), average(rates)];
  const variance = elbos.reduce((sum, value) => sum + (value - elbo) ** 2, 0) / (NUM_DRAWS - 1);
  return {
    mean,
    log_variance: logVariance,
    covariance: covarianceOf(posterior.scale_tril, info.latent_dim),
    rate,
    rate_per_dimension: posterior.scale_tril ? null : ratePerLatent(mean, logVariance, prior.sampling),
    distortion: -average(logLikelihoods),
    elbo,
    elbo_standard_error: Math.sqrt(variance / NUM_DRAWS),
    num_draws: NUM_DRAWS,
  };
}

/** The KL of each latent between diagonal normals; null for any other prior. */
function ratePerLatent(mean, logVariance, { weights, means, deviations }) {
  if (weights?.length !== 1) return null;
  return mean.map((value, k) => {
    const logRatio = logVariance[k] - 2 * Math.log(deviations[0][k]);
    const squared = ((value - means[0][k]) / deviations[0][k]) ** 2;
    return 0.5 * (Math.exp(logRatio) + squared - 1 - logRatio);
  });
}

/** L Lᵀ of the first example, as rows; null for a diagonal covariance. */
function covarianceOf(scaleTril, dim) {
  if (!scaleTril) return null;
  const row = (i) => scaleTril.slice(i * dim, (i + 1) * dim);
  const product = (a, b) => a.reduce((sum, value, k) => sum + value * b[k], 0);
  return Array.from({ length: dim }, (_, i) => Array.from({ length: dim }, (_, j) => product(row(i), row(j))));
}

/** Euclidean distances, on pixels in [0, 1], to every example whose image is embedded. */
function distancesTo({ shape, data }, pixels) {
  const [count, height, width, channels] = shape;
  const size = height * width * channels;
  return Float32Array.from({ length: count }, (_, row) => {
    let sum = 0;
    for (let i = 0; i < size; i += 1) sum += (data[row * size + i] - pixels[channels === 3 ? i : 3 * i]) ** 2;
    return Math.sqrt(sum) / 255;
  });
}

/** The smallest distances; the first element belongs to the example with index `first`. */
function nearest(distances, codes, info, first = 0) {
  const order = [...distances.keys()].sort((a, b) => distances[a] - distances[b]).slice(0, NUM_NEIGHBOURS);
  return order.map((row) => {
    const index = first + row;
    return { index, distance: distances[row], label_name: info.label_names[codes.labels[index]] ?? null };
  });
}

function base64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
