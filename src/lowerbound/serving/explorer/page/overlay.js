// The overlay of the plane: ticks, contours of the prior, the current point, posteriors as ellipses, the line.

import { colourOf } from "explorer/colours.js";

const TICK_SPACE = 90; // minimum of pixels between two ticks
const ELLIPSE_STEPS = 72; // vertices of a posterior's ellipse
const FONT = "11px system-ui, sans-serif";

export function drawOverlay(context, view, stage) {
  const { scatter } = stage;
  if (!scatter.view) return;
  context.save();
  context.font = FONT;
  ticks(context, view, scatter);
  contours(context, view, scatter);
  stage.marks.forEach((mark) => mark.logVariance && ellipse(context, view, scatter, mark));
  if (view.line) line(context, view, scatter);
  stage.marks.forEach((mark) => label(context, place(view, scatter, mark.z), mark));
  crosshair(context, view, scatter);
  context.restore();
}

/** The position of latents on the canvas, in pixels. */
function place(view, scatter, z) {
  const [across, up] = view.cursor.axes;
  return scatter.toPixels(z[across], up === undefined ? 0 : z[up]);
}

function stroke(context, width, draw) {
  context.beginPath();
  draw();
  // A halo in the colour of the background, so that a line is visible over points and images.
  const colour = context.strokeStyle;
  context.strokeStyle = colourOf("card");
  context.lineWidth = width + 2.5;
  context.stroke();
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
}

function halo(context, text, x, y) {
  context.lineWidth = 3;
  context.strokeStyle = colourOf("card");
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
}

/** A step of 1, 2 or 5 times a power of ten. */
function niceStep(span, most) {
  const rough = span / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((step) => step * power >= rough);
}

function ticks(context, view, scatter) {
  const { x0, x1, y0, y1 } = scatter.view;
  const [width, height] = [context.canvas.clientWidth, context.canvas.clientHeight];
  const [across, up] = view.cursor.axes;
  context.fillStyle = colourOf("muted");
  const step = niceStep(x1 - x0, width / TICK_SPACE);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const text = (value) => value.toFixed(digits).replace("-", "−");
  context.textAlign = "center";
  for (let x = Math.ceil(x0 / step) * step; x <= x1; x += step)
    halo(context, text(x), scatter.toPixels(x, y0)[0], height - 6);
  context.textAlign = "right";
  halo(context, `z${across + 1} →`, width - 8, height - 20);
  if (up === undefined) return;
  context.textAlign = "left";
  for (let y = Math.ceil(y0 / step) * step; y <= y1; y += step)
    halo(context, text(y), 5, scatter.toPixels(x0, y)[1] + 4);
  halo(context, `↑ z${up + 1}`, 5, 14);
}

/** The levels of the prior's density over the two latents, computed by the server. */
function contours(context, view, scatter) {
  context.strokeStyle = colourOf("ink");
  context.fillStyle = colourOf("ink");
  context.lineWidth = 1.25;
  context.globalAlpha = 0.55;
  context.setLineDash([4, 4]);
  context.textAlign = "center";
  const labels = [];
  for (const { label: text, lines } of view.contours) {
    for (const points of lines) {
      const path = points.map(([x, y]) => scatter.toPixels(x, y));
      context.beginPath();
      path.forEach((point, k) => (k ? context.lineTo(...point) : context.moveTo(...point)));
      context.stroke();
      const top = path.reduce((best, point) => (point[1] < best[1] ? point : best));
      labels.push([text, top]);
    }
  }
  context.setLineDash([]);
  context.globalAlpha = 1;
  for (const [text, [x, y]] of labels) halo(context, text, x, y - 3);
}

/** One and two standard deviations of a posterior, from its covariance of the two latents. */
function ellipse(context, view, scatter, mark) {
  const [across, up] = view.cursor.axes;
  const [px, py] = place(view, scatter, mark.z);
  context.strokeStyle = mark.colour ?? colourOf("warn-line");
  for (const times of [1, 2]) {
    if (up === undefined) {
      const rx = Math.abs(scatter.toPixels(mark.z[across] + Math.exp(mark.logVariance[across] / 2), 0)[0] - px);
      stroke(context, 1.5, () => context.ellipse(px, py, times * rx, times * 12, 0, 0, 2 * Math.PI));
    } else {
      const points = ellipsePoints(mark, across, up, times).map(([x, y]) => scatter.toPixels(x, y));
      stroke(context, 1.5, () =>
        points.forEach((point, k) => (k ? context.lineTo(...point) : context.moveTo(...point))),
      );
    }
  }
}

/** Points at `times` standard deviations: the image of a circle under the Cholesky factor of the covariance. */
function ellipsePoints({ z, logVariance, covariance }, across, up, times) {
  const first = Math.exp(logVariance[across] / 2);
  const shared = covariance ? covariance[across][up] / first : 0;
  const second = Math.sqrt(Math.max(0, Math.exp(logVariance[up]) - shared * shared));
  return Array.from({ length: ELLIPSE_STEPS + 1 }, (_, k) => {
    const angle = (2 * Math.PI * k) / ELLIPSE_STEPS;
    const [cos, sin] = [times * Math.cos(angle), times * Math.sin(angle)];
    return [z[across] + first * cos, z[up] + shared * cos + second * sin];
  });
}

function label(context, [px, py], mark) {
  context.fillStyle = mark.colour ?? colourOf("warn-line");
  context.strokeStyle = colourOf("card");
  context.beginPath();
  context.arc(px, py, 4.5, 0, 2 * Math.PI);
  context.fill();
  context.lineWidth = 1.5;
  context.stroke();
  if (!mark.name) return;
  context.font = `600 ${FONT}`;
  context.textAlign = "left";
  context.fillStyle = colourOf("ink");
  halo(context, mark.name, px + 8, py - 6);
  context.font = FONT;
}

function line(context, view, scatter) {
  const { begin, end, at, points: path } = view.line;
  context.strokeStyle = colourOf("serious");
  const [a, b] = [begin && place(view, scatter, begin), end && place(view, scatter, end)];
  if (a && b)
    stroke(context, 1.5, () => {
      context.moveTo(...a);
      const dim = begin.length;
      for (let k = 0; path && k < path.length; k += dim) context.lineTo(...place(view, scatter, path.slice(k, k + dim)));
      context.lineTo(...b);
    });
  const points = [
    [a, "A"],
    [b, "B"],
    [at && place(view, scatter, at), ""],
  ];
  for (const [point, name] of points) if (point) label(context, point, { name, colour: colourOf("serious") });
}

function crosshair(context, view, scatter) {
  const [px, py] = place(view, scatter, view.cursor.z);
  context.strokeStyle = colourOf("ink");
  const arm = view.cursor.isPinned ? 15 : 12;
  stroke(context, 2, () => {
    for (const [dx, dy] of [
      [1, 0],
      [-1, 0],
      [0, 1],
      [0, -1],
    ]) {
      context.moveTo(px + 4 * dx, py + 4 * dy);
      context.lineTo(px + arm * dx, py + arm * dy);
    }
  });
  if (view.cursor.isPinned) stroke(context, 1.5, () => context.arc(px, py, 8, 0, 2 * Math.PI));
}
