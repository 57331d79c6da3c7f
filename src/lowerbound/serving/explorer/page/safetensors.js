// Reader for the safetensors format: eight bytes with the length of a JSON header, the header, and the numbers, all
// little-endian, as on every machine with a browser. The format: https://huggingface.co/docs/safetensors.

const HEADER_START = 8; // bytes

const ARRAYS = {
  F64: Float64Array,
  F32: Float32Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I16: Int16Array,
  U16: Uint16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
};

// {name: {shape, data}} from a file's bytes; an Error of one line for anything else.
export function readTensors(buffer) {
  const [header, dataStart] = readHeader(buffer);
  const names = Object.keys(header).filter((name) => name !== "__metadata__");
  return Object.fromEntries(names.map((name) => [name, readTensor(buffer, dataStart, name, header[name])]));
}

function readHeader(buffer) {
  const length = buffer.byteLength < HEADER_START ? Infinity : Number(new DataView(buffer).getBigUint64(0, true));
  if (length > buffer.byteLength - HEADER_START) {
    throw new Error(`these ${buffer.byteLength} bytes are not a safetensors file, or are truncated.`);
  }
  const text = new TextDecoder().decode(new Uint8Array(buffer, HEADER_START, length));
  try {
    return [JSON.parse(text), HEADER_START + length];
  } catch {
    throw new Error("these bytes are not a safetensors file: the header is not JSON.");
  }
}

function readTensor(buffer, dataStart, name, { dtype, shape, data_offsets: [begin, end] }) {
  const Type = ARRAYS[dtype];
  if (Type === undefined) {
    throw new Error(`tensor ${name} has the type ${dtype}; accepted: ${Object.keys(ARRAYS).join(", ")}.`);
  }
  const size = shape.reduce((product, length) => product * length, 1) * Type.BYTES_PER_ELEMENT;
  if (size !== end - begin || dataStart + end > buffer.byteLength) {
    throw new Error(`tensor ${name} should have ${size} bytes, but is truncated.`);
  }
  // A view needs no copy, but is possible only at a multiple of the element size.
  const aligned = (dataStart + begin) % Type.BYTES_PER_ELEMENT === 0;
  const data = aligned
    ? new Type(buffer, dataStart + begin, size / Type.BYTES_PER_ELEMENT)
    : new Type(buffer.slice(dataStart + begin, dataStart + end));
  return { shape, data };
}
