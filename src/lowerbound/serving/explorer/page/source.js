// The runs as the server has them. The page in one file has another module under this name: same methods, no server.

import { asCodes } from "explorer/codes.js";
import { readTensors } from "explorer/safetensors.js";

const EVERY = 500; // milliseconds between two questions how far the encoding is
const KEPT = "lowerbound-token";
// Of all that a report could hold, nothing is carried out: it may be a stranger's, and would have this page's origin.
const NO_SCRIPTS = `<!doctype html><meta http-equiv="Content-Security-Policy" content="default-src 'none'; ` +
  `script-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; form-action 'none'">`;
const TOKEN = tokenOfThisTab();

/** The token from the address, out of which it is taken: the history would keep it, and whoever is sent a link. */
function tokenOfThisTab() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  try {
    if (!given) return sessionStorage.getItem(KEPT);
    sessionStorage.setItem(KEPT, given); // of this tab alone, so that it can be loaded again
    history.replaceState(history.state, "", location.pathname + location.search);
  } catch {
    // A browser that keeps nothing: then the token stays in the address.
  }
  return given;
}

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
  if (!TOKEN) return path;
  const report = await (await request(path)).blob();
  return URL.createObjectURL(new Blob([NO_SCRIPTS, report], { type: "text/html;charset=utf-8" }));
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
