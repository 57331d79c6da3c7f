// The point z that everything else is about: where the pointer is, or where sliders, a click or an example put it.

/** A point in the latent space, and the two latents (or the one) that the plane shows of it. */
export function createCursor(info, emit) {
  const cursor = { z: new Float32Array(info.latent_dim), axes: info.axes.slice(0, 2), isHeld: false };

  /** The code at a place of the plane: the other latents stay as they are. */
  cursor.at = (x, y) => {
    const z = cursor.z.slice();
    z[cursor.axes[0]] = x;
    if (cursor.axes[1] !== undefined) z[cursor.axes[1]] = y;
    return z;
  };

  cursor.moveTo = (x, y) => {
    cursor.z.set(cursor.at(x, y));
    emit("cursor");
  };

  /** Set one latent; what is off the plane changes the slice that the plane shows. */
  cursor.set = (latent, value) => {
    cursor.z[latent] = value;
    cursor.isHeld = true;
    emit("cursor");
    if (!cursor.axes.includes(latent)) emit("slice");
  };

  cursor.setAll = (z) => {
    cursor.z.set(z);
    cursor.isHeld = true;
    emit("cursor");
    emit("slice");
  };

  cursor.hold = (isHeld) => {
    cursor.isHeld = isHeld;
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
