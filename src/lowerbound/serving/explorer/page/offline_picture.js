// Reading of image files by the browser. A file of the model's size is read pixel by pixel; others are resampled by a
// canvas, whose filter differs from the one used for the run's data.

const READABLE = "PNG, JPEG, WebP and BMP";

/**
 * The pixels of a file: `x` as channels × height × width in [0, 1], rounded to the levels of the run's data, `seen` as
 * bytes, height × width × 3.
 */
export async function readPicture(blob, { width, height, channels }, { resize, num_steps: numSteps }) {
  const picture = await createImageBitmap(blob).catch(() => {
    throw new Error(`This browser cannot read the file${blob.type ? ` (${blob.type})` : ""}; it reads ${READABLE}.`);
  });
  const wasResized = picture.width !== width || picture.height !== height;
  const seen = drawn(picture, width, height, resize);
  picture.close();
  if (channels === 1) makeGrey(seen);
  return { x: asExample(seen, channels, numSteps), seen: { shape: [height, width, 3], data: seen }, wasResized };
}

function drawn(picture, width, height, resize) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const pick = resize === "crop" ? Math.max : Math.min;
  const scale = pick(width / picture.width, height / picture.height);
  const [w, h] = [picture.width * scale, picture.height * scale];
  const place = [(width - w) / 2, (height - h) / 2, w, h];
  context.fillStyle = "black";
  context.fillRect(0, 0, width, height);
  // Transparency becomes white, as in the run's data.
  context.fillStyle = "white";
  context.fillRect(...place);
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, ...place);
  const { data } = context.getImageData(0, 0, width, height);
  return Uint8Array.from({ length: width * height * 3 }, (_, i) => data[4 * Math.floor(i / 3) + (i % 3)]);
}

/** Luminance by ITU-R 601, in the integers that Pillow uses. */
function makeGrey(pixels) {
  for (let i = 0; i < pixels.length; i += 3) {
    const level = (19595 * pixels[i] + 38470 * pixels[i + 1] + 7471 * pixels[i + 2] + 32768) >> 16;
    pixels.fill(level, i, i + 3);
  }
}

function asExample(pixels, channels, numSteps) {
  const size = pixels.length / 3;
  const onLevel = (value) => (numSteps ? Math.round(value * numSteps) / numSteps : value);
  return Float32Array.from({ length: channels * size }, (_, i) =>
    onLevel(pixels[3 * (i % size) + Math.floor(i / size)] / 255),
  );
}
