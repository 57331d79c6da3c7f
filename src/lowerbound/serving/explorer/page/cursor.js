// The current point z: under the pointer, or set by sliders, a click or an example.

import { snap } from "explorer/space.js";

/** A point in latent space, and the two latents (or the only one) that are the axes of the plane. */
export function createCursor(info, emit) {
  const cursor = { z: snap(info, new Float32Array(info.latent_dim)), axes: info.axes.slice(0, 2), isPinned: false };

  /** The point at a position of the plane; the other latents are unchanged, or moved to stay in the space. */
  cursor.at = (x, y) => {
    const z = cursor.z.slice();
    z[cursor.axes[0]] = x;
    if (cursor.axes[1] !== undefined) z[cursor.axes[1]] = y;
    return snap(info, z, cursor.axes);
  };

  cursor.moveTo = (x, y) => {
    cursor.z.set(cursor.at(x, y));
    emit("cursor");
  };

  /** Set one latent; if it is not an axis of the plane, the plane shows another slice. */
  cursor.set = (latent, value) => {
    const z = cursor.z.slice();
    z[latent] = value;
    cursor.z.set(snap(info, z, [latent]));
    cursor.isPinned = true;
    emit("cursor");
    if (!cursor.axes.includes(latent)) emit("slice");
  };

  cursor.setAll = (z) => {
    cursor.z.set(snap(info, z));
    cursor.isPinned = true;
    emit("cursor");
    emit("slice");
  };

  cursor.pin = (isPinned) => {
    cursor.isPinned = isPinned;
    emit("cursor");
  };

  cursor.setAxes = (axes) => {
    cursor.axes = axes;
    emit("axes");
    emit("cursor");
    emit("slice");
  };

  return cursor;
}
