// Forms that send requests to the endpoints of this page, and show request and response.
//
// A form is made when its section is opened, from the parameters of the OpenAPI document in its data attributes, and
// what is served in that of <main>: names, versions, a point in latent space, and the name of an example's file.

const served = JSON.parse(document.querySelector("main").dataset.served);
const allModels = served.flatMap((run) => run.models);
const MAX_SHOWN = 6000; // characters of a response
const MAX_INLINE = 600; // characters of JSON in a command; longer bodies are files
const LATENTS = "z";

document.querySelectorAll(".try").forEach((section) => {
  section.addEventListener("toggle", () => section.open && section.childElementCount === 1 && addForm(section), { once: true });
});

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children.filter((child) => child !== null));
  return node;
}

function addForm(section) {
  const { method, path } = section.dataset;
  const parameters = JSON.parse(section.dataset.parameters).filter((one) => one.in !== "header");
  const types = JSON.parse(section.dataset.types);
  const endpoint = { method, path, parameters, kind: kindOf(path, types) };
  const fields = parameters.map(fieldOf);
  const body = bodyOf(endpoint);
  const inputs = [...fields.map(({ node }) => node), body?.node ?? null, acceptOf(endpoint)];
  const form = element("form", {}, ...inputs, element("button", {}, "Send"));
  const command = element("pre", { tabIndex: 0, className: "command" });
  const answer = element("div");
  const show = () => (command.textContent = commandOf(requestOf(endpoint, form, body)));
  form.addEventListener("input", (event) => {
    adapt(endpoint, form, body, event.target.name).then(show);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(requestOf(endpoint, form, body), answer);
  });
  section.append(form, element("h4", {}, "Request"), command, answer);
  adapt(endpoint, form, body, "model").then(show);
}

/** What a request's body is: examples for the plain endpoints, tensors for the protocol, or none. */
function kindOf(path, types) {
  if (!types.length) return "none";
  return path.startsWith("/v2/") ? "tensors" : "examples";
}

const isChoice = ({ name }) => name === "model" || name === "name";

/** The field of one parameter. */
function fieldOf(parameter) {
  const { name, schema, required } = parameter;
  const label = (input) => ({ node: element("label", { title: parameter.description ?? "" }, name, input) });
  if (isChoice(parameter)) {
    const names = name === "name" || required ? allModels : served.map((run) => run.name);
    return label(element("select", { name }, ...names.map((one) => element("option", {}, one))));
  }
  const type = schema.type ?? schema.anyOf?.find((one) => one.type !== "null")?.type;
  if (type === "boolean") return label(element("input", { name, type: "checkbox" }));
  const { minimum, maximum } = schema.anyOf?.[0] ?? schema;
  const isNumber = type === "integer" || type === "number";
  const input = element("input", { name, type: isNumber ? "number" : "text", required: Boolean(required), value: schema.default ?? "" });
  if (isNumber) Object.assign(input, { step: type === "integer" ? 1 : "any", min: minimum ?? "", max: maximum ?? "" });
  return label(input);
}

/** The field of the body: an example of the run or a file of your own, or JSON. */
function bodyOf({ kind }) {
  if (kind === "none") return null;
  const text = element("textarea", { name: "json", rows: 5, spellcheck: false });
  const file = element("input", { name: "file", type: "file" });
  const example = element("img", { alt: "The example" });
  const state = { file: "", example, text, own: file };
  const json = element("label", { className: "body json" }, "body", text);
  const image = element("div", { className: "body image" }, example, element("label", {}, "or a file of your own", file));
  return Object.assign(state, { json, image, node: element("div", { className: "body" }, json, image) });
}

/** /reconstruct answers with an image unless JSON is asked for. */
function acceptOf({ path }) {
  if (path !== "/reconstruct") return null;
  const choices = ["image/png", "application/json"].map((type) => element("option", {}, type));
  return element("label", {}, "Accept", element("select", { name: "accept" }, ...choices));
}

const valueOf = (form, name) => form.elements[name]?.value ?? "";

const runOf = (name) => served.find((run) => run.name === name || run.models.includes(name)) ?? served[0];

/** Give the other fields what fits the chosen run. */
async function adapt(endpoint, form, body, changed) {
  if (changed !== "model" && changed !== "name") return;
  const name = valueOf(form, "model") || valueOf(form, "name");
  const run = runOf(name);
  if (form.elements.version) form.elements.version.value = run.version;
  if (form.elements[LATENTS]) form.elements[LATENTS].value = run.point;
  if (form.elements.given) form.elements.given.value = run.given;
  if (!body) return;
  const isImage = endpoint.kind === "examples" && run.file.endsWith(".png");
  body.file = isImage ? run.file : "";
  body.json.hidden = isImage;
  body.image.hidden = !isImage;
  if (isImage) body.example.src = `/example?model=${encodeURIComponent(run.name)}`;
  else body.text.value = await (await fetch(exampleURL(endpoint, run, name))).text();
}

