// The panel for interpolation: the path between two points in latent space, decoded as a strip and an animation.

import { button, element, panel, slider, strip, toggle } from "explorer/dom.js";
import { draw, isImages, picked, tile, tiles } from "explorer/pictures.js";
import { pathBetween, pathWords } from "explorer/space.js";

const STEPS = 33; // decoded points; every fourth is on the strip
const ON_STRIP = 4;
const PERIOD = 3000; // milliseconds there and back

export function createLinePanel(view) {
  const line = { begin: null, end: null, at: null };
  const path = strip("The path from A to B");
  const stage = element("div", { className: "drawn" });
  const state = { tensor: null, points: null, frame: 0, timer: 0 };
  const scrubber = slider({
    label: "from A to B",
    min: 0,
    max: STEPS - 1,
    step: 1,
    value: 0,
    show: (k) => `${Math.round((100 * k) / (STEPS - 1))} %`,
    oninput: (k) => show(k),
  });
  const play = toggle("Play", "Animate back and forth", (on) => (on ? animate() : cancelAnimationFrame(state.timer)));
  const moving = element(
    "div",
    { className: "moving", hidden: true },
    stage,
    element("div", {}, scrubber.node, play.node),
  );
  const set = (end, point) => {
    line[end] = point;
    line.points = null;
    view.line = line;
    view.stage.scatter.redrawOverlay();
    if (line.begin && line.end) decode();
  };

  const { node } = panel(
    "Interpolation",
    `Press Line above the plane and click two points, or use the current point. ${pathWords(view.info)}`,
    element(
      "div",
      { className: "row" },
      button("Start at current point (A)", () => set("begin", view.cursor.z.slice())),
      button("End at current point (B)", () => set("end", view.cursor.z.slice())),
    ),
    path,
    moving,
  );

  async function decode() {
    state.points = pathBetween(view.info, line.begin, line.end, STEPS);
    line.points = state.points;
    try {
      state.tensor = await view.source.decode(view.id, state.points);
    } catch (error) {
      path.replaceChildren(element("p", { className: "notice" }, error.message));
      return;
    }
    drawStrip();
    moving.hidden = false;
    show(Number(scrubber.input.value));
  }

  function drawStrip() {
    const chosen = Array.from({ length: Math.ceil(STEPS / ON_STRIP) }, (_, k) => k * ON_STRIP);
    const described = (k) => `${Math.round((100 * k) / (STEPS - 1))} % from A to B`;
    path.replaceChildren(...tiles(view.info, picked(state.tensor, chosen), (k) => described(chosen[k])));
  }

  function show(k) {
    if (!state.tensor) return;
    const { latent_dim: dim } = view.info;
    line.at = state.points.slice(k * dim, (k + 1) * dim);
    if (isImages(state.tensor)) {
      const canvas =
        stage.querySelector("canvas") ??
        stage.appendChild(
          element("canvas", { className: "tile large", role: "img", "aria-label": "A point on the line, decoded" }),
        );
      draw(canvas, state.tensor, k);
    } else stage.replaceChildren(tile(view.info, state.tensor, k, "A point on the line, decoded"));
    view.stage.scatter.redrawOverlay();
  }

  function animate() {
    const phase = (performance.now() % PERIOD) / PERIOD;
    const k = Math.round((STEPS - 1) * (0.5 - 0.5 * Math.cos(2 * Math.PI * phase)));
    if (k !== state.frame) {
      state.frame = k;
      scrubber.set(k);
      show(k);
    }
    state.timer = requestAnimationFrame(animate);
  }

  view.on("pick", ({ z }) => {
    const isSecond = line.begin && !line.end;
    if (!isSecond) line.end = null;
    set(isSecond ? "end" : "begin", z);
    if (isSecond) view.stage.picking.set(false);
  });
  view.on("destroy", () => cancelAnimationFrame(state.timer));
  return { node, begin: () => set("begin", view.cursor.z.slice()), end: () => set("end", view.cursor.z.slice()) };
}
