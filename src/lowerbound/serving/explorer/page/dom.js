// Elements and numbers: what every panel needs to put itself on the page.

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

/** A button that is on or off, and says so to those who do not see it. */
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

/** A name for an element that others refer to. */
export const fresh = (stem) => `${stem}-${(numbered += 1)}`;

/** A panel: a section with a heading, a sentence about what it shows, and its content. */
export function panel(title, lead, ...children) {
  const id = fresh("panel");
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

/** A slider with its name and its value; `show` turns the value into words. */
export function slider({ label, min, max, step, value, show = (v) => v.toFixed(2), oninput }) {
  const output = element("output", {}, show(value));
  const input = element("input", { type: "range", min, max, step, value });
  input.oninput = () => {
    output.textContent = show(Number(input.value));
    oninput(Number(input.value));
  };
  const set = (v) => {
    // Out of its range a slider stands at its end; the number beside it is the true one.
    input.value = v;
    output.textContent = show(v);
  };
  return { node: element("label", { className: "slider" }, element("span", {}, label), input, output), input, set };
}

/** A list to choose from; options are [value, text]. */
export function choice(label, options, onchange) {
  const select = element("select", { onchange: () => onchange(select.value) });
  const fill = (entries) =>
    select.replaceChildren(...entries.map(([value, text]) => element("option", { value }, text)));
  fill(options);
  return { node: element("label", { className: "choice" }, `${label} `, select), select, fill };
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

/** Tell those who listen rather than look. */
export function announce(text) {
  document.getElementById("status").textContent = text;
}

/** Show in place of a panel's content why it could not be had. */
export function complain(node, error) {
  node.replaceChildren(element("p", { className: "notice", role: "alert" }, error.message || String(error)));
}

export function fixed(value, digits = 2) {
  if (value === null || Number.isNaN(value)) return "–";
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : minus(text);
}

export const counted = (value) => value.toLocaleString("en");

export const withError = (value, error) =>
  error === null || error === undefined ? fixed(value) : `${fixed(value)} ± ${fixed(error)}`;

/** A hyphen is no minus sign. */
const minus = (text) => text.replace("-", "−");

/** A name of a thing that happened, to those who asked for it. */
export function emitter() {
  const listeners = new Map();
  return {
    on: (name, listener) => listeners.set(name, [...(listeners.get(name) ?? []), listener]),
    emit: (name, ...values) => (listeners.get(name) ?? []).forEach((listener) => listener(...values)),
  };
}

/** Calls of `work` one after the other, in which only the newest request waits: what is outdated is never computed. */
export function newest(work) {
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

/** The last call alone, once there has been none for `delay` milliseconds. */
export function settled(delay, work) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), delay);
  };
}
