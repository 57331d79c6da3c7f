// The current point z: under the pointer, or set by sliders, a click or an example.

import { latentProjection } from "explorer/projection.js";
import { snap } from "explorer/space.js";

/** A point in latent space, and the projection of latent space onto the plane. */
export function createCursor(info, emit) {
  const cursor = {
    z: snap(info, new Float32Array(info.latent_dim)),
    projection: latentProjection(info, info.axes.slice(0, 2)),
    isPinned: false,
  };

  /** The point at a position of the plane; what the plane does not show is unchanged, or moved to stay in the space. */
  cursor.at = (x, y) => {
    const { projection, z } = cursor;
    return snap(info, projection.lift(z, x, y), projection.axes);
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
    if (!cursor.projection.axes.includes(latent)) emit("slice");
  };

  cursor.setAll = (z, isPinned = true) => {
    cursor.z.set(snap(info, z));
    cursor.isPinned = isPinned;
    emit("cursor");
    emit("slice");
  };

  cursor.pin = (isPinned) => {
    cursor.isPinned = isPinned;
    emit("cursor");
  };

  cursor.setProjection = (projection) => {
    cursor.projection = projection;
    emit("axes");
    emit("cursor");
    emit("slice");
  };

  return cursor;
}
