// The page: what is searched with, what was found, and what went wrong, each in its place.

import * as api from "./api.js";
import { bones, card } from "./cards.js";
import * as filters from "./filters.js";

const $ = (id) => document.getElementById(id);
let gallery = null; // what /api/info told
let query = null; // {file, shown} or {item, shown}
let running = null; // the AbortController of the search under way
let late = 0; // timer: filters that change quickly make one search

async function begin() {
  const given = filters.fromAddress().get("token");
  if (given) {
    history.replaceState(null, "", location.pathname); // out of the address and the history
    try {
      await api.login(given);
    } catch (problem) {
      return askForToken(problem.message);
    }
  }
  try {
    gallery = await api.info();
  } catch (problem) {
    return problem.status === 401 ? askForToken() : show(problem);
  }
  $("login").hidden = true;
  $("main").hidden = false;
  tellOfGallery();
  filters.build(gallery);
  followAddress();
}

function askForToken(problem) {
  $("main").hidden = true;
  $("login").hidden = false;
  $("login-problem").hidden = !problem;
  $("login-problem").textContent = problem || "";
  $("token").focus();
}

function tellOfGallery() {
  const { index, model, limits } = gallery;
  const rows = [["index", index.ref], ["items", index.count.toLocaleString("en")], ["model", model.ref, model.digest.slice(0, 12)]];
  $("facts").replaceChildren(...rows.map(([name, value, code]) => {
    const row = document.createElement("div"), term = document.createElement("dt"), told = document.createElement("dd");
    term.textContent = name;
    told.textContent = value;
    if (code) {
      const digest = document.createElement("code");
      digest.textContent = ` ${code}`;
      digest.title = model.digest;
      told.append(digest);
    }
    row.append(term, told);
    return row;
  }));
  $("limits").textContent = `JPEG, PNG, WebP or BMP, up to ${limits.upload_bytes / 1e6} MB`;
  const recall = index.recall === null ? "exact" : `recall@10 ${index.recall.toFixed(3)}`;
  $("provenance").textContent = `reidclip ${gallery.version} · ${index.backend} (${recall}) · index ${index.digest.slice(0, 12)} · ` +
    (model.measure === "similarity" ? "distance = 1 − cosine" : "Euclidean distance");
}

function followAddress() {
  const params = filters.fromAddress();
  filters.write(params);
  const item = params.get("item");
  if (item) setQuery({ item, shown: null });
  else if (query && query.item) setQuery(null);
  if (query) search();
  else clear();
}

// ------------------------------------------------------------------------------------------------------- what is searched with
function setQuery(next) {
  if (query && query.file && query.shown && (!next || next.file !== query.file)) URL.revokeObjectURL(query.shown);
  query = next;
  $("go").disabled = !query;
  $("preview").hidden = !(query && query.shown);
  if (query && query.shown) $("preview").src = query.shown;
  $("query").hidden = !query;
  $("drop").classList.toggle("filled", !!query);
  $("query").textContent = !query ? "" : query.file ? query.file.name || "pasted picture" : query.item;
  $("invite").textContent = query ? "Drop another picture" : "Drop a picture of a person here";
}

function takeFile(file) {
  if (!file || !gallery) return;
  setQuery({ file, shown: URL.createObjectURL(file) });
  history.replaceState(null, "", filters.toAddress());
  if (file.size > gallery.limits.upload_bytes) {
    stop();
    return show(new api.Problem(413, `The picture is larger than ${gallery.limits.upload_bytes / 1e6} MB.`, "Crop the person, or save it smaller."));
  }
  search();
}

function pick(hit) {
  setQuery({ item: hit.key, shown: hit.thumbnail });
  history.pushState(null, "", filters.toAddress(hit.key));
  search();
  $("results").focus({ preventScroll: true });
  $("results").scrollIntoView({ block: "start" });
}

// -------------------------------------------------------------------------------------------------------------------- searching
function stop() {
  if (running) running.abort();
  running = null;
  clearTimeout(late);
}

async function search() {
  stop();
  if (!query || !$("search").reportValidity()) return;
  const mine = (running = new AbortController());
  $("problem").hidden = $("empty").hidden = true;
  $("progress").hidden = false;
  $("results").setAttribute("aria-busy", "true");
  $("status").textContent = "Searching …";
  if (!$("hits").children.length) $("hits").replaceChildren(...bones(8));
  try {
    const answer = await api.search(query, filters.read(), mine.signal);
    if (mine === running) tell(answer);
  } catch (problem) {
    if (mine === running && problem.name !== "AbortError") problem.status === 401 ? askForToken() : show(problem);
  } finally {
    if (mine === running) rest();
  }
}

function rest() {
  running = null;
  $("progress").hidden = true;
  $("results").removeAttribute("aria-busy");
}

function tell(answer) {
  const { hits, query: asked, allowed } = answer;
  if (asked.item && query.item && !query.shown) setQuery({ item: query.item, shown: asked.item.thumbnail });
  const furthest = Math.max(0, ...hits.map((hit) => hit.distance));
  $("hits").replaceChildren(...hits.map((hit) => card(hit, furthest, pick)));
  const count = document.createElement("strong");
  count.textContent = hits.length ? `${hits.length} nearest` : "Nothing passes these filters";
  const notes = [` of ${allowed.toLocaleString("en")} items`, answer.reranked ? "re-ranked" : "", `${answer.milliseconds} ms`];
  $("status").replaceChildren(count, notes.filter(Boolean).join(" · "));
}

function clear() {
  $("hits").replaceChildren();
  $("status").textContent = "";
  $("problem").hidden = true;
  $("empty").hidden = false;
}

function show(problem) {
  $("hits").replaceChildren();
  $("status").textContent = "";
  $("progress").hidden = $("empty").hidden = true;
  $("problem-what").textContent = problem.message;
  $("problem-remedy").textContent = problem.remedy || "";
  $("again").hidden = !(problem.status === 0 || problem.status >= 500);
  $("problem").hidden = false;
}

// ----------------------------------------------------------------------------------------------------------------------- events
$("file").addEventListener("change", () => {
  takeFile($("file").files[0]);
  $("file").value = ""; // the same file may be chosen again
});
document.addEventListener("paste", (event) => takeFile([...(event.clipboardData?.files || [])][0]));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dragging"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  takeFile(event.dataTransfer.files[0]);
});
$("preview").addEventListener("error", () => { $("preview").hidden = true; });
$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
$("filters").addEventListener("change", () => {
  history.replaceState(null, "", filters.toAddress(query && query.item));
  clearTimeout(late);
  if (query) late = setTimeout(search, 250);
});
$("reset").addEventListener("click", () => {
  filters.write(new URLSearchParams());
  history.replaceState(null, "", filters.toAddress(query && query.item));
  if (query) search();
});
$("again").addEventListener("click", () => (gallery ? search() : begin()));
$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await api.login($("token").value);
    $("token").value = "";
    await begin();
  } catch (problem) {
    askForToken(problem.message);
  }
});
window.addEventListener("popstate", () => { if (gallery) followAddress(); });

begin();
