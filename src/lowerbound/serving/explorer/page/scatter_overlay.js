/* The overlay: a 2-D canvas over the scatter, for the lasso and what the page draws in its hooks, such as axes, ellipses
 * and crosshairs. It receives no pointer events; coordinates are CSS pixels from the top left corner.
 */

export function createOverlay(canvas) {
  const element = document.createElement("canvas");
  element.setAttribute("aria-hidden", "true");
  Object.assign(element.style, { position: "absolute", pointerEvents: "none" });
  return { element, context: element.getContext("2d"), isBlank: true };
}

/** Place the overlay exactly over the canvas, with `ratio` device pixels per CSS pixel. */
export function place(overlay, canvas, ratio) {
  const { element } = overlay;
  if (element.previousSibling !== canvas) canvas.after(element); // a canvas may get its parent later
  element.style.left = `${canvas.offsetLeft + canvas.clientLeft}px`;
  element.style.top = `${canvas.offsetTop + canvas.clientTop}px`;
  element.style.width = `${canvas.clientWidth}px`;
  element.style.height = `${canvas.clientHeight}px`;
  element.width = Math.round(canvas.clientWidth * ratio);
  element.height = Math.round(canvas.clientHeight * ratio);
  overlay.context.setTransform(ratio, 0, 0, ratio, 0, 0);
  overlay.isBlank = true;
}

/** Clear the overlay, unless it is empty. */
export function clear(overlay) {
  if (overlay.isBlank) return;
  const { context, element } = overlay;
  context.save();
  context.resetTransform();
  context.clearRect(0, 0, element.width, element.height);
  context.restore();
  overlay.isBlank = true;
}

/** @param {[number, number][]} pixels the vertices; the line has an outline of the opposite colour */
export function drawLasso(overlay, pixels, ink) {
  const { context } = overlay;
  overlay.isBlank = false;
  const outline = new Path2D();
  pixels.forEach(([px, py], k) => (k ? outline.lineTo(px, py) : outline.moveTo(px, py)));
  outline.closePath();
  context.save();
  context.globalAlpha = 0.12;
  context.fillStyle = ink.color;
  context.fill(outline, "evenodd");
  context.globalAlpha = 0.8;
  stroke(context, outline, 4, ink.isLight ? "black" : "white");
  context.globalAlpha = 1;
  stroke(context, outline, 1.75, ink.color);
  context.restore();
}

function stroke(context, path, width, style) {
  context.lineWidth = width;
  context.strokeStyle = style;
  context.stroke(path);
}
