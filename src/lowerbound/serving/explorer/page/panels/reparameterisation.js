// The panel of the reparameterisation: noise ε from N(0, I) becomes a draw z = μ + σ ε from an example's posterior.

import { button, captioned, element, fixed, latestOnly, panel, slider, table, toggle } from "explorer/dom.js";
import { colourOf } from "explorer/colours.js";
import { standardNormal } from "explorer/noise.js";
import { tile } from "explorer/pictures.js";

const SCALES = { "diagonal-normal": "σ", "low-rank-normal": "L", "full-normal": "L" }; // of ε: deviations, or a factor of the covariance
const MAX_DRAWS = 60; // on the plane
const PERIOD = 700; // milliseconds between two draws
const SIDE = 150; // of the plane of ε, in CSS pixels
const REACH = 3; // standard deviations of ε that are shown

/** Whether draws from a run's posterior are μ + σ ε. */
export const isReparameterised = (info) => info.posterior in SCALES && !info.is_deterministic;

export function createReparameterisationPanel(view) {
  const sigma = SCALES[view.info.posterior];
  const state = { posterior: null, noise: null, draws: [], seed: 1, timer: 0 };
  const words = element("p", { className: "quiet" }, "Click an example on the plane, or encode your own image.");
  const live = element("div", { className: "epsilon", hidden: true });
  const { node } = panel(
    "Reparameterisation",
    `z = μ + ${sigma} ε. The noise ε does not depend on the encoder, so that gradients reach it through μ and ${sigma}.`,
    words,
    live,
  );
  const canvas = element("canvas", {
    className: "noise",
    width: 2 * SIDE,
    height: 2 * SIDE,
    role: "img",
    "aria-label": "The noise ε, with circles at 1 and 2 standard deviations",
  });
  const decoded = element("div", { className: "epsilon-decoded" });
  const numbers = element("div", { className: "scroll" });
  const knobs = [0, 1].map((k) => noiseSlider(k, (value) => move(k, value)));
  const play = toggle("Play", "Draw repeatedly", (on) => (on ? repeat() : clearTimeout(state.timer)));
  const none = () => new Float32Array(view.info.latent_dim);
  live.append(
    element(
      "div",
      { className: "epsilon-pair" },
      captioned(canvas, "ε ~ N(0, I)"),
      captioned(decoded, `decoder at z = μ + ${sigma} ε`),
    ),
    ...knobs.slice(0, view.info.latent_dim).map(({ node: one }) => one),
    element("div", { className: "row" }, button("Draw ε", draw), play.node, button("ε = 0", () => set(none()))),
    numbers,
  );
  canvas.addEventListener("pointerdown", (event) => point(event));
  canvas.addEventListener("pointermove", (event) => event.buttons && point(event));

  /** The two latents whose noise is drawn and has sliders: those of the plane, or the first two. */
  const shown = () => {
    const { axes } = view.cursor.projection;
    return axes.length ? axes : [0, 1].slice(0, view.info.latent_dim);
  };

  function point(event) {
    const at = (offset) => (2 * REACH * offset) / canvas.clientWidth - REACH;
    const noise = state.noise.slice();
    const [across, up] = shown();
    noise[across] = at(event.offsetX);
    if (up !== undefined) noise[up] = -at(event.offsetY);
    set(noise);
  }

  function move(k, value) {
    const noise = state.noise.slice();
    noise[shown()[k]] = value;
    set(noise);
  }

  function draw() {
    state.seed += 1;
    set(standardNormal(view.info.latent_dim, state.seed));
  }

  function repeat() {
    draw();
    state.timer = setTimeout(repeat, PERIOD);
  }

  function set(noise) {
    state.noise = noise;
    const z = state.posterior.at(noise);
    state.draws = [...state.draws, z].slice(-MAX_DRAWS);
    view.stage.draws = state.draws;
    view.stage.scatter.redrawOverlay();
    const [first, second] = shown();
    knobs[0].set(noise[first]);
    if (second !== undefined) knobs[1].set(noise[second]);
    drawNoise(canvas, noise, shown());
    numbers.replaceChildren(table("", ["latent", "μ", "σ", "ε", "z"], shown().map((k) => row(state.posterior, noise, z, k))));
    decode(z);
  }

  const decode = latestOnly(async (z) => {
    const tensor = await view.source.decode(view.id, z).catch(() => null);
    if (tensor && !view.isDestroyed) decoded.replaceChildren(tile(view.info, tensor, 0, "The decoded draw"));
  });

  view.on("choose", async (index) => {
    const found = await view.pointOf(index).catch((error) => ({ problem: error.message }));
    view.emit("posterior", found, view.nameOf(index));
  });
  view.on("posterior", (found, name) => {
    const problem = found.problem ?? problemWith(view.info, found);
    words.textContent = problem || `The posterior of ${name}.`;
    live.hidden = Boolean(problem);
    Object.assign(state, { draws: [], posterior: problem ? null : posteriorOf(found) });
    view.stage.draws = [];
    if (problem) return play.isOn() && play.set(false);
    view.stage.marks = [{ z: state.posterior.mean, logVariance: found.log_variance, covariance: found.covariance, name }];
    set(none());
  });
  view.on("axes", () => state.posterior && set(state.noise));
  view.on("theme", () => state.posterior && drawNoise(canvas, state.noise, shown()));
  view.on("destroy", () => clearTimeout(state.timer));
  return { node };
}

