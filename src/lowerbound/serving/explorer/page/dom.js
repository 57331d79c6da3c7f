// DOM elements, number formats, events and throttling, used by all panels.

/** An element with properties, attributes (names with a dash, role, for) and children. */
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function button(text, onclick, properties = {}) {
  return element("button", { type: "button", onclick, ...properties }, text);
}

/** A button that is on or off, with its state exposed to screen readers. */
export function toggle(text, title, onchange) {
  const node = button(text, () => set(!isOn()), { title, "aria-pressed": "false" });
  const isOn = () => node.getAttribute("aria-pressed") === "true";
  const set = (on) => {
    node.setAttribute("aria-pressed", String(on));
    onchange(on);
  };
  return { node, isOn, set };
}

let numbered = 0;

/** A unique id for an element. */
export const uniqueId = (stem) => `${stem}-${(numbered += 1)}`;

/** A panel: a section with a heading, a description, and its content. */
export function panel(title, lead, ...children) {
  const id = uniqueId("panel");
  const body = element("div", { className: "panel-body" }, ...children);
  const about = lead ? element("p", { className: "lead" }, lead) : null;
  const node = element(
    "section",
    { className: "panel", "aria-labelledby": id },
    element("h3", { id }, title),
    about,
    body,
  );
  return { node, body };
}

/** A row of pictures, which scrolls where it is too wide: also by the keyboard. */
export const strip = (label, ...pictures) =>
  element("div", { className: "strip", tabIndex: 0, role: "group", "aria-label": label }, ...pictures);

/** A picture with a caption. */
export const captioned = (picture, text) => element("figure", {}, picture, element("figcaption", {}, text));

/** A slider with a label and its value, formatted by `show`. */
export function slider({ label, min, max, step, value, show = (v) => v.toFixed(2), oninput }) {
  const output = element("output", {}, show(value));
  const input = element("input", { type: "range", min, max, step, value });
  input.oninput = () => {
    output.textContent = show(Number(input.value));
    oninput(Number(input.value));
  };
  const set = (v) => {
    // Outside of its range a slider stays at its end; the number next to it is the true value.
    input.value = v;
    output.textContent = show(v);
  };
  return { node: element("label", { className: "slider" }, element("span", {}, label), input, output), input, set };
}

/** A drop-down list; options are [value, text]. */
export function choice(label, options, onchange) {
  const select = element("select", { onchange: () => onchange(select.value) });
  const fill = (entries) =>
    select.replaceChildren(...entries.map(([value, text]) => element("option", { value }, text)));
  fill(options);
  return { node: element("label", { className: "choice" }, `${label} `, select), select, fill };
}

/** A drop-down list with groups; options are [title, [[value, text], ...]] of each group. */
export function groupedChoice(label, groups, onchange) {
  const { node, select } = choice(label, [], onchange);
  const option = ([value, text]) => element("option", { value }, text);
  const fill = (entries) => {
    const { value } = select;
    select.replaceChildren(...entries.map(([title, options]) => element("optgroup", { label: title }, ...options.map(option))));
    if (value) select.value = value;
  };
  fill(groups);
  return { node, select, fill };
}

export function table(caption, head, rows) {
  const cell = (tag) => (content) => element(tag, tag === "th" ? { scope: "col" } : {}, content);
  return element(
    "table",
    {},
    caption ? element("caption", {}, caption) : null,
    element("thead", {}, element("tr", {}, ...head.map(cell("th")))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map(cell("td"))))),
  );
}

/** Announce a text to screen readers. */
export function announce(text) {
  document.getElementById("status").textContent = text;
}

/** Replace a panel's content by an error message. */
export function showError(node, error) {
  node.replaceChildren(element("p", { className: "notice", role: "alert" }, error.message || String(error)));
}

export function fixed(value, digits = 2) {
  if (value === null || Number.isNaN(value)) return "–";
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : minus(text);
}

export const counted = (value) => value.toLocaleString("en");

/** A count with its noun: 1 epoch, 2 epochs. */
export const pluralised = (count, noun) => `${counted(count)} ${noun}${count === 1 ? "" : "s"}`;

/** Value ± standard error, both to the second significant digit of the error, as reports show them. */
export function withError(value, error) {
  if (error === null || error === undefined || !(error > 0)) return fixed(value);
  const place = Math.max(0, 1 - Number(error.toExponential(1).split("e")[1]));
  return `${fixed(value, place)} ± ${fixed(error, place)}`;
}

/** Replace the hyphen by a minus sign. */
const minus = (text) => text.replace("-", "−");

/** An event emitter. */
export function emitter() {
  const listeners = new Map();
  return {
    on: (name, listener) => listeners.set(name, [...(listeners.get(name) ?? []), listener]),
    emit: (name, ...values) => (listeners.get(name) ?? []).forEach((listener) => listener(...values)),
  };
}

/** Run `work` one call at a time; of the calls that wait, only the latest is run. */
export function latestOnly(work) {
  let isBusy = false;
  let waiting = null;
  const next = async (request) => {
    isBusy = true;
    try {
      await work(request);
    } finally {
      isBusy = false;
      if (waiting !== null) {
        const { request: following } = waiting;
        waiting = null;
        next(following);
      }
    }
  };
  return (request) => {
    if (isBusy) waiting = { request };
    else next(request);
  };
}

/** Run only the last call, when there has been no other for `delay` milliseconds. */
export function debounced(delay, work) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), delay);
  };
}
