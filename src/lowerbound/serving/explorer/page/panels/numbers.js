// The panel with the facts, notes and scores of a run.

import { element, panel, pluralised } from "explorer/dom.js";

export function createNumbersPanel(view) {
  const { info } = view;
  const row = (score) =>
    element(
      "tr",
      {},
      element(
        "th",
        { scope: "row", className: "words" },
        score.quantity,
        element("span", { className: "meaning" }, score.meaning),
      ),
      element("td", {}, score.split),
      element("td", { className: "number" }, score.value),
    );
  const head = element(
    "thead",
    {},
    element("tr", {}, ...["quantity", "split", "value"].map((text) => element("th", { scope: "col" }, text))),
  );
  const measured = info.scores.length
    ? element(
        "div",
        {
          className: "scroll measured",
          tabIndex: 0,
          role: "region",
          "aria-label": `Table of scores of ${info.title}`,
        },
        element("table", {}, head, element("tbody", {}, ...info.scores.map(row))),
      )
    : element("p", { className: "quiet" }, "No scores yet: evaluation follows training.");
  const facts = [
    [
      "model",
      `${pluralised(info.latent_dim, "latent")}, ${info.num_parameters ? `${pluralised(info.num_parameters, "parameter")}, ` : ""}examples ${info.shape_in_words}`,
    ],
    ["posterior, prior", `${info.posterior}, ${info.prior}`],
    ["likelihood", info.likelihood],
    ["data", info.data?.name ?? ""],
    ["recipe", info.recipe],
  ];
  const about = element(
    "dl",
    { className: "facts" },
    ...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]),
  );
  const notes = [info.convention_note, ...(info.notes ?? [])]
    .filter(Boolean)
    .map((text) => element("p", { className: "quiet" }, text));
  return panel(`Scores of ${info.title}`, "", about, ...notes, measured);
}
