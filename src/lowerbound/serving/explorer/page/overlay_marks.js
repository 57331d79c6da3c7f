// Marks on the plane: posteriors as ellipses, draws from them, the line, the current point.

import { colourOf } from "explorer/colours.js";

const ELLIPSE_STEPS = 72; // vertices of a posterior's ellipse
const FLAT = 12; // half the height of an ellipse in a plane with one latent, in pixels
export const FONT = "11px system-ui, sans-serif";

/** The position of latents on the canvas, in pixels. */
export const place = (view, scatter, z) => scatter.toPixels(...view.cursor.projection.toPlane(z));

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

export function halo(context, text, x, y, width = 3) {
  context.lineWidth = width;
  context.lineJoin = "round";
  context.strokeStyle = colourOf("card");
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
}

/** One and two standard deviations of a posterior, from its covariance in the plane. */
export function ellipse(context, view, scatter, mark) {
  const { projection } = view.cursor;
  const variance = mark.logVariance.map(Math.exp);
  const [x, y] = projection.toPlane(mark.z);
  const spread = projection.spread(variance, mark.covariance);
  if (!spread && projection.kind !== "latents") return;
  context.strokeStyle = mark.colour ?? colourOf("warn-line");
  for (const times of [1, 2]) {
    if (spread) {
      const points = ellipsePoints([x, y], spread, times).map((point) => scatter.toPixels(...point));
      stroke(context, 1.5, () => points.forEach((point, k) => (k ? context.lineTo(...point) : context.moveTo(...point))));
    } else {
      const [px, py] = scatter.toPixels(x, y);
      const radius = scatter.toPixels(x + times * Math.sqrt(variance[projection.axes[0]]), y)[0] - px;
      stroke(context, 1.5, () => context.ellipse(px, py, radius, times * FLAT, 0, 0, 2 * Math.PI));
    }
  }
}

/** Points at `times` standard deviations: the image of a circle under the Cholesky factor of the covariance. */
function ellipsePoints([x, y], [xx, xy, yy], times) {
  const first = Math.sqrt(xx);
  const shared = first ? xy / first : 0;
  const second = Math.sqrt(Math.max(0, yy - shared * shared));
  return Array.from({ length: ELLIPSE_STEPS + 1 }, (_, k) => {
    const angle = (2 * Math.PI * k) / ELLIPSE_STEPS;
    const [cos, sin] = [times * Math.cos(angle), times * Math.sin(angle)];
    return [x + first * cos, y + shared * cos + second * sin];
  });
}

/** Draws from a posterior, the last one larger. */
export function draws(context, view, scatter, points) {
  points.forEach((z, k) => {
    const isLast = k === points.length - 1;
    const [px, py] = place(view, scatter, z);
    context.beginPath();
    context.arc(px, py, isLast ? 5 : 2.5, 0, 2 * Math.PI);
    context.globalAlpha = isLast ? 1 : 0.55;
    context.fillStyle = colourOf("serious");
    context.fill();
    context.globalAlpha = 1;
    context.lineWidth = 1.5;
    context.strokeStyle = colourOf("card");
    if (isLast) context.stroke();
  });
}

export function label(context, [px, py], mark) {
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

export function line(context, view, scatter) {
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

export function crosshair(context, view, scatter) {
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
