// The switches of a conditional model: the label, or other conditions, with which points are decoded.

import { choice, element } from "explorer/dom.js";

/** A control for each condition, for the toolbar; `given` is emitted when a value changes. */
export function createConditions(view) {
  const { info, source } = view;
  const setters = new Map();
  const give = (values) => {
    source.give(view.id, values);
    view.emit("given");
    view.emit("cursor");
    view.emit("slice");
  };
  const controls = info.conditions.map((condition) => {
    const control = condition.levels.length
      ? levelControl(condition, give)
      : numberControl(condition, give);
    setters.set(condition.name, control.set);
    control.set(source.given(view.id)[condition.name]);
    return control.node;
  });
  /** Take the values of an example. */
  view.giveAs = (values) => {
    Object.entries(values).forEach(([name, value]) => setters.get(name)?.(value));
    give(values);
  };
  return controls;
}

function levelControl({ name, levels }, give) {
  const { node, select } = choice(`Decode as ${name}`, levels.map((level) => [level, level]), (value) =>
    give({ [name]: value }),
  );
  return { node, set: (value) => (select.value = value) };
}

function numberControl({ name }, give) {
  const input = element("input", { type: "number", step: "any" });
  input.onchange = () => Number.isFinite(input.valueAsNumber) && give({ [name]: input.valueAsNumber });
  const node = element("label", { className: "choice" }, `Decode at ${name} `, input);
  return { node, set: (value) => (input.value = value) };
}
