// What the page carries: gzipped blocks in base64, each in a script element that no browser runs. A block is unpacked
// when it is first asked for.

import { readTensors } from "explorer/safetensors.js";

const unpacked = new Map();

/** The bytes of a block, as an ArrayBuffer. */
export function block(name) {
  if (!unpacked.has(name)) unpacked.set(name, unpack(name));
  return unpacked.get(name);
}

export const isCarried = (name) => element(name) !== null;

export const tensorsOf = async (name) => readTensors(await block(name));

export const jsonOf = async (name) => JSON.parse(new TextDecoder().decode(await block(name)));

const element = (name) => document.getElementById(`carried-${name}`);

async function unpack(name) {
  const text = atob(element(name).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
