// The panel with training curves of one or two runs, updated while a run is training.

import { colourOf } from "explorer/colours.js";
import { choice, element, panel, pluralised } from "explorer/dom.js";
import uPlot from "explorer/vendor/uPlot.esm.js";

const POLL_INTERVAL = 1500; // milliseconds between two requests for the log of a training run
const HEIGHT = 260;
const QUANTITIES = [
  ["elbo", "ELBO"],
  ["objective", "objective"],
  ["rate", "rate"],
  ["distortion", "distortion"],
];
const DASH = [6, 4];

/** The curves of several runs; `onState` is called with the state of each run. */
export function createCurvesPanel(source, runs, onState) {
  const frame = element("div", { className: "curves" });
  const words = element("p", { className: "place" });
  const histories = runs.map((run) => ({ run, epochs: [], step: null, after: 0, state: "" }));
  const panelOf = panel(
    "Training",
    `Per epoch, in nats: solid for the training split, dashed for the ${heldOutNames(runs)} split.`,
    words,
    frame,
  );
  let quantity = "elbo";
  let plot = null;
  let timer = 0;
  panelOf.body.prepend(
    choice("Show", QUANTITIES, (value) => {
      quantity = value;
      draw();
    }).node,
  );

  async function follow() {
    const states = await Promise.all(histories.map((history) => read(source, history).catch((error) => unread(history, error))));
    draw();
    states.forEach((state, k) => onState(histories[k].run.id, state));
    if (states.includes("training")) timer = setTimeout(follow, POLL_INTERVAL);
  }

  function draw() {
    words.textContent = histories.map((history) => history.problem || summary(history)).filter(Boolean).join(" · ");
    const { data, series } = curvesOf(histories, quantity);
    plot?.destroy();
    plot = null;
    frame.replaceChildren();
    if (data[0].length) plot = new uPlot(options(series, frame.clientWidth || 600, quantity), data, frame);
  }

  const observer = new ResizeObserver(() => plot?.setSize({ width: frame.clientWidth, height: HEIGHT }));
  observer.observe(frame);
  follow();
  const destroy = () => {
    clearTimeout(timer);
    observer.disconnect();
    plot?.destroy();
  };
  return { node: panelOf.node, draw, destroy };
}

/** The split that training monitored, beside the training split. */
const heldOutName = (run) => (run.monitored === "test" ? "test (monitored)" : "validation");

const heldOutNames = (runs) => [...new Set(runs.map(heldOutName))].join(" or ");

/** Show why a log cannot be read, and stop polling it. */
function unread(history, error) {
  history.problem = error.message;
  history.state = "finished";
  return history.state;
}

/** Append the new records of a run's log. */
async function read(source, history) {
  const found = await source.metrics(history.run.id, history.after);
  if (found.restarted) history.epochs = [];
  history.epochs.push(...found.records.filter((record) => record.validation));
  history.step = found.records.at(-1) ?? history.step;
  history.after = found.after;
  history.state = found.state;
  return found.state;
}

function summary({ run, epochs, step, state }) {
  if (!step) return `${run.title}: no epochs yet`;
  const best = epochs.at(-1)?.best_epoch;
  const doing =
    state === "training"
      ? `training, epoch ${step.epoch} of ${step.num_epochs}, ${Math.round(step.examples_per_second).toLocaleString("en")} examples/s`
      : pluralised(epochs.length, "epoch");
  return `${run.title}: ${doing}${best ? `, best at epoch ${best}` : ""}`;
}

/** Columns for the plot: epochs, and for each run the values on the training and the monitored split. */
function curvesOf(histories, quantity) {
  const last = Math.max(0, ...histories.map(({ epochs }) => epochs.at(-1)?.epoch ?? 0));
  const axis = Array.from({ length: last }, (_, k) => k + 1);
  const colours = [colourOf("train"), colourOf("validation")];
  const data = [axis];
  const series = [];
  histories.forEach(({ run, epochs }, k) => {
    const byEpoch = new Map(epochs.map((record) => [record.epoch, record]));
    for (const [part, dash] of [
      ["train", undefined],
      ["validation", DASH],
    ]) {
      data.push(axis.map((epoch) => byEpoch.get(epoch)?.[part]?.[quantity] ?? null));
      const name = part === "train" ? "training" : heldOutName(run);
      series.push({
        label: histories.length > 1 ? `${run.title}, ${name}` : name,
        stroke: colours[k % 2],
        width: 1.8,
        dash,
        points: { show: last < 3 },
      });
    }
  });
  return { data, series };
}

function options(series, width, quantity) {
  const [muted, line] = [colourOf("muted"), colourOf("line")];
  const axis = { stroke: muted, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  const value = (_, v) => (v === null || v === undefined ? "–" : v.toFixed(2));
  return {
    width,
    height: HEIGHT,
    scales: { x: { time: false } },
    axes: [
      { ...axis, label: "epoch", labelSize: 20 },
      { ...axis, size: 64, label: `${quantity}, nats`, labelSize: 20 },
    ],
    series: [{ label: "epoch" }, ...series.map((one) => ({ ...one, value, spanGaps: true }))],
    cursor: { drag: { x: true, y: false } },
  };
}
