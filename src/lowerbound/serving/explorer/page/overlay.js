// The overlay of the plane: ticks, contours of the prior, names of categories, the selection's outline, and the marks.

import { colourOf } from "explorer/colours.js";
import { FONT, crosshair, draws, ellipse, halo, label, line, place } from "explorer/overlay_marks.js";
import { inkOf } from "explorer/scatter_frame.js";
import { drawLasso } from "explorer/scatter_overlay.js";
import { outlineOf } from "explorer/selection.js";

const TICK_SPACE = 90; // minimum of pixels between two ticks
const NAME_FONT = "600 14px system-ui, sans-serif";
const NAME_HEIGHT = 16; // pixels
const BAND = { width: 38, height: 20 }; // pixels, of the ticks over a manifold

export function drawOverlay(context, view, stage) {
  const { scatter } = stage;
  if (!scatter.view) return;
  context.save();
  context.font = FONT;
  contours(context, view, scatter);
  names(context, scatter, stage.names);
  outline(context, view, scatter);
  if (stage.manifold.isOn()) bands(context);
  ticks(context, view, scatter);
  stage.marks.forEach((mark) => mark.logVariance && ellipse(context, view, scatter, mark));
  if (view.cursor.projection.hasCodes) draws(context, view, scatter, stage.draws);
  if (view.line) line(context, view, scatter);
  stage.marks.forEach((mark) => label(context, place(view, scatter, mark.z), mark));
  crosshair(context, view, scatter);
  context.restore();
}

/** The names of categories, the largest first; a name that would cover another one is left out. */
function names(context, scatter, found) {
  const taken = [];
  context.font = NAME_FONT;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillStyle = colourOf("ink");
  for (const { name, x, y } of found) {
    const [px, py] = scatter.toPixels(x, y);
    const half = context.measureText(name).width / 2 + 2;
    const isFree = ([left, right, middle]) => px + half < left || px - half > right || Math.abs(py - middle) > NAME_HEIGHT;
    if (!taken.every(isFree)) continue;
    taken.push([px - half, px + half, py]);
    halo(context, name, px, py, 4);
  }
  context.textBaseline = "alphabetic";
  context.font = FONT;
}

/** The outline of the selection. */
function outline(context, view, scatter) {
  const polygon = outlineOf(view);
  if (polygon) drawLasso({ context }, polygon.map(([x, y]) => scatter.toPixels(x, y)), inkOf(context.canvas));
}

/** Strips in the colour of the background, on which ticks are readable over images. */
function bands(context) {
  const [width, height] = [context.canvas.clientWidth, context.canvas.clientHeight];
  context.fillStyle = colourOf("card");
  context.globalAlpha = 0.88;
  context.fillRect(0, height - BAND.height, width, BAND.height);
  context.fillRect(0, 0, BAND.width, height - BAND.height);
  context.globalAlpha = 1;
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
  const [across, up] = view.cursor.projection.names;
  context.fillStyle = colourOf("ink");
  const step = niceStep(x1 - x0, width / TICK_SPACE);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const text = (value) => value.toFixed(digits).replace("-", "−");
  context.textAlign = "center";
  const nameStart = width - context.measureText(`${across} →`).width - 16;
  for (let x = Math.ceil(x0 / step) * step; x <= x1; x += step) {
    const px = scatter.toPixels(x, y0)[0];
    if (px < nameStart - 10) halo(context, text(x), px, height - 6);
  }
  context.textAlign = "right";
  halo(context, `${across} →`, width - 8, height - 6);
  if (up === undefined) return;
  context.textAlign = "left";
  for (let y = Math.ceil(y0 / step) * step; y <= y1; y += step) {
    const py = scatter.toPixels(x0, y)[1];
    if (py > 28 && py < height - BAND.height) halo(context, text(y), 5, py + 4);
  }
  halo(context, `↑ ${up}`, 5, 14);
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

