// Embedded data of the offline page: gzipped blocks in base64, in script elements that are not executed. A block is
// decompressed on first use.

import { readTensors } from "explorer/safetensors.js";

const blocks = new Map();

/** The bytes of a block, as an ArrayBuffer. */
export function block(name) {
  if (!blocks.has(name)) blocks.set(name, decompress(name));
  return blocks.get(name);
}

export const isEmbedded = (name) => element(name) !== null;

export const tensorsOf = async (name) => readTensors(await block(name));

export const jsonOf = async (name) => JSON.parse(new TextDecoder().decode(await block(name)));

const element = (name) => document.getElementById(`block-${name}`);

async function decompress(name) {
  const text = atob(element(name).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