function noiseSlider(k, oninput) {
  const name = "ε" + "₁₂"[k];
  return slider({ label: name, min: -REACH, max: REACH, step: 0.01, value: 0, show: (v) => fixed(v), oninput });
}

function problemWith(info, { log_variance: logVariance, covariance }) {
  if (!logVariance) return "The variances of this example's posterior are unknown: its data are unavailable.";
  const isKnown = info.posterior === "diagonal-normal" || covariance;
  return isKnown ? "" : "This page contains only the variances of examples; your own image has a covariance.";
}

/** The mean, the deviations, and z as a function of the noise. */
function posteriorOf({ mean, log_variance: logVariance, covariance }) {
  const deviation = logVariance.map((value) => Math.exp(value / 2));
  const factor = covariance && cholesky(covariance);
  const shift = (noise, k) =>
    factor ? factor[k].reduce((sum, value, j) => sum + value * noise[j], 0) : deviation[k] * noise[k];
  return {
    mean: Float32Array.from(mean),
    deviation,
    at: (noise) => Float32Array.from(mean, (value, k) => value + shift(noise, k)),
  };
}

/** The lower triangular factor L of a covariance L Lᵀ. */
function cholesky(covariance) {
  const factor = covariance.map((row) => row.map(() => 0));
  covariance.forEach((row, i) => {
    for (let j = 0; j <= i; j += 1) {
      let rest = row[j];
      for (let k = 0; k < j; k += 1) rest -= factor[i][k] * factor[j][k];
      factor[i][j] = i === j ? Math.sqrt(Math.max(0, rest)) : factor[j][j] ? rest / factor[j][j] : 0;
    }
  });
  return factor;
}

const row = (posterior, noise, z, k) => [
  `z${k + 1}`,
  fixed(posterior.mean[k], 3),
  fixed(posterior.deviation[k], 3),
  fixed(noise[k], 3),
  fixed(z[k], 3),
];

function drawNoise(canvas, noise, [across, up]) {
  const context = canvas.getContext("2d");
  const unit = canvas.width / (2 * REACH);
  const at = (value) => canvas.width / 2 + value * unit;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.strokeStyle = colourOf("muted");
  context.lineWidth = 2;
  context.setLineDash([6, 6]);
  for (const radius of [1, 2]) {
    context.beginPath();
    context.arc(at(0), at(0), radius * unit, 0, 2 * Math.PI);
    context.stroke();
  }
  context.setLineDash([]);
  const [x, y] = [at(noise[across]), at(up === undefined ? 0 : -noise[up])];
  context.strokeStyle = colourOf("muted");
  context.beginPath();
  context.moveTo(at(0), at(0));
  context.lineTo(x, y);
  context.stroke();
  context.fillStyle = colourOf("serious");
  context.beginPath();
  context.arc(x, y, 9, 0, 2 * Math.PI);
  context.fill();
}
