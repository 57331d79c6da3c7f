// How typical an image is: its ELBO among those of the test examples.

import { colourOf } from "explorer/colours.js";
import { counted, element, fixed } from "explorer/dom.js";

const UNUSUAL = 0.05; // share of the test examples below which an image is called unusual
const NUM_BARS = 48;
const SIZE = { width: 600, height: 90 };

/** The place of an encoded image among the test examples, as an element; empty where either has no number. */
export async function typicalityOf(view, found) {
  const [name, title] = view.info.is_deterministic ? ["reconstruction_error", "reconstruction error"] : ["elbo", "ELBO"];
  const value = found[name];
  if (value === null || value === undefined || !view.info.quantities.some((one) => one.name === name)) return "";
  const isKnown = (number, k) => !Number.isNaN(number) && view.splitOf(k) === "test";
  const known = (await view.valuesOf(name)).filter(isKnown).sort();
  if (!known.length) return "";
  const sign = name === "elbo" ? 1 : -1; // higher is better, or lower
  const worse = known.filter((other) => sign * other < sign * value).length;
  const words = wordsOf(worse, known.length, title, sign);
  const described = `${title} of the test examples; this image has ${fixed(value)} nats`;
  return element("div", { className: "typicality" }, element("p", {}, words), histogram(known, value, described));
}

function wordsOf(worse, count, title, sign) {
  const [share, of] = [worse / count, `of the ${counted(count)} test examples`];
  const lower = sign > 0 ? "lower" : "higher";
  const percent = (part) => `${Math.round(100 * part)} %`;
  if (!worse) return `Unusual: the ${title} is ${lower} than that of every test example.`;
  if (share < UNUSUAL) return `Unusual: the ${title} is ${lower} than that of ${percent(1 - share)} ${of}.`;
  return `Typical: ${percent(share)} ${of} have a ${lower} ${title}.`;
}

function histogram(known, value, description) {
  const canvas = element("canvas", { className: "histogram", ...SIZE, role: "img", "aria-label": description, title: description });
  const context = canvas.getContext("2d");
  // The worst examples would take most of the width.
  const low = Math.min(known[Math.floor(0.005 * known.length)], value);
  const high = Math.max(known[Math.floor(0.995 * known.length)], value);
  const place = (number) => (high > low ? (number - low) / (high - low) : 0.5);
  const bars = new Array(NUM_BARS).fill(0);
  for (const number of known) bars[Math.max(0, Math.min(NUM_BARS - 1, Math.floor(place(number) * NUM_BARS)))] += 1;
  const most = Math.max(...bars);
  const step = SIZE.width / NUM_BARS;
  context.fillStyle = colourOf("field");
  bars.forEach((count, k) => context.fillRect(k * step + 1, SIZE.height - (count / most) * (SIZE.height - 6), step - 2, SIZE.height));
  context.fillStyle = colourOf("serious");
  context.fillRect(Math.max(0, Math.min(SIZE.width - 6, place(value) * SIZE.width - 3)), 0, 6, SIZE.height);
  return canvas;
}
