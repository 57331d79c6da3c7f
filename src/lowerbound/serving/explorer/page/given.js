// Values of a conditional model's conditions, with which its run decodes, by the run's id.

const chosen = new Map();

/** The values to start with, unless some were chosen. */
export function startWith(id, values) {
  if (!chosen.has(id)) chosen.set(id, values ?? {});
}

export const give = (id, values) => chosen.set(id, { ...chosen.get(id), ...values });

export const given = (id) => chosen.get(id) ?? {};

/**
 * The conditions of `count` latents as the model takes them: positions of levels, numbers less their offset; null for a
 * model without any. A value is one for all latents, or a list with one for each.
 */
export function contextOf({ conditions }, values, count) {
  if (!conditions?.length) return null;
  const data = new Float32Array(count * conditions.length);
  conditions.forEach(({ name, levels, offset }, k) => {
    const numberOf = (value) => (levels.length ? levels.indexOf(String(value)) : Number(value) - offset);
    const numbers = [values[name]].flat().map(numberOf);
    for (let row = 0; row < count; row += 1)
      data[row * conditions.length + k] = numbers[numbers.length === 1 ? 0 : row];
  });
  return { shape: [count, conditions.length], data };
}

/** Conditions of one example, as the model takes them, as they are written in the data. */
export const written = ({ conditions }, numbers) =>
  Object.fromEntries(
    conditions.map(({ name, levels, offset }, k) => [
      name,
      levels.length ? levels[numbers[k]] : String(Number((numbers[k] + offset).toPrecision(7))),
    ]),
  );
