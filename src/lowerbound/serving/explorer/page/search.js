// Search for an example by its split and its number in it, such as "test 12".

import { counted, element } from "explorer/dom.js";

export function createSearch(view) {
  const input = element("input", {
    type: "search",
    placeholder: "test 12",
    "aria-label": "Find an example by split and number, such as test 12",
    title: "Find an example by split and number, such as test 12; without a split, in the last one",
  });
  const onsubmit = (event) => {
    event.preventDefault();
    const { index, problem } = placeOf(view, input.value);
    input.setCustomValidity(problem);
    if (problem) input.reportValidity();
    else show(view, index);
  };
  input.addEventListener("input", () => input.setCustomValidity(""));
  return element("form", { className: "search", role: "search", onsubmit }, input, element("button", {}, "Find"));
}

/** The index of an example, or why there is none. */
function placeOf({ info, codes, startOf }, text) {
  const [, name, digits] = text.trim().match(/^([a-z]*)\D*?([\d,]+)$/i) ?? [];
  const names = info.splits.map((split) => split.name);
  const refused = (problem) => ({ index: -1, problem });
  if (digits === undefined || !names.length) return refused(`Enter a split and a number, such as ${names.at(-1) ?? "test"} 12.`);
  const split = name ? names.findIndex((one) => one.startsWith(name.toLowerCase())) : names.length - 1;
  if (split < 0) return refused(`No split ${name}; this run has ${names.join(", ")}.`);
  const number = Number(digits.replaceAll(",", ""));
  const { count } = info.splits[split];
  if (number >= count) return refused(`The numbers of ${names[split]} are 0 to ${counted(count - 1)}.`);
  const index = startOf(split) + number;
  if (!codes || Number.isNaN(codes.mean[index * info.latent_dim])) return refused("This example is not encoded yet.");
  return { index, problem: "" };
}

/** Choose the example, and move the plane if it is not in view. */
function show(view, index) {
  const { scatter } = view.stage;
  view.emit("choose", index);
  const [xs, ys] = view.stage.coordinates;
  const { x0, x1, y0, y1 } = scatter.view;
  const isInside = xs[index] > x0 && xs[index] < x1 && ys[index] > y0 && ys[index] < y1;
  if (!isInside) scatter.fit();
}
