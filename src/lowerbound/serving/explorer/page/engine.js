// A model that runs in the page: ONNX Runtime Web as WebAssembly, on one thread, without any request.

import * as ort from "explorer/vendor/ort.wasm.bundle.min.mjs";

let last = Promise.resolve();

/** One piece of work after the other: the runtime has one thread, and refuses what comes while it is at work. */
function inTurn(work) {
  const result = last.then(work);
  last = result.catch(() => {});
  return result;
}

/**
 * The model of an .onnx file; `wasmBytes` is the runtime itself, `weights` are the bytes of what the model calls by
 * that name as its external data. `run` takes and gives {name: {shape, data}}.
 */
export async function createEngine(onnxBytes, wasmBytes, weights) {
  // More threads need SharedArrayBuffer, which a page opened from disk is not given.
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = wasmBytes;
  ort.env.logLevel = "error";
  const externalData = weights?.byteLength ? [{ path: "weights", data: new Uint8Array(weights) }] : [];
  const options = { executionProviders: ["wasm"], externalData };
  const session = await inTurn(() => ort.InferenceSession.create(new Uint8Array(onnxBytes), options));
  return {
    inputs: session.inputNames,
    outputs: session.outputNames,
    run: (feeds) => inTurn(async () => described(await session.run(asFeeds(feeds)))),
  };
}

function asFeeds(feeds) {
  const tensor = ({ shape, data }) => new ort.Tensor("float32", data, shape);
  return Object.fromEntries(Object.entries(feeds).map(([name, value]) => [name, tensor(value)]));
}

function described(outputs) {
  const plain = ({ dims, data }) => ({ shape: [...dims], data });
  return Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, plain(value)]));
}