const exampleURL = ({ kind }, run, name) =>
  kind === "tensors" ? `/example.json?model=${encodeURIComponent(name)}` : `/example?model=${encodeURIComponent(run.name)}`;

const inQuery = (value) => encodeURIComponent(value).replaceAll("%2C", ",");

/** The request that the form describes: {method, url, body, example, file, accept}. */
function requestOf(endpoint, form, body) {
  let url = endpoint.path;
  const query = [];
  for (const { name, in: place, schema } of endpoint.parameters) {
    const input = form.elements[name];
    const value = input.type === "checkbox" ? (input.checked ? "true" : "") : input.value;
    if (place === "path") url = url.replace(`{${name}}`, encodeURIComponent(value));
    else if (value !== "" && value !== String(schema.default ?? "")) query.push(`${name}=${inQuery(value)}`);
  }
  const name = valueOf(form, "model") || valueOf(form, "name");
  return {
    method: endpoint.method,
    url: query.length ? `${url}?${query.join("&")}` : url,
    example: exampleURL(endpoint, runOf(name), name),
    own: body?.file ? body.own.files[0] : null,
    file: body?.file ?? "",
    text: body && !body.file ? body.text.value : null,
    accept: valueOf(form, "accept"),
  };
}

const quoted = (text) => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** The same request as commands for a shell. */
function commandOf({ method, url, example, own, file, text, accept }) {
  const address = quoted(location.origin + url);
  const headers = accept === "application/json" ? " -H 'Accept: application/json'" : "";
  const isImage = url.split("?")[0].endsWith(".png") || accept === "image/png";
  const out = isImage && (!file || accept === "image/png") ? " -o result.png" : "";
  if (file && own) return `curl --data-binary @${quoted(own.name)} ${address}${headers}${out}`;
  if (file) return `curl ${quoted(location.origin + example)} -o ${file}\ncurl --data-binary @${file} ${address}${headers}${out}`;
  if (text !== null && text.length > MAX_INLINE)
    return `curl ${quoted(location.origin + example)} -o body.json\ncurl --json @body.json ${address}${headers}`;
  if (text !== null) return `curl --json ${quoted(text.trim())} ${address}${headers}`;
  return `curl ${method === "POST" ? "-X POST " : ""}${address}${out}`;
}

async function send({ method, url, example, own, file, text, accept }, answer) {
  answer.replaceChildren(element("p", { className: "note" }, "Sending …"));
  try {
    const body = file ? (own ?? (await (await fetch(example)).blob())) : text;
    const headers = { ...(text === null ? {} : { "Content-Type": "application/json" }), ...(accept ? { Accept: accept } : {}) };
    const start = performance.now();
    const response = await fetch(url, { method, headers, body: method === "GET" ? undefined : body });
    const content = await response.blob();
    answer.replaceChildren(...(await shown(response, content, performance.now() - start)));
  } catch (error) {
    answer.replaceChildren(element("p", { className: "warning", role: "alert" }, `No response: ${error.message}`));
  }
}

const counted = (value) => value.toLocaleString("en");

/** The response: its status, its seed if it has one, and its content. */
async function shown(response, content, milliseconds) {
  const type = response.headers.get("content-type") ?? "";
  const seed = response.headers.get("Lowerbound-Seed");
  const facts = [
    `${response.status} ${response.statusText}`.trim(),
    type.split(";")[0],
    `${counted(content.size)} bytes`,
    `${milliseconds.toFixed(0)} ms`,
    seed && `seed ${seed}`,
  ];
  const about = element("p", { className: "note", role: "status" }, facts.filter(Boolean).join(" · "));
  const heading = element("h4", {}, "Response");
  if (type.startsWith("image/")) return [heading, about, element("img", { src: URL.createObjectURL(content), alt: "The response" })];
  const text = await content.text();
  const pretty = type.includes("json") ? indented(text) : text;
  const left = pretty.length - MAX_SHOWN;
  const cut = left > 0 ? `${pretty.slice(0, MAX_SHOWN)}\n… and ${counted(left)} more characters` : pretty;
  return [heading, about, element("pre", { tabIndex: 0 }, cut)];
}

/** JSON over several lines, with lists of numbers on one. */
function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 1).replace(/\[[^[\]{}"]*\]/g, (list) => list.replace(/\s+/g, " "));
  } catch {
    return text;
  }
}
