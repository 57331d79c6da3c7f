// The entry point of the page: choice of runs, theme, and keyboard shortcuts.

import { THEMES, onSystemTheme, setTheme, storedTheme } from "explorer/colours.js";
import { announce, element, emitter } from "explorer/dom.js";
import { createCurvesPanel } from "explorer/panels/curves.js";
import { createRunView } from "explorer/run_view.js";
import { openSource } from "explorer/source.js";

const POLL_INTERVAL = 4000; // milliseconds between two requests for the list of runs
const find = (id) => document.getElementById(id);
const skeleton = document.querySelector(".skeleton"); // the plane and panels, empty, until a run is described

// Also for the browser's console: `explorer.views[0].cursor.z` is the current point.
const page = (window.explorer = { source: null, runs: [], shown: [], views: [], curves: null });

async function start() {
  startTheme();
  startKeys();
  try {
    page.source = await openSource();
    page.runs = await page.source.runs();
    fillChoices();
    await show();
  } catch (error) {
    find("views").replaceChildren(element("p", { className: "notice", role: "alert" }, error.message));
    return;
  }
  if (!page.source.isOffline) setInterval(lookForRuns, POLL_INTERVAL);
}

function fillChoices() {
  const named = (run) => [run.id, run.state === "finished" ? run.title : `${run.title} (${run.state})`];
  const option = ([value, text]) => element("option", { value }, text);
  const [run, compare] = [find("run"), find("compare")];
  const parameters = new URLSearchParams(location.search);
  const chosen = [run.value || parameters.get("run"), compare.value || parameters.get("compare")];
  run.replaceChildren(...page.runs.map(named).map(option));
  run.value = page.runs.some(({ id }) => id === chosen[0])
    ? chosen[0]
    : (page.runs.find(({ state }) => state === "finished") ?? page.runs[0])?.id;
  const others = page.runs.filter(({ id }) => id !== run.value);
  compare.replaceChildren(option(["", "none"]), ...others.map(named).map(option));
  compare.value = others.some(({ id }) => id === chosen[1]) ? chosen[1] : "";
  find("compare-label").hidden = page.runs.length < 2;
  run.onchange = () => (fillChoices(), show());
  compare.onchange = show;
}

/** Show the chosen run, or the two chosen runs. */
async function show() {
  const chosen = [find("run").value, find("compare").value].filter(Boolean);
  page.views.forEach((view) => view.destroy());
  page.curves?.destroy();
  page.shown = chosen;
  page.views = [];
  const place = find("views");
  place.replaceChildren(skeleton);
  place.className = chosen.length > 1 ? "two" : "one";
  remember(chosen);
  const shared = { ...emitter(), isComparison: chosen.length > 1 };
  const views = await Promise.all(
    chosen.map((id) => createRunView(page.source, id, shared).catch((error) => broken(id, error))),
  );
  if (page.shown !== chosen) return; // the choice has changed meanwhile
  page.views = views;
  place.replaceChildren(...views.map((view) => view.node));
  page.curves = createCurvesPanel(page.source, runsOf(chosen), trainingEnded);
  place.append(
    element(
      "div",
      { className: "panels wide" },
      page.curves.node,
      ...views.map((view) => view.numbers?.node).filter(Boolean),
    ),
  );
  views.forEach((view) => view.start?.());
  await linkReport(views[0]);
}

const runsOf = (ids) => ids.map((id) => page.runs.find((run) => run.id === id));

const broken = (id, error) => ({
  id,
  node: element("p", { className: "notice", role: "alert" }, error.message),
  destroy: () => {},
});

function remember(chosen) {
  if (page.source.isOffline) return;
  const parameters = new URLSearchParams({ run: chosen[0] ?? "", ...(chosen[1] ? { compare: chosen[1] } : {}) });
  history.replaceState(null, "", `?${parameters}${location.hash}`);
}

async function linkReport(view) {
  const link = find("report");
  link.hidden = !view?.info?.has_report || page.source.isOffline;
  if (!link.hidden) link.href = await page.source.reportURL(view.id);
}

/** When the training of a displayed run ends, show its latent space. */
function trainingEnded(id, state) {
  const view = page.views.find((one) => one.id === id);
  if (state === "finished" && view?.info?.state === "training") {
    announce(`${view.info.title} has finished training.`);
    lookForRuns().then(show);
  }
}

/** Update the list of runs and their states. */
async function lookForRuns() {
  const runs = await page.source.runs().catch(() => page.runs);
  if (JSON.stringify(runs) === JSON.stringify(page.runs)) return;
  page.runs = runs;
  fillChoices();
}

function startTheme() {
  const press = find("theme");
  const apply = (theme) => {
    setTheme(theme);
    press.dataset.theme = theme;
    press.textContent = `Theme: ${theme}`;
    recolour();
  };
  press.onclick = () => apply(THEMES[(THEMES.indexOf(press.dataset.theme) + 1) % THEMES.length]);
  apply(storedTheme());
  onSystemTheme(recolour);
}

function recolour() {
  for (const view of page.views) {
    view.legend?.apply();
    view.stage?.scatter.redraw();
    view.emit?.("theme");
  }
  page.curves?.draw();
}

const isTyping = (target) => target.matches("input:not([type=range]), select, textarea");

function startKeys() {
  const help = find("help");
  find("shortcuts").onclick = () => help.showModal();
  document.addEventListener("keydown", (event) => {
    if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    if (event.key === "?") help.showModal();
    const key = event.key.toLowerCase();
    // With two runs, the keys control the one that has the focus, or else the first.
    const view = page.views.find((one) => one.node.contains(event.target)) ?? page.views[0];
    view?.keys?.[key]?.();
  });
}

start();
