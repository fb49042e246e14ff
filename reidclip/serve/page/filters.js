// The filters: built from what the gallery holds, read into a search's fields, and kept in the address after "#".

const $ = (id) => document.getElementById(id);
const DEFAULTS = { top: "20", expand: "0" };
const KNOWN = ["camera", "not_camera", "domain", "after", "before", "other_clothes", "query_clothes", "top", "rerank", "expand"];
let clock = false; // times are dates, not seconds of a video
let wears = false; // nobody can tell the clothes of an uploaded picture

export function build(info) {
  chips($("cameras"), info.cameras, (c) => String(c.value));
  $("cameras-box").hidden = info.cameras.length < 2;
  chips($("domains"), info.domains, (d) => d.value);
  $("domains-box").hidden = info.domains.length < 2;
  $("time-box").hidden = !info.time;
  if (info.time) times(info.time);
  $("clothes-box").hidden = info.clothes.mode === "none";
  wears = !info.clothes.of_pictures;
  $("clothes-note").textContent = info.clothes.mode === "clusters"
    ? `By ${info.clothes.count} groups of similar clothes, seen by a parser: it may err.`
    : `By the data's ${info.clothes.count} labels of clothes.`;
  $("top").max = info.limits.top;
  $("filters").open = window.matchMedia("(min-width: 861px)").matches;
}

function times(range) {
  clock = range.clock;
  $("time-unit").textContent = clock ? "(UTC)" : "(seconds of the video)";
  for (const input of [$("after"), $("before")]) {
    input.type = clock ? "datetime-local" : "number";
    input.step = clock ? "1" : "any";
    const placed = (seconds) => (clock ? new Date(seconds * 1000).toISOString().slice(0, 19) : String(seconds));
    input.min = placed(Math.floor(range.earliest));
    input.max = placed(Math.ceil(range.latest));
    if (!clock) input.placeholder = input.id === "after" ? range.earliest.toFixed(1) : range.latest.toFixed(1);
  }
}

function chips(box, values, text) {
  box.replaceChildren(...values.map((one) => {
    const label = document.createElement("label"), input = document.createElement("input"), span = document.createElement("span");
    input.type = "checkbox";
    input.value = one.value;
    span.textContent = text(one);
    label.title = `${one.count} items`;
    label.append(input, span);
    return label;
  }));
}

const checked = (box) => [...box.querySelectorAll("input:checked")].map((input) => input.value);

// The fields of a search, as [name, value]; what stands at its default is left out.
export function read() {
  const mode = document.querySelector("input[name=camera-mode]:checked").value;
  const fields = checked($("cameras")).map((value) => [mode, value]);
  fields.push(...checked($("domains")).map((value) => ["domain", value]));
  for (const id of ["after", "before"]) if ($(id).value) fields.push([id, $(id).value]);
  if ($("other-clothes").checked) {
    fields.push(["other_clothes", "true"]);
    if ($("query-clothes").value) fields.push(["query_clothes", $("query-clothes").value]);
  }
  for (const id of ["top", "expand"]) if ($(id).value && $(id).value !== DEFAULTS[id]) fields.push([id, $(id).value]);
  if ($("rerank").checked) fields.push(["rerank", "true"]);
  $("query-clothes-row").hidden = !(wears && $("other-clothes").checked);
  const count = new Set(fields.map(([name]) => name).filter((name) => name !== "top" && name !== "query_clothes")).size;
  $("active").textContent = count;
  $("active").hidden = count === 0;
  return fields;
}

// Puts fields in place, those of an address or none.
export function write(params) {
  const mode = params.has("not_camera") ? "not_camera" : "camera";
  document.querySelector(`input[name=camera-mode][value=${mode}]`).checked = true;
  const tick = (box, values) => box.querySelectorAll("input").forEach((input) => { input.checked = values.includes(input.value); });
  tick($("cameras"), params.getAll(mode));
  tick($("domains"), params.getAll("domain"));
  for (const id of ["after", "before"]) $(id).value = params.get(id) || "";
  for (const id of ["top", "expand"]) $(id).value = params.get(id) || DEFAULTS[id];
  $("other-clothes").checked = params.get("other_clothes") === "true";
  $("query-clothes").value = params.get("query_clothes") || "";
  $("rerank").checked = params.get("rerank") === "true";
  read();
}

export function fromAddress() {
  const params = new URLSearchParams(location.hash.slice(1));
  for (const name of [...params.keys()]) if (!KNOWN.includes(name) && name !== "item" && name !== "token") params.delete(name);
  return params;
}

export function toAddress(item) {
  const params = new URLSearchParams(read());
  if (item) params.append("item", item);
  return location.pathname + (params.toString() ? `#${params}` : "");
}

export const time = (seconds) => {
  if (seconds === null) return null;
  return clock ? `${new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ")}` : `${seconds.toFixed(2)} s`;
};
