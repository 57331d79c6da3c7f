// ONNX Runtime Web: runs an ONNX model in the page as WebAssembly, on one thread, without requests.

import * as ort from "explorer/vendor/ort.wasm.bundle.min.mjs";

let last = Promise.resolve();

/** Run jobs one after another: the runtime has one thread, and refuses calls while it is busy. */
function queued(work) {
  const result = last.then(work);
  last = result.catch(() => {});
  return result;
}

/**
 * A session for an .onnx file; `wasmBytes` is the runtime, `weights` the model's external data. `run` takes and returns
 * {name: {shape, data}}.
 */
export async function createEngine(onnxBytes, wasmBytes, weights) {
  // More threads need SharedArrayBuffer, which is not available to a page opened from disk.
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = wasmBytes;
  ort.env.logLevel = "error";
  const externalData = weights?.byteLength ? [{ path: "weights", data: new Uint8Array(weights) }] : [];
  const options = { executionProviders: ["wasm"], externalData };
  const session = await queued(() => ort.InferenceSession.create(new Uint8Array(onnxBytes), options));
  return {
    inputs: session.inputNames,
    outputs: session.outputNames,
    run: (feeds) => queued(async () => asTensors(await session.run(asFeeds(feeds)))),
  };
}

function asFeeds(feeds) {
  const tensor = ({ shape, data }) => new ort.Tensor("float32", data, shape);
  return Object.fromEntries(Object.entries(feeds).map(([name, value]) => [name, tensor(value)]));
}

function asTensors(outputs) {
  const plain = ({ dims, data }) => ({ shape: [...dims], data });
  return Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, plain(value)]));
}
