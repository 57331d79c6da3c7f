/* A 2-D canvas over the scatter's own, for what is not a point: the lasso, rings around highlighted points, and whatever
 * the page draws by its hooks (axes, ellipses, crosshairs). It takes no pointer events, and all who draw on it count in
 * CSS pixels from its top left corner.
 */

export const RING_RADIUS = 6; // CSS pixels
const MOST_RINGS = 1000; // more would hide what they mark

export function createOverlay(canvas) {
  const element = document.createElement("canvas");
  element.setAttribute("aria-hidden", "true");
  Object.assign(element.style, { position: "absolute", pointerEvents: "none" });
  canvas.after(element);
  return { element, context: element.getContext("2d"), isBlank: true };
}

/** Lays the overlay exactly over the canvas, at `ratio` device pixels for one of CSS. */
export function place(overlay, canvas, ratio) {
  const { element } = overlay;
  element.style.left = `${canvas.offsetLeft + canvas.clientLeft}px`;
  element.style.top = `${canvas.offsetTop + canvas.clientTop}px`;
  element.style.width = `${canvas.clientWidth}px`;
  element.style.height = `${canvas.clientHeight}px`;
  element.width = Math.round(canvas.clientWidth * ratio);
  element.height = Math.round(canvas.clientHeight * ratio);
  overlay.context.setTransform(ratio, 0, 0, ratio, 0, 0);
  overlay.isBlank = true;
}

/** Empties the overlay; one that is empty already costs nothing. */
export function clear(overlay) {
  if (overlay.isBlank) return;
  const { context, element } = overlay;
  context.save();
  context.resetTransform();
  context.clearRect(0, 0, element.width, element.height);
  context.restore();
  overlay.isBlank = true;
}

/** @param {[number, number][]} pixels centres of rings; `around` parts them from what lies below */
export function drawRings(overlay, pixels, colour, around) {
  if (!pixels.length || pixels.length > MOST_RINGS) return;
  const rings = new Path2D();
  for (const [px, py] of pixels) {
    rings.moveTo(px + RING_RADIUS, py);
    rings.arc(px, py, RING_RADIUS, 0, 2 * Math.PI);
  }
  strokeTwice(overlay, rings, colour, around);
}

export function drawLasso(overlay, pixels, colour, around) {
  const outline = new Path2D();
  pixels.forEach(([px, py], k) => (k ? outline.lineTo(px, py) : outline.moveTo(px, py)));
  outline.closePath();
  const { context } = overlay;
  context.save();
  context.globalAlpha = 0.12;
  context.fillStyle = colour;
  context.fill(outline, "evenodd");
  context.restore();
  strokeTwice(overlay, outline, colour, around);
}

function strokeTwice(overlay, path, colour, around) {
  const { context } = overlay;
  context.save();
  for (const [width, style] of [[4, around], [1.75, colour]]) {
    context.lineWidth = width;
    context.strokeStyle = style;
    context.stroke(path);
  }
  context.restore();
  overlay.isBlank = false;
}
