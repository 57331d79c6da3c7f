// The data source of the page: requests to the server. In the offline page, offline_source.js takes its place.

import { asCodes } from "explorer/codes.js";
import { give, given, startWith } from "explorer/given.js";
import { createDecoder } from "explorer/page_decoder.js";
import { readTensors } from "explorer/safetensors.js";

const TOKEN_KEY = "lowerbound-token";
// A report may come from someone else, and would have this page's origin: no script in it is run.
const NO_SCRIPTS = `<!doctype html><meta http-equiv="Content-Security-Policy" content="default-src 'none'; ` +
  `script-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; form-action 'none'">`;
const TOKEN = tokenOfThisTab();

/** The token from the URL, which is removed from it so that neither history nor copied links contain it. */
function tokenOfThisTab() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  try {
    if (!token) return sessionStorage.getItem(TOKEN_KEY);
    sessionStorage.setItem(TOKEN_KEY, token); // for this tab only, so that it can be reloaded
    history.replaceState(history.state, "", location.pathname + location.search);
  } catch {
    // Without storage the token stays in the URL.
  }
  return token;
}

async function request(path, options = {}) {
  const headers = TOKEN ? { ...options.headers, Authorization: `Bearer ${TOKEN}` } : options.headers;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("The server does not respond; is `lowerbound explore` still running?");
  }
  if (response.ok) return response;
  if (response.status === 401)
    throw new Error("This page needs its token: open the full address printed by `lowerbound explore`.");
  const body = await response.json().catch(() => ({}));
  throw new Error(body.error ?? `The server responded with status ${response.status}.`);
}

const json = async (path, options) => (await request(path, options)).json();
const tensors = async (path, options) => readTensors(await (await request(path, options)).arrayBuffer());
const of = (id) => `/api/runs/${encodeURIComponent(id)}`;
const posted = (value) => raw(new Blob([JSON.stringify(value)], { type: "application/json" }));

const raw = (body) => ({
  method: "POST",
  headers: { "Content-Type": body.type || "application/octet-stream" },
  body,
});

/** The decoded examples: images, or rows of values; with log p(z) of each as `logPrior` if there is a prior. */
const displayed = (found) => ({ ...(found.images ?? found.values), logPrior: found.log_prior?.data ?? null });

/** A link cannot send a token; if one is required, the report is fetched and opened from memory. */
async function reportURL(id) {
  const path = `${of(id)}/report`;
  if (!TOKEN) return path;
  const report = await (await request(path)).blob();
  return URL.createObjectURL(new Blob([NO_SCRIPTS, report], { type: "text/html;charset=utf-8" }));
}

/** What decodes the latents of each run, which needs its description. */
const decoders = new Map();

/** The query with the values of conditions: those chosen, or others, of which each may be a list for all latents. */
function query(id, others = {}, start = "?") {
  const values = { ...given(id), ...others };
  return Object.keys(values).length ? `${start}given=${encodeURIComponent(JSON.stringify(values))}` : "";
}

/** The level of latents that each run decodes, of those with several; levels below it follow from it. */
const levels = new Map();

async function decode(id, z, others) {
  const values = query(id, others);
  const level = levels.has(id) ? `${values ? "&" : "?"}level=${levels.get(id)}` : "";
  return displayed(await tensors(`${of(id)}/decode${values}${level}`, raw(new Float32Array(z))));
}
const decoderModel = async (id) => (await request(`${of(id)}/decoder`)).arrayBuffer();

/** Decode in the page where that is possible, else on the server; with the chosen values of conditions, or others. */
function decodeNear(id, z, others) {
  const near = levels.get(id) > 1 ? null : decoders.get(id);
  return near ? near(z, others) : decode(id, z, others);
}

/** The description of a run; `isBrief` does not wait for the data, without which it is incomplete. */
async function info(id, isBrief = false) {
  const about = await json(`${of(id)}${isBrief ? "?wait=false" : ""}`);
  startWith(id, about.given);
  if (!decoders.has(id) && about.can.decode)
    decoders.set(id, createDecoder(about, () => decoderModel(id), (z, others) => decode(id, z, others)));
  return about;
}

export async function openSource() {
  return {
    isOffline: false,
    runs: async () => (await json("/api/runs")).runs,
    info,
    /** The codes of the test examples in the results. */
    storedCodes: async (id) => asCodes(await tensors(`${of(id)}/codes/stored`)),
    /** The codes from a row on, as many as are available. */
    codes: async (id, row = 0) => asCodes(await tensors(`${of(id)}/codes?after=${row}`)),
    values: async (id, name) => (await tensors(`${of(id)}/values?name=${encodeURIComponent(name)}`)).values.data,
    umap: async (id) => (await tensors(`${of(id)}/umap`)).plane.data,
    decode: (id, z) => decodeNear(id, z),
    setLevel: (id, level) => levels.set(id, level),
    /** The values of conditions with which a run decodes from now on. */
    give,
    given,
    /** One point decoded with each of several values of a condition. */
    decodeWith: (id, z, name, values) => decodeNear(id, values.flatMap(() => Array.from(z)), { [name]: values }),
    priorContours: (id, axes) => json(`${of(id)}/prior?axes=${axes.join(",")}${query(id, {}, "&")}`),
    images: async (id, indices) => displayed(await tensors(`${of(id)}/images?indices=${indices.join(",")}`)),
    point: (id, index) => json(`${of(id)}/points/${index}`),
    encode: (id, blob) => json(`${of(id)}/encode${query(id)}`, raw(blob)),
    sample: (id, num, temperature, seed) =>
      tensors(`${of(id)}/sample`, posted({ num, temperature, seed, given: given(id) })),
    neighbours: (id, z) => json(`${of(id)}/neighbours`, posted({ z: Array.from(z) })),
    frames: (id) => tensors(`${of(id)}/frames`),
    metrics: (id, after) => json(`${of(id)}/metrics?after=${after}`),
    reportURL,
  };
}
