// Loading of a run's latents: first those of the results, at once; then, while the data are read and encoded, the others.

import { blankCodes, fillCodes, latentsByVariance } from "explorer/codes.js";
import { announce, counted, pluralised } from "explorer/dom.js";

const PAUSE = 250; // milliseconds between two requests for more latents

/** Show all latents as they arrive. Emits "codes" for each part, "info" when the data were read, "ready" at the end. */
export async function loadCodes(view) {
  try {
    if (view.info.is_loading) await showStored(view);
    await showAll(view);
    view.stage.showMessage("");
    announce(`${view.info.title}: ${pluralised(view.codes.count, "example")}.`);
  } catch (error) {
    view.stage.showMessage(error.message);
  }
  if (!view.isDestroyed) view.emit("ready");
}

/** The test examples of the results; then the description of the run again, which waits for the data. */
async function showStored(view) {
  view.stage.showMessage("Reading the data …");
  const stored = await view.source.storedCodes(view.id);
  if (stored.count) show(view, stored);
  Object.assign(view.info, await view.source.info(view.id), { is_loading: false });
  view.emit("info");
}

async function showAll(view) {
  const { info } = view;
  const stored = view.codes;
  const codes = blankCodes(info.num_codes, info.latent_dim, view.splitAt);
  if (stored) keepStored(view, codes, stored);
  for (let row = 0; row < codes.count && !view.isDestroyed;) {
    const part = await view.source.codes(view.id, row);
    fillCodes(codes, part, row);
    row += part.count;
    show(view, codes);
    if (row < codes.count) view.stage.showMessage(`Encoding the data: ${counted(row)} of ${counted(codes.count)}`);
    if (row < codes.count) await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
  if (!codes.count) show(view, codes);
}

/** The codes of the results are those of the test split, whose place is known now. */
function keepStored({ info: { splits }, startOf }, codes, stored) {
  const test = splits.findIndex(({ name }) => name === "test");
  if (splits[test]?.count === stored.count) fillCodes(codes, stored, startOf(test));
}

function show(view, codes) {
  if (view.isDestroyed) return;
  view.codes = codes;
  view.byVariance = latentsByVariance(codes);
  view.emit("codes");
}
