// The space of the latents, the same as in probability/spaces.py: which points are codes, and the path between two.

const LEAST = 1e-6; // norm of other coordinates below which they have no direction
const SMALL_ANGLE = 1e-4;

/** The code nearest to a point that keeps the latents in `fixed` as far as the space allows. */
export function snap({ space, latent_dim: dim }, z, fixed = []) {
  const others = [...z.keys()].filter((k) => !fixed.includes(k) && k < dim);
  if (space.name === "sphere") return share(z, fixed, others, (values) => Math.hypot(...values), (s) => Math.sqrt(1 - s * s));
  if (space.name === "simplex") {
    const positive = z.map((value) => Math.max(0, value));
    return share(positive, fixed, others, (values) => values.reduce((sum, value) => sum + value, 0), (s) => 1 - s);
  }
  return space.name === "one-hot" ? hard(z, fixed, space.num_categories) : z;
}

/** Scale the fixed latents to a norm of at most 1, and the others to the rest of it. */
function share(z, fixed, others, norm, rest) {
  const at = (indices) => indices.map((k) => z[k]);
  const out = z.slice();
  const taken = norm(at(fixed));
  if (!others.length && taken <= LEAST) return out.fill(1 / norm(at(fixed).map(() => 1)));
  const scale = taken > 1 || (taken > LEAST && !others.length) ? 1 / taken : 1;
  for (const k of fixed) out[k] = z[k] * scale;
  const left = others.length ? rest(Math.min(1, taken)) : 0;
  const spread = norm(at(others));
  const even = others.length ? 1 / norm(others.map(() => 1)) : 0;
  for (const k of others) out[k] = left * (spread > LEAST ? z[k] / spread : even);
  return out;
}

/** One category in each group: the largest, unless a fixed latent says that it is the one, or not. */
function hard(z, fixed, size) {
  const out = new Float32Array(z.length);
  for (let start = 0; start < z.length; start += size) {
    const group = [...z.slice(start, start + size)];
    const isFixed = (k) => fixed.includes(start + k);
    const score = (value, k) => (isFixed(k) ? (value > 0.5 ? 2 + value : value - 1) : value);
    const scores = group.map(score);
    out[start + scores.indexOf(Math.max(...scores))] = 1;
  }
  return out;
}

/** `count` codes from one to another, including both, row by row. */
export function pathBetween(info, begin, end, count) {
  const points = new Float32Array(count * begin.length);
  const at = course(info, begin, end);
  for (let k = 0; k < count; k += 1) points.set(at(k / (count - 1)), k * begin.length);
  return points;
}

function course({ space }, begin, end) {
  const mixed = (a, b) => begin.map((value, k) => a * value + b * end[k]);
  if (space.name === "one-hot" || space.name === "codes") {
    const size = space.name === "codes" ? space.code_dim : space.num_categories;
    return (share) => begin.map((value, k) => (Math.floor(k / size) < Math.round((share * begin.length) / size) ? end[k] : value));
  }
  const cosine = begin.reduce((sum, value, k) => sum + value * end[k], 0);
  const angle = space.name === "sphere" ? Math.acos(Math.min(1, Math.max(-1, cosine))) : 0;
  if (angle < SMALL_ANGLE || Math.PI - angle < SMALL_ANGLE)
    return (share) => snap({ space, latent_dim: begin.length }, mixed(1 - share, share));
  return (share) => mixed(Math.sin((1 - share) * angle) / Math.sin(angle), Math.sin(share * angle) / Math.sin(angle));
}

/** What a path is called in this space. */
export function pathWords({ space }) {
  return {
    real: "The path is a straight line in z, not a geodesic; it may leave the region of the data.",
    sphere: "The path is the shorter arc of a great circle.",
    simplex: "The path is a straight line: mixtures of the two codes.",
    "one-hot": "The codes change group by group.",
    codes: "The codes change position by position.",
  }[space.name];
}

/** What the code of an example is, in the heading of a table. */
export const codeWord = ({ space }) =>
  ({ real: "mean", sphere: "mean direction", simplex: "centre", "one-hot": "most probable code", codes: "code" })[space.name];
