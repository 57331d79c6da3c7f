// The runs as the server has them. The page in one file has another module under this name: same methods, no server.

import { asCodes } from "explorer/codes.js";
import { readTensors } from "explorer/safetensors.js";

const EVERY = 500; // milliseconds between two questions how far the encoding is
const TOKEN = new URLSearchParams(location.hash.slice(1)).get("token");

async function request(path, options = {}) {
  const headers = TOKEN ? { ...options.headers, Authorization: `Bearer ${TOKEN}` } : options.headers;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("The server does not answer; is `lowerbound explore` still running?");
  }
  if (response.ok) return response;
  if (response.status === 401)
    throw new Error("This page needs its token: open the whole address that `lowerbound explore` printed.");
  const said = await response.json().catch(() => ({}));
  throw new Error(said.error ?? `The server answered ${response.status}.`);
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

/** What was decoded, whatever the data are: images, or values of elements. */
const shown = (found) => found.images ?? found.values;

async function codes(id, onProgress) {
  let isDone = false;
  const look = async () => {
    const progress = await json(`${of(id)}/progress`).catch(() => null);
    if (!isDone) onProgress(progress);
  };
  const timer = setInterval(look, EVERY);
  try {
    return asCodes(await tensors(`${of(id)}/codes`));
  } finally {
    isDone = true;
    clearInterval(timer);
  }
}

/** A link cannot carry a token, so that where one is needed the report is fetched and opened from memory. */
async function reportURL(id) {
  const path = `${of(id)}/report`;
  return TOKEN ? URL.createObjectURL(await (await request(path)).blob()) : path;
}

export async function openSource() {
  return {
    isOffline: false,
    runs: async () => (await json("/api/runs")).runs,
    info: (id) => json(of(id)),
    codes,
    decode: async (id, z) => shown(await tensors(`${of(id)}/decode`, raw(new Float32Array(z)))),
    images: async (id, indices) => shown(await tensors(`${of(id)}/images?indices=${indices.join(",")}`)),
    point: (id, index) => json(`${of(id)}/points/${index}`),
    encode: (id, blob) => json(`${of(id)}/encode`, raw(blob)),
    sample: (id, num, temperature, seed) => tensors(`${of(id)}/sample`, posted({ num, temperature, seed })),
    neighbours: (id, z) => json(`${of(id)}/neighbours`, posted({ z: Array.from(z) })),
    metrics: (id, after) => json(`${of(id)}/metrics?after=${after}`),
    reportURL,
  };
}
