// A model that runs in the page: ONNX Runtime Web as WebAssembly, on one thread, without any request.

import * as ort from "explorer/vendor/ort.wasm.bundle.min.mjs";

let last = Promise.resolve();

/** One piece of work after the other: the runtime has one thread, and refuses what comes while it is at work. */
function inTurn(work) {
  const result = last.then(work);
  last = result.catch(() => {});
  return result;
}

/** The model of an .onnx file; `wasmBytes` is the runtime itself. `run` takes and gives {name: {shape, data}}. */
export async function createEngine(onnxBytes, wasmBytes) {
  // More threads need SharedArrayBuffer, which a page opened from disk is not given.
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = wasmBytes;
  ort.env.logLevel = "error";
  const options = { executionProviders: ["wasm"] };
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
