// The API as a page, read from /openapi.json.

function element(tag, name, text, ...children) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

function table(heads, rows) {
  const body = rows.map((row) => element("tr", "", "", ...row.map((cell) => element("td", "", cell))));
  const head = element("tr", "", "", ...heads.map((name) => element("th", "", name)));
  return element("div", "scroll", "", element("table", "", "", element("thead", "", "", head), element("tbody", "", "", ...body)));
}

function example(path, kind, closed) {
  const token = closed ? "-H 'Authorization: Bearer TOKEN' " : "";
  const address = `${token}${location.origin}${path.replace("{row}", "0")}`;
  if (kind === "multipart/form-data") return `curl -F picture=@person.jpg -F top=10 ${address}`;
  if (kind === "application/json") return `curl -H 'Content-Type: application/json' -d '{"token": "..."}' ${address}`;
  return `curl ${address}${path.includes("thumbnail") ? " -o item.jpg" : ""}`;
}

function operation(verb, path, told) {
  const title = element("h2", "", "", element("span", "verb", verb.toUpperCase()), path);
  const made = element("section", "panel", "", title, element("p", "", told.description || ""));
  const [kind, body] = Object.entries(told.requestBody?.content || {})[0] || [null, null];
  made.append(element("pre", "", example(path, kind, told.security?.length)));
  const fields = Object.entries(body?.schema?.properties || {}).map(([name, field]) => [name, field.type, field.description || ""]);
  if (fields.length) made.append(table(["Field", "Type", "Meaning"], fields));
  made.append(table(["Status", "When"], Object.entries(told.responses).filter(([code]) => code !== "422").map(([code, one]) => [code, one.description])));
  return made;
}

const response = await fetch("/openapi.json");
const spec = await response.json();
document.getElementById("about").textContent = response.ok ? spec.info.description : `${spec.error} ${spec.remedy}`;
for (const [path, verbs] of Object.entries(spec.paths || {}))
  for (const [verb, told] of Object.entries(verbs)) document.getElementById("operations").append(operation(verb, path, told));
